"""Pictures of one capture made from its stored patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dped_data.files import atomic_write_bytes


def checkerboard(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], square_px: int, phone_from_dslr: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return two (H, W, 3) pictures as a checkerboard: phone where the square's row + column is even.

    `phone_from_dslr` is the (3, 4) colour transform that lets the eye see edges instead of colours.
    """
    matched = match_colour(dslr, phone_from_dslr)
    rows, columns = np.arange(phone.shape[0]) // square_px, np.arange(phone.shape[1]) // square_px
    even = (rows[:, None] + columns[None, :]) % 2 == 0
    return np.where(even[:, :, None], phone, matched)


def match_colour(dslr: NDArray[np.uint8], phone_from_dslr: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Apply an affine (3, 4) colour transform (values 0 to 1) to a uint8 picture."""
    values = dslr.astype(np.float32) @ phone_from_dslr[:, :3].T.astype(np.float32)
    values += (255 * phone_from_dslr[:, 3]).astype(np.float32)
    matched: NDArray[np.uint8] = values.round().clip(0, 255).astype(np.uint8)
    return matched


def write_jpeg(path: Path, pixels: NDArray[np.uint8], quality: int, subsampling: str = "444") -> None:
    """Write an RGB picture as JPEG, whole or not at all."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", subsampling)
    atomic_write_bytes(path, data)

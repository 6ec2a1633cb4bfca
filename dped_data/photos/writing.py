"""Write photos: 8 bits a colour, sRGB, whole or not at all (leaf)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dped_data.common.files import atomic_write_bytes
from dped_data.errors import PhotoError


def encode_photo(
    pixels: NDArray[np.uint8],
    suffix: str,
    *,
    quality: int = 95,
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0",
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
) -> bytes:
    """Return (H, W, 3) uint8 RGB as the bytes of a .jpg, .png or .tif file; `quality` and `subsampling` are JPEG's.

    Raises:
        PhotoError: another suffix, or pixels that the format does not take.
    """
    formats = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
    file_format = formats.get(suffix.lower())
    if file_format is None:
        raise PhotoError(suffix, f"cannot write '{suffix}' photos; use .jpg, .png or .tif")
    options: dict[str, object] = {"quality": quality, "subsampling": subsampling} if file_format == "JPEG" else {}
    if file_format == "TIFF":
        options["compression"] = "tiff_deflate"
    options |= {key: value for key, value in (("exif", exif), ("icc_profile", icc_profile)) if value}
    encoded = io.BytesIO()
    try:
        Image.fromarray(pixels).save(encoded, file_format, **options)
    except OSError as error:
        raise PhotoError(suffix, f"cannot be written ({error.strerror or error})") from None
    return encoded.getvalue()


def write_photo(path: Path, pixels: NDArray[np.uint8], **how: Any) -> None:
    """Write (H, W, 3) uint8 RGB to a file, whole or not at all; `how` and the formats as in `encode_photo`.

    Raises:
        PhotoError: another suffix, or the file cannot be written. ForeignFileError: somebody else's file is there.
    """
    try:
        atomic_write_bytes(path, encode_photo(pixels, path.suffix, **how))
    except PhotoError as error:
        raise PhotoError(path.name, error.fault) from None
    except OSError as error:
        raise PhotoError(path.name, f"cannot be written ({error.strerror or error})") from None

"""A Bayer sensor's values beside the photo they develop to: upright, and untouched since LibRaw unpacked them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import exposure_of
from dped_data.photos.mosaic_facts import LIMITS, MosaicFacts, mosaic_codes
from dped_data.photos.raw import FAULT, developed, is_raw, opened_raw, raw_exif, unpack
from dped_data.photos.reading import upright
from dped_data.settings import RawSettings

_ORIENTATION_OF_FLIP = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's word for LibRaw's: 1 mirrors columns, 2 mirrors rows, 4 then exchanges both."""


@dataclass(frozen=True)
class Mosaic:
    """The values of a sensor, turned upright.

    Attributes:
        values: (H, W) uint16; the cell at (x, y) lies where the developed photo's pixel (x, y) lies.
        red_xy: (x, y), 0 or 1 each, of the first red cell: cells at even distances from it are red.
        facts: what the file says of them.
    """

    values: NDArray[np.uint16]
    red_xy: tuple[int, int]
    facts: MosaicFacts


def decode_mosaic(data: bytes, name: str, settings: RawSettings) -> tuple[NDArray[np.uint8], Mosaic]:
    """Return the developed photo, (H, W, 3) uint8 as `decode_raw` gives it, and the mosaic of the same size.

    Raises:
        PhotoError: no RAW file, a damaged one, or a sensor without a Bayer pattern of square cells.
    """
    with _unpacked(data, name) as raw:
        mosaic = _mosaic(raw, data, name)  # before it is developed: LibRaw then takes both greens for one
        photo: NDArray[np.uint8] = developed(raw, settings)
    if photo.shape[:2] != mosaic.values.shape:
        height, width = mosaic.values.shape
        shown = f"{width} x {height} cells develop to {photo.shape[1]} x {photo.shape[0]} px"
        raise PhotoError(name, f"its sensor's cells are no square pixels ({shown}), so that no mosaic can be had")
    return photo, mosaic


def read_mosaic(data: bytes, name: str) -> Mosaic:
    """Return the mosaic alone, as `decode_mosaic`."""
    with _unpacked(data, name) as raw:
        return _mosaic(raw, data, name)


@contextmanager
def _unpacked(data: bytes, name: str) -> Iterator[Any]:
    if not is_raw(io.BytesIO(data), name):
        raise PhotoError(name, "is no camera RAW file, so that it has no mosaic")
    with opened_raw(data, name) as raw, decoding(name, FAULT):
        unpack(raw, data, name)
        yield raw


def _mosaic(raw: Any, data: bytes, name: str) -> Mosaic:
    stated = raw.raw_pattern if raw.raw_image is not None else None
    pattern = np.zeros((0, 0), np.uint8) if stated is None else stated
    letters = raw.color_desc.decode("latin-1")
    colours = "".join(letters[index : index + 1] for index in pattern.ravel())  # a grey sensor's have no letter
    if colours not in ("RGGB", "GRBG", "GBRG", "BGGR"):
        what = colours or "none" if len(pattern) <= 2 else f"{len(pattern)} x {len(pattern)} cells"
        raise PhotoError(name, f"its sensor has no Bayer pattern (it has: {what}), so that no mosaic can be had")
    orientation = _ORIENTATION_OF_FLIP[raw.sizes.flip]
    values = np.array(upright(raw.raw_image_visible, orientation))  # a copy: LibRaw frees its own when it is closed
    rows, columns = raw.raw_image_visible.shape
    corner = upright(np.tile(pattern, (2, 2))[: 2 + rows % 2, : 2 + columns % 2], orientation)
    red_y, red_x = (int(place) for place in np.argwhere(corner[:2, :2] == letters.index("R"))[0])
    cells = np.roll(corner[:2, :2], (-red_y, -red_x), axis=(0, 1)).ravel()
    black = np.array([raw.black_level_per_channel[index] for index in cells], np.float32)
    white = float(raw.white_level)
    if not (LIMITS["white"][0] <= white <= LIMITS["white"][1] and black.min() >= 0 and black.max() < white):
        raise PhotoError(name, f"damaged camera RAW file (black at {black.max():g}, white at {white:g})")
    gains = np.array(raw.camera_whitebalance[:3], np.float32)
    gains = gains / gains[1] if gains[1] > 0 else gains
    matrix = np.array(raw.color_matrix, np.float32)[:, :3]
    iso, exposure_s = exposure_of(raw_exif(io.BytesIO(data)))
    facts = MosaicFacts(
        black=black,
        white=white,
        cfa=np.array(["RGB".index(colour) for colour in colours], np.uint8).reshape(2, 2),
        orientation=orientation,
        margin_xy=(int(raw.sizes.left_margin), int(raw.sizes.top_margin)),
        white_balance=_known(gains, "white_balance"),
        color_matrix=_known(matrix, "color_matrix") if matrix.any() else np.full((3, 3), np.nan, np.float32),
        iso=iso,
        exposure_s=exposure_s,
    )
    return Mosaic(values, (red_x, red_y), facts)


def _known(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return values that can be true, NaN in place of those of which one cannot."""
    low, high = LIMITS[name]
    sound = bool(((values >= low) & (values <= high)).all())
    return values if sound else np.full(values.shape, np.nan, np.float32)


def cut_mosaic(mosaic: Mosaic, corner_xy: NDArray[np.int32], size: int) -> NDArray[np.uint16]:
    """Return (N, S/2, S/2, 4) copies of the mosaic at corners (N, 2) on red cells, packed as CELLS.

    Sample [i, j, c] is the cell at row 2i + c // 2 and column 2j + c % 2 of the patch.
    """
    red_xy = np.array(mosaic.red_xy)
    if size % 2 or ((corner_xy - red_xy) % 2).any():
        raise ValueError("patches of a mosaic begin at a red cell and have an even side")
    patches = np.empty((len(corner_xy), size // 2, size // 2, 4), np.uint16)
    for patch, (x, y) in zip(patches, corner_xy, strict=True):
        cells = mosaic.values[y : y + size, x : x + size]
        for index in range(4):
            patch[..., index] = cells[index // 2 :: 2, index % 2 :: 2]
    return patches


@dataclass(frozen=True)
class WholeMosaic:
    """A whole photo's mosaic as an enhancer sees it, and where the photo lies in it.

    Attributes:
        codes: (h, w, 4) uint16 as `mosaic_codes` has them; it covers the photo and up to one cell more on each side.
        left, top: of the photo in it, cells: 0 or 1.
    """

    codes: NDArray[np.uint16]
    left: int
    top: int


def whole_mosaic(mosaic: Mosaic) -> WholeMosaic:
    """Return a photo's mosaic packed from a red cell on, cells of the same colour mirrored in where that needs it."""
    left, top = mosaic.red_xy
    height, width = mosaic.values.shape
    below, right = (top + height) % 2, (left + width) % 2
    cells = np.pad(mosaic.values, ((top, below), (left, right)), mode="reflect")
    packed = np.stack([cells[cell // 2 :: 2, cell % 2 :: 2] for cell in range(4)], axis=-1)
    facts = mosaic.facts
    return WholeMosaic(mosaic_codes(packed, facts.black, facts.white, facts.white_balance), left, top)

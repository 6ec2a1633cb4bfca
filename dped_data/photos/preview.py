"""Small pictures of photos, decoded at a fraction of their size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.errors import PhotoError
from dped_data.photos.bounds import check_expansion
from dped_data.photos.exif import orientation_of, read_exif
from dped_data.photos.files import read_bytes
from dped_data.photos.formats import JPEG_SUFFIXES
from dped_data.photos.reading import decode_jpeg, opened_photo, read_header, read_photo, upright


def read_preview(path: Path, longest_px: int) -> tuple[NDArray[np.uint8] | None, float | None]:
    """Return a photo shrunk to `longest_px` at most, upright, and its capture time; None for what cannot be had.

    JPEG files are decoded at 1/2, 1/4 or 1/8 of their size, which costs a fraction of decoding them whole; their colour
    profile is not applied, for the picture serves to find one's way only.
    """
    try:
        header = read_header(path)
        is_jpeg = path.suffix.lower() in JPEG_SUFFIXES
        pixels = _decode_small(path, longest_px) if is_jpeg else read_photo(path)
    except PhotoError:
        return None, None
    scale = longest_px / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        # Above one half a linear resize skips no pixel, and takes a tenth of the time.
        way = cv2.INTER_LINEAR if scale >= 0.5 else cv2.INTER_AREA
        pixels = cv2.resize(pixels, size, interpolation=way)
    return pixels, header.time_s


def _decode_small(path: Path, longest_px: int) -> NDArray[np.uint8]:
    data = read_bytes(path)
    with opened_photo(data, path.name) as image:
        check_expansion(path.name, image.format, image.width, image.height, len(data))
        if image.format != "JPEG" or image.mode not in ("RGB", "L"):
            return read_photo(path)
        orientation = orientation_of(read_exif(image))
        width, height = (longest_px * side // max(image.size) for side in image.size)
    return upright(decode_jpeg(data, path.name, least_wh=(width, height)), orientation)

"""Camera RAW files, through LibRaw."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dped_data.errors import PhotoError
from dped_data.photos.bounds import (
    check_expansion,
    check_size,
)
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import capture_time
from dped_data.photos.files import read_bytes
from dped_data.photos.formats import PhotoHeader


@contextmanager
def opened_raw(data: bytes, name: str) -> Iterator[Any]:
    """Open a RAW file with LibRaw, which reads the header only; refuse what it does not know or what is too large."""
    try:
        import rawpy
    except ImportError:
        raise PhotoError(name, "camera RAW photos need an extra: pip install 'dped[raw]'") from None
    fault = "damaged or unknown camera RAW file"
    with decoding(name, fault):
        raw = rawpy.imread(io.BytesIO(data))
    with raw:
        with decoding(name, fault):
            sizes = raw.sizes
            width, height = (max(a, b) for a, b in ((sizes.width, sizes.raw_width), (sizes.height, sizes.raw_height)))
            check_size(name, width, height)
            check_expansion(name, "RAW", width, height, len(data))
        yield raw


def decode_raw(data: bytes, name: str) -> NDArray[np.uint8]:
    """Develop with the camera's white balance to sRGB; LibRaw turns the photo upright."""
    with opened_raw(data, name) as raw, decoding(name, "damaged or unknown camera RAW file"):
        developed: NDArray[np.uint8] = raw.postprocess(use_camera_wb=True)
        return developed if developed.shape[2] == 3 else np.repeat(developed[..., :1], 3, axis=2)  # grey sensors


def raw_header(path: Path) -> PhotoHeader:
    data = read_bytes(path)
    with opened_raw(data, path.name) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        if raw.sizes.flip in (5, 6):  # LibRaw: a quarter turn either way
            width, height = height, width
    with suppress(PhotoError), decoding(path.name, "damaged EXIF block"):
        # CR2 and DNG are TIFF files; Pillow refuses them for their pixels, but reads their tags.
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + data)
        return PhotoHeader(width, height, *capture_time(exif))
    return PhotoHeader(width, height, None, False)

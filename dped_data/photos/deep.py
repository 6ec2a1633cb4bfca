"""Photos of 16 bits a colour in all their levels, for those who write 16 bits again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.files import open_photo_file, read_bytes
from dped_data.photos.raw import is_raw
from dped_data.photos.reading import decode_either, decode_photo, has_alpha, opened_photo
from dped_data.photos.sixteen_bits import HEAD_BYTES, decoded_16_bits, has_16_bits


def is_deep(path: Path) -> bool:
    """Whether a photo has more than 8 bits a colour that `read_deep_photo` gives; PhotoError if it is no photo."""
    with open_photo_file(path) as file:
        if is_raw(file, path.name):
            return True
    with opened_photo(path) as image, open_photo_file(path) as file:
        return has_16_bits(image, file.read(HEAD_BYTES))


def what_is_lost(path: Path, photo: NDArray[Any] | None) -> str:
    """Say what of a photo its enhanced version cannot have, "" if nothing; PhotoError if it is no photo.

    `photo` is what `read_deep_photo` made of one that `is_deep`, None where 8 bits were asked for.
    """
    with open_photo_file(path) as file:
        if is_raw(file, path.name):
            return ""
    lost = ["its levels between those of 8 bits are left out"] if photo is not None and photo.dtype == np.uint8 else []
    with opened_photo(path) as image:
        return ", ".join(["its transparency is left out"] * has_alpha(image) + lost)


def read_deep_photo(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a photo as `read_photo` does, (H, W, 3) in sRGB and upright, but uint16 if it has that many levels.

    That is so for RAW photos, for PNG and TIFF photos of 16 bits, and for HEIC photos of 10 and 12. Others come in 8
    bits; so do TIFF photos in a compression that tifffile does not know, and those with a profile where Pillow's
    littlecms, whose ImageCms knows 8 bits only, is out of reach.

    Raises:
        PhotoError: as `read_photo`.
    """
    return decode_either(read_bytes(path), path.name, deep=True)


def decode_grey_16(data: bytes, name: str) -> NDArray[np.uint16]:
    """Return a grey PNG or TIFF of 16 bits as it is stored, (H, W); PhotoError for another photo, or a damaged one."""
    decode_photo(data, name)  # refuses what is damaged
    with opened_photo(data, name) as image:
        if has_16_bits(image, data):
            with decoding(name, "a photo of 16 bits that cannot be read in full"):
                pixels = decoded_16_bits(image, data)
            if pixels.ndim == 2:
                return pixels
    raise PhotoError(name, "is no grey picture of 16 bits")

"""What a photo states of its colours, in the order in which that counts, and sRGB of it in 8 bits."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from dped_data.errors import PhotoError
from dped_data.photos.colour import (
    srgb_from_adobe_rgb,
    srgb_from_bt601,
    srgb_from_display_p3,
    srgb_from_smpte_c,
    srgb_from_stated,
)
from dped_data.photos.decoding import decoding
from dped_data.photos.png_colour import PngColours, png_colours

Conversion: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""Of (H, W, 3) uint8 or uint16 to sRGB."""

SRGB_LEVELS = 3
"""Ours: 8-bit levels by which profiles that cameras and programs call sRGB differ from one another."""
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""What ICC calls the modes of Pillow."""
_ADOBE_RGB = 2
_PRIMARIES: dict[int, Conversion | None] = {
    1: None,
    2: None,
    5: srgb_from_bt601,
    6: srgb_from_smpte_c,
    12: srgb_from_display_p3,
}
_TRANSFERS = {1, 2, 6, 13}
"""What nclx (ISO/IEC 23091-2) may say of a HEIC's colours: primaries of BT.709 or unspecified, BT.601, P3;
curves of BT.709 and BT.601, which cameras write for sRGB, unspecified, sRGB. Others (PQ, HLG, BT.2020) are refused."""


def stated_colours(image: Image.Image, data: bytes, exif: Image.Exif, name: str) -> bytes | Conversion | None:
    """What makes an opened photo sRGB: an ICC profile, or a function of its RGB values; None where they are sRGB.

    That is the first that the photo has of: code points or, without a profile, a gamma and primaries (PNG); a profile;
    code points (HEIC); a word that it is sRGB (PNG); a camera's mark of Adobe RGB. PhotoError for colours that are not
    converted.
    """
    words = png_colours(io.BytesIO(data)) if image.format == "PNG" else None
    if words:
        return _by_png_words(words, name)
    if profile := image.info.get("icc_profile"):
        return bytes(profile)
    if image.format == "HEIF" and (convert := _PRIMARIES[checked_nclx(image.info.get("nclx_profile"), name)]):
        return convert
    says_srgb = "srgb" in image.info  # PNG's own word
    return srgb_from_adobe_rgb if is_adobe_rgb(exif) and not says_srgb else None


def in_srgb(image: Image.Image, colours: bytes | Conversion | None) -> Image.Image:
    """Convert mode RGB, L or CMYK to RGB in sRGB; a profile that is broken or of another kind is ignored."""
    if is_to_convert(colours, image.mode):
        if not isinstance(colours, bytes):
            assert colours is not None
            return Image.fromarray(colours(np.asarray(image.convert("RGB"))))
        with suppress(PhotoError), decoding("", "broken colour profile"):
            return _made_srgb(image, colours)
    return image.convert("RGB")


def checked_nclx(nclx: dict[str, Any] | None, name: str) -> int:
    """Return the primaries of a HEIC's colour description; PhotoError for light beyond sRGB's."""
    return _checked_code(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]), name) if nclx else 1


def _checked_code(primaries: int, transfer: int, name: str) -> int:
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise PhotoError(
            name,
            f"colours (primaries {primaries}, transfer {transfer}; PQ is 16, HLG 18) that are not converted; "
            "save it in sRGB or Display P3",
        )
    return primaries


def checked_png(stated: PngColours | None, name: str) -> None:
    if stated and stated.code_points:
        _checked_code(*stated.code_points, name)
    elif stated and stated.xyz_from_rgb is None:
        raise PhotoError(name, "colours (cHRM: another white, or no primaries) that are not converted; save it in sRGB")


def _by_png_words(stated: PngColours, name: str) -> Conversion | None:
    """What makes sRGB of what a PNG says of its colours outside a profile, which it would overrule."""
    checked_png(stated, name)
    if stated.code_points:
        return _PRIMARIES[stated.code_points[0]]
    assert stated.xyz_from_rgb is not None
    return partial(srgb_from_stated, gamma=stated.gamma, xyz_from_rgb=stated.xyz_from_rgb)


def _made_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert by littlecms; but for matrices step by step, since its shortcut is up to 20 levels off for tables."""
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    is_matrix = image.mode == "RGB" and source.profile.is_matrix_shaper
    how = ImageCms.Flags.NONE if is_matrix else ImageCms.Flags.NOOPTIMIZE
    made = ImageCms.profileToProfile(image, source, target, outputMode="RGB", flags=how)
    assert made is not None
    return made


def is_to_convert(colours: bytes | Conversion | None, mode: str) -> bool:
    """Whether a photo of a mode (RGB, L or CMYK) is not sRGB as it is; a profile must be whole, and of such photos."""
    if not isinstance(colours, bytes):
        return colours is not None and mode != "CMYK"
    with suppress(PhotoError), decoding("", "broken colour profile"):
        kind = ImageCms.ImageCmsProfile(io.BytesIO(colours)).profile.xcolor_space.strip()
        return kind == _SPACES.get(mode) and not is_srgb(colours, mode)
    return False


@lru_cache(maxsize=16)
def is_srgb(profile: bytes, mode: str) -> bool:
    """Whether a profile is sRGB by what it makes of colours, within rounding; its name may say anything."""
    if mode == "RGB":
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    elif mode == "L":
        colours = np.arange(256, dtype=np.uint8)[None]
    else:
        return False
    made = _made_srgb(Image.fromarray(colours), profile)
    before = np.asarray(Image.fromarray(colours).convert("RGB")).astype(np.int16)
    return bool(np.abs(np.asarray(made) - before).max() <= SRGB_LEVELS)


def is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether the camera says "Adobe RGB" without a profile: by DCF 2.0's interoperability index R03, or as a colour
    space of 2, which cameras and editors write although no standard has it."""
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
        return bool(index == "R03" or exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) == _ADOBE_RGB)
    return False

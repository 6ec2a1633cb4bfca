"""Photos of 16 bits a colour in all their levels, for those who write 16 bits again."""

from __future__ import annotations

import ctypes
import io
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, _imagingcms

from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import orientation_of, read_exif
from dped_data.photos.files import open_photo_file, read_bytes
from dped_data.photos.raw import decode_raw, is_raw
from dped_data.photos.reading import (
    Conversion,
    decode_photo,
    has_alpha,
    is_to_convert,
    opened_photo,
    stated_colours,
    upright,
)

_PNG_DEPTH = 24
"""Place of the bit depth in a PNG file (IHDR)."""
_TIMES_ALPHA = 1
"""TIFF's extra sample that the colours were multiplied with (associated alpha)."""
_TOP = 65535
_STRIP = 256
_CODES = {"L": 3 << 16 | 1 << 3 | 2, "RGB": 4 << 16 | 3 << 3 | 2, "CMYK": 6 << 16 | 4 << 3 | 2}
_LIGHT = 1 << 22 | 4 << 16 | 3 << 3 | 4
_PERCEPTUAL = 0
"""littlecms' words (lcms2.h): TYPE_GRAY_16, TYPE_RGB_16, TYPE_CMYK_16; TYPE_RGB_FLT; the intent that ImageCms takes."""


def is_deep(path: Path) -> bool:
    """Whether a photo has more than 8 bits a colour that `read_deep_photo` gives; PhotoError if it is no photo."""
    with open_photo_file(path) as file:
        if is_raw(file, path.name):
            return True
    with opened_photo(path) as image, open_photo_file(path) as file:
        return _has_16_bits(image, file.read(_PNG_DEPTH + 1))


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
    bits; so do those with a profile where Pillow's littlecms, whose ImageCms knows 8 bits only, is out of reach, and
    CMYK in LZW.

    Raises:
        PhotoError: as `read_photo`.
    """
    data, name = read_bytes(path), path.name
    if data and is_raw(io.BytesIO(data), name):
        developed: NDArray[np.uint16] = decode_raw(data, name, deep=True)
        return developed
    coarse = decode_photo(data, name)  # refuses what is damaged
    with opened_photo(data, name) as image:
        if not _has_16_bits(image, data[: _PNG_DEPTH + 1]):
            return coarse
        exif = read_exif(image)
        colours = stated_colours(image, data, exif, name)
        with suppress(PhotoError), decoding(name, "a kind of file of which the whole depth cannot be had"):
            pixels = _to_srgb(_decoded(image, data), colours)
            return coarse if pixels is None else upright(pixels, orientation_of(exif))
    return coarse


def decode_grey_16(data: bytes, name: str) -> NDArray[np.uint16]:
    """Return a grey PNG or TIFF of 16 bits as it is stored, (H, W); PhotoError for another photo, or a damaged one."""
    decode_photo(data, name)  # refuses what is damaged
    with opened_photo(data, name) as image:
        if _has_16_bits(image, data[: _PNG_DEPTH + 1]):
            with decoding(name, "a photo of 16 bits that cannot be read in full"):
                pixels = _decoded(image, data)
            if pixels.ndim == 2:
                return pixels
    raise PhotoError(name, "is no grey picture of 16 bits")


def _has_16_bits(image: Image.Image, head: bytes) -> bool:
    if image.format == "PNG":
        return head[_PNG_DEPTH] == 16
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8)) > 8
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    kinds, meaning = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)), tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    return {*bits} == {16} and {*kinds} == {1} and meaning in (0, 1, 2, 5)


def _decoded(image: Image.Image, data: bytes) -> NDArray[np.uint16]:
    """Return (H, W) grey, (H, W, 3) RGB or (H, W, 4) CMYK as stored, without transparency."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pixels = _decoded_tiff(image, data)
    elif image.format == "HEIF":
        pixels = _decoded_heif(data)
    else:
        import cv2

        pixels = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
        if pixels.ndim == 3:
            pixels = pixels[..., 2::-1]
        if image.mode in ("I;16", "I", "LA", "L") and pixels.ndim == 3:
            pixels = pixels[..., 0]
    if pixels.dtype != np.uint16 or pixels.ndim not in (2, 3):
        raise ValueError(f"{pixels.dtype} {pixels.shape}")
    return np.ascontiguousarray(pixels)


def _decoded_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(copy := io.BytesIO(data)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        pixels = (
            _decoded_lzw(page, copy) if page.compression == tifffile.COMPRESSION.LZW else np.asarray(page.asarray())
        )
    tags = image.tag_v2
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0)
    meaning = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    if pixels.ndim == 3:
        colours = 3 if meaning == 2 else 4 if meaning == 5 else 1
        pixels, more = pixels[..., :colours], pixels[..., colours:]
        if more.shape[2] and tags.get(TiffImagePlugin.EXTRASAMPLES, (0,))[0] == _TIMES_ALPHA:
            pixels = _without_alpha(pixels, more[..., :1])
        if colours == 1:
            pixels = pixels[..., 0]
    return _TOP - pixels if meaning == 0 else pixels


def _decoded_lzw(page: Any, file: io.BytesIO) -> NDArray[Any]:
    """Return an interleaved picture as stored: tifffile alone knows no LZW, and OpenCV would turn it upright."""
    import cv2

    if orientation := page.tags.get(ExifTags.Base.Orientation):
        orientation.overwrite(1)
    pixels = np.asarray(cv2.imdecode(np.frombuffer(file.getbuffer(), np.uint8), cv2.IMREAD_UNCHANGED))
    return pixels[..., (2, 1, 0, *range(3, pixels.shape[2]))] if pixels.ndim == 3 else pixels


def _without_alpha(pixels: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Undo that colours were multiplied by their opacity; where nothing is left of them they stay."""
    return np.minimum(pixels.astype(np.float32) * (_TOP / np.where(alpha, alpha, _TOP)), _TOP).round().astype(np.uint16)


def _decoded_heif(data: bytes) -> NDArray[Any]:
    import pillow_heif

    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    pixels = np.asarray(file)
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    top = 2 ** file.info["bit_depth"] - 1
    return np.rint(pixels * np.float32(_TOP / top)).astype(np.uint16)


def _to_srgb(pixels: NDArray[np.uint16], colours: bytes | Conversion | None) -> NDArray[np.uint16] | None:
    """Convert (H, W), (H, W, 3), or (H, W, 4) for CMYK, to (H, W, 3), as `reading` does 8 bits; None for no way to."""
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[1 if pixels.ndim == 2 else pixels.shape[2]]
    if isinstance(colours, bytes) and is_to_convert(colours, mode):
        return _by_profile(pixels, colours, mode)
    if mode == "CMYK":  # without a profile: each ink takes its part of the light
        left = _TOP - pixels.astype(np.float32)
        return np.rint(left[..., :3] * left[..., 3:] / _TOP).astype(np.uint16)
    rgb = np.repeat(pixels[..., None], 3, axis=2) if mode == "L" else pixels
    return rgb if colours is None or isinstance(colours, bytes) else colours(rgb)


def _by_profile(pixels: NDArray[np.uint16], profile: bytes, mode: str) -> NDArray[np.uint16] | None:
    """Convert to sRGB as ImageCms does, but in float; colours outside sRGB are clipped."""
    cms = _littlecms()
    if cms is None:
        return None
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    opened = [cms.cmsOpenProfileFromMem(data, len(data)) for data in (profile, target)]
    transform = cms.cmsCreateTransform(opened[0], _CODES[mode], opened[1], _LIGHT, _PERCEPTUAL, 0)
    try:
        if not transform:
            return None
        result = np.empty((*pixels.shape[:2], 3), np.uint16)
        for start in range(0, len(pixels), _STRIP):
            part = np.ascontiguousarray(pixels[start : start + _STRIP])
            made = np.empty((*part.shape[:2], 3), np.float32)
            cms.cmsDoTransform(transform, part.ctypes.data, made.ctypes.data, made.size // 3)
            result[start : start + _STRIP] = np.rint(np.clip(made, 0, 1) * _TOP)
        return result
    finally:
        if transform:
            cms.cmsDeleteTransform(transform)
        for one in filter(None, opened):
            cms.cmsCloseProfile(one)


@lru_cache(maxsize=1)
def _littlecms() -> ctypes.CDLL | None:
    """The library that ImageCms asks, itself; None where Pillow has it inside and shows nothing of it (Windows)."""
    with suppress(OSError, AttributeError):
        library, handle, number = ctypes.CDLL(_imagingcms.__file__), ctypes.c_void_p, ctypes.c_uint32
        library.cmsOpenProfileFromMem.restype = library.cmsCreateTransform.restype = handle
        library.cmsOpenProfileFromMem.argtypes = [ctypes.c_char_p, number]
        library.cmsCreateTransform.argtypes = [handle, number, handle, number, number, number]
        library.cmsDoTransform.argtypes = [handle, handle, handle, number]
        library.cmsDeleteTransform.argtypes = library.cmsCloseProfile.argtypes = [handle]
        return library
    return None

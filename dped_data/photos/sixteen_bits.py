"""Pixels of photos that have more than 8 bits a colour, in all their levels, as stored and in sRGB."""

from __future__ import annotations

import ctypes
import io
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, _imagingcms

from dped_data.photos.stated_colours import Conversion, is_to_convert

_PNG_DEPTH = 24
"""Place of the bit depth in a PNG file (IHDR)."""
HEAD_BYTES = _PNG_DEPTH + 1
_TIMES_ALPHA = 1
"""TIFF's extra sample that the colours were multiplied with (associated alpha)."""
_TOP = 65535
_STRIP = 256
_CODES = {"L": 3 << 16 | 1 << 3 | 2, "RGB": 4 << 16 | 3 << 3 | 2, "CMYK": 6 << 16 | 4 << 3 | 2}
_LIGHT = 1 << 22 | 4 << 16 | 3 << 3 | 4
_PERCEPTUAL = 0
"""littlecms' words (lcms2.h): TYPE_GRAY_16, TYPE_RGB_16, TYPE_CMYK_16; TYPE_RGB_FLT; the intent that ImageCms takes."""


def has_16_bits(image: Image.Image, data: bytes) -> bool:
    """Whether an opened photo has more than 8 bits a colour; of `data` HEAD_BYTES are enough."""
    if image.format == "PNG":
        return data[_PNG_DEPTH] == 16
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8)) > 8
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    kinds, meaning = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)), tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    return {*bits} == {16} and {*kinds} == {1} and meaning in (0, 1, 2, 5)


def in_16_bits(
    image: Image.Image, data: bytes, colours: bytes | Conversion | None, *, deep: bool
) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Decode a photo that `has_16_bits` and convert it to sRGB: (H, W, 3), not turned, uint16 or rounded to uint8.

    Must stand in `decoding`, as all that decodes.
    """
    pixels = _to_srgb(decoded_16_bits(image, data), colours)
    return pixels if deep else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def decoded_16_bits(image: Image.Image, data: bytes) -> NDArray[np.uint16]:
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


def _to_srgb(pixels: NDArray[np.uint16], colours: bytes | Conversion | None) -> NDArray[np.uint16]:
    """Convert (H, W), (H, W, 3), or (H, W, 4) for CMYK, to (H, W, 3) as `in_srgb` does; ValueError for no way."""
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[1 if pixels.ndim == 2 else pixels.shape[2]]
    is_other = is_to_convert(colours, mode)
    if is_other and isinstance(colours, bytes):
        return _by_profile(pixels, colours, mode)
    if mode == "CMYK":  # without a profile: each ink takes its part of the light
        left = _TOP - pixels.astype(np.float32)
        return np.rint(left[..., :3] * left[..., 3:] / _TOP).astype(np.uint16)
    rgb = np.repeat(pixels[..., None], 3, axis=2) if mode == "L" else pixels
    return colours(rgb) if is_other and colours is not None and not isinstance(colours, bytes) else rgb


def _by_profile(pixels: NDArray[np.uint16], profile: bytes, mode: str) -> NDArray[np.uint16]:
    """Convert to sRGB as ImageCms does, but in float; colours outside sRGB are clipped."""
    cms = _littlecms()
    if cms is None:
        raise ValueError("no littlecms at hand")
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    opened = [cms.cmsOpenProfileFromMem(data, len(data)) for data in (profile, target)]
    transform = cms.cmsCreateTransform(opened[0], _CODES[mode], opened[1], _LIGHT, _PERCEPTUAL, 0)
    try:
        if not transform:
            raise ValueError("a profile that littlecms cannot connect")
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

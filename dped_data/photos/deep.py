"""Photos of 16 bits a colour in all their levels, for those who write 16 bits again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.colour import srgb_encode
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import orientation_of, read_exif
from dped_data.photos.files import open_photo_file, read_bytes
from dped_data.photos.png_colour import png_colours
from dped_data.photos.raw import decode_raw, is_raw
from dped_data.photos.reading import decode_photo, has_alpha, is_srgb, opened_photo, upright

_PNG_DEPTH = 24
"""Place of the bit depth in a PNG file (IHDR)."""
_TOP = 65535
_LUTS = (b"A2B0", b"A2B1")
_STRIP = 256


def is_deep(path: Path) -> bool:
    """Whether a photo has more than 8 bits a colour that `read_deep_photo` gives; PhotoError if it is no photo."""
    with open_photo_file(path) as file:
        if is_raw(file, path.name):
            return True
    with opened_photo(path) as image, open_photo_file(path) as file:
        return _has_16_bits(image, file.read(_PNG_DEPTH + 1))


def what_is_lost(path: Path) -> str:
    """Say what of a photo its enhanced version cannot have, "" if nothing; PhotoError if it is no photo."""
    with open_photo_file(path) as file:
        if is_raw(file, path.name):
            return ""
    with opened_photo(path) as image:
        return "its transparency is left out" if has_alpha(image) else ""


def read_deep_photo(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a photo as `read_photo` does, (H, W, 3) in sRGB and upright, but uint16 if it has that many levels.

    That is so for RAW photos, and for PNG and TIFF photos of 16 bits whose profile is none, sRGB, or a matrix with
    curves; not for PNGs that state other colours by themselves. Others come in 8 bits.

    Raises:
        PhotoError: as `read_photo`.
    """
    data, name = read_bytes(path), path.name
    if data and is_raw(io.BytesIO(data), name):
        developed: NDArray[np.uint16] = decode_raw(data, name, deep=True)
        return developed
    coarse = decode_photo(data, name)  # refuses what is damaged
    with opened_photo(data, name) as image:
        if not _has_16_bits(image, data[: _PNG_DEPTH + 1]) or _states_colours(image, data):
            return coarse
        with decoding(name, "a photo of 16 bits that cannot be read in full"):
            pixels, exif = _decoded(image, data), read_exif(image)
        profile = image.info.get("icc_profile")
        if profile and not is_srgb(profile, "RGB" if pixels.ndim == 3 else "L"):
            linear = _Matrix.of(profile)
            if linear is None:
                return coarse
            pixels = linear.to_srgb(pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return upright(pixels, orientation_of(exif))


def _states_colours(image: Image.Image, data: bytes) -> bool:
    return image.format == "PNG" and png_colours(io.BytesIO(data)) is not None


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
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    kinds, meaning = tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)), tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    return {*bits} == {16} and {*kinds} == {1} and meaning in (0, 1, 2)


def _decoded(image: Image.Image, data: bytes) -> NDArray[np.uint16]:
    """Return (H, W) grey or (H, W, 3) RGB as stored, without transparency."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pixels = _decoded_tiff(image, data)
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

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        pixels = np.asarray(page.asarray())
    if image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    return _TOP - pixels if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 else pixels


class _Matrix:
    """A profile of three primaries and a curve for each, or one curve of grey (ICC.1:2022, 8.3.3 and 8.3.2)."""

    def __init__(self, profile: bytes) -> None:
        count = int.from_bytes(profile[128:132])
        entries = (profile[132 + 12 * index : 144 + 12 * index] for index in range(count))
        places = {e[:4]: (int.from_bytes(e[4:8]), int.from_bytes(e[8:12])) for e in entries}
        self.tags = {name: profile[start : start + size] for name, (start, size) in places.items()}
        names = (b"k",) if b"kTRC" in self.tags else (b"r", b"g", b"b")
        self.curves = [_curve(self.tags[name + b"TRC"]) for name in names]
        columns = [np.frombuffer(self.tags[name + b"XYZ"][8:20], ">i4") / 65536 for name in names if name != b"k"]
        self.xyz_from_rgb = np.stack(columns, axis=1) if columns else np.eye(3)

    @classmethod
    def of(cls, profile: bytes) -> _Matrix | None:
        """The matrix and curves of a profile; None for one that has tables, or is broken."""
        try:
            matrix = cls(profile)
        except (KeyError, ValueError, IndexError):
            return None
        return None if {*_LUTS} & {*matrix.tags} else matrix

    def to_srgb(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Convert (H, W) or (H, W, 3); colours outside sRGB are clipped."""
        if pixels.ndim == 2:
            grey: NDArray[np.uint16] = _codes(self.curves[0])[pixels]
            return grey
        srgb = _Matrix(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        matrix = (np.linalg.inv(srgb.xyz_from_rgb) @ self.xyz_from_rgb).T.astype(np.float32)
        result = np.empty_like(pixels)
        for start in range(0, len(pixels), _STRIP):
            part = pixels[start : start + _STRIP]
            light = np.stack([curve[part[..., i]] for i, curve in enumerate(self.curves)], axis=-1) @ matrix
            result[start : start + _STRIP] = _codes(light)
        return result


def _codes(light: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.rint(srgb_encode(np.clip(light, 0, 1)) * _TOP).astype(np.uint16)


def _curve(tag: bytes) -> NDArray[np.float32]:
    """The linear light (65536,) of each code (ICC.1:2022, 10.6 and 10.18); ValueError for another kind."""
    x = np.arange(_TOP + 1) / _TOP
    if tag[:4] == b"curv":
        count = int.from_bytes(tag[8:12])
        values = np.frombuffer(tag[12 : 12 + 2 * count], ">u2")
        if count < 2:
            return (x ** (values[0] / 256 if count else 1.0)).astype(np.float32)
        return np.interp(x, np.linspace(0, 1, count), values / 65535).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError("an unknown kind of curve")
    kind = int.from_bytes(tag[8:10])
    g, a, b, c, d, e, f = (*(np.frombuffer(tag[12:40], ">i4") / 65536), *[0.0] * 7)[:7]
    if kind == 0:
        return (x**g).astype(np.float32)
    if kind in (1, 2):
        offset = c if kind == 2 else 0.0
        return np.where(x >= -b / a, np.maximum(a * x + b, 0) ** g + offset, offset).astype(np.float32)
    if kind == 3:
        e = f = 0.0
    return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).astype(np.float32)

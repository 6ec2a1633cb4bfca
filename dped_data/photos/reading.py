"""Read photos. The one place that knows orientation, colour space, bit depth and range (leaf).

Everything that leaves `read_photo` is (H, W, 3) uint8, RGB, sRGB, upright.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.bounds import (
    CLAIMS_TOO_MUCH,
    TOO_LARGE,
    check_all_chunks,
    check_expansion,
    check_scans,
    check_segments,
    check_size,
    check_strips,
    check_tiles,
    fault_when_opening,
)
from dped_data.photos.colour import srgb_from_adobe_rgb
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import capture_time, orientation_of, read_exif
from dped_data.photos.files import open_photo_file, read_bytes

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
RAW_SUFFIXES = frozenset({".cr2", ".dng"})
PHOTO_SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff"} | HEIF_SUFFIXES | RAW_SUFFIXES
"""File suffixes (lower case) that count as photos."""
_FORMATS = ("JPEG", "PNG", "TIFF")
"""What Pillow may take a file for, whatever its name; HEIC by its suffix only, since it needs an extra."""

_TRANSPOSES = {  # EXIF orientation -> what makes the photo upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class PhotoHeader:
    """What a photo says of itself without being decoded.

    Attributes:
        width_px, height_px: size when upright.
        time_s: capture time by the camera's clock, seconds since 1970 without a time zone; None if not stated.
        has_subseconds: whether the time is finer than a second.
    """

    width_px: int
    height_px: int
    time_s: float | None
    has_subseconds: bool


def read_header(path: Path) -> PhotoHeader:
    """Read a photo's upright size and EXIF capture time without decoding it; PhotoError if it is no photo."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return _raw_header(path)
    with opened_photo(path) as image:
        exif = read_exif(image)
        width, height = image.size
        # Pillow reports the size of an oriented TIFF upright, that of any other format as stored.
        if not isinstance(image, TiffImagePlugin.TiffImageFile) and orientation_of(exif) >= 5:
            width, height = height, width
        time_s, has_subseconds = capture_time(exif)
        return PhotoHeader(width, height, time_s, has_subseconds)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Return the photo as (H, W, 3) uint8 RGB, sRGB, upright.

    Grey, palette, CMYK, 16-bit and transparent photos are converted (transparency is dropped); embedded ICC profiles
    and the Adobe RGB mark of cameras (EXIF interoperability index R03) are converted to sRGB.

    Raises:
        PhotoError: the file cannot be read, is no photo, is truncated or damaged, or has more than MAX_PIXELS pixels.
    """
    return decode_photo(read_bytes(path), path.name)


def decode_photo(data: bytes, name: str) -> NDArray[np.uint8]:
    """`read_photo` for bytes already in memory; `name` (for messages) decides by its suffix how RAW files are read."""
    if not data:
        raise PhotoError(name, "empty file (0 bytes)")
    if Path(name).suffix.lower() in RAW_SUFFIXES:
        return _decode_raw(data, name)
    with opened_photo(data, name) as image:
        check_expansion(name, image.format, image.width, image.height, len(data))
        exif = read_exif(image)
        orientation = orientation_of(exif)
        profile = image.info.get("icc_profile")
        if image.format == "JPEG" and image.mode in ("RGB", "L"):
            decoded = decode_jpeg(data, name)
            if orientation not in _TRANSPOSES and not profile and not is_adobe_rgb(exif):
                return decoded  # most photos: nothing to convert, nothing to copy
            pixels = Image.fromarray(decoded)
        else:
            pixels = _load(image, name, data)
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                orientation = 1  # Pillow has turned it upright while loading
        pixels = _to_srgb(pixels, profile, exif)
    if orientation in _TRANSPOSES:
        pixels = pixels.transpose(_TRANSPOSES[orientation])
    return np.array(pixels)


@contextmanager
def opened_photo(source: Path | bytes, name: str = "") -> Iterator[Image.Image]:
    """Open a photo, or its bytes, with Pillow, which reads the header only; PhotoError for no photo or too large a one.

    What is done with the image must stand in `decoding`, as all that decodes.
    """
    name = name or (source.name if isinstance(source, Path) else "photo")
    formats = (*_FORMATS, "HEIF") if _is_heif(name) else _FORMATS
    with io.BytesIO(source) if isinstance(source, bytes) else open_photo_file(source) as file:
        with decoding(name, "not a photo (no known image format)"):
            check_segments(name, file)
            try:
                image = Image.open(file, formats=formats)
            except Image.DecompressionBombError:
                raise PhotoError(name, TOO_LARGE) from None
            except ValueError as error:
                if fault := fault_when_opening(error):
                    raise PhotoError(name, fault) from None
                raise
            check_size(name, image.width, image.height)
            check_tiles(name, image)
        yield image


def _is_heif(name: str) -> bool:
    """Whether a file is HEIC by its name; Pillow can open it afterwards."""
    if Path(name).suffix.lower() not in HEIF_SUFFIXES:
        return False
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(name, "HEIC photos need an extra: pip install 'dped[heif]'") from None
    pillow_heif.register_heif_opener()
    return True


@contextmanager
def _opened_raw(data: bytes, name: str) -> Iterator[Any]:
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


def _decode_raw(data: bytes, name: str) -> NDArray[np.uint8]:
    """Develop with the camera's white balance to sRGB; LibRaw turns the photo upright."""
    with _opened_raw(data, name) as raw, decoding(name, "damaged or unknown camera RAW file"):
        developed: NDArray[np.uint8] = raw.postprocess(use_camera_wb=True)
        return developed if developed.shape[2] == 3 else np.repeat(developed[..., :1], 3, axis=2)  # grey sensors


def _raw_header(path: Path) -> PhotoHeader:
    data = read_bytes(path)
    with _opened_raw(data, path.name) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        if raw.sizes.flip in (5, 6):  # LibRaw: a quarter turn either way
            width, height = height, width
    with suppress(PhotoError), decoding(path.name, "damaged EXIF block"):
        # CR2 and DNG are TIFF files; Pillow refuses them for their pixels, but reads their tags.
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + data)
        return PhotoHeader(width, height, *capture_time(exif))
    return PhotoHeader(width, height, None, False)


def decode_jpeg(data: bytes, name: str, least_wh: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode with libjpeg-turbo, (H, W, 3); truncation and damage are errors, stray bytes between markers are not.

    With `least_wh` the photo is decoded fast at 1/1 to 1/8 of its size, at least that large, and damage is passed over.
    """
    check_scans(name, data)
    with decoding(name, "damaged JPEG"):
        try:
            if least_wh:
                small = {"min_width": least_wh[0], "min_height": least_wh[1], "fastdct": True, "fastupsample": True}
                return simplejpeg.decode_jpeg(data, "RGB", strict=False, **small)
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as error:
            text = str(error).lower()
            if "premature end" in text:
                raise PhotoError(name, "truncated JPEG") from None
            if least_wh or "extraneous" not in text:
                raise
            return simplejpeg.decode_jpeg(data, "RGB", strict=False)


def _load(image: Image.Image, name: str, data: bytes) -> Image.Image:
    """Decode with Pillow to mode RGB, L or CMYK, 8 bits."""
    if data.startswith(b"\xff\xd8"):
        check_scans(name, data)
    check_all_chunks(name, data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        check_strips(name, image, data)
    with decoding(name, CLAIMS_TOO_MUCH):
        image.load()
        check_size(name, image.width, image.height)  # HEIC photos may turn out larger than they say
        if image.mode.startswith("I"):  # 16-bit grey: keep the upper eight bits
            return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
        if image.mode in ("RGB", "CMYK"):
            return image
        if image.mode == "F":
            raise PhotoError(name, "floating-point photos are not supported; save it with 8 or 16 bits")
        return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None, exif: Image.Exif) -> Image.Image:
    """Convert to mode RGB in sRGB by the embedded profile; a profile that is broken or of another kind is ignored."""
    if profile:
        return _by_profile(image, profile) or image.convert("RGB")
    if is_adobe_rgb(exif) and image.mode == "RGB":
        return Image.fromarray(srgb_from_adobe_rgb(np.asarray(image)))
    return image.convert("RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert to sRGB; None where there is nothing to convert, or no way to."""
    with suppress(PhotoError), decoding("", "broken colour profile"):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() == image.mode and "srgb" not in _profile_name(source):
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return None


def _profile_name(profile: ImageCms.ImageCmsProfile) -> str:
    """The name in lower case; "" where it cannot be read, as in some other alphabets: the colours may be good still."""
    with suppress(PhotoError), decoding("", "unreadable profile name"):
        return ImageCms.getProfileDescription(profile).lower()
    return ""


def is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether the camera says "Adobe RGB" without a profile (DCF 2.0: interoperability index R03)."""
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        return bool(exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex) == "R03")
    return False

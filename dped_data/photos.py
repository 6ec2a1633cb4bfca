"""Read and write photos. The one place that knows orientation, colour space, bit depth and range (leaf).

Everything that leaves `read_photo` is (H, W, 3) uint8, RGB, sRGB, upright.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from dped_data.colour import srgb_from_adobe_rgb
from dped_data.errors import PhotoError
from dped_data.exif import EXIF_FAULTS, capture_time, orientation_of, read_exif
from dped_data.files import atomic_write_bytes

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
RAW_SUFFIXES = frozenset({".cr2", ".dng"})
PHOTO_SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff"} | HEIF_SUFFIXES | RAW_SUFFIXES
"""File suffixes (lower case) that count as photos."""

MAX_PIXELS = 250_000_000
"""Ours: above the 200-megapixel sensors of today's phones, and 750 MB decoded; a larger header is refused unread."""
if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < MAX_PIXELS // 2:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice this; by itself 179 megapixels and more

_EXPANDING = ("JPEG", "PNG", "TIFF")
_MOST_EXPANSION = 4000
"""Ours: bytes that one byte of such a file can stand for (deflate: 1,032), lest a small file claim 750 MB of memory."""

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
    with _opened(_source(path), path.name) as image:
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
    with _opened(io.BytesIO(data), name) as image:
        if image.format in _EXPANDING and image.width * image.height * 3 > _MOST_EXPANSION * len(data):
            raise PhotoError(name, "truncated or damaged photo")
        exif = read_exif(image)
        orientation = orientation_of(exif)
        profile = image.info.get("icc_profile")
        if image.format == "JPEG" and image.mode in ("RGB", "L"):
            decoded = _decode_jpeg(data, name)
            if orientation not in _TRANSPOSES and not profile and not _is_adobe_rgb(exif):
                return decoded  # most photos: nothing to convert, nothing to copy
            pixels = Image.fromarray(decoded)
        else:
            pixels = _load(image, name)
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                orientation = 1  # Pillow has turned it upright while loading
        pixels = _to_srgb(pixels, profile, exif)
    if orientation in _TRANSPOSES:
        pixels = pixels.transpose(_TRANSPOSES[orientation])
    return np.array(pixels)


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(path.name, f"cannot be read ({error.strerror})") from None


def _source(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise PhotoError(path.name, f"cannot be read ({error.strerror})") from None


@contextmanager
def _opened(source: io.BufferedReader | io.BytesIO, name: str) -> Iterator[Image.Image]:
    """Open with Pillow, which reads the header only; refuse what is no photo or too large."""
    _enable_heif(name)
    with source:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of sizes that MAX_PIXELS judges, and of odd EXIF
                image = Image.open(source)
        except Image.DecompressionBombError:
            raise PhotoError(name, f"more than {MAX_PIXELS // 10**6} megapixels") from None
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, OverflowError, EOFError, MemoryError):
            raise PhotoError(name, "not a photo (no known image format)") from None
        if image.width * image.height > MAX_PIXELS:
            raise PhotoError(name, f"more than {MAX_PIXELS // 10**6} megapixels")
        yield image


def _enable_heif(name: str) -> None:
    if Path(name).suffix.lower() not in HEIF_SUFFIXES:
        return
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(name, "HEIC photos need an extra: pip install 'dped[heif]'") from None
    pillow_heif.register_heif_opener()


@contextmanager
def _opened_raw(data: bytes, name: str) -> Iterator[Any]:
    """Open a RAW file with LibRaw, which reads the header only; refuse what it does not know or what is too large."""
    try:
        import rawpy
    except ImportError:
        raise PhotoError(name, "camera RAW photos need an extra: pip install 'dped[raw]'") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            if raw.sizes.width * raw.sizes.height > MAX_PIXELS:
                raise PhotoError(name, f"more than {MAX_PIXELS // 10**6} megapixels")
            yield raw
    except rawpy.LibRawError:
        raise PhotoError(name, "damaged or unknown camera RAW file") from None


def _decode_raw(data: bytes, name: str) -> NDArray[np.uint8]:
    """Develop with the camera's white balance to sRGB; LibRaw turns the photo upright."""
    with _opened_raw(data, name) as raw:
        developed: NDArray[np.uint8] = raw.postprocess(use_camera_wb=True)
        return developed


def _raw_header(path: Path) -> PhotoHeader:
    data = read_bytes(path)
    with _opened_raw(data, path.name) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        if raw.sizes.flip in (5, 6):  # LibRaw: a quarter turn either way
            width, height = height, width
    exif = Image.Exif()
    try:
        # CR2 and DNG are TIFF files; Pillow refuses them for their pixels, but reads their tags.
        exif.load(b"Exif\0\0" + data)
        return PhotoHeader(width, height, *capture_time(exif))
    except EXIF_FAULTS:
        return PhotoHeader(width, height, None, False)


def _decode_jpeg(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode with libjpeg-turbo, (H, W, 3); truncation and damage are errors, stray bytes between markers are not."""
    try:
        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as error:
            if "extraneous" not in str(error).lower():
                raise
            return simplejpeg.decode_jpeg(data, "RGB", strict=False)
    except ValueError as error:
        fault = "truncated JPEG" if "premature end" in str(error).lower() else "damaged JPEG"
        raise PhotoError(name, fault) from None


def _load(image: Image.Image, name: str) -> Image.Image:
    """Decode with Pillow to mode RGB, L or CMYK, 8 bits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        OverflowError,
        MemoryError,
        Image.DecompressionBombError,
    ):
        raise PhotoError(name, "truncated or damaged photo") from None
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
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            kind = source.profile.xcolor_space.strip()
            if kind == image.mode and "srgb" not in ImageCms.getProfileDescription(source).lower():
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")
    elif _is_adobe_rgb(exif) and image.mode == "RGB":
        return Image.fromarray(srgb_from_adobe_rgb(np.asarray(image)))
    return image.convert("RGB")


def _is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether the camera says "Adobe RGB" without a profile (DCF 2.0: interoperability index R03)."""
    return bool(exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex) == "R03")


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

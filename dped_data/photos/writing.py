"""Write photos: 8 or 16 bits a colour, sRGB, with EXIF data, whole or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from dped_data.common.files import atomic_write_bytes
from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import read_exif
from dped_data.photos.files import open_photo_file
from dped_data.photos.raw import is_raw, keep_photos_tags, raw_exif
from dped_data.photos.reading import opened_photo

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif"}
LARGEST_JPEG_EXIF = 65_533 - 6  # bytes of a JPEG segment behind its length and "Exif\0\0"
_PROFILE_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # bytes 24 to 36 of an ICC header: when it was made
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STRIP_BYTES = 2**18
"""Ours: of a TIFF's pixels before compression; readers hold one strip at a time."""

_SRGB, _SRGB_INDEX = 1, "R98"
"""EXIF 2.32, ColorSpace, and DCF 2.0, interoperability index: what the pixels are, whatever the camera's were."""

# TIFF 6.0 and its supplements keep how a file's own pixels are stored beside what EXIF says of the photo.
_OF_THE_FILE = {
    *range(254, 267),  # sizes, bits, compression, colours
    *(273, *range(277, 282), 284, *range(288, 294), 297, 301),  # strips, curves
    *(317, *range(320, 348)),  # predictor, palette, tiles, further pictures, samples
    *(*range(512, 533), 34377, 34675),  # thumbnails, YCbCr, Photoshop's own, colour profile
}


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


def srgb_profile() -> bytes:
    """The ICC profile of what `read_photo` returns and the enhancer makes; the same bytes at any time of day."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + _PROFILE_DATE + profile[36:]


def carried_exif(path: Path, size_wh: tuple[int, int]) -> bytes | None:
    """The EXIF block of a photo as its enhanced version of `size_wh` pixels carries it.

    The orientation becomes 1, since the pixels are turned upright, and the colour space sRGB, theirs now. What is
    said of the file and not of the photo stays behind; the camera's own notes do when the block is too large for a JPEG
    segment. None where there is no EXIF data or none that can be read.
    """
    with suppress(PhotoError), _opened_exif(path) as exif, decoding(path.name, "damaged EXIF block"):
        if not exif:
            return None
        for tag in _OF_THE_FILE & {*exif}:
            del exif[tag]
        exif[ExifTags.Base.Orientation] = 1
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag, value in zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size_wh, strict=True):
            if tag in details:
                details[tag] = value
        if ExifTags.Base.ColorSpace in details:  # cameras set to Adobe RGB say "uncalibrated", and R03
            details[ExifTags.Base.ColorSpace] = _SRGB
        interop = exif.get_ifd(ExifTags.IFD.Interop)
        if ExifTags.Interop.InteropIndex in interop:
            interop[ExifTags.Interop.InteropIndex] = _SRGB_INDEX
        block = exif.tobytes()
        if len(block) > LARGEST_JPEG_EXIF:
            details.pop(ExifTags.Base.MakerNote, None)
            details.pop(ExifTags.Base.UserComment, None)
            block = exif.tobytes()
        return block if len(block) <= LARGEST_JPEG_EXIF else None
    return None


@contextmanager
def _opened_exif(path: Path) -> Iterator[Image.Exif]:
    """The EXIF data of a photo of any kind, without what a RAW file says of its mosaic."""
    with open_photo_file(path) as file:
        if is_raw(file, path.name):
            exif = raw_exif(file)
            keep_photos_tags(exif)
            yield exif
            return
    with opened_photo(path) as image:
        yield read_exif(image)


def write_enhanced(
    path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16], quality: int, exif: bytes | None
) -> None:
    """Write (H, W, 3) RGB in sRGB as .jpg, .png or .tif, by the type of `pixels` with 8 or 16 bits.

    Raises:
        PhotoError, OSError: the file cannot be written, for example for want of space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        atomic_write_bytes(path, _tiff(pixels, exif))
    elif pixels.dtype == np.uint8:
        write_photo(path, pixels, quality=quality, exif=exif, icc_profile=srgb_profile())  # type: ignore[arg-type]
    else:
        atomic_write_bytes(path, _deep_png(pixels, exif))


def _tiff(pixels: NDArray[np.generic], exif: bytes | None) -> bytes:
    """Encode as deflated strips of differences: TIFF 6.0, section 14, and supplement 2.

    Pillow cannot write 16 bits a colour, nor a camera's EXIF data into a compressed TIFF.
    """
    height, width = pixels.shape[:2]
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    tags.endian = tags.endian or "<"  # the camera's byte order stays
    differences = pixels.astype(f"{tags.endian}u{pixels.itemsize}")
    differences[:, 1:] -= differences[:, :-1].copy()
    rows = max(1, _STRIP_BYTES // differences[0].nbytes)
    strips = [zlib.compress(differences[first : first + rows].tobytes(), 4) for first in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    own = {
        TiffImagePlugin.IMAGEWIDTH: width,
        TiffImagePlugin.IMAGELENGTH: height,
        TiffImagePlugin.BITSPERSAMPLE: (8 * pixels.itemsize,) * 3,
        TiffImagePlugin.COMPRESSION: 8,
        TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 2,
        TiffImagePlugin.STRIPOFFSETS: tuple(int(start) for start in np.cumsum([0, *sizes[:-1]])),
        TiffImagePlugin.SAMPLESPERPIXEL: 3,
        TiffImagePlugin.ROWSPERSTRIP: rows,
        TiffImagePlugin.STRIPBYTECOUNTS: tuple(sizes),
        TiffImagePlugin.PLANAR_CONFIGURATION: 1,
        TiffImagePlugin.PREDICTOR: 2,
        TiffImagePlugin.ICCPROFILE: srgb_profile(),
    }
    tags.update(own)
    return tags.tobytes().removeprefix(b"Exif\0\0") + b"".join(strips)  # Pillow has offsets count from there


def _deep_png(pixels: NDArray[np.generic], exif: bytes | None) -> bytes:
    """Encode 16 bits a colour (Pillow cannot): PNG specification, third edition, chunks IHDR, iCCP, eXIf, IDAT."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    pixel_bytes = 6
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 1  # filter type Sub: the difference to the pixel on the left
    filtered[:, 1:] = rows
    filtered[:, 1 + pixel_bytes :] -= rows[:, :-pixel_bytes]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile())),
    ]
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes(), 4)), (b"IEND", b"")]
    encoded = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return _PNG_SIGNATURE + b"".join(encoded)

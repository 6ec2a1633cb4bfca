"""EXIF blocks: reading them although they may be damaged, capture times in both directions."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from datetime import UTC, datetime

from PIL import ExifTags, Image, PngImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding

_MOST_CHUNKS = 2**18
_LARGEST_BLOCK = 2**24
"""Ours: a PNG of 250 megapixels has 183,000 chunks at most of the size that libpng makes; no camera writes 16 MB."""
_YEARS = range(1900, 9999)
"""What a clock may say; the calendar ends with 9999, and a time that lies there could not be moved to another zone."""


def read_exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF data; an empty block when it is damaged, since the pixels may still be good."""
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        if isinstance(image, PngImagePlugin.PngImageFile):
            _find_late_block(image)
        exif = Image.Image.getexif(image)  # the method of PNG photos would decode the pixels first
        exif.get_ifd(ExifTags.IFD.Exif)
        exif.get_ifd(ExifTags.IFD.Interop)
        return exif
    return Image.Exif()


def _find_late_block(image: PngImagePlugin.PngImageFile) -> None:
    """Take note of an EXIF block that stands behind the pixels; Pillow finds it only when it has decoded them."""
    if "exif" in image.info or image.fp is None:
        return
    place = image.fp.tell()
    image.fp.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = image.fp.read(8)
        length = int.from_bytes(head[:4])
        if not (len(head) == 8 and head[4:].isalpha()) or head[4:] == b"IEND":
            break
        if head[4:] == b"eXIf" and length <= _LARGEST_BLOCK:
            image.info["exif"] = b"Exif\0\0" + image.fp.read(length)
            break
        image.fp.seek(length + 4, io.SEEK_CUR)
    image.fp.seek(place)


def orientation_of(exif: Image.Exif) -> int:
    """Return how the photo is stored, 1 (upright) to 8; 1 where that is not stated or makes no sense."""
    with suppress(PhotoError), decoding("", "damaged EXIF block"):  # values are decoded when they are asked for
        value = exif.get(ExifTags.Base.Orientation, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1
    return 1


def capture_time(exif: Image.Exif) -> tuple[float | None, bool]:
    """Return (seconds since 1970 or None, whether sub-seconds were given) from DateTimeOriginal, else DateTime.

    None for years that no clock means. Sub-seconds never make it the next second, however many digits they have.
    """
    text = subseconds = None
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        details = exif.get_ifd(ExifTags.IFD.Exif)
        text = details.get(ExifTags.Base.DateTimeOriginal)
        subseconds = details.get(ExifTags.Base.SubsecTimeOriginal)
        if not text:
            text, subseconds = exif.get(ExifTags.Base.DateTime), details.get(ExifTags.Base.SubsecTime)
    try:
        moment = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None, False
    if moment.year not in _YEARS:
        return None, False
    seconds = moment.timestamp()
    digits = str(subseconds or "").strip("\0 ")
    if not (digits.isascii() and digits.isdigit()):
        return seconds, False
    last = math.nextafter(seconds + 1, seconds) - 1e-6  # in the second also when rounded to microseconds
    return min(seconds + float(f"0.{digits}"), last), True


def exif_with_time(time_s: float) -> bytes:
    """Return an EXIF block with a capture time (seconds since 1970, as `PhotoHeader.time_s`), to the millisecond."""
    milliseconds = round(time_s * 1000)
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    moment = datetime.fromtimestamp(milliseconds // 1000, tz=UTC)
    details[ExifTags.Base.DateTimeOriginal] = moment.strftime("%Y:%m:%d %H:%M:%S")
    details[ExifTags.Base.SubsecTimeOriginal] = f"{milliseconds % 1000:03d}"
    return exif.tobytes()

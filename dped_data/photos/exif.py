"""EXIF blocks: reading them although they may be damaged, capture times in both directions."""

from __future__ import annotations

import io
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from PIL import ExifTags, Image, PngImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.mosaic_facts import LIMITS

_MOST_CHUNKS = 2**18
_LARGEST_BLOCK = 2**24
"""Ours: a PNG of 250 megapixels has 183,000 chunks at most of the size that libpng makes; no camera writes 16 MB."""
_YEARS = range(1900, 9999)
"""What a clock may say; the calendar ends with 9999, and a time that lies there could not be moved to another zone."""
_TIMES = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
    (ExifTags.Base.DateTime, ExifTags.Base.SubsecTime, ExifTags.Base.OffsetTime),
)
"""Date, fraction and zone, which belong together (EXIF 2.32, section 4.6.5); the first are believed first."""
_TIME_TAGS = tuple(tag for tags in _TIMES for tag in tags)
_EXPOSURE = {
    ExifTags.Base.ISOSpeedRatings: LIMITS["iso"],
    ExifTags.Base.ExposureTime: LIMITS["exposure_s"],
}
"""What is asked of an exposure, and between what it must lie."""
_DATE = re.compile(
    r"([0-9]{4})[:/-] ?([0-9]{1,2})[:/-] ?([0-9]{1,2})[ T] ?([0-9]{1,2}): ?([0-9]{1,2}): ?([0-9]{1,2})"
    r"(?:[.,](?P<fraction>[0-9]+))? ?(?P<zone>[Zz]|[+-][0-9:]+)?"
)
_ZONE = re.compile(r"(?P<sign>[+-])(?P<hours>[0-9]{1,2}):?(?P<minutes>[0-5][0-9])?")
_LARGEST_OFFSET_S = 14 * 3600.0


class CaptureTime(NamedTuple):
    """What a photo's EXIF data say of when it was taken.

    Attributes:
        time_s: seconds since 1970 by the camera's clock, as if that showed UTC; None if not stated.
        has_subseconds: whether it is finer than a second.
        utc_offset_s: how far the clock was ahead of UTC, None if not stated.
    """

    time_s: float | None
    has_subseconds: bool
    utc_offset_s: float | None


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


def capture_time(exif: Image.Exif) -> CaptureTime:
    """Return when a photo was taken: DateTimeOriginal, else DateTimeDigitized, else DateTime.

    What is blank, zeros or no date of a clock counts as absent. Dates may have fractions, a "T" and a zone in them, as
    programs write them; the camera's tags for fraction and zone come first. Sub-seconds never make it the next second,
    however many digits they have.
    """
    values: dict[int, object] = {}
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        values |= {tag: exif.get(tag) for tag in _TIME_TAGS}
        details = exif.get_ifd(ExifTags.IFD.Exif)
        values |= {tag: details[tag] for tag in _TIME_TAGS if tag in details}
    for tags in _TIMES:
        date, fraction, zone = (_text(values.get(tag)) for tag in tags)
        if (found := _DATE.fullmatch(date)) and (seconds := _seconds(found)) is not None:
            digits = fraction if fraction.isascii() and fraction.isdigit() else found["fraction"] or ""
            if digits:
                last = math.nextafter(seconds + 1, seconds) - 1e-6  # in the second also when rounded to microseconds
                seconds = min(seconds + float(f"0.{digits}"), last)
            return CaptureTime(seconds, bool(digits), _utc_offset(zone or found["zone"] or ""))
    return CaptureTime(None, False, None)


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")


def _seconds(date: re.Match[str]) -> float | None:
    try:
        moment = datetime(*(int(part) for part in date.groups()[:6]), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:  # zeros, the 31st of February
        return None
    return moment.timestamp() if moment.year in _YEARS else None


def _utc_offset(zone: str) -> float | None:
    if zone in ("Z", "z"):
        return 0.0
    found = _ZONE.fullmatch(zone)
    if found is None:
        return None
    offset = 3600.0 * int(found["hours"]) + 60.0 * int(found["minutes"] or 0)
    return (-offset if found["sign"] == "-" else offset) if offset <= _LARGEST_OFFSET_S else None


def exposure_of(exif: Image.Exif) -> tuple[float, float]:
    """Return a photo's sensitivity (ISO) and exposure time, seconds; NaN where it is not stated or makes no sense."""
    found = []
    for tag, (least, most) in _EXPOSURE.items():
        value = math.nan
        with suppress(PhotoError), decoding("", "damaged EXIF block"):
            stated = exif.get_ifd(ExifTags.IFD.Exif).get(tag, exif.get(tag))
            value = float(stated[0] if isinstance(stated, tuple) else stated or math.nan)
        found.append(value if least <= value <= most else math.nan)
    return found[0], found[1]


def exif_with_time(time_s: float) -> bytes:
    """Return an EXIF block with a capture time (seconds since 1970, as `PhotoHeader.time_s`), to the millisecond."""
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    date, fraction = exif_date(time_s)
    details[ExifTags.Base.DateTimeOriginal], details[ExifTags.Base.SubsecTimeOriginal] = date, fraction
    return exif.tobytes()


def exif_date(time_s: float) -> tuple[str, str]:
    """Return a capture time as EXIF writes it: the date to the second, and the thousandths."""
    milliseconds = round(time_s * 1000)
    moment = datetime.fromtimestamp(milliseconds // 1000, tz=UTC)
    return moment.strftime("%Y:%m:%d %H:%M:%S"), f"{milliseconds % 1000:03d}"

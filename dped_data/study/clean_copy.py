"""A copy of a photo that says nothing of its origin: the same pixels, upright, in the same colours, no metadata.

The compressed image of a JPEG or PNG file is copied byte for byte. What a browser does not show, or shows in other
colours than it should, is decoded once and stored as PNG, without loss.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import orientation_of, read_exif
from dped_data.photos.files import read_bytes
from dped_data.photos.jpeg_segments import (
    APP0,
    APP1,
    APP2,
    APP14,
    APP15,
    COMMENT,
    NEXT_MARKER,
    SCAN,
    JpegSegment,
    jpeg_segments,
)
from dped_data.photos.reading import decode_photo, opened_photo
from dped_data.photos.stated_colours import is_adobe_rgb
from dped_data.photos.writing import encode_photo

_JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
"""Version 1.01, no physical size, no thumbnail. Its presence says that the colours are YCbCr, so it stays."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"cICP")
)
"""PNG chunks that decide what is seen; all others (texts, times, EXIF, animation) are left out."""


@dataclass(frozen=True)
class CleanCopy:
    """A photo without metadata.

    Attributes:
        data: the file's bytes, JPEG or PNG.
        suffix: .jpg or .png.
        width_px, height_px: size, upright.
        is_recoded: whether it had to be decoded and stored as PNG.
    """

    data: bytes
    suffix: str
    width_px: int
    height_px: int
    is_recoded: bool


def clean_copy(path: Path) -> CleanCopy:
    """Return a copy of a photo for the eyes only.

    Kept are the pixels, the orientation and the colour profile; not kept are camera, lens, times, place, comments,
    thumbnails, further pictures and whatever follows the picture in the file. JPEG and PNG data is never compressed
    again. Decoded and stored as PNG (8 bits, sRGB, upright) are TIFF, HEIC and camera RAW photos, CMYK JPEGs, PNGs that
    are turned by EXIF, and photos that are Adobe RGB by an EXIF mark only, which browsers do not heed.

    Raises:
        PhotoError: it cannot be read or is damaged.
    """
    data = read_bytes(path)
    pixels = decode_photo(data, path.name)
    height, width = pixels.shape[:2]
    orientation = _shown_orientation(data, path.name)
    if orientation is not None and data.startswith(b"\xff\xd8"):
        return CleanCopy(_clean_jpeg(data, orientation, path.name), ".jpg", width, height, False)
    if orientation == 1 and data.startswith(_PNG_SIGNATURE):
        return CleanCopy(_clean_png(data, path.name), ".png", width, height, False)
    return CleanCopy(encode_photo(pixels, ".png"), ".png", width, height, True)


def _shown_orientation(data: bytes, name: str) -> int | None:
    """The EXIF orientation, 1 to 8; None for a photo that a browser would not show in its true colours or at all."""
    if not data.startswith((b"\xff\xd8", _PNG_SIGNATURE)):
        return None
    with opened_photo(data, name) as image, decoding(name, "not a photo (no known image format)"):
        exif = read_exif(image)
        if image.mode == "CMYK" or (is_adobe_rgb(exif) and not image.info.get("icc_profile")):
            return None
        return orientation_of(exif)


def _clean_jpeg(data: bytes, orientation: int, name: str) -> bytes:
    segments = [_whole_segment(data, segment) for segment in jpeg_segments(data)]
    parts = [b"\xff\xd8"]
    if any(marker == APP0 and payload.startswith(b"JFIF\0") for marker, payload, _ in segments):
        parts.append(_segment(APP0, _JFIF))
    if orientation != 1:
        parts.append(_segment(APP1, _exif_orientation(orientation)))
    parts += [raw for marker, payload, raw in segments if _is_seen(marker, payload)]
    return b"".join([*parts, b"\xff\xd9"])


def _whole_segment(data: bytes, segment: JpegSegment) -> tuple[int, bytes, bytes]:
    """Return marker, payload and all bytes of a segment; those of a scan include its data."""
    end = segment.end
    if segment.marker == SCAN:
        ending = NEXT_MARKER.search(data, end)
        end = ending.start() if ending else len(data)
    return (
        segment.marker,
        data[segment.start + 2 : segment.end],
        bytes((0xFF, segment.marker)) + data[segment.start : end],
    )


def _is_seen(marker: int, payload: bytes) -> bool:
    if marker == APP2:
        return payload.startswith(b"ICC_PROFILE\0")
    if marker == APP14:
        return payload.startswith(b"Adobe")  # says how the colours are coded
    return not (APP0 <= marker <= APP15 or marker == COMMENT)


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload


def _exif_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


def _clean_png(data: bytes, name: str) -> bytes:
    parts, place = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, end = data[place + 4 : place + 8], place + 12 + length
        if kind in _PNG_KEPT:
            parts.append(data[place:end])
        if kind == b"IEND":
            return b"".join(parts)
        place = end
    raise PhotoError(name, "damaged PNG")

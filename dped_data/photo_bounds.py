"""What a photo claims, held against limits, against itself and against the file's size before it is decoded (leaf)."""

from __future__ import annotations

import io

from PIL import Image, TiffImagePlugin

from dped_data.errors import PhotoError
from dped_data.jpeg_segments import SCAN, jpeg_segments

MAX_PIXELS = 250_000_000
"""Ours: above the 200-megapixel sensors of today's phones, and 750 MB decoded; a larger header is refused unread."""
if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < MAX_PIXELS // 2:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice this; by itself 179 megapixels and more
TOO_LARGE = f"more than {MAX_PIXELS // 10**6} megapixels"
CLAIMS_TOO_MUCH = "truncated or damaged photo"

MOST_EXPANSION = {"JPEG": 4000, "MPO": 4000, "PNG": 4000, "TIFF": 4000, "RAW": 4000, "HEIF": 20_000}
"""Ours: bytes that one byte of such a file can stand for (deflate: 1,032; HEIC stores a black photo 7,000 times
smaller), lest a small file claim 750 MB of memory."""

MOST_SCANS = 50
"""Ours: five times as many as libjpeg's encoder makes. Each takes as long as decoding the photo once, and 306 bytes."""
MOST_SEGMENTS = 10_000
"""Ours: 640 MB of metadata in segments of full size; small ones cost time and hold nothing."""

_LEAST_TILE_LIMIT_PX = 1024
"""Ours: small TIFFs may be one tile of a usual size, and tiles are multiples of 16; TIFF 6.0, section 15."""


def check_size(name: str, width: int, height: int) -> None:
    """Refuse more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise PhotoError(name, TOO_LARGE)


def check_expansion(name: str, kind: str | None, width: int, height: int, file_bytes: int) -> None:
    """Refuse a file that is far too small for the pixels that it claims; `kind` as Pillow names formats, or RAW."""
    if width * height * 3 > MOST_EXPANSION.get(kind or "", MOST_EXPANSION["PNG"]) * file_bytes:
        raise PhotoError(name, CLAIMS_TOO_MUCH)


def check_tiles(name: str, image: Image.Image) -> None:
    """Refuse a TIFF with tiles far larger than itself: libtiff holds a whole one."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    for tag, side in ((TiffImagePlugin.TILEWIDTH, image.width), (TiffImagePlugin.TILELENGTH, image.height)):
        tile = image.tag_v2.get(tag, 0)
        if not isinstance(tile, int) or tile > max(_LEAST_TILE_LIMIT_PX, 2 * side):
            raise PhotoError(name, CLAIMS_TOO_MUCH)


def check_segments(name: str, source: io.BufferedIOBase) -> None:
    """Refuse a JPEG file with more than MOST_SEGMENTS before its first scan; leaves `source` at its start.

    Reads the segments' lengths only. What is no JPEG file passes.
    """
    is_jpeg = source.read(2) == b"\xff\xd8"
    for _ in range(MOST_SEGMENTS if is_jpeg else 0):
        head = source.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == SCAN:
            break
        source.seek(max(int.from_bytes(head[2:]), 2) - 2, io.SEEK_CUR)
    else:
        if is_jpeg:
            raise PhotoError(name, f"more than {MOST_SEGMENTS:,} segments of metadata")
    source.seek(0)


def check_scans(name: str, data: bytes) -> None:
    """Refuse a JPEG file with more than MOST_SCANS.

    Only in a file whose first scan does not hold everything can others follow, and only such a file is looked through
    to its end (2 GB a second): libjpeg refuses further scans in any other.
    """
    scans = 0
    is_progressive, components = False, 0
    for segment in jpeg_segments(data):
        payload = data[segment.start + 2 : segment.start + 10]
        if _is_frame(segment.marker) and len(payload) > 5:
            is_progressive, components = segment.marker & 0x03 == 2, payload[5]
        elif segment.marker == SCAN:
            scans += 1
            if scans > MOST_SCANS:
                raise PhotoError(name, f"more than {MOST_SCANS} scans")
            if not is_progressive and payload[:1] == bytes((components,)):
                return


def _is_frame(marker: int) -> bool:
    """Whether a marker begins a frame (SOF0 to SOF15; DHT, JPG and DAC lie between them)."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)

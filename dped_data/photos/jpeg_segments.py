"""The segments of a JPEG file, found by their markers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

APP0, APP1, APP2, APP14, APP15, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
START, END, SCAN = 0xD8, 0xD9, 0xDA
_TEMPORARY = 0x01
NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""What ends the compressed data of a scan: a marker that is no stuffed byte, no restart and no fill byte."""


@dataclass(frozen=True)
class JpegSegment:
    """A segment of a file's bytes.

    Attributes:
        marker: second byte of its marker.
        start, end: places of the two bytes of its length, and behind its payload.
    """

    marker: int
    start: int
    end: int


def jpeg_segments(data: bytes) -> Iterator[JpegSegment]:
    """Yield the segments between start and end of the first picture; stops early where the file does.

    The compressed data behind the header of a scan belongs to no segment.
    """
    place = 2
    while found := NEXT_MARKER.search(data, place):
        marker, start = data[found.end() - 1], found.end()
        if marker == END:
            return
        if marker in (START, _TEMPORARY):  # without a length, and without a meaning here
            place = start
            continue
        place = start + max(int.from_bytes(data[start : start + 2]), 2)
        yield JpegSegment(marker, start, place)

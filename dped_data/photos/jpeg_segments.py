"""The segments of a JPEG file, found by their markers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

APP0, APP1, APP2, APP14, APP15, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
START, END, SCAN = 0xD8, 0xD9, 0xDA
_HUFFMAN = 0xC4
_ZEROS = bytes(64)
"""Ours: longer than the block that a decoder makes of them, by far shorter than a sector."""
_PADDING = re.compile(rb"\0+\xff\xd9")
"""Zeros before the end marker, which some phones write."""
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


def has_zeroed_part(data: bytes) -> bool:
    """Tell whether a JPEG holds a run of zeros that no picture yields: a sector that was never written.

    Zeros are valid codes, so that the decoder often reads on without a warning, and all behind them is displaced or
    blurred. In a sequential file they stand for flat blocks where the shortest AC code of every table is the end of a
    block (JPEG standard, annex C and F); with any other table they stand for blocks in which 63 coefficients have one
    least value. In a progressive file's AC scans flat blocks are counted, not listed (annex G): no zeros come of them.
    What zeros in a scan of DC values mean cannot be told.
    """
    first = next((segment.end for segment in jpeg_segments(data) if segment.marker == SCAN), len(data))
    run = data.find(_ZEROS, first)
    while run >= 0:
        scan, is_progressive, shortest = _scan_before(data, run)
        header = data[scan.start + 2 : scan.end]
        first_coefficient = header[1 + 2 * header[0] :][:1] if header else b""
        is_lost = first_coefficient > b"\0" if is_progressive else bool(shortest - {0})
        if is_lost and not _PADDING.match(data, run):
            return True
        behind = NEXT_MARKER.search(data, run)
        run = data.find(_ZEROS, behind.end()) if behind else -1  # one look at each scan
    return False


def _scan_before(data: bytes, place: int) -> tuple[JpegSegment, bool, set[int]]:
    """Return the header of the scan that a place lies in, whether the picture is progressive, and what the shortest
    code, all zeros, stands for in each AC table until then."""
    scan, is_progressive = JpegSegment(SCAN, 0, 0), False
    shortest: set[int] = set()
    for segment in jpeg_segments(data):
        if segment.end > place:
            break
        if segment.marker == SCAN:
            scan = segment
        elif is_frame(segment.marker):
            is_progressive = segment.marker & 0x03 == 2
        elif segment.marker == _HUFFMAN:
            shortest |= set(_first_ac_symbols(data[segment.start + 2 : segment.end]))
    return scan, is_progressive, shortest


def _first_ac_symbols(tables: bytes) -> Iterator[int]:
    """Yield the symbol of the shortest code of each AC table in a segment of Huffman tables."""
    place = 0
    while place + 17 < len(tables):
        count = sum(tables[place + 1 : place + 17])
        if tables[place] >> 4 and count:
            yield tables[place + 17]
        place += 17 + count


def is_frame(marker: int) -> bool:
    """Whether a marker begins a frame (SOF0 to SOF15; DHT, JPG and DAC lie between them)."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def without_harmless_faults(data: bytes) -> bytes:
    """Return the first picture of a file as its camera meant it: no stray bytes, and an end.

    Left out are bytes between the segments of the header and zeros before the end marker, which some phones write, and
    all behind it; a missing end marker is added. What the decoder still complains of then is lost data.
    """
    parts, place = [data[:2]], 2
    scan = len(data)
    for segment in jpeg_segments(data):
        parts.append(b"\xff" + data[segment.start - 1 : segment.end])
        place = segment.end
        if segment.marker == SCAN:
            scan = segment.end
            break
    end = scan
    while (found := NEXT_MARKER.search(data, end)) and data[found.end() - 1] != END:
        end = found.end()
    compressed = data[place : found.start() if found else len(data)]
    return b"".join([*parts, compressed.rstrip(b"\0"), b"\xff\xd9"])


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

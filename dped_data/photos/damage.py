"""Damage of PNG, TIFF and HEIC photos that their decoders pass over or only write to the terminal."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import TiffImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.bounds import CLAIMS_TOO_MUCH, parts_of

DEFLATED, JPEG_PARTS = (8, 32946), 7
_PIECE = 2**20
_FORBIDDEN = re.compile(rb"\0\0[\0-\2]")
"""No NAL unit of HEVC holds these bytes (ITU-T H.265, section 7.4.2)."""
_HEVC = (b"hvc1", b"hev1")
_LENGTH = 4
"""Bytes of a unit's length; every encoder of photos at hand writes four."""


def check_png(name: str, data: bytes) -> None:
    """Hold each chunk of a PNG file against its check sum, those behind the last pixel that is needed included."""
    place = 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if end + 4 > len(data):
            break
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise PhotoError(name, f"damaged PNG (check sum of a chunk {kind.decode('ascii', 'replace')})")
        if kind == b"IEND":
            return
        place = end + 4
    raise PhotoError(name, CLAIMS_TOO_MUCH)


def check_deflated(name: str, image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    """Unpack each part of a deflated TIFF to its end, where its check sum is; libtiff stops when it has its rows."""
    for start, size in parts_of(image):
        unpack, rest = zlib.decompressobj(), data[start : start + size]
        try:
            while rest and not unpack.eof:
                unpack.decompress(rest, _PIECE)
                rest = unpack.unconsumed_tail
            if not unpack.eof:
                unpack.flush()
        except zlib.error as error:
            raise PhotoError(name, f"damaged TIFF ({error})") from None
        if not unpack.eof:
            raise PhotoError(name, CLAIMS_TOO_MUCH)


def jpegs_of(image: TiffImagePlugin.TiffImageFile, data: bytes) -> Iterator[bytes]:
    """Yield each part of a TIFF with JPEG parts as a JPEG file; its tables stand once, before all (supplement 2)."""
    tables = image.tag_v2.get(TiffImagePlugin.JPEGTABLES, b"")
    shared = bytes(tables).removesuffix(b"\xff\xd9") if isinstance(tables, bytes) else b""
    for start, size in parts_of(image):
        part = data[start : start + size]
        yield shared + part.removeprefix(b"\xff\xd8") if shared else part


class _Box(NamedTuple):
    kind: bytes
    data: bytes


def check_heif(name: str, data: bytes) -> None:
    """Walk through the units of a HEIC photo's pictures: their lengths must fill them, and some bytes never occur."""
    try:
        for start, size in _picture_parts(data):
            if start + size > len(data):
                raise PhotoError(name, "truncated HEIC")
            _check_units(name, data[start : start + size])
    except (IndexError, ValueError):
        raise PhotoError(name, CLAIMS_TOO_MUCH) from None


def _check_units(name: str, part: bytes) -> None:
    place = 0
    while place < len(part):
        end = place + _LENGTH + int.from_bytes(part[place : place + _LENGTH])
        if end > len(part) or _FORBIDDEN.search(part, place + _LENGTH, end):
            raise PhotoError(name, "damaged HEIC (bytes that no picture holds)")
        place = end


def _picture_parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield place and length of what the file stores of HEVC pictures in one piece (ISO/IEC 14496-12, 8.11)."""
    meta = next((box.data[4:] for box in _boxes(data) if box.kind == b"meta"), b"")
    boxes = {box.kind: box.data for box in _boxes(meta)}
    names, places = boxes.get(b"iinf", b""), boxes.get(b"iloc", b"")
    if not names or not places:
        return
    pictures = set[int]()
    for entry in _boxes(names[6 if names[0] == 0 else 8 :]):
        wide = 4 if entry.data[0] >= 3 else 2
        if entry.data[0] >= 2 and entry.data[6 + wide : 10 + wide] in _HEVC:
            pictures.add(int.from_bytes(entry.data[4 : 4 + wide]))
    file = io.BytesIO(places)

    def number(length: int) -> int:
        return int.from_bytes(file.read(length))

    version = number(4) >> 24
    sizes = number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)
        start = number(base)
        extents = number(2)
        for _ in range(extents):
            number(index if version else 0)
            place, size = number(offset), number(length)
            if item in pictures and method == 0 and extents == 1:
                yield start + place, size


def _boxes(data: bytes) -> Iterator[_Box]:
    place = 0
    while place + 8 <= len(data):
        size, head = int.from_bytes(data[place : place + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[place + 8 : place + 16]), 16
        end = place + size if size else len(data)
        if end < place + head:
            return
        yield _Box(data[place + 4 : place + 8], data[place + head : end])
        place = end

"""Damage of HEIC photos that libheif passes over: bytes that no picture holds, and what its decoder warns of.

Pillow's plugin asks libheif, which drops the warnings of its HEVC decoder, libde265. Both come with the plugin; where
libde265 lies beside it, the photo's pictures are decoded by it once more, for its warnings alone.
"""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dped_data.errors import PhotoError
from dped_data.photos.bounds import CLAIMS_TOO_MUCH

_FORBIDDEN = re.compile(rb"\0\0[\0-\2]")
"""No NAL unit of HEVC holds these bytes (ITU-T H.265, section 7.4.2)."""
_HEVC = (b"hvc1", b"hev1")
_LENGTH = 4
"""Bytes of a unit's length; every encoder of photos at hand writes four."""
_HARMLESS = (1000, 1001, 1018, 1020)
"""Warnings of libde265 on threads and memory (its de265.h); the others are of the data."""
_WAITING, _CHECK_SUMS = 13, 0
"""libde265's word for data that are used up, and its parameter that holds pictures against sums that they state."""
_MOST_STEPS = 100


class _Box(NamedTuple):
    kind: bytes
    data: bytes


class _Part(NamedTuple):
    """What the file stores of one HEVC picture, in one piece."""

    item: int
    start: int
    size: int


def check_heif(name: str, data: bytes) -> None:
    """Walk through the units of the picture that a HEIC photo shows, and have it decoded; PhotoError for damage.

    Lengths of units must fill a picture, some bytes never occur, and the decoder must have nothing to warn of. What
    thumbnails and gain maps hold costs no pixel.
    """
    try:
        meta = _meta(data)
        shown = _shown(meta)
        for part in (part for part in _parts(meta) if part.item in shown):
            if part.start + part.size > len(data):
                raise PhotoError(name, "truncated HEIC")
            units = list(_units(name, data[part.start : part.start + part.size]))
            if fault := (_warning([*_heads(meta, part.item), *units])):
                raise PhotoError(name, f"damaged HEIC ({fault})")
    except (IndexError, ValueError):
        raise PhotoError(name, CLAIMS_TOO_MUCH) from None


def _units(name: str, part: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(part):
        end = place + _LENGTH + int.from_bytes(part[place : place + _LENGTH])
        if end > len(part) or _FORBIDDEN.search(part, place + _LENGTH, end):
            raise PhotoError(name, "damaged HEIC (bytes that no picture holds)")
        yield part[place + _LENGTH : end]
        place = end


def _meta(data: bytes) -> dict[bytes, bytes]:
    """The boxes of the file's meta box (ISO/IEC 14496-12, 8.11)."""
    meta = next((box.data[4:] for box in _boxes(data) if box.kind == b"meta"), b"")
    return {box.kind: box.data for box in _boxes(meta)}


def _shown(meta: dict[bytes, bytes]) -> set[int]:
    """Items of the primary picture: itself, and the tiles it is put together from."""
    primary = meta.get(b"pitm", bytes(6))
    shown = {int.from_bytes(primary[4:])}
    references = meta.get(b"iref", bytes(4))
    wide = 4 if references[0] else 2
    for box in _boxes(references[4:]):
        origin, count = int.from_bytes(box.data[:wide]), int.from_bytes(box.data[wide : wide + 2])
        if box.kind == b"dimg" and origin in shown:
            rest = box.data[wide + 2 :]
            shown |= {int.from_bytes(rest[wide * k : wide * (k + 1)]) for k in range(count)}
    return shown


def _parts(meta: dict[bytes, bytes]) -> Iterator[_Part]:
    """Yield where the file stores its HEVC pictures."""
    names, places = meta.get(b"iinf", b""), meta.get(b"iloc", b"")
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
                yield _Part(item, start + place, size)


def _heads(meta: dict[bytes, bytes], item: int) -> Iterator[bytes]:
    """Yield the parameter sets of a picture, from the properties that belong to it (ISO/IEC 23008-12, 9.3)."""
    boxes = {box.kind: box.data for box in _boxes(meta.get(b"iprp", b""))}
    properties = list(_boxes(boxes.get(b"ipco", b"")))
    for number in _properties(boxes.get(b"ipma", bytes(8)), item):
        if 0 < number <= len(properties) and properties[number - 1].kind == b"hvcC":
            yield from _parameter_sets(properties[number - 1].data)


def _properties(table: bytes, item: int) -> list[int]:
    """Numbers of an item's properties, from the table that says whose they are."""
    wide, large = 4 if table[0] else 2, table[3] & 1
    place = 8
    for _ in range(int.from_bytes(table[4:8])):
        mine, count = int.from_bytes(table[place : place + wide]), table[place + wide]
        place += wide + 1
        step = 1 + large
        if mine == item:
            ends = range(place + step, place + step * (count + 1), step)
            return [int.from_bytes(table[end - step : end]) & (0x7FFF if large else 0x7F) for end in ends]
        place += step * count
    return []


def _parameter_sets(record: bytes) -> Iterator[bytes]:
    place = 23
    for _ in range(record[22]):
        count = int.from_bytes(record[place + 1 : place + 3])
        place += 3
        for _ in range(count):
            size = int.from_bytes(record[place : place + 2])
            yield record[place + 2 : place + 2 + size]
            place += 2 + size


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


def _warning(units: list[bytes]) -> str:
    """What libde265 says of a picture's units; "" for nothing, also where the library is not at hand."""
    library = _library()
    decoder = library.de265_new_decoder() if library else None
    if library is None or not decoder:
        return ""
    try:
        library.de265_set_parameter_bool(decoder, _CHECK_SUMS, 1)
        for unit in units:
            library.de265_push_NAL(decoder, unit, len(unit), 0, None)
        library.de265_flush_data(decoder)
        more = ctypes.c_int(1)
        for _ in range(_MOST_STEPS):
            error = int(library.de265_decode(decoder, ctypes.byref(more)))
            if error and error != _WAITING:
                return _text(library, error)
            if error or not more.value or library.de265_get_next_picture(decoder):
                break
        while warning := int(library.de265_get_warning(decoder)):
            if warning not in _HARMLESS:
                return _text(library, warning)
        return ""
    finally:
        library.de265_free_decoder(decoder)


def _text(library: ctypes.CDLL, code: int) -> str:
    text: bytes = library.de265_get_error_text(code)
    return text.decode(errors="replace")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """The libde265 that wheels of the plugin bring along; None where it is the system's or another decoder is used."""
    import pillow_heif

    around = Path(pillow_heif.__file__).parent
    found = [*around.parent.glob("pillow_heif.libs/*de265*"), *around.glob(".dylibs/*de265*")]
    with suppress(OSError, AttributeError, IndexError):
        library = ctypes.CDLL(str(found[0]))
        handle, number = ctypes.c_void_p, ctypes.c_int
        library.de265_new_decoder.restype = library.de265_get_next_picture.restype = handle
        library.de265_get_error_text.restype = ctypes.c_char_p
        library.de265_push_NAL.argtypes = [handle, ctypes.c_char_p, number, ctypes.c_int64, handle]
        library.de265_decode.argtypes = [handle, ctypes.POINTER(number)]
        library.de265_set_parameter_bool.argtypes = [handle, number, number]
        for name in ("get_warning", "flush_data", "free_decoder", "get_next_picture"):
            getattr(library, f"de265_{name}").argtypes = [handle]
        return library
    return None

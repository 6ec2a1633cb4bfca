"""Damage of PNG and TIFF photos that their decoders pass over or only write to the terminal."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from PIL import TiffImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.bounds import CLAIMS_TOO_MUCH, parts_of

PLAIN, DEFLATED, JPEG_PARTS, RUN_LENGTHS = 1, (8, 32946), 7, 32773
_SECTOR, _LEAST_ZEROS, _NOT_BLACK = 512, 4096, 8
"""Bytes of a disk's sector; ours: bytes of zeros that are looked at, and what no black area begins beside."""
_ENDLESS = bytes(64)
"""Run lengths (PackBits) spend two bytes on 128 zeros."""
_ALL_ZEROS = "damaged TIFF (a part of it is all zeros)"
_PIECE = 2**20


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


def check_zeros(name: str, image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    """Look in a TIFF's plain pixels, or run lengths, for sectors that were never written: zeros that no picture has.

    Black areas begin and end anywhere, and softly. Zeros that begin at a sector's start, in the middle of a row, next
    to a value that is far from black, and end so or with the picture, are none.
    """
    tags = image.tag_v2
    if tags.get(TiffImagePlugin.COMPRESSION) == RUN_LENGTHS:
        if any(_ENDLESS in data[start : start + size] for start, size in parts_of(image)):
            raise PhotoError(name, _ALL_ZEROS)
        return
    parts = sorted(parts_of(image)) or [(0, 0)]
    row = image.width * sum(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) // 8
    first, end = parts[0][0], min(parts[-1][0] + parts[-1][1], len(data))
    start = -(-max(first, 1) // _SECTOR) * _SECTOR
    sectors = np.frombuffer(data, np.uint8)[start : start + (end - start) // _SECTOR * _SECTOR].reshape(-1, _SECTOR)
    empty = np.concatenate([[False], ~sectors.any(1), [False]])
    changes = (np.flatnonzero(empty[1:] != empty[:-1]) * _SECTOR + start).reshape(-1, 2)
    for begin, stop in changes[np.diff(changes, axis=1)[:, 0] >= _LEAST_ZEROS].tolist():
        rest = data[stop:end]
        ends_so = not rest.strip(b"\0") or rest[0] >= _NOT_BLACK
        if data[begin - 1] >= _NOT_BLACK and (begin - first) % max(row, 1) and ends_so:
            raise PhotoError(name, _ALL_ZEROS)


def jpegs_of(image: TiffImagePlugin.TiffImageFile, data: bytes) -> Iterator[bytes]:
    """Yield each part of a TIFF with JPEG parts as a JPEG file; its tables stand once, before all (supplement 2)."""
    tables = image.tag_v2.get(TiffImagePlugin.JPEGTABLES, b"")
    shared = bytes(tables).removesuffix(b"\xff\xd9") if isinstance(tables, bytes) else b""
    for start, size in parts_of(image):
        part = data[start : start + size]
        yield shared + part.removeprefix(b"\xff\xd8") if shared else part

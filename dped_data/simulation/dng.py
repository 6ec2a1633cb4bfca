"""Write a sensor's values as a DNG file: DNG specification 1.4, chapters 2 to 4; TIFF 6.0, section 2."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dped_data.photos.exif import exif_date

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_LETTERS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "I", _SRATIONAL: "i"}
_STRIP, _EXIF = 273, 34665
_PARTS = 100_000
"""Ours: denominator of all fractions that are no exposure."""

_Entry: TypeAlias = tuple[int, Sequence[float | Fraction] | str]
"""Type and values of a tag."""


@dataclass(frozen=True)
class SensorFacts:
    """What a DNG file says of its mosaic.

    Attributes:
        pattern: colours of the cells at the top left of the active area, row by row: RGGB, GRBG, GBRG or BGGR.
        black: level of black of these four cells; white: level of white.
        neutral: (3,) what the camera takes for grey, R, G, B, the largest 1.
        camera_from_xyz: (3, 3) at daylight (D65).
        active_ltrb: the active area in the mosaic, half-open.
        orientation: as in EXIF, 1 to 8.
        iso, exposure_s, time_s: of the shot; the time as `PhotoHeader.time_s`.
    """

    pattern: str
    black: tuple[int, int, int, int]
    white: int
    neutral: NDArray[np.float64]
    camera_from_xyz: NDArray[np.float64]
    active_ltrb: tuple[int, int, int, int]
    orientation: int
    iso: int
    exposure_s: float
    time_s: float


def encode_dng(mosaic: NDArray[np.uint16], facts: SensorFacts) -> bytes:
    """Return a whole sensor's values (H, W) as an uncompressed DNG file; the same input gives the same bytes."""
    height, width = mosaic.shape
    left, top, right, bottom = facts.active_ltrb
    date, fraction = exif_date(facts.time_s)
    details: dict[int, _Entry] = {
        33434: (_RATIONAL, [Fraction(facts.exposure_s).limit_denominator(_PARTS)]),
        34855: (_SHORT, [facts.iso]),
        36867: (_ASCII, date),  # DateTimeOriginal
        37521: (_ASCII, fraction),  # SubsecTimeOriginal
    }
    tags: dict[int, _Entry] = {
        254: (_LONG, [0]),  # NewSubfileType: the photo itself
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [16]),  # BitsPerSample
        259: (_SHORT, [1]),  # Compression: none
        262: (_SHORT, [32803]),  # PhotometricInterpretation: colour filter array
        271: (_ASCII, "dped"),  # Make
        272: (_ASCII, "simulated phone"),  # Model
        _STRIP: (_LONG, [0]),  # StripOffsets
        274: (_SHORT, [facts.orientation]),
        277: (_SHORT, [1]),  # SamplesPerPixel
        278: (_LONG, [height]),  # RowsPerStrip
        279: (_LONG, [2 * mosaic.size]),  # StripByteCounts
        284: (_SHORT, [1]),  # PlanarConfiguration
        33421: (_SHORT, [2, 2]),  # CFARepeatPatternDim
        33422: (_BYTE, ["RGB".index(colour) for colour in facts.pattern]),  # CFAPattern
        _EXIF: (_LONG, [0]),
        50706: (_BYTE, [1, 4, 0, 0]),  # DNGVersion
        50707: (_BYTE, [1, 2, 0, 0]),  # DNGBackwardVersion
        50708: (_ASCII, "dped simulated phone"),  # UniqueCameraModel
        50713: (_SHORT, [2, 2]),  # BlackLevelRepeatDim
        50714: (_SHORT, facts.black),
        50717: (_LONG, [facts.white]),
        50721: (_SRATIONAL, facts.camera_from_xyz.ravel().tolist()),  # ColorMatrix1
        50728: (_RATIONAL, facts.neutral.tolist()),  # AsShotNeutral
        50778: (_SHORT, [21]),  # CalibrationIlluminant1: D65
        50829: (_LONG, [top, left, bottom, right]),  # ActiveArea
    }
    exif_at = 8 + len(_directory(tags, 8))
    strip_at = exif_at + len(_directory(details, exif_at))
    tags |= {_EXIF: (_LONG, [exif_at]), _STRIP: (_LONG, [strip_at])}
    head = struct.pack("<2sHI", b"II", 42, 8)
    return head + _directory(tags, 8) + _directory(details, exif_at) + mosaic.astype("<u2").tobytes()


def _directory(tags: Mapping[int, _Entry], place: int) -> bytes:
    """Return a directory that begins at `place`, followed by those of its values that do not fit into it."""
    entries, more = b"", b""
    behind = place + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        data, count = _packed(kind, values)
        if len(data) > 4:
            start = behind + len(more)
            more += data + bytes(len(data) % 2)
            data = struct.pack("<I", start)
        entries += struct.pack("<HHI4s", tag, kind, count, data)
    return struct.pack("<H", len(tags)) + entries + bytes(4) + more


def _packed(kind: int, values: Sequence[float | Fraction] | str) -> tuple[bytes, int]:
    """Return the bytes of a tag's values and their number."""
    if isinstance(values, str):
        return values.encode() + b"\0", len(values) + 1
    numbers: list[int] = []
    for value in values:
        if kind in (_RATIONAL, _SRATIONAL):
            is_exact = isinstance(value, Fraction)
            numbers += value.as_integer_ratio() if is_exact else (round(value * _PARTS), _PARTS)
        else:
            numbers.append(int(value))
    return struct.pack(f"<{len(numbers)}{_LETTERS[kind]}", *numbers), len(values)

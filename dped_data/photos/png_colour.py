"""What a PNG photo says of its colours outside a profile: code points (cICP), or a gamma and primaries (gAMA, cHRM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_WORDS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"iCCP")
_UNIT = 100_000
_SRGB_XY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue, as cHRM has them (PNG specification, 11.3.2.1)."""
_ALIKE_XY, _ALIKE_GAMMA = 0.005, 0.05
"""Ours: programs round primaries, and write 1/2.2 for sRGB's own curve."""


@dataclass(frozen=True)
class PngColours:
    """Colours that are not sRGB.

    Attributes:
        code_points: primaries and transfer as in nclx (ISO/IEC 23091-2), None where the file has none.
        gamma: exponent that makes light of values, 0 to 1.
        xyz_from_rgb: (3, 3), of light; None where the white is not sRGB's, or the primaries span nothing.
    """

    code_points: tuple[int, int] | None
    gamma: float
    xyz_from_rgb: NDArray[np.float64] | None


def png_colours(file: BinaryIO) -> PngColours | None:
    """Read a PNG file's colours from before its pixels; None for sRGB, and where a profile tells them."""
    words = _words(file)
    if code := words.get(b"cICP"):
        return PngColours((code[0], code[1]), 1.0, None) if len(code) >= 2 else None
    gamma, places = words.get(b"gAMA", b""), words.get(b"cHRM", b"")
    if b"sRGB" in words or b"iCCP" in words or len(gamma) != 4 or not int.from_bytes(gamma):
        return None
    exponent = _UNIT / int.from_bytes(gamma)
    xy = np.array(
        [int.from_bytes(places[k : k + 4]) / _UNIT for k in range(0, 32, 4)] if len(places) == 32 else _SRGB_XY
    )
    off = np.abs(xy - _SRGB_XY)
    if abs(exponent / 2.2 - 1) < _ALIKE_GAMMA and off.max() < _ALIKE_XY:
        return None
    return PngColours(None, exponent, _xyz_from_rgb(xy) if off[:2].max() < _ALIKE_XY else None)


def _words(file: BinaryIO) -> dict[bytes, bytes]:
    file.seek(8)
    words: dict[bytes, bytes] = {}
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        size = int.from_bytes(head[:4])
        if head[4:] in _WORDS:
            words[head[4:]] = file.read(min(size, 64))
            size -= len(words[head[4:]])
        file.seek(size + 4, 1)
    file.seek(0)
    return words


def _xyz_from_rgb(xy: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Matrix of primaries by their places and the white's, which red, green and blue make together."""
    if (xy[1::2] <= 0).any():
        return None
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in xy.reshape(4, 2))
    columns = np.stack(primaries, axis=1)
    if abs(np.linalg.det(columns)) < 1e-3:
        return None
    return np.asarray(columns * np.linalg.solve(columns, white))

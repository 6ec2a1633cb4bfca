"""How well two patches agree, in exact integer sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.common.jit import FAST_MATH, njit


@dataclass(frozen=True)
class Agreement:
    """Of N pairs of patches, by luminance.

    Attributes:
        ncc: (N,) zero-mean normalised cross-correlation, -1 to 1; 0 where a patch has no contrast at all.
        residual: (N,) standard deviation of the first patch's luminance that the best gain and offset of the second
            leave, grey levels.
    """

    ncc: NDArray[np.float64]
    residual: NDArray[np.float64]


def correlate_patches(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Agreement:
    """Compare patches (N, S, S, 3) of RGB by luminance (299 R + 587 G + 114 B) / 1000 of the stored values.

    The sums are integers: the same on every machine.
    """
    agreement = Agreement(np.zeros(len(first)), np.zeros(len(first)))
    _correlate(first, second, agreement.ncc, agreement.residual)
    return agreement


@njit(cache=True, nogil=True)
def _correlate(first, second, ncc, residual):  # type: ignore[no-untyped-def]
    count = float(first.shape[1] * first.shape[2])
    for k in range(first.shape[0]):
        sa, sb, saa, sbb, sab = _sums(first[k].reshape(-1), second[k].reshape(-1))
        va = saa - sa * sa / count
        vb = sbb - sb * sb / count
        if va > 0 and vb > 0:
            ncc[k] = (sab - sa * sb / count) / np.sqrt(va * vb)
        residual[k] = np.sqrt(max(va * (1 - ncc[k] * ncc[k]), 0.0) / count) / 1000


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _sums(first, second):  # type: ignore[no-untyped-def]
    """Return the sums of a, b, a², b² and ab over the pixels; whole numbers below 2**53, which floats hold exactly."""
    sa, sb, saa, sbb, sab = 0.0, 0.0, 0.0, 0.0, 0.0
    for pixel in range(np.uint64(first.size // 3)):
        at = np.uint64(3) * pixel
        a = np.float64(_luminance(first[at], first[at + np.uint64(1)], first[at + np.uint64(2)]))
        b = np.float64(_luminance(second[at], second[at + np.uint64(1)], second[at + np.uint64(2)]))
        sa += a
        sb += b
        saa += a * a
        sbb += b * b
        sab += a * b
    return sa, sb, saa, sbb, sab


@njit(cache=True, nogil=True)
def _luminance(red, green, blue):  # type: ignore[no-untyped-def]
    return np.int32(299) * np.int32(red) + np.int32(587) * np.int32(green) + np.int32(114) * np.int32(blue)

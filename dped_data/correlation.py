"""How well two patches agree, in exact integer sums (leaf)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
    count = np.int64(first.shape[1] * first.shape[2])
    for k in range(first.shape[0]):
        sa, sb, saa, sbb, sab = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for i in range(first.shape[1]):
            for j in range(first.shape[2]):
                a = 299 * np.int64(first[k, i, j, 0]) + 587 * np.int64(first[k, i, j, 1])
                a += 114 * np.int64(first[k, i, j, 2])
                b = 299 * np.int64(second[k, i, j, 0]) + 587 * np.int64(second[k, i, j, 1])
                b += 114 * np.int64(second[k, i, j, 2])
                sa += a
                sb += b
                saa += a * a
                sbb += b * b
                sab += a * b
        va = float(saa) - float(sa) * float(sa) / count
        vb = float(sbb) - float(sb) * float(sb) / count
        if va > 0 and vb > 0:
            ncc[k] = (float(sab) - float(sa) * float(sb) / count) / np.sqrt(va * vb)
        residual[k] = np.sqrt(max(va * (1 - ncc[k] * ncc[k]), 0.0) / count) / 1000

"""Small symmetric systems inside compiled loops, where numpy's solver would allocate for each.

The library's way is numpy.linalg.solve; inside a loop its share is part of kriging's figure (kriging.py).
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it with its callers.
"""

from __future__ import annotations

import numpy as np

from dped_data.common.jit import FAST_MATH, njit


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def factor(a, n):  # type: ignore[no-untyped-def]
    """Cholesky factor of the leading n x n of `a`, in its upper triangle, which is all that is read.

    Each row is made of those above it, four at a time: rows lie together in memory, and are loaded a fourth as often.
    """
    for k in range(n):
        row = a[k]
        m = 0
        while m + 3 < k:
            f0, f1, f2, f3 = a[m, k], a[m + 1, k], a[m + 2, k], a[m + 3, k]
            r0, r1, r2, r3 = a[m], a[m + 1], a[m + 2], a[m + 3]
            for j in range(k, n):
                row[j] -= f0 * r0[j] + f1 * r1[j] + f2 * r2[j] + f3 * r3[j]
            m += 4
        while m < k:
            f0, r0 = a[m, k], a[m]
            for j in range(k, n):
                row[j] -= f0 * r0[j]
            m += 1
        scale = 1 / np.sqrt(max(row[k], 1e-12))
        for j in range(k + 1, n):
            row[j] *= scale
        row[k] = 1 / scale


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def forward(a, n, b):  # type: ignore[no-untyped-def]
    """Solve U^T x = b in place; U is the factor in `a`."""
    for i in range(n):
        row = a[i]
        x = b[i] / row[i]
        b[i] = x
        for k in range(i + 1, n):
            b[k] -= row[k] * x


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def backward(a, n, b):  # type: ignore[no-untyped-def]
    """Solve U x = b in place; U is the factor in `a`."""
    for i in range(n - 1, -1, -1):
        row, total = a[i], b[i]
        for k in range(i + 1, n):
            total -= row[k] * b[k]
        b[i] = total / row[i]

"""Small symmetric systems inside compiled loops, where numpy's solver would allocate for each (leaf)."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def factor(a, n):  # type: ignore[no-untyped-def]
    """Cholesky factor of the leading n x n of `a`, in its lower triangle."""
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            if i == j:
                a[i, i] = np.sqrt(max(total, 1e-12))
            else:
                a[i, j] = total / a[j, j]


@njit(cache=True, nogil=True)
def forward(a, n, b):  # type: ignore[no-untyped-def]
    """Solve L x = b in place; L is the factor in `a`."""
    for i in range(n):
        total = b[i]
        for k in range(i):
            total -= a[i, k] * b[k]
        b[i] = total / a[i, i]


@njit(cache=True, nogil=True)
def backward(a, n, b):  # type: ignore[no-untyped-def]
    """Solve L^T x = b in place; L is the factor in `a`."""
    for i in range(n - 1, -1, -1):
        total = b[i]
        for k in range(i + 1, n):
            total -= a[k, i] * b[k]
        b[i] = total / a[i, i]

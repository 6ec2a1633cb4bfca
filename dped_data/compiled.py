"""What all compiled loops share (leaf)."""

from __future__ import annotations

import numpy as np
from numba import njit

FAST_MATH = {"reassoc", "nsz", "arcp", "contract", "afn"}
"""Freedoms of the compiler's arithmetic. Not "nnan" and "ninf": they let it drop every test for NaN, and a NaN that
becomes a pixel's index reads outside the photo.

A function with these freedoms, or that calls one, is compiled with `forceinline=True` if another compiled one calls it.
Otherwise there are several copies of it, each optimised in its own surroundings, and which of them runs depends on what
was loaded first: the last digits of a first run would differ from a second's, which finds everything compiled."""


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return the sum of the products of two float32 vectors."""
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total

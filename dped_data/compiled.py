"""What all compiled loops share (leaf)."""

from __future__ import annotations

FAST_MATH = {"reassoc", "nsz", "arcp", "contract", "afn"}
"""Freedoms of the compiler's arithmetic. Not "nnan" and "ninf": they let it drop every test for NaN, and a NaN that
becomes a pixel's index reads outside the photo."""

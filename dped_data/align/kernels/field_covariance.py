"""Prior covariance of the field of displacements, for several points at a time (leaf)."""

from __future__ import annotations

from dped_data.common.jit import FAST_MATH, njit

OFFSET_SD_PX, SLOPE_SD = 20.0, 0.003
"""Another surface's displacement against the smooth map, pixels, and its slope, pixels per pixel. Ours."""


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def correlations(kernel, x, y, offset, found, target):  # type: ignore[no-untyped-def]
    """Fill target (found) with the stationary prior covariance of the field at (x, y) and at the offsets (2, found)."""
    dx, dy = offset[0], offset[1]
    near, far = -0.5 / kernel[0] ** 2, -0.5 / kernel[2] ** 2
    near_power, far_power = kernel[1] ** 2, kernel[3] ** 2
    for a in range(found):
        square = (dx[a] - x) ** 2 + (dy[a] - y) ** 2
        target[a] = near_power * _exp(near * square) + far_power * _exp(far * square)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _exp(x):  # type: ignore[no-untyped-def]
    """Return exp(x) for x <= 0, to 1e-12: a series and eight squarings, which loops compute for several x at a time."""
    t = max(x, -30.0) / 256
    e = 1 + t * (1 + t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * (1 + t / 6)))))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def shared_with(kernel, trend, x, y, offset, found, target):  # type: ignore[no-untyped-def]
    """Fill target (found) with the prior covariance of the field at two points relative to the window's centre."""
    correlations(kernel, x, y, offset, found, target)
    if trend > 0.0:
        for a in range(found):
            target[a] += trend * (OFFSET_SD_PX**2 + SLOPE_SD**2 * (x * offset[0, a] + y * offset[1, a]))

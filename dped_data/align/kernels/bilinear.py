"""Bilinear samples of a photo at the pixels of a window, through its quadratic map.

The library's way is cv2.remap on coordinates made by numpy: 5 times as slow
(`PYTHONPATH=.:tests python benchmarks/kernels.py`, AMD EPYC, one thread).
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when a library samples along a polynomial.
"""

from __future__ import annotations

import numpy as np

from dped_data.common.jit import FAST_MATH, njit

VECTOR = 16
"""float32 values of the widest vectors."""


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def sample_window(image, fx, fy, centre, left, top, columns, places, parts, samples):  # type: ignore[no-untyped-def]
    """Fill samples (rows x columns) with the image, bilinear, at the quadratic map fx, fy (6 coefficients each).

    First all places, then all pixels, so that the compiler can use vectors; a row's last vector reaches into the next
    row, which is written later. Unsigned indices spare the question whether they count from the end; coordinates count
    from the row's middle, lest float32 lose digits.

    Args:
        image: (H, W) float32.
        fx, fy: map from u, v to image pixels; u = v = -1 at a window's first pixel, 0 at `centre` pixels from there.
        left, top: first column and row to sample, window pixels.
        places: (>= rows x columns + VECTOR) uint32, parts: (2, as many) float32, to work in.
    """
    height, width = image.shape
    pixels = image.reshape(-1)
    whole = (columns + VECTOR - 1) // VECTOR * VECTOR
    for j in range(samples.size // columns):
        v = (top + j - centre) / centre
        ax, ay = fx[0] + fx[2] * v + fx[5] * v * v, fy[0] + fy[2] * v + fy[5] * v * v
        middle_x = int(min(ax if ax > 0.0 else 0.0, width - 1.0))  # in this order NaN becomes 0
        middle_y = int(min(ay if ay > 0.0 else 0.0, height - 1.0))
        cx, cy = np.float32(ax - middle_x), np.float32(ay - middle_y)
        bx, by = np.float32(fx[1] + fx[4] * v), np.float32(fy[1] + fy[4] * v)
        qx, qy = np.float32(fx[3]), np.float32(fy[3])
        least_x, least_y = np.float32(-middle_x), np.float32(-middle_y)
        most_x, most_y = np.float32(width - 1.01 - middle_x), np.float32(height - 1.01 - middle_y)
        scale, origin = np.float32(1 / centre), np.float32((left - centre) / centre)
        first = np.int32(middle_y * width + middle_x)
        start = j * columns
        px, py, place = parts[0, start : start + whole], parts[1, start : start + whole], places[start : start + whole]
        for i in range(whole):
            u = np.float32(i) * scale + origin
            x, y = cx + (bx + qx * u) * u, cy + (by + qy * u) * u
            x, y = (x if x > least_x else least_x), (y if y > least_y else least_y)
            x, y = min(x, most_x), min(y, most_y)
            column, row = np.floor(x), np.floor(y)
            px[i], py[i] = x - column, y - row
            place[i] = np.uint32(first + np.int32(row) * np.int32(width) + np.int32(column))
    px, py = parts[0], parts[1]
    for i in range(samples.size):
        at = np.uint64(places[i])
        below = at + np.uint64(width)
        upper = pixels[at] + (pixels[at + np.uint64(1)] - pixels[at]) * px[i]
        lower = pixels[below] + (pixels[below + np.uint64(1)] - pixels[below]) * px[i]
        samples[i] = upper + (lower - upper) * py[i]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def move_map(base, centre, motion, fx, fy):  # type: ignore[no-untyped-def]
    """Fill fx, fy with the map `base` (2, 6) after moving its argument by `motion`, to first order."""
    for axis in range(2):
        per_x, per_y = base[axis, 1] / centre, base[axis, 2] / centre
        f = fx if axis == 0 else fy
        f[0] = base[axis, 0] + per_x * motion[0] + per_y * motion[1]
        f[1] = base[axis, 1] + per_x * motion[2] + per_y * motion[4]
        f[2] = base[axis, 2] + per_x * motion[3] + per_y * motion[5]
        f[3], f[4], f[5] = base[axis, 3], base[axis, 4], base[axis, 5]

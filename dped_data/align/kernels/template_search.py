"""Exhaustive search of windows by normalised cross-correlation, for what Lucas-Kanade cannot reach.

The library's way is cv2.matchTemplate, which takes half the time at 96 px and 17x17 shifts, without the sampling
(`PYTHONPATH=.:tests python benchmarks/kernels.py`, AMD EPYC, one thread).
It adds neither the penalty of distance nor this floor of flat windows.
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when the search matters to a pair's time, and bytes may change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.bilinear import VECTOR, sample_window
from dped_data.common.jit import FAST_MATH, dot, njit

MIN_VARIANCE = np.float32(0.01)
"""Variance below which a window counts as flat, grey levels squared. Ours: rounding to whole levels makes 0.08."""

DISTANCE_PENALTY = 0.02
"""Correlation that a peak at the far corner of the search must have more than one in its middle. Ours: windows with
little texture correlate about as well everywhere, and belong where the smooth map puts them."""


def search_windows(
    template: NDArray[np.float32],
    image: NDArray[np.float32],
    corner_xy: NDArray[np.int64],
    size_px: int,
    image_from_window: NDArray[np.float64],
    radius_px: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find each template window's best whole-pixel displacement in the image.

    Args:
        template, image: grey photos, smoothed alike.
        corner_xy: (N, 2) top-left pixel of each window in the template.
        size_px: side of the windows, pixels.
        image_from_window: (N, 2, 6) map of each window as in `lucas_kanade.quadratic_maps`.
        radius_px: largest displacement along each axis, template pixels.
    Returns:
        (N, 2) displacement and (N, 2) correlation without and with it.
    """
    displacement = np.zeros((len(corner_xy), 2))
    correlation = np.zeros((len(corner_xy), 2))
    _search(
        template,
        image,
        np.ascontiguousarray(corner_xy, np.int64),
        size_px,
        np.ascontiguousarray(image_from_window),
        radius_px,
        displacement,
        correlation,
    )
    return displacement, correlation


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _search(template, image, corners, size, maps, radius, displacement, correlation):  # type: ignore[no-untyped-def]
    wide, shifts = size + 2 * radius, 2 * radius + 1
    region = np.empty((wide, wide), np.float32)
    # The window's rows lie as far apart as the region's, with zeros between: each correlation is one long product.
    window = np.zeros((size, wide), np.float32)
    pixels, weights = region.reshape(-1), window.reshape(-1)[: (size - 1) * wide + size]
    places, parts = np.empty(wide**2 + VECTOR, np.uint32), np.empty((2, wide**2 + VECTOR), np.float32)
    centre = (size - 1) * 0.5
    count = np.float32(size * size)
    scores, totals, squares = np.empty((shifts, shifts)), np.empty((shifts, shifts)), np.empty((shifts, shifts))
    for k in range(corners.shape[0]):
        left, top = corners[k, 0], corners[k, 1]
        mean = np.float32(0.0)
        for j in range(size):
            line, row = template[top + j, left : left + size], window[j]
            for i in range(size):
                row[i] = line[i]
                mean += line[i]
        mean /= count
        for j in range(size):
            row = window[j]
            for i in range(size):
                row[i] -= mean
        power = dot(weights, weights)
        sample_window(image, maps[k, 0], maps[k, 1], centre, -radius, -radius, wide, places, parts, pixels)
        # Without the mean the sums of squares keep their digits.
        middle = np.float32(0.0)
        for i in range(pixels.size):
            middle += pixels[i]
        middle /= np.float32(pixels.size)
        for i in range(pixels.size):
            pixels[i] -= middle
        _box_sums(region, size, totals, squares)
        best = -2.0
        for dy in range(shifts):
            for dx in range(shifts):
                first = dy * wide + dx
                common = dot(weights, pixels[first : first + weights.size])
                spread = max(squares[dy, dx] - totals[dy, dx] * totals[dy, dx] / count, MIN_VARIANCE * count)
                scores[dy, dx] = common / np.sqrt(max(power, MIN_VARIANCE * count) * spread)
                far = ((dx - radius) ** 2 + (dy - radius) ** 2) / (2.0 * radius * radius)
                score = scores[dy, dx] - DISTANCE_PENALTY * far
                if score > best:
                    best = score
                    displacement[k, 0], displacement[k, 1] = dx - radius, dy - radius
        correlation[k, 0] = scores[radius, radius]
        correlation[k, 1] = scores[int(displacement[k, 1]) + radius, int(displacement[k, 0]) + radius]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _box_sums(region, size, totals, squares):  # type: ignore[no-untyped-def]
    """Fill totals and squares (shifts, shifts) with the sums over each size x size box of the region."""
    shifts = len(totals)
    totals[:], squares[:] = 0.0, 0.0
    for j in range(len(region)):
        row = region[j]
        total, square = 0.0, 0.0
        for i in range(size):
            total += row[i]
            square += row[i] * row[i]
        for dx in range(shifts):
            for dy in range(max(0, j - size + 1), min(j, shifts - 1) + 1):
                totals[dy, dx] += total
                squares[dy, dx] += square
            if dx + 1 < shifts:
                enters, leaves = np.float64(row[dx + size]), np.float64(row[dx])
                total += enters - leaves
                square += enters * enters - leaves * leaves

"""Exhaustive search of windows by normalised cross-correlation, for what Lucas-Kanade cannot reach (leaf)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dped_data.compiled import FAST_MATH

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
    height, width = image.shape
    wide = size + 2 * radius
    region = np.empty((wide, wide), np.float32)
    window = np.empty((size, size), np.float32)
    centre = (size - 1) * 0.5
    count = np.float32(size * size)
    scores = np.empty((2 * radius + 1, 2 * radius + 1))
    for k in range(corners.shape[0]):
        mean = np.float32(0.0)
        for j in range(size):
            for i in range(size):
                window[j, i] = template[corners[k, 1] + j, corners[k, 0] + i]
                mean += window[j, i]
        mean /= count
        power = np.float32(0.0)
        for j in range(size):
            for i in range(size):
                window[j, i] -= mean
                power += window[j, i] * window[j, i]
        fx, fy = maps[k, 0], maps[k, 1]
        for j in range(wide):
            v = (j - radius - centre) / centre
            for i in range(wide):
                u = (i - radius - centre) / centre
                x = fx[0] + fx[1] * u + fx[2] * v + fx[3] * u * u + fx[4] * u * v + fx[5] * v * v
                y = fy[0] + fy[1] * u + fy[2] * v + fy[3] * u * u + fy[4] * u * v + fy[5] * v * v
                x, y = (x if x > 0.0 else 0.0), (y if y > 0.0 else 0.0)  # in this order NaN becomes 0
                x, y = min(x, width - 1.01), min(y, height - 1.01)
                column, row = int(x), int(y)
                p, q = np.float32(x - column), np.float32(y - row)
                upper = image[row, column] + (image[row, column + 1] - image[row, column]) * p
                lower = image[row + 1, column] + (image[row + 1, column + 1] - image[row + 1, column]) * p
                region[j, i] = upper + (lower - upper) * q
        # Without the mean the sums of squares keep their digits.
        middle = region.mean()
        for j in range(wide):
            for i in range(wide):
                region[j, i] -= middle
        best = -2.0
        for dy in range(2 * radius + 1):
            for dx in range(2 * radius + 1):
                common, total, square = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                for j in range(size):
                    for i in range(size):
                        value = region[j + dy, i + dx]
                        common += window[j, i] * value
                        total += value
                        square += value * value
                spread = max(square - total * total / count, MIN_VARIANCE * count)
                scores[dy, dx] = common / np.sqrt(max(power, MIN_VARIANCE * count) * spread)
                far = ((dx - radius) ** 2 + (dy - radius) ** 2) / (2.0 * radius * radius)
                score = scores[dy, dx] - DISTANCE_PENALTY * far
                if score > best:
                    best = score
                    displacement[k, 0], displacement[k, 1] = dx - radius, dy - radius
        correlation[k, 0] = scores[radius, radius]
        correlation[k, 1] = scores[int(displacement[k, 1]) + radius, int(displacement[k, 0]) + radius]

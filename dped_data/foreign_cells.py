"""Cells of windows that follow another displacement than their window's, by the likelihood of their pixels (leaf)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dped_data.compiled import FAST_MATH

TEXTURE_MISMATCH = 0.03
"""Share of a cell's variance that counts as noise: two lenses never draw an edge alike. Ours."""

BLOCK = 2
"""Cells a side of the squares whose evidence is summed: another surface covers more than one cell, noise does not."""

QUANTISATION = 0.25
"""Variance that is always assumed, grey levels squared. Ours."""

NOISE_CORRELATION = 4.0
"""Samples that share one independent piece of noise, after smoothing. Ours."""


def foreign_cells(
    template: NDArray[np.float32],
    image: NDArray[np.float32],
    corner_xy: NDArray[np.int64],
    size_px: int,
    image_from_window: NDArray[np.float64],
    motion: NDArray[np.float64],
    candidates: NDArray[np.float64],
    cell_px: int,
    margin_px: int,
) -> NDArray[np.float64]:
    """Return (N,) the strongest evidence that a cell of a window moves like one of its candidates.

    The evidence is a log likelihood ratio: how much better the candidate's displacement explains the cell's pixels
    than the window's own motion does.

    Args:
        template, image: grey photos, smoothed alike.
        corner_xy: (N, 2) top-left pixels; size_px: side of the windows, template pixels.
        image_from_window: (N, 2, 6) maps as in `lucas_kanade.quadratic_maps`.
        motion: (N, 6) the windows' own motion as in `lucas_kanade.Tracks`.
        candidates: (N, K, 2) displacements of other surfaces, template pixels; NaN for none.
        cell_px: side of a cell; margin_px: width of the ring around the window that is tested too.
    """
    evidence = np.zeros(len(corner_xy))
    _foreign_cells(
        template,
        image,
        np.ascontiguousarray(corner_xy, np.int64),
        size_px,
        np.ascontiguousarray(image_from_window),
        np.ascontiguousarray(motion),
        np.ascontiguousarray(candidates),
        cell_px,
        margin_px,
        evidence,
    )
    return evidence


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _sample(image, base, centre, motion, left, top, values):  # type: ignore[no-untyped-def]
    """Fill values (h, w) with the image at window pixels left.., top.. moved by `motion`."""
    height, width = image.shape
    last_x, last_y = width - 1.01, height - 1.01
    per = np.empty((2, 2))
    for axis in range(2):
        per[axis, 0], per[axis, 1] = base[axis, 1] / centre, base[axis, 2] / centre
    for j in range(values.shape[0]):
        v = (top + j - centre) / centre
        for i in range(values.shape[1]):
            u = (left + i - centre) / centre
            dx = motion[0] + motion[2] * u + motion[3] * v
            dy = motion[1] + motion[4] * u + motion[5] * v
            x = base[0, 0] + base[0, 1] * u + base[0, 2] * v + base[0, 3] * u * u + base[0, 4] * u * v
            y = base[1, 0] + base[1, 1] * u + base[1, 2] * v + base[1, 3] * u * u + base[1, 4] * u * v
            x += base[0, 5] * v * v + per[0, 0] * dx + per[0, 1] * dy
            y += base[1, 5] * v * v + per[1, 0] * dx + per[1, 1] * dy
            x, y = (x if x > 0.0 else 0.0), (y if y > 0.0 else 0.0)  # in this order NaN becomes 0
            x, y = min(x, last_x), min(y, last_y)
            column, row = int(x), int(y)
            p, q = np.float32(x - column), np.float32(y - row)
            upper = image[row, column] + (image[row, column + 1] - image[row, column]) * p
            lower = image[row + 1, column] + (image[row + 1, column + 1] - image[row + 1, column]) * p
            values[j, i] = upper + (lower - upper) * q


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _cell_power(window, values, gain, cell, power):  # type: ignore[no-untyped-def]
    """Fill power (rows, columns) with the variance of values - gain * window over each cell."""
    for row in range(power.shape[0]):
        for column in range(power.shape[1]):
            total, square = 0.0, 0.0
            for j in range(row * cell, (row + 1) * cell):
                for i in range(column * cell, (column + 1) * cell):
                    rest = values[j, i] - gain * window[j, i]
                    total += rest
                    square += rest * rest
            count = cell * cell
            power[row, column] = square / count - (total / count) ** 2


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _foreign_cells(  # type: ignore[no-untyped-def]
    template, image, corners, size, maps, motions, candidates, cell, margin, evidence
):
    height, width = template.shape
    centre = (size - 1) * 0.5
    for k in range(corners.shape[0]):
        left, top = max(corners[k, 0] - margin, 0), max(corners[k, 1] - margin, 0)
        right = min(corners[k, 0] + size + margin, width)
        bottom = min(corners[k, 1] + size + margin, height)
        columns, rows = (right - left) // cell, (bottom - top) // cell
        # Whole cells, spread over the extended window; what is left over at the far side is less than a cell.
        window = template[top : top + rows * cell, left : left + columns * cell]
        values = np.empty(window.shape, np.float32)
        own, other, texture = np.empty((rows, columns)), np.empty((rows, columns)), np.empty((rows, columns))
        _sample(image, maps[k], centre, motions[k], left - corners[k, 0], top - corners[k, 1], values)
        mean_t, mean_i = window.mean(), values.mean()
        common, power = 0.0, 1e-6
        for j in range(window.shape[0]):
            for i in range(window.shape[1]):
                common += (window[j, i] - mean_t) * (values[j, i] - mean_i)
                power += (window[j, i] - mean_t) ** 2
        gain = max(common / power, 0.05)
        _cell_power(window, values, gain, cell, own)
        _cell_power(window, window, 0.0, cell, texture)
        noise = np.median(own)
        strongest = 0.0
        moved = np.zeros(6)
        for c in range(candidates.shape[1]):
            if np.isnan(candidates[k, c, 0]):
                continue
            moved[0], moved[1] = candidates[k, c, 0], candidates[k, c, 1]
            _sample(image, maps[k], centre, moved, left - corners[k, 0], top - corners[k, 1], values)
            _cell_power(window, values, gain, cell, other)
            ratios = np.empty((rows, columns))
            for row in range(rows):
                for column in range(columns):
                    floor = noise + TEXTURE_MISMATCH * gain * gain * texture[row, column] + QUANTISATION
                    ratio = (own[row, column] - other[row, column]) / (2 * floor)
                    ratios[row, column] = ratio * cell * cell / NOISE_CORRELATION
            for row in range(rows - BLOCK + 1):
                for column in range(columns - BLOCK + 1):
                    strongest = max(strongest, ratios[row : row + BLOCK, column : column + BLOCK].sum())
        evidence[k] = strongest

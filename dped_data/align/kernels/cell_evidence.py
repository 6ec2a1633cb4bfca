"""Cells of windows that follow another displacement than their window's, by the likelihood of their pixels.

No library has this; its reference in numpy is in tests/naive, not timed.
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when foreign surfaces are found otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.bilinear import VECTOR, move_map, sample_window
from dped_data.common.jit import FAST_MATH, njit

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


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
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
    fx, fy = np.empty(6), np.empty(6)
    for k in range(corners.shape[0]):
        left, top = max(corners[k, 0] - margin, 0), max(corners[k, 1] - margin, 0)
        right = min(corners[k, 0] + size + margin, width)
        bottom = min(corners[k, 1] + size + margin, height)
        columns, rows = (right - left) // cell, (bottom - top) // cell
        # Whole cells, spread over the extended window; what is left over at the far side is less than a cell.
        window = template[top : top + rows * cell, left : left + columns * cell]
        values = np.empty(window.shape, np.float32)
        own, other, texture = np.empty((rows, columns)), np.empty((rows, columns)), np.empty((rows, columns))
        from_x, from_y = left - corners[k, 0], top - corners[k, 1]
        places = np.empty(values.size + VECTOR, np.uint32)
        parts = np.empty((2, values.size + VECTOR), np.float32)
        move_map(maps[k], centre, motions[k], fx, fy)
        sample_window(image, fx, fy, centre, from_x, from_y, columns * cell, places, parts, values.reshape(-1))
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
            move_map(maps[k], centre, moved, fx, fy)
            sample_window(image, fx, fy, centre, from_x, from_y, columns * cell, places, parts, values.reshape(-1))
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

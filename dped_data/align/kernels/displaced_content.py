"""Cells of a patch that the map leaves unexplained, and cells that another displacement explains clearly better.

Every cell has its own gain and offset, and every pixel its own variance: the photos' noise at its grey level, and what
a small misregistration makes of its gradient. So a strong edge says no more than it knows, and the faint landscape
behind a window frame counts as much as the frame.

No library has this; its reference in numpy is in tests/naive, not timed.
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when patches with two contents are found otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.common.jit import njit

REACH = 6
"""Displacements along each axis that are tried, phone pixels."""

MARGIN = REACH + 1
"""Pixels of the phone photo around the patch that are read: the smoothing needs one more."""

BLOCK = 4
"""Step of the cells; a cell is two blocks a side: the smallest in which a gain and an offset leave something to see."""

CELL_PIXELS = (2 * BLOCK) ** 2
LEVELS = 16
"""Steps of grey in which noise is told apart."""

SMOOTHED_NOISE = 2 * (6 / 16) ** 2
"""Share of the noise variance that the smoothing 1 2 1 leaves, twice what it is for noise without correlation:
demosaicing and JPEG correlate it."""

LEAST_NOISE = 0.1
"""Variance that is always assumed, grey levels squared: of 8-bit values. Ours."""

GRADIENT_SD_PX = 0.3
"""What a right patch may be off, or blurred differently, at every edge, phone pixels. Ours: max_error_px."""

LEAST_SIGNAL = 4.0
"""Variance over that of the noise from which on a cell counts as textured. Ours."""

NOISE_MARGIN = 1.5
"""Residual power over the noise that may be noise. Ours."""

MOST_UNEXPLAINED = 0.2
"""Share of a textured cell's power beyond which what the map leaves is another content. Ours."""

LOW_LEVEL, HIGH_LEVEL, MOST_CLIPPED = 8, 245, 6
"""A cell with more than so many pixels at an end of the scale cannot be judged: photos differ in where they clip."""

NOISE_CORRELATION = 8.0
"""Pixels that share one independent piece of noise, after smoothing. Ours."""

CELL_EVIDENCE = 0.5
"""Log likelihood ratio that a cell must exceed to speak for another displacement. Ours: noise prefers some, too."""

MOST_RESIDUAL = 3.0
"""Residual power over the noise up to which a displacement explains a cell at all. Ours."""

WORTH_SEARCHING = 25.0
"""Least evidence that is of interest: patches whose residuals cannot hold as much are not searched."""

MOST_GAIN = 10.0


def displaced_content(
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    phone_noise: NDArray[np.float64],
    dslr_noise: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much of each patch is unexplained, and the evidence that a part of it lies elsewhere.

    Args:
        phone: (N, S + 2 MARGIN, S + 2 MARGIN) luminance of the phone photo around each patch.
        dslr: (N, S, S) luminance of the DSLR half as stored.
        phone_noise, dslr_noise: (LEVELS,) variance of the pixels' noise by grey level.
    Returns:
        (N,) share of the cells, 0 to 1, whose texture the phone does not have there; (N,) the largest sum over the
        cells, over all displacements from 1.5 pixels, of the log likelihood ratio of that displacement against none,
        per independent cell; 0 where it is below WORTH_SEARCHING for certain.
    """
    unexplained, evidence = np.zeros(len(dslr)), np.zeros(len(dslr))
    _displaced_content(
        np.ascontiguousarray(phone), np.ascontiguousarray(dslr), phone_noise, dslr_noise, unexplained, evidence
    )
    return unexplained, evidence


@njit(cache=True, nogil=True)
def _smooth(grey, smooth):  # type: ignore[no-untyped-def]
    """Fill smooth (h - 2, w - 2) with the means of grey (h, w) by 1 2 1 along both axes."""
    for j in range(smooth.shape[0]):
        for i in range(smooth.shape[1]):
            above = grey[j, i] + 2.0 * grey[j, i + 1] + grey[j, i + 2]
            here = grey[j + 1, i] + 2.0 * grey[j + 1, i + 1] + grey[j + 1, i + 2]
            below = grey[j + 2, i] + 2.0 * grey[j + 2, i + 1] + grey[j + 2, i + 2]
            smooth[j, i] = (above + 2.0 * here + below) / 16.0


@njit(cache=True, nogil=True)
def _square_gradient(grey, j, i):  # type: ignore[no-untyped-def]
    last_j, last_i = grey.shape[0] - 1, grey.shape[1] - 1
    x = (grey[j, min(i + 1, last_i)] - grey[j, max(i - 1, 0)]) / 2
    y = (grey[min(j + 1, last_j), i] - grey[max(j - 1, 0), i]) / 2
    return x * x + y * y


@njit(cache=True, nogil=True)
def _fill_weights(phone, dslr, gain, phone_noise, dslr_noise, gradients, weights):  # type: ignore[no-untyped-def]
    """Fill weights (S, S) with the inverse variance of each pixel's difference; phone, dslr: (S, S) smoothed."""
    size = len(weights)
    step = 256 // LEVELS
    for j in range(size):
        for i in range(size):
            gradients[j, i] = max(_square_gradient(dslr, j, i), gain * _square_gradient(phone, j, i))
    for j in range(size):
        for i in range(size):
            total, count = 0.0, 0
            for y in range(max(j - 1, 0), min(j + 2, size)):
                for x in range(max(i - 1, 0), min(i + 2, size)):
                    total += gradients[y, x]
                    count += 1
            steep = max(gradients[j, i], total / count)
            noise = gain * phone_noise[int(phone[j, i]) // step] + dslr_noise[int(dslr[j, i]) // step]
            variance = SMOOTHED_NOISE * noise + LEAST_NOISE + GRADIENT_SD_PX**2 * steep
            weights[j, i] = 1 / variance


@njit(cache=True, nogil=True)
def _clipped_pixels(phone, dslr, cells):  # type: ignore[no-untyped-def]
    """Fill cells with how many of their pixels lie at an end of the scale in either photo, or beside one that does."""
    size = dslr.shape[0]
    near = np.zeros((size, size), np.bool_)
    for j in range(size):
        for i in range(size):
            low = min(phone[MARGIN + j, MARGIN + i], dslr[j, i])
            high = max(phone[MARGIN + j, MARGIN + i], dslr[j, i])
            if low <= LOW_LEVEL or high >= HIGH_LEVEL:
                near[max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2] = True
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            top, left = row * BLOCK, column * BLOCK
            cells[row, column] = near[top : top + 2 * BLOCK, left : left + 2 * BLOCK].sum()


@njit(cache=True, nogil=True)
def _block_sums(weights, a, b, left, top, sums):  # type: ignore[no-untyped-def]
    """Fill sums (3, blocks, blocks) with the sums over each block of w a, w a a and w a b; a begins at left, top."""
    for row in range(sums.shape[1]):
        for column in range(sums.shape[2]):
            first, second, product = 0.0, 0.0, 0.0
            for j in range(row * BLOCK, (row + 1) * BLOCK):
                for i in range(column * BLOCK, (column + 1) * BLOCK):
                    value = a[top + j, left + i]
                    weighted = weights[j, i] * value
                    first += weighted
                    second += weighted * value
                    product += weighted * b[j, i]
            sums[0, row, column], sums[1, row, column], sums[2, row, column] = first, second, product


@njit(cache=True, nogil=True)
def _of_cell(blocks, row, column):  # type: ignore[no-untyped-def]
    return blocks[row, column] + blocks[row, column + 1] + blocks[row + 1, column] + blocks[row + 1, column + 1]


@njit(cache=True, nogil=True)
def _fill_residuals(sums, fixed, residuals):  # type: ignore[no-untyped-def]
    """Fill residuals with each cell's power of b that no gain and offset of a explains; fixed: w, w b, w b b."""
    for row in range(residuals.shape[0]):
        for column in range(residuals.shape[1]):
            weight, b = _of_cell(fixed[0], row, column), _of_cell(fixed[1], row, column)
            a = _of_cell(sums[0], row, column)
            power_a = _of_cell(sums[1], row, column) - a * a / weight
            power_b = _of_cell(fixed[2], row, column) - b * b / weight
            common = max(_of_cell(sums[2], row, column) - a * b / weight, 0.0)
            residuals[row, column] = power_b - common * common / max(power_a, 0.02 * CELL_PIXELS)


@njit(cache=True, nogil=True)
def _displaced_content(phone, dslr, phone_noise, dslr_noise, unexplained, evidence):  # type: ignore[no-untyped-def]
    size = dslr.shape[1]
    blocks = size // BLOCK
    a = np.empty((size + 2 * REACH, size + 2 * REACH))
    b, weights, gradients = np.empty((size, size)), np.empty((size, size)), np.empty((size, size))
    padded = np.empty((size + 2, size + 2), np.uint8)
    fixed, sums = np.empty((3, blocks, blocks)), np.empty((3, blocks, blocks))
    own, other = np.empty((blocks - 1, blocks - 1)), np.empty((blocks - 1, blocks - 1))
    clipped = np.empty((blocks - 1, blocks - 1), np.int64)
    per_cell = BLOCK * BLOCK / CELL_PIXELS
    for k in range(len(dslr)):
        for j in range(size + 2):
            for i in range(size + 2):
                padded[j, i] = dslr[k, min(max(j - 1, 0), size - 1), min(max(i - 1, 0), size - 1)]
        _smooth(phone[k], a)
        _smooth(padded, b)
        inner = a[REACH : REACH + size, REACH : REACH + size]
        gain = min(max(b.var() / max(inner.var(), 1e-6), 1 / MOST_GAIN), MOST_GAIN)
        _fill_weights(inner, b, gain, phone_noise, dslr_noise, gradients, weights)
        _clipped_pixels(phone[k], dslr[k], clipped)
        _block_sums(weights, b, b, 0, 0, fixed)
        fixed[2] = fixed[1]
        fixed[1] = fixed[0]
        for row in range(blocks):
            for column in range(blocks):
                fixed[0, row, column] = weights[
                    row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK
                ].sum()
        _block_sums(weights, a, b, REACH, REACH, sums)
        _fill_residuals(sums, fixed, own)
        bound, found = 0.0, 0
        for row in range(blocks - 1):
            for column in range(blocks - 1):
                if clipped[row, column] > MOST_CLIPPED:
                    continue
                weight, total = _of_cell(fixed[0], row, column), _of_cell(fixed[1], row, column)
                power = (_of_cell(fixed[2], row, column) - total * total / weight) / CELL_PIXELS
                left = own[row, column] / CELL_PIXELS - NOISE_MARGIN
                found += power > LEAST_SIGNAL and left > MOST_UNEXPLAINED * power
                bound += max(own[row, column] / (2 * NOISE_CORRELATION) - CELL_EVIDENCE, 0.0)
        unexplained[k] = found / own.size
        if bound * per_cell < WORTH_SEARCHING:
            continue
        strongest = 0.0
        for dy in range(-REACH, REACH + 1):
            for dx in range(-REACH, REACH + 1):
                if dx * dx + dy * dy < 3:
                    continue
                _block_sums(weights, a, b, REACH + dx, REACH + dy, sums)
                _fill_residuals(sums, fixed, other)
                total = 0.0
                for row in range(blocks - 1):
                    for column in range(blocks - 1):
                        rest = other[row, column] / CELL_PIXELS
                        if clipped[row, column] > MOST_CLIPPED or rest > MOST_RESIDUAL:
                            continue
                        gained = own[row, column] - other[row, column]
                        ratio = gained / (2 * NOISE_CORRELATION) / max(rest, 1.0)
                        total += max(ratio - CELL_EVIDENCE, 0.0)
                strongest = max(strongest, total)
        evidence[k] = strongest * per_cell

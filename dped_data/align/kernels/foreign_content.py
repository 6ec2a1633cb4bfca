"""How much of a patch shows content that the other photo does not have at the same place.

A correlation over the whole patch follows the strongest contrast and is blind to a weak or small part that lies
elsewhere or is missing. Here every pixel's own small neighbourhood is asked, after its own gain and offset, so that a
pane of glass counts as much as the bright frame around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.common.jit import njit

BLUR_REACH = 2
"""Both photos are smoothed by the binomial 1 4 6 4 1: two lenses and two noises never agree on single pixels."""

REACH = 2
"""A neighbourhood is this many pixels to each side of its pixel. Ours: with 3 or 4 a frame hides what it frames."""

PIXELS = (2 * REACH + 1) ** 2
UNIT = 4
"""Smoothed luminance counts in quarters of a grey level: all sums below stay exact in 32 bits."""

LEAST_TEXTURE = 6.0
"""Variance below which a neighbourhood counts as without texture, grey levels squared. Ours."""

TEXTURE_TO_NOISE = 6.0
"""Variance over that of the noise from which on a neighbourhood counts as textured. Ours."""

LEAST_AGREEMENT = 0.5
"""Correlation, noise taken out, below which a textured neighbourhood is foreign. Ours: aligned pairs of two cameras
have 0.9 and more nearly everywhere."""

NOISE_LEFT = 2 * (70 / 256) ** 2
"""Share of the pixels' noise variance that the smoothing leaves, twice what it is for noise without correlation:
demosaicing and JPEG correlate it."""

LEAST_NOISE = 0.1
"""Variance that is always assumed, grey levels squared: of 8-bit values. Ours."""

MOST_GAIN = 10.0
"""Ours: most by which one photo's contrast may raise what counts as texture in the other, variances."""

NOISE_BLOCK, NOISE_QUANTILE = 8, 0.2
"""The noise is that of the smoothest fifth of the patch, in blocks of this side: the others hold texture."""

LEAST_CELL = 8
"""Pixels a side: smaller cells are decided by single neighbourhoods. Ours."""

SECOND_LOOK = 0.1
"""Share by luminance from which on the colours are asked as well. Two colours of nearly one luminance may swap places
from one camera to the next; over red, green and blue together they do not. Ours: few patches need it."""

ALL_VALID = np.zeros((0, 0), np.bool_)
"""No mask."""

LUMINANCE = np.array([[77, 150, 29]], np.int32)
COLOURS = np.array([[256, 0, 0], [0, 256, 0], [0, 0, 256]], np.int32)
"""Planes as weights of R, G, B, in 256ths."""


def foreign_shares(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (N,) the largest share, 0 to 1, of any cell of the patch whose pixels are foreign.

    A cell is a square of a quarter of the patch's side, at every place. A pixel is foreign when its neighbourhood is
    textured in either photo and the two do not correlate. Sums are integers and the rest is done without fast-math
    flags: the same on every machine.

    Args:
        phone, dslr: (N, S, S, 3) uint8 RGB, aligned patches of the same places.
    """
    shares = np.zeros(len(phone))
    if len(phone):
        _foreign_shares(phone, dslr, max(phone.shape[1] // 4, LEAST_CELL), shares)
    return shares


def foreign_masks(phone: NDArray[np.uint8], dslr: NDArray[np.uint8], max_foreign: float) -> NDArray[np.bool_]:
    """Return (N, S, S) False in every cell of which more than the share `max_foreign` is foreign, True elsewhere.

    Cells and pixels are those of `foreign_shares`: nothing is False where that finds no more than `max_foreign`.
    """
    valid = np.ones(phone.shape[:3], bool)
    if len(phone):
        _mask_foreign(phone, dslr, max(phone.shape[1] // 4, LEAST_CELL), max_foreign, valid)
    return valid


@njit(cache=True, nogil=True)
def _mask_foreign(phone, dslr, cell, max_foreign, valid):  # type: ignore[no-untyped-def]
    size = phone.shape[1]
    foreign = np.empty((size, size), np.bool_)
    before = np.zeros((size + 1, size + 1), np.int32)  # foreign pixels above and to the left
    for k in range(len(phone)):
        foreign[:] = True
        _keep_foreign(phone[k], dslr[k], LUMINANCE, foreign)
        if _fullest_cell(foreign, cell) / (cell * cell) > SECOND_LOOK:
            _keep_foreign(phone[k], dslr[k], COLOURS, foreign)
        for j in range(size):
            for i in range(size):
                before[j + 1, i + 1] = before[j, i + 1] + before[j + 1, i] - before[j, i] + foreign[j, i]
        for j in range(size - cell + 1):
            for i in range(size - cell + 1):
                within = before[j + cell, i + cell] - before[j, i + cell] - before[j + cell, i] + before[j, i]
                if within / (cell * cell) > max_foreign:
                    valid[k, j : j + cell, i : i + cell] = False


@njit(cache=True, nogil=True)
def _foreign_shares(phone, dslr, cell, shares):  # type: ignore[no-untyped-def]
    size = phone.shape[1]
    foreign = np.empty((size, size), np.bool_)
    for k in range(len(phone)):
        foreign[:] = True
        _keep_foreign(phone[k], dslr[k], LUMINANCE, foreign)
        shares[k] = _fullest_cell(foreign, cell) / (cell * cell)
        if shares[k] > SECOND_LOOK:
            _keep_foreign(phone[k], dslr[k], COLOURS, foreign)
            shares[k] = _fullest_cell(foreign, cell) / (cell * cell)


@njit(cache=True, nogil=True)
def _keep_foreign(phone, dslr, planes, foreign):  # type: ignore[no-untyped-def]
    """Clear the pixels of foreign (S, S) that are not so by the planes together, each weights (3,) of R, G, B."""
    size = foreign.shape[0]
    inner = np.empty((size, size), np.int32)
    smooth = np.empty((2, size + 2 * REACH, size + 2 * REACH), np.int32)
    across = np.empty((size, size + 2 * REACH), np.int32)
    columns = np.empty((5, size + 2 * REACH), np.int32)
    moments = np.zeros((3, size, size))
    noise, contrast = np.full(2, LEAST_NOISE), np.full(2, LEAST_NOISE)
    for plane in range(len(planes)):
        for side in range(2):
            grey_plane(phone if side == 0 else dslr, planes[plane], inner)
            noise[side] += noise_variance(inner, ALL_VALID) * NOISE_LEFT / len(planes)
            contrast[side] += _plane_variance(inner)
            _smooth(inner, across, smooth[side])
        _add_moments(smooth[0], smooth[1], 1.0 / len(planes), columns, moments)
    gain = contrast[0] / contrast[1]
    least_phone = max(LEAST_TEXTURE * min(max(gain, 1.0), MOST_GAIN), TEXTURE_TO_NOISE * noise[0])
    least_dslr = max(LEAST_TEXTURE * min(max(1 / gain, 1.0), MOST_GAIN), TEXTURE_TO_NOISE * noise[1])
    for j in range(size):
        for i in range(size):
            signal_phone, signal_dslr = moments[0, j, i] - noise[0], moments[1, j, i] - noise[1]
            common = moments[2, j, i]
            power = max(signal_phone, noise[0]) * max(signal_dslr, noise[1])
            textured = (signal_phone > least_phone) | (signal_dslr > least_dslr)
            alike = (common > 0.0) & (common * common >= LEAST_AGREEMENT * LEAST_AGREEMENT * power)
            foreign[j, i] = foreign[j, i] & textured & (not alike)


@njit(cache=True, nogil=True)
def grey_plane(patch, weights, grey):  # type: ignore[no-untyped-def]
    """Fill grey (S, S) with the patch's weighted sum of R, G and B, 0 to 255."""
    size = grey.shape[0]
    red, green, blue = np.int32(weights[0]), np.int32(weights[1]), np.int32(weights[2])
    for j in range(size):
        values, row = patch[j].reshape(-1), grey[j]
        for i in range(size):
            at = np.uint64(3) * np.uint64(i)
            total = red * np.int32(values[at]) + green * np.int32(values[at + np.uint64(1)])
            row[i] = np.int32(total + blue * np.int32(values[at + np.uint64(2)]) + np.int32(128)) >> np.int32(8)


@njit(cache=True, nogil=True)
def _mirrored(i, size):  # type: ignore[no-untyped-def]
    return -1 - i if i < 0 else 2 * size - 1 - i if i >= size else i


@njit(cache=True, nogil=True)
def _smooth(grey, across, smooth):  # type: ignore[no-untyped-def]
    """Fill smooth (S + 4, S + 4) with the binomial means of grey (S, S), mirrored at its edges, in units of 1 / UNIT.

    across: (S, S + 4) to work in.
    """
    size, rim = grey.shape[0], BLUR_REACH + REACH
    line = np.empty(size + 2 * rim, np.int32)
    for j in range(size):
        line[rim : rim + size] = grey[j]
        for i in range(rim):
            line[rim - 1 - i], line[rim + size + i] = grey[j, i], grey[j, size - 1 - i]
        row, second, third, fourth, last = across[j], line[1:], line[2:], line[3:], line[4:]
        for i in range(row.size):
            row[i] = np.int32(line[i] + last[i] + np.int32(4) * (second[i] + fourth[i]) + np.int32(6) * third[i])
    for j in range(smooth.shape[0]):
        far_above, above = across[_mirrored(j - 4, size)], across[_mirrored(j - 3, size)]
        here, below, far_below = (
            across[_mirrored(j - 2, size)],
            across[_mirrored(j - 1, size)],
            across[_mirrored(j, size)],
        )
        row = smooth[j]
        for i in range(row.size):
            total = far_above[i] + far_below[i] + np.int32(4) * (above[i] + below[i]) + np.int32(6) * here[i]
            row[i] = np.int32(total + np.int32(32)) >> np.int32(6)  # of 256 parts, UNIT are kept


@njit(cache=True, nogil=True)
def _plane_variance(grey):  # type: ignore[no-untyped-def]
    total, square = np.int64(0), np.int64(0)
    for j in range(grey.shape[0]):
        for i in range(grey.shape[1]):
            value = np.int64(grey[j, i])
            total += value
            square += value * value
    return (square - total * total / grey.size) / grey.size


@njit(cache=True, nogil=True)
def noise_variance(grey, valid):  # type: ignore[no-untyped-def]
    """Return the variance of the pixels' noise, from second differences both ways in the smoothest blocks.

    Blocks with a pixel that is not valid (S, S) are left out; (0, 0) for all.
    """
    size = grey.shape[0]
    blocks = (size - 2) // NOISE_BLOCK
    powers = np.empty(blocks * blocks)
    found = 0
    bends, squares = np.empty((3, size), np.int32), np.empty(size, np.int32)
    for row in range(blocks):
        squares[:] = 0
        for j in range(row * NOISE_BLOCK, (row + 1) * NOISE_BLOCK + 2):
            line, bend = grey[j], bends[j % 3]
            second, third = line[1:], line[2:]
            for i in range(size - 2):
                bend[i] = np.int32(line[i] - np.int32(2) * second[i] + third[i])
            if j < row * NOISE_BLOCK + 2:
                continue
            above, here = bends[(j - 2) % 3], bends[(j - 1) % 3]
            for i in range(size - 2):
                both = np.int32(above[i] - np.int32(2) * here[i] + bend[i])
                squares[i] += np.int32(both * both)
        for column in range(blocks):
            top, left = row * NOISE_BLOCK, column * NOISE_BLOCK
            if len(valid) and not valid[top : top + NOISE_BLOCK + 2, left : left + NOISE_BLOCK + 2].all():
                continue
            total = np.int32(0)
            for i in range(left, left + NOISE_BLOCK):
                total += squares[i]
            powers[found] = total
            found += 1
    if not found:
        return 0.0
    powers[:found].sort()
    return powers[int(NOISE_QUANTILE * (found - 1))] / (NOISE_BLOCK * NOISE_BLOCK * 36)


@njit(cache=True, nogil=True)
def _add_moments(a, b, weight, columns, moments):  # type: ignore[no-untyped-def]
    """Add to moments (3, S, S) `weight` times the variances of a and of b and their covariance around every pixel.

    columns (5, ...) keeps the running sums of a, b, aa, bb and ab down the rows of each column.
    """
    size = moments.shape[1]
    to_variance = weight / (PIXELS * PIXELS * UNIT * UNIT)
    sums = np.empty((5, size), np.int32)
    columns[:] = 0
    for j in range(2 * REACH):
        _move_columns(a, b, j, 0, np.int32(0), columns)
    for j in range(size):
        _move_columns(a, b, j + 2 * REACH, max(j - 1, 0), np.int32(j > 0), columns)
        for k in range(5):
            _across(columns[k], sums[k])
        _add_row(sums[0], sums[0], sums[2], to_variance, moments[0, j])
        _add_row(sums[1], sums[1], sums[3], to_variance, moments[1, j])
        _add_row(sums[0], sums[1], sums[4], to_variance, moments[2, j])


@njit(cache=True, nogil=True)
def _move_columns(a, b, new, old, taken, columns):  # type: ignore[no-untyped-def]
    """Add row `new` to the columns' sums of a, b, aa, bb and ab, and take `taken` (0 or 1) times row `old` away."""
    p, q, r, s = a[new], b[new], a[old], b[old]
    _move(p, r, taken, columns[0])
    _move(q, s, taken, columns[1])
    _move_products(p, p, r, r, taken, columns[2])
    _move_products(q, q, s, s, taken, columns[3])
    _move_products(p, q, r, s, taken, columns[4])


@njit(cache=True, nogil=True)
def _move(new, old, taken, sums):  # type: ignore[no-untyped-def]
    for i in range(sums.size):
        sums[i] += np.int32(new[i] - taken * old[i])


@njit(cache=True, nogil=True)
def _move_products(p, q, r, s, taken, sums):  # type: ignore[no-untyped-def]
    for i in range(sums.size):
        sums[i] += np.int32(np.int32(p[i] * q[i]) - taken * np.int32(r[i] * s[i]))


@njit(cache=True, nogil=True)
def _across(columns, sums):  # type: ignore[no-untyped-def]
    """Fill sums (S) with those of 2 REACH + 1 neighbours of columns (S + 2 REACH)."""
    second, third, fourth, last = columns[1:], columns[2:], columns[3:], columns[4:]
    for i in range(sums.size):
        sums[i] = np.int32(columns[i] + second[i] + third[i] + fourth[i] + last[i])


@njit(cache=True, nogil=True)
def _add_row(a, b, products, to_variance, row):  # type: ignore[no-untyped-def]
    """Add to each of row the variance or covariance of which the sums of a, of b and of their products are given."""
    for i in range(row.size):
        row[i] += np.int32(np.int32(PIXELS) * products[i] - a[i] * b[i]) * to_variance


@njit(cache=True, nogil=True)
def _fullest_cell(foreign, cell):  # type: ignore[no-untyped-def]
    """Return the most pixels that are marked in any square of side `cell`."""
    size = foreign.shape[0]
    columns = np.zeros(size, np.int32)
    most = np.int32(0)
    for j in range(size):
        for i in range(size):
            columns[i] += foreign[j, i]
        if j >= cell:
            for i in range(size):
                columns[i] -= foreign[j - cell, i]
        if j < cell - 1:
            continue
        if columns.sum() <= most:  # no square can hold more
            continue
        total = np.int32(0)
        for i in range(size):
            total += columns[i]
            if i >= cell:
                total -= columns[i - cell]
            if i >= cell - 1:
                most = max(most, total)
    return most

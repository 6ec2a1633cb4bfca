"""How much of a patch shows content that the other photo does not have at the same place.

A correlation over the whole patch follows the strongest contrast and is blind to a weak or small part that lies
elsewhere or is missing. Here every pixel's own small neighbourhood is asked, after its own gain and offset, so that a
pane of glass counts as much as the bright frame around it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.common.jit import copy, njit

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

SUMMED = 1 << 16
"""Pixels whose squares 32 bits can add up."""

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
    rooms, foreign = _workspace(size)
    before = np.zeros((size + 1, size + 1), np.int32)  # foreign pixels above and to the left
    for k in range(len(phone)):
        _mark_foreign(phone[k], dslr[k], cell, rooms, foreign)
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
    rooms, foreign = _workspace(phone.shape[1])
    for k in range(len(phone)):
        shares[k] = _mark_foreign(phone[k], dslr[k], cell, rooms, foreign)


@njit(cache=True, nogil=True)
def _workspace(size):  # type: ignore[no-untyped-def]
    """Return what `_keep_foreign` works in, and the marks (S, S + 8) of which the last columns stay clear.

    All planes have rows of S + 8 and are worked through as one long row: short loops have no vectors. What is summed
    across a row's end lies in columns that nobody reads.
    """
    wide = size + 2 * (BLUR_REACH + REACH)
    whole = wide * wide
    rooms = (
        np.empty((size, size), np.uint8),
        np.empty((wide, wide), np.uint8),
        np.zeros(whole, np.uint16),
        np.zeros((2, whole), np.uint16),
        np.zeros((2, whole), np.uint16),
        np.zeros((2, whole), np.int32),
        np.zeros((3, size * wide), np.int32),
        np.zeros((3, size * wide)),
    )
    return rooms, np.zeros((size, wide), np.bool_)


@njit(cache=True, nogil=True)
def _mark_foreign(phone, dslr, cell, rooms, foreign):  # type: ignore[no-untyped-def]
    """Mark the pixels of foreign (S, S + 8) that are so; return the largest share of a cell's."""
    for j in range(len(foreign)):
        row = foreign[j]
        for i in range(len(foreign)):
            row[i] = True
    _keep_foreign(phone, dslr, LUMINANCE, rooms, foreign)
    share = _fullest_cell(foreign, cell) / (cell * cell)
    if share > SECOND_LOOK:
        _keep_foreign(phone, dslr, COLOURS, rooms, foreign)
        share = _fullest_cell(foreign, cell) / (cell * cell)
    return share


@njit(cache=True, nogil=True)
def _keep_foreign(phone, dslr, planes, rooms, foreign):  # type: ignore[no-untyped-def]
    """Clear the pixels of foreign that are not so by the planes together, each weights (3,) of R, G, B."""
    inner, padded, across, smooth, sums, columns, variances, moments = rooms
    noise, contrast = np.full(2, LEAST_NOISE), np.full(2, LEAST_NOISE)
    to_variance = 1.0 / len(planes) / (PIXELS * PIXELS * UNIT * UNIT)
    if len(planes) > 1:
        moments[:] = 0.0
    for plane in range(len(planes)):
        for side in range(2):
            grey_plane(phone if side == 0 else dslr, planes[plane], inner)
            noise[side] += noise_variance(inner, ALL_VALID) * NOISE_LEFT / len(planes)
            contrast[side] += _plane_variance(inner)
            _smooth(inner, padded, across, smooth[side])
        _fill_variances(smooth[0], smooth[1], len(padded), across, sums, columns, variances)
        if len(planes) > 1:
            _add_scaled(variances.reshape(-1), to_variance, moments.reshape(-1))
    gain = contrast[0] / contrast[1]
    least_phone = max(LEAST_TEXTURE * min(max(gain, 1.0), MOST_GAIN), TEXTURE_TO_NOISE * noise[0])
    least_dslr = max(LEAST_TEXTURE * min(max(1 / gain, 1.0), MOST_GAIN), TEXTURE_TO_NOISE * noise[1])
    marks = foreign.reshape(-1)
    if len(planes) > 1:
        _clear_alike(moments, 1.0, noise, least_phone, least_dslr, marks)
    else:
        _clear_alike(variances, to_variance, noise, least_phone, least_dslr, marks)


@njit(cache=True, nogil=True)
def _clear_alike(moments, scale, noise, least_phone, least_dslr, marks):  # type: ignore[no-untyped-def]
    """Clear the marks of neighbourhoods without texture, and of those that correlate.

    moments (3, n): variances of both and their covariance, in units of 1 / scale.
    """
    noise_phone, noise_dslr = noise[0], noise[1]
    of_phone, of_dslr, of_both = moments[0], moments[1], moments[2]
    for i in range(marks.size):
        signal_phone, signal_dslr = of_phone[i] * scale - noise_phone, of_dslr[i] * scale - noise_dslr
        common = of_both[i] * scale
        power_phone = signal_phone if signal_phone > noise_phone else noise_phone
        power_dslr = signal_dslr if signal_dslr > noise_dslr else noise_dslr
        textured = (signal_phone > least_phone) | (signal_dslr > least_dslr)
        power = power_phone * power_dslr
        alike = (common > 0.0) & (common * common >= LEAST_AGREEMENT * LEAST_AGREEMENT * power)
        marks[i] = marks[i] & textured & (not alike)


@njit(cache=True, nogil=True)
def grey_plane(patch, weights, grey):  # type: ignore[no-untyped-def]
    """Fill grey (S, S) uint8 with the patch's weighted sum of R, G and B; the weights sum to 256."""
    red, green, blue = np.uint16(weights[0]), np.uint16(weights[1]), np.uint16(weights[2])
    values, out = patch.reshape(-1), grey.reshape(-1)
    for i in range(out.size):
        at = np.uint64(3) * np.uint64(i)
        total = red * np.uint16(values[at]) + green * np.uint16(values[at + np.uint64(1)])
        total = np.uint16(total + blue * np.uint16(values[at + np.uint64(2)]) + np.uint16(128))
        out[i] = np.uint8(total >> np.uint16(8))


@njit(cache=True, nogil=True)
def _smooth(grey, padded, across, smooth):  # type: ignore[no-untyped-def]
    """Fill smooth with the binomial means of grey (S, S), mirrored at its edges, in units of 1 / UNIT.

    padded (S + 8, S + 8) and across, as many, are to work in; of smooth S + 4 rows and columns hold the means.
    """
    size, rim, wide = grey.shape[0], BLUR_REACH + REACH, padded.shape[0]
    for j in range(size):
        line, row = grey[j], padded[rim + j]
        copy(line, row[rim:])
        for i in range(rim):
            row[rim - 1 - i], row[rim + size + i] = line[i], line[size - 1 - i]
    for j in range(rim):
        above, below, first, last = (
            padded[rim - 1 - j],
            padded[rim + size + j],
            padded[rim + j],
            padded[rim + size - 1 - j],
        )
        copy(first, above)
        copy(last, below)
    values = padded.reshape(-1)
    _binomial(values, 1, 0, across[: values.size - 4])
    _binomial(across, wide, 6, smooth[: (size + 4) * wide])  # of 256 parts, UNIT are kept


@njit(cache=True, nogil=True)
def _binomial(values, step, bits, out):  # type: ignore[no-untyped-def]
    """Fill out with the sums 1 4 6 4 1 of values a step apart, rounded after leaving away some bits."""
    second, third, fourth, last = values[step:], values[2 * step :], values[3 * step :], values[4 * step :]
    half, shift = np.uint16((1 << bits) >> 1), np.uint16(bits)
    four, six = np.uint16(4), np.uint16(6)
    for i in range(out.size):
        outer, inner = np.uint16(values[i]) + np.uint16(last[i]), np.uint16(second[i]) + np.uint16(fourth[i])
        out[i] = np.uint16(outer + four * np.uint16(inner) + six * np.uint16(third[i]) + half) >> shift


@njit(cache=True, nogil=True)
def _plane_variance(grey):  # type: ignore[no-untyped-def]
    total, square = np.int64(0), np.int64(0)
    values = grey.reshape(-1)
    for start in range(0, values.size, SUMMED):
        part = values[start : start + SUMMED]
        part_total, part_square = np.uint32(0), np.uint32(0)
        for i in range(part.size):
            value = np.uint32(part[i])
            part_total += value
            part_square += np.uint32(value * value)
        total += np.int64(part_total)
        square += np.int64(part_square)
    return (square - total * total / values.size) / values.size


@njit(cache=True, nogil=True)
def noise_variance(grey, valid):  # type: ignore[no-untyped-def]
    """Return the variance of the pixels' noise, from second differences both ways in the smoothest blocks.

    grey: (S, S) uint8. Blocks with a pixel that is not valid (S, S) are left out; (0, 0) for all.
    """
    size = grey.shape[0]
    blocks = (size - 2) // NOISE_BLOCK
    powers = np.empty(blocks * blocks, np.int32)
    found = 0
    values = grey.reshape(-1)
    bends, squares = np.empty(values.size, np.int16), np.empty(values.size, np.int32)
    sums = np.empty(size, np.int32)
    _bend(values, 1, bends[: values.size - 2])
    _square_bends(bends, size, squares[: max(values.size - 2 * size - 2, 0)])
    for row in range(blocks):
        top = row * NOISE_BLOCK
        _sum_rows(squares, top * size, size, sums[: size - 2])
        for column in range(blocks):
            left = column * NOISE_BLOCK
            if len(valid) and not valid[top : top + NOISE_BLOCK + 2, left : left + NOISE_BLOCK + 2].all():
                continue
            total = np.int32(0)
            for i in range(left, left + NOISE_BLOCK):
                total += sums[i]
            powers[found] = total
            found += 1
    if not found:
        return 0.0
    return _ranked(powers[:found], int(NOISE_QUANTILE * (found - 1))) / (NOISE_BLOCK * NOISE_BLOCK * 36)


@njit(cache=True, nogil=True)
def _ranked(values, rank):  # type: ignore[no-untyped-def]
    """Return the value, 0 or more, that `rank` others precede in order: by halving, which vectors can do."""
    least, most = np.int32(0), np.int32(0)
    for i in range(values.size):
        most = max(most, values[i])
    while least < most:
        middle = np.int32(least + (most - least) // 2)
        below = np.int32(0)
        for i in range(values.size):
            below += np.int32(values[i] <= middle)
        if below > rank:
            most = middle
        else:
            least = np.int32(middle + 1)
    return least


@njit(cache=True, nogil=True)
def _bend(values, step, out):  # type: ignore[no-untyped-def]
    second, third = values[step:], values[2 * step :]
    for i in range(out.size):
        out[i] = np.int16(np.int16(values[i]) - np.int16(2) * np.int16(second[i]) + np.int16(third[i]))


@njit(cache=True, nogil=True)
def _square_bends(values, step, out):  # type: ignore[no-untyped-def]
    second, third = values[step:], values[2 * step :]
    for i in range(out.size):
        bend = np.int32(np.int16(values[i] - np.int16(2) * second[i] + third[i]))
        out[i] = np.int32(bend * bend)


@njit(cache=True, nogil=True)
def _sum_rows(values, first, step, sums):  # type: ignore[no-untyped-def]
    """Fill sums with those of NOISE_BLOCK rows of values that begin at `first` and lie a step apart."""
    r0, r1, r2, r3 = values[first:], values[first + step :], values[first + 2 * step :], values[first + 3 * step :]
    for i in range(sums.size):
        sums[i] = r0[i] + r1[i] + r2[i] + r3[i]
    first += 4 * step
    r0, r1, r2, r3 = values[first:], values[first + step :], values[first + 2 * step :], values[first + 3 * step :]
    for i in range(sums.size):
        sums[i] += r0[i] + r1[i] + r2[i] + r3[i]


@njit(cache=True, nogil=True)
def _fill_variances(a, b, wide, down, sums, columns, variances):  # type: ignore[no-untyped-def]
    """Fill variances (3, n) with those of a and of b and their covariance around every pixel, times (PIXELS UNIT)².

    a, b: S + 4 rows and columns in rows of `wide`; down, sums (2, ...) and columns (2, ...) to work in.
    """
    count = variances.shape[1]
    more = count + 2 * REACH  # sums along a row reach so much farther
    _five(a, wide, down[:more])
    _five(down, 1, sums[0, :count])
    _five(b, wide, down[:more])
    _five(down, 1, sums[1, :count])
    products, product_sums = columns[0], columns[1]
    for k in range(3):
        first, second = (1 if k == 1 else 0), (0 if k == 0 else 1)
        _multiply(b if first else a, b if second else a, products[: more + 2 * REACH * wide])
        _five(products, wide, product_sums[:more])
        _spread(product_sums, sums[first], sums[second], variances[k])


@njit(cache=True, nogil=True)
def _five(values, step, out):  # type: ignore[no-untyped-def]
    """Fill out with the sums of 2 REACH + 1 values a step apart."""
    second, third, fourth, last = values[step:], values[2 * step :], values[3 * step :], values[4 * step :]
    for i in range(out.size):
        out[i] = values[i] + second[i] + third[i] + fourth[i] + last[i]


@njit(cache=True, nogil=True)
def _multiply(a, b, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = np.int32(a[i]) * np.int32(b[i])


@njit(cache=True, nogil=True)
def _spread(columns, a, b, out):  # type: ignore[no-untyped-def]
    """Fill out with PIXELS times the sums along the row of columns of products, less the sums a times b."""
    second, third, fourth, last = columns[1:], columns[2:], columns[3:], columns[4:]
    for i in range(out.size):
        products = np.int32(columns[i] + second[i] + third[i] + fourth[i] + last[i])
        out[i] = np.int32(np.int32(PIXELS) * products - np.int32(a[i]) * np.int32(b[i]))


@njit(cache=True, nogil=True)
def _add_scaled(values, scale, sums):  # type: ignore[no-untyped-def]
    for i in range(sums.size):
        sums[i] += values[i] * scale


@njit(cache=True, nogil=True)
def _fullest_cell(foreign, cell):  # type: ignore[no-untyped-def]
    """Return the most pixels that are marked in any square of side `cell`."""
    rows, size = foreign.shape
    columns = np.zeros(size, np.int32)
    most = np.int32(0)
    for j in range(rows):
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

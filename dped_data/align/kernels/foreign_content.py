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
    rim = BLUR_REACH + REACH
    grey = np.empty((2, size + 2 * rim, size + 2 * rim), np.int32)
    smooth = np.empty((2, size + 2 * REACH, size + 2 * REACH), np.int32)
    across = np.empty((size + 2 * rim, size + 2 * REACH), np.int32)
    columns = np.empty((5, size + 2 * REACH), np.int32)
    moments = np.zeros((3, size, size))
    noise, contrast = np.full(2, LEAST_NOISE), np.full(2, LEAST_NOISE)
    for plane in range(len(planes)):
        for side in range(2):
            _pad_plane(phone if side == 0 else dslr, planes[plane], rim, grey[side])
            inner = grey[side, rim : rim + size, rim : rim + size]
            noise[side] += noise_variance(inner, ALL_VALID) * NOISE_LEFT / len(planes)
            contrast[side] += _plane_variance(inner)
            _smooth(grey[side], across, smooth[side])
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
def _pad_plane(patch, weights, rim, grey):  # type: ignore[no-untyped-def]
    """Fill grey with the patch's weighted sum of R, G and B, 0 to 255, mirrored at its edges over a rim."""
    size = patch.shape[0]
    for j in range(size):
        for i in range(size):
            red, green, blue = np.int32(patch[j, i, 0]), np.int32(patch[j, i, 1]), np.int32(patch[j, i, 2])
            grey[rim + j, rim + i] = (weights[0] * red + weights[1] * green + weights[2] * blue + 128) >> 8
        for i in range(rim):
            grey[rim + j, rim - 1 - i] = grey[rim + j, rim + i]
            grey[rim + j, rim + size + i] = grey[rim + j, rim + size - 1 - i]
    for j in range(rim):
        grey[rim - 1 - j] = grey[rim + j]
        grey[rim + size + j] = grey[rim + size - 1 - j]


@njit(cache=True, nogil=True)
def _smooth(grey, across, smooth):  # type: ignore[no-untyped-def]
    """Fill smooth with the binomial means of grey in units of 1 / UNIT grey level."""
    for j in range(across.shape[0]):
        for i in range(across.shape[1]):
            near = grey[j, i + 1] + grey[j, i + 3]
            across[j, i] = grey[j, i] + grey[j, i + 4] + 4 * near + 6 * grey[j, i + 2]
    for j in range(smooth.shape[0]):
        for i in range(smooth.shape[1]):
            near = across[j + 1, i] + across[j + 3, i]
            total = across[j, i] + across[j + 4, i] + 4 * near + 6 * across[j + 2, i]
            smooth[j, i] = (total + 32) >> 6  # of 256 parts, UNIT are kept


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
    for row in range(blocks):
        for column in range(blocks):
            top, left = row * NOISE_BLOCK, column * NOISE_BLOCK
            if len(valid) and not valid[top : top + NOISE_BLOCK + 2, left : left + NOISE_BLOCK + 2].all():
                continue
            total = np.int32(0)
            for j in range(1 + row * NOISE_BLOCK, 1 + (row + 1) * NOISE_BLOCK):
                for i in range(1 + column * NOISE_BLOCK, 1 + (column + 1) * NOISE_BLOCK):
                    beside = grey[j, i - 1] + grey[j, i + 1] + grey[j - 1, i] + grey[j + 1, i]
                    corner = grey[j - 1, i - 1] + grey[j - 1, i + 1] + grey[j + 1, i - 1] + grey[j + 1, i + 1]
                    bend = 4 * grey[j, i] - 2 * beside + corner
                    total += bend * bend
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
    columns[:] = 0
    for j in range(2 * REACH):
        for i in range(a.shape[1]):
            p, q = a[j, i], b[j, i]
            columns[0, i] += p
            columns[1, i] += q
            columns[2, i] += p * p
            columns[3, i] += q * q
            columns[4, i] += p * q
    for j in range(size):
        for i in range(a.shape[1]):
            p, q = a[j + 2 * REACH, i], b[j + 2 * REACH, i]
            columns[0, i] += p
            columns[1, i] += q
            columns[2, i] += p * p
            columns[3, i] += q * q
            columns[4, i] += p * q
        for i in range(size):
            sa, sb = np.int32(0), np.int32(0)
            saa, sbb, sab = np.int32(0), np.int32(0), np.int32(0)
            for n in range(2 * REACH + 1):
                sa += columns[0, i + n]
                sb += columns[1, i + n]
                saa += columns[2, i + n]
                sbb += columns[3, i + n]
                sab += columns[4, i + n]
            moments[0, j, i] += (PIXELS * saa - sa * sa) * to_variance
            moments[1, j, i] += (PIXELS * sbb - sb * sb) * to_variance
            moments[2, j, i] += (PIXELS * sab - sa * sb) * to_variance
        for i in range(a.shape[1]):
            p, q = a[j, i], b[j, i]
            columns[0, i] -= p
            columns[1, i] -= q
            columns[2, i] -= p * p
            columns[3, i] -= q * q
            columns[4, i] -= p * q


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
        total = np.int32(0)
        for i in range(size):
            total += columns[i]
            if i >= cell:
                total -= columns[i - cell]
            if i >= cell - 1:
                most = max(most, total)
    return most

"""How sharp the DSLR half of a patch is against the phone half, and how evenly the light differs between them.

Sums are integers, or run in one order and without fast-math flags: the same on every machine.
"""

from __future__ import annotations

import numpy as np

from dped_data.align.kernels.foreign_content import ALL_VALID, grey_plane, noise_variance
from dped_data.align.kernels.foreign_content import LUMINANCE as GREY
from dped_data.common.jit import njit

SKIRT = 3
"""Pixels that the filters of the fine detail take off each side: one of 1 2 1, two of 1 4 6 4 1."""

NOISE_IN_DETAIL = 0.042 * 1.5
"""Share of the pixels' noise variance in the fine detail: of white noise, and half as much again, because
demosaicing and JPEG correlate it."""

ROUNDING = 0.02
"""Variance of the fine detail that rounding to grey levels leaves, grey levels squared. Ours, above the 0.0035 of white
rounding: JPEG rounds more coarsely."""

LEAST_DETAIL = 12.0
"""Variance of the phone's fine detail over its noise from which on a patch can be judged. Ours: at half of it noise
that was underestimated passes for detail of the phone that the DSLR lacks."""

LEAST_PLACES = 16
"""Places of two by two pixels with a common edge that it takes to judge. Ours."""

CELLS = 4
"""The light is compared over so many cells a side."""

STEP = 2
"""Every second pixel both ways is enough for a cell's mean light."""

CLIPPED = 250
"""Grey level from which on a channel counts as clipped: sharpening and JPEG leave no 255 in a row. Ours."""

DARK = 16
"""Grey level below which a cell has no light to compare: black levels and flare decide there. Ours."""

LEAST_CELLS = 8
"""Of the 16 cells, how many must have light to compare. Ours."""

LEAST_SHARE = 0.25
"""Of a cell's pixels, how many must be neither clipped nor masked. Ours."""

CELL_EV = 0.06
"""What a cell's light ratio scatters by, stops; ours, of aligned pairs of two cameras."""

TONE_EV = np.array([0.3, 0.1, 0.2, 0.2])
"""How much the light ratio may depend on the light itself (stops per stop; per squared stop) and on red and blue over
green, as standard deviations: two cameras' tone curves and colours. Ours."""

LUMINANCE = np.array([77.0, 150.0, 29.0]) / 256

LIGHT = np.floor(65535 * (np.arange(256) / 255) ** 2.2 + 0.5).astype(np.int64)
"""Linear light of a grey level, 0 to 65535."""


@njit(cache=True, nogil=True)
def sharpness(phone, dslr, valid, out):  # type: ignore[no-untyped-def]
    """Fill out (N,) with the fine detail of the DSLR half over that of the phone half, NaN where that cannot be told.

    Fine detail is what a smoothing of 1.2 px leaves of one of 0.7 px; its mean square is taken where both halves have
    an edge in common, weighted by the product of the gradients of 2.4 px, less the noise; the gradients' own ratio
    there is the contrast that it is measured against. valid (N, S, S) bool or (0, 0, 0) for all.
    """
    size = phone.shape[1]
    half = (size - 2 * SKIRT) // 2
    side = half - 6
    for k in range(len(phone)):
        out[k] = np.nan
    if side < 1:
        return
    grey = np.empty((size, size), np.int32)
    detail = np.empty((2, half, half), np.float32)
    across, down = np.empty((2, side, side), np.float32), np.empty((2, side, side), np.float32)
    noise = np.empty(2)
    usable = np.ones((side, side), np.bool_)
    for k in range(len(phone)):
        if len(valid):
            _usable(valid[k], usable)
        for which in range(2):
            grey_plane(phone[k] if which == 0 else dslr[k], GREY[0], grey)
            noise[which] = noise_variance(grey, valid[k] if len(valid) else ALL_VALID) * NOISE_IN_DETAIL + ROUNDING
            _filter(grey, detail[which], across[which], down[which])
        weights, places = 0.0, 0
        fine_phone, fine_dslr, edge_phone, edge_dslr = 0.0, 0.0, 0.0, 0.0
        for j in range(side):
            for i in range(side):
                a, b, c, d = across[0, j, i], down[0, j, i], across[1, j, i], down[1, j, i]
                weight = a * c + b * d
                if weight > 0 and usable[j, i]:
                    weights += weight
                    places += 1
                    fine_phone += weight * detail[0, j + 3, i + 3]
                    fine_dslr += weight * detail[1, j + 3, i + 3]
                    edge_phone += weight * (a * a + b * b)
                    edge_dslr += weight * (c * c + d * d)
        if places < LEAST_PLACES or edge_phone <= 0.0 or edge_dslr <= 0.0:
            continue
        signal_phone, signal_dslr = fine_phone / weights - noise[0], fine_dslr / weights - noise[1]
        if signal_phone > LEAST_DETAIL * noise[0]:
            out[k] = np.sqrt(max(signal_dslr, 0.0) / signal_phone * (edge_phone / edge_dslr))


@njit(cache=True, nogil=True)
def _usable(valid, usable):  # type: ignore[no-untyped-def]
    """Mark the places all of whose pixels, within what the filters reach, are valid."""
    reach = 2 * (SKIRT + 6)
    for j in range(usable.shape[0]):
        for i in range(usable.shape[1]):
            whole = True
            for v in range(2 * j, 2 * j + reach + 2):
                for u in range(2 * i, 2 * i + reach + 2):
                    whole = whole & valid[v, u]
            usable[j, i] = whole


@njit(cache=True, nogil=True)
def _filter(grey, detail, across, down):  # type: ignore[no-untyped-def]
    """Fill detail with mean squares of 2x2 pixels, across and down with gradients at every second pixel."""
    size = grey.shape[0]
    rows, soft = np.empty((size, size - 2), np.int32), np.empty((size - 2, size - 2), np.int32)
    for j in range(size):
        row, line, second, third = rows[j], grey[j], grey[j][1:], grey[j][2:]
        for i in range(row.size):
            row[i] = np.int32(line[i] + np.int32(2) * second[i] + third[i])
    for j in range(size - 2):
        row, above, here, below = soft[j], rows[j], rows[j + 1], rows[j + 2]
        for i in range(row.size):
            row[i] = np.int32(above[i] + np.int32(2) * here[i] + below[i])  # 16 times the grey
    softer = _blurred(soft)  # 4096 times the grey
    half = detail.shape[0]
    shrunk = np.empty((half, half), np.int32)
    squares = np.empty((2, 2 * half), np.float32)
    for j in range(half):
        for v in range(2):
            values, fine, square = softer[2 * j + v], soft[2 * j + v + 2][2:], squares[v]
            for i in range(square.size):
                rest = np.float32(np.int32(np.int32(256) * fine[i] - values[i]))
                square[i] = rest * rest
        row, line, above, below = detail[j], shrunk[j], softer[2 * j], softer[2 * j + 1]
        upper, lower = squares[0], squares[1]
        for i in range(half):
            at = np.uint64(2) * np.uint64(i)
            after = at + np.uint64(1)
            square = ((upper[at] + upper[after]) + lower[at]) + lower[after]
            row[i] = square * np.float32(1 / (4 * 4096.0 * 4096.0))
            total = above[at] + above[after] + below[at] + below[after]
            line[i] = np.int32(total + np.int32(512)) >> np.int32(10)  # 16 times the grey
    smooth = _blurred(shrunk)
    scale = np.float32(1 / 4096.0)
    for j in range(across.shape[0]):
        above, here, below = smooth[j][1:], smooth[j + 1], smooth[j + 2][1:]
        beside, row, line = smooth[j + 1][2:], across[j], down[j]
        for i in range(row.size):
            row[i] = np.float32(np.int32(beside[i] - here[i])) * scale
        for i in range(row.size):
            line[i] = np.float32(np.int32(below[i] - above[i])) * scale


@njit(cache=True, nogil=True)
def _blurred(values):  # type: ignore[no-untyped-def]
    """Return 256 times the binomial 1 4 6 4 1 of values both ways, two less on each side."""
    height, width = values.shape
    rows, result = np.empty((height, width - 4), np.int32), np.empty((height - 4, width - 4), np.int32)
    four, six = np.int32(4), np.int32(6)
    for j in range(height):
        row, line = rows[j], values[j]
        second, third, fourth, last = line[1:], line[2:], line[3:], line[4:]
        for i in range(row.size):
            row[i] = np.int32(line[i] + last[i] + four * (second[i] + fourth[i]) + six * third[i])
    for j in range(height - 4):
        row, far_above, above, here, below, far_below = (
            result[j],
            rows[j],
            rows[j + 1],
            rows[j + 2],
            rows[j + 3],
            rows[j + 4],
        )
        for i in range(row.size):
            row[i] = np.int32(far_above[i] + far_below[i] + four * (above[i] + below[i]) + six * here[i])
    return result


@njit(cache=True, nogil=True)
def count_clipped(patches, valid, out):  # type: ignore[no-untyped-def]
    """Fill out (N,) with the share of the (valid) pixels of which a channel is at its upper end."""
    size = patches.shape[1]
    for k in range(len(patches)):
        counted, clipped = np.int64(0), np.int64(0)
        for j in range(size):
            values = patches[k, j].reshape(-1)
            for i in range(size):
                at = np.uint64(3) * np.uint64(i)
                bright = values[at] >= CLIPPED
                bright |= (values[at + np.uint64(1)] >= CLIPPED) | (values[at + np.uint64(2)] >= CLIPPED)
                seen = not len(valid) or valid[k, j, i]
                counted += seen
                clipped += seen & bright
        out[k] = clipped / counted if counted else 0.0


@njit(cache=True, nogil=True)
def light_change(phone, dslr, valid, out):  # type: ignore[no-untyped-def]
    """Fill out (N,) with twice the standard deviation, over 4x4 cells, of the DSLR's light over the phone's, in stops,
    beyond what depends on brightness and colour; NaN where fewer than half of the cells have light to compare.

    valid (N, S, S) bool or (0, 0, 0) for all.
    """
    size = phone.shape[1]
    cell = np.empty((2, 3))
    ratio, terms = np.empty(CELLS * CELLS), np.empty((len(TONE_EV), CELLS * CELLS))
    for k in range(len(phone)):
        found = 0
        for row in range(CELLS):
            for column in range(CELLS):
                top, bottom = row * size // CELLS, (row + 1) * size // CELLS
                left, right = column * size // CELLS, (column + 1) * size // CELLS
                counted, seen = 0, 0
                sums = np.zeros((2, 3), np.int64)
                for j in range(top, bottom, STEP):
                    for i in range(left, right, STEP):
                        seen += 1
                        if len(valid) and not valid[k, j, i]:
                            continue
                        brightest = 0
                        for c in range(3):
                            brightest = max(brightest, phone[k, j, i, c], dslr[k, j, i, c])
                        if brightest < CLIPPED:
                            counted += 1
                            for c in range(3):
                                sums[0, c] += LIGHT[phone[k, j, i, c]]
                                sums[1, c] += LIGHT[dslr[k, j, i, c]]
                if counted < LEAST_SHARE * seen or counted == 0:
                    continue
                light_phone, light_dslr = 0.0, 0.0
                for c in range(3):
                    for which in range(2):  # a channel without any light still has a logarithm
                        cell[which, c] = (sums[which, c] + counted) / counted
                    light_phone += LUMINANCE[c] * cell[0, c]
                    light_dslr += LUMINANCE[c] * cell[1, c]
                if min(light_phone, light_dslr) >= LIGHT[DARK]:
                    ratio[found] = np.log2(light_dslr / light_phone)
                    terms[0, found] = np.log2(light_phone * light_dslr) / 2  # a shadow in either counts alike
                    terms[2, found] = np.log2(cell[0, 0] / cell[0, 1] * cell[1, 0] / cell[1, 1]) / 2
                    terms[3, found] = np.log2(cell[0, 2] / cell[0, 1] * cell[1, 2] / cell[1, 1]) / 2
                    found += 1
        out[k] = _unexplained(ratio[:found], terms[:, :found]) if found >= LEAST_CELLS else np.nan


@njit(cache=True, nogil=True)
def _unexplained(ratio, terms):  # type: ignore[no-untyped-def]
    """Return twice the standard deviation that is left of ratio (M,) by the likeliest combination of terms (4, M)."""
    count = len(ratio)
    _centre(ratio)
    _centre(terms[0])
    for i in range(count):
        terms[1, i] = terms[0, i] * terms[0, i]
    unknowns = len(terms)
    system = np.zeros((unknowns, unknowns + 1))
    for a in range(unknowns):
        if a:
            _centre(terms[a])
    for a in range(unknowns):
        for b in range(unknowns):
            for i in range(count):
                system[a, b] += terms[a, i] * terms[b, i]
        for i in range(count):
            system[a, unknowns] += terms[a, i] * ratio[i]
        system[a, a] += CELL_EV * CELL_EV / (TONE_EV[a] * TONE_EV[a])
    for a in range(unknowns):  # Gauss and Jordan; the system is positive definite
        for b in range(unknowns):
            if b != a:
                factor = system[b, a] / system[a, a]
                for c in range(a, unknowns + 1):
                    system[b, c] -= factor * system[a, c]
    square = 0.0
    for i in range(count):
        rest = ratio[i]
        for a in range(unknowns):
            rest -= system[a, unknowns] / system[a, a] * terms[a, i]
        square += rest * rest
    return 2 * np.sqrt(square / count)


@njit(cache=True, nogil=True)
def _centre(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    for i in range(len(values)):
        values[i] -= total / len(values)

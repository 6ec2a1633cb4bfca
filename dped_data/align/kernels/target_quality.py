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
    grey = np.empty((size, size), np.uint8)
    lines, soft = np.empty(size * size, np.uint16), np.empty(size * size, np.uint16)
    softer, squares = np.empty(size * size, np.int32), np.empty((2, size * size), np.float32)
    shrunk, smooth = np.empty(half * half, np.uint16), np.empty(half * half, np.int32)
    rooms = lines, soft, softer, squares, shrunk, smooth
    detail = np.empty((2, half, half), np.float32)
    across, down = np.zeros((2, side, half), np.float32), np.zeros((2, side, half), np.float32)
    noise, terms = np.empty(2), np.zeros((5, side * half), np.float32)
    usable = np.ones((side, side), np.bool_)
    for k in range(len(phone)):
        if len(valid):
            _usable(valid[k], usable)
        for which in range(2):
            grey_plane(phone[k] if which == 0 else dslr[k], GREY[0], grey)
            noise[which] = noise_variance(grey, valid[k] if len(valid) else ALL_VALID) * NOISE_IN_DETAIL + ROUNDING
            _filter(grey, rooms, detail[which], across[which].reshape(-1), down[which].reshape(-1))
        _weigh(across, down, detail, usable, terms)
        places = 0
        weights, fine_phone, fine_dslr, edge_phone, edge_dslr = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(side * half):
            places += terms[0, i] > 0
            weights += terms[0, i]
            fine_phone += terms[1, i]
            fine_dslr += terms[2, i]
            edge_phone += terms[3, i]
            edge_dslr += terms[4, i]
        if places < LEAST_PLACES or edge_phone <= 0.0 or edge_dslr <= 0.0:
            continue
        signal_phone, signal_dslr = fine_phone / weights - noise[0], fine_dslr / weights - noise[1]
        if signal_phone > LEAST_DETAIL * noise[0]:
            out[k] = np.sqrt(max(signal_dslr, 0.0) / signal_phone * (edge_phone / edge_dslr))


@njit(cache=True, nogil=True)
def _weigh(across, down, detail, usable, terms):  # type: ignore[no-untyped-def]
    """Fill terms (5, rows of h) with weight, weighted fine detail and weighted edges of every place; 0 where none."""
    side, half = usable.shape[0], detail.shape[1]
    for j in range(side):
        first_x, first_y, second_x, second_y = across[0, j], down[0, j], across[1, j], down[1, j]
        asked, row = usable[j], terms[0, j * half : j * half + side]
        for i in range(side):
            weight = first_x[i] * second_x[i] + first_y[i] * second_y[i]
            row[i] = weight if (weight > 0) & asked[i] else np.float32(0)
    weights = terms[0]
    for which in range(2):
        fine, x, y = detail[which].reshape(-1)[3 * half + 3 :], across[which].reshape(-1), down[which].reshape(-1)
        of_fine, of_edge = terms[1 + which], terms[3 + which]
        for i in range(weights.size):
            of_fine[i] = weights[i] * fine[i]
        for i in range(weights.size):
            of_edge[i] = weights[i] * (x[i] * x[i] + y[i] * y[i])


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
def _filter(grey, rooms, detail, across, down):  # type: ignore[no-untyped-def]
    """Fill detail (h, h) with mean squares of 2x2 pixels, across and down with gradients at every second pixel.

    across, down: rows of h, of which h - 6 count. Planes are worked through as one long row, for vectors; what is
    summed across a row's end lies beyond what is read.
    """
    lines, soft, softer, squares, shrunk, smooth = rooms
    size, half = grey.shape[0], detail.shape[0]
    whole = size * (size - 2 * SKIRT)
    _thrice(grey.reshape(-1), 1, lines[: size * size - 2])
    _thrice(lines, size, soft[: size * (size - 2) - 2])  # 16 times the grey
    _five(soft, 1, lines[: size * (size - 2) - 6])
    _five(lines, size, softer[: whole - 6])  # 4096 times the grey
    _square_rest(soft[2 * size + 2 :], softer, squares[0, : whole - 6])
    _mean_of_four(squares[0], size, squares[1, : whole - size - 7])
    _add_four(softer, size, lines[: whole - size - 7])  # 16 times the grey
    for j in range(half):
        row, line = detail[j], shrunk[j * half : (j + 1) * half]
        fine, grey_line = squares[1, 2 * j * size : (2 * j + 1) * size], lines[2 * j * size : (2 * j + 1) * size]
        for i in range(half):
            row[i] = fine[np.uint64(2) * np.uint64(i)]
        for i in range(half):
            line[i] = grey_line[np.uint64(2) * np.uint64(i)]
    _five(shrunk, 1, lines[: half * half - 4])
    _five(lines, half, smooth[: half * (half - 4) - 4])
    count = across.size - 6
    _differences(smooth[half + 2 :], smooth[half:], across[:count])
    _differences(smooth[2 * half + 1 :], smooth[1:], down[:count])


@njit(cache=True, nogil=True)
def _thrice(values, step, out):  # type: ignore[no-untyped-def]
    """Fill out with the sums 1 2 1 of values a step apart."""
    second, third = values[step:], values[2 * step :]
    for i in range(out.size):
        out[i] = np.uint16(np.uint16(values[i]) + np.uint16(2) * np.uint16(second[i]) + np.uint16(third[i]))


@njit(cache=True, nogil=True)
def _five(values, step, out):  # type: ignore[no-untyped-def]
    """Fill out with the sums 1 4 6 4 1 of values a step apart."""
    second, third, fourth, last = values[step:], values[2 * step :], values[3 * step :], values[4 * step :]
    four, six = np.int32(4), np.int32(6)
    for i in range(out.size):
        outer, inner = np.int32(values[i]) + np.int32(last[i]), np.int32(second[i]) + np.int32(fourth[i])
        out[i] = np.int32(outer + four * inner + six * np.int32(third[i]))


@njit(cache=True, nogil=True)
def _square_rest(fine, soft, squares):  # type: ignore[no-untyped-def]
    """Fill squares with those of the differences between what is 16 and what is 4096 times the grey, times 4096."""
    for i in range(squares.size):
        rest = np.float32(np.int32(np.int32(256) * np.int32(fine[i]) - soft[i]))
        squares[i] = rest * rest


@njit(cache=True, nogil=True)
def _mean_of_four(squares, step, out):  # type: ignore[no-untyped-def]
    """Fill out with the means of the squares of 2x2 pixels, rows a step apart, in grey levels."""
    after, below, across = squares[1:], squares[step:], squares[step + 1 :]
    for i in range(out.size):
        out[i] = (((squares[i] + after[i]) + below[i]) + across[i]) * np.float32(1 / (4 * 4096.0 * 4096.0))


@njit(cache=True, nogil=True)
def _add_four(values, step, out):  # type: ignore[no-untyped-def]
    after, below, across = values[1:], values[step:], values[step + 1 :]
    for i in range(out.size):
        total = np.int32(values[i] + after[i] + below[i] + across[i])
        out[i] = np.uint16(np.int32(total + np.int32(512)) >> np.int32(10))


@njit(cache=True, nogil=True)
def _differences(after, before, out):  # type: ignore[no-untyped-def]
    scale = np.float32(1 / 4096.0)
    for i in range(out.size):
        out[i] = np.float32(np.int32(after[i] - before[i])) * scale


@njit(cache=True, nogil=True)
def count_clipped(patches, valid, out):  # type: ignore[no-untyped-def]
    """Fill out (N,) with the share of the (valid) pixels of which a channel is at its upper end."""
    pixels = patches.shape[1] * patches.shape[2]
    for k in range(len(patches)):
        if len(valid):
            counted, clipped = _count_bright(patches[k].reshape(-1), valid[k].reshape(-1))
        else:
            counted, clipped = pixels, _count_all_bright(patches[k].reshape(-1))
        out[k] = clipped / counted if counted else 0.0


@njit(cache=True, nogil=True)
def _count_all_bright(values):  # type: ignore[no-untyped-def]
    clipped = np.int32(0)
    for i in range(values.size // 3):
        at = np.uint64(3) * np.uint64(i)
        bright = (
            (values[at] >= CLIPPED) | (values[at + np.uint64(1)] >= CLIPPED) | (values[at + np.uint64(2)] >= CLIPPED)
        )
        clipped += np.int32(bright)
    return np.int64(clipped)


@njit(cache=True, nogil=True)
def _count_bright(values, valid):  # type: ignore[no-untyped-def]
    counted, clipped = np.int64(0), np.int64(0)
    for i in range(valid.size):
        at = np.uint64(3) * np.uint64(i)
        bright = (
            (values[at] >= CLIPPED) | (values[at + np.uint64(1)] >= CLIPPED) | (values[at + np.uint64(2)] >= CLIPPED)
        )
        counted += valid[i]
        clipped += valid[i] & bright
    return counted, clipped


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

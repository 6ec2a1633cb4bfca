"""How sharp the DSLR half of a patch is against the phone half, and how evenly the light differs between them.

Sums are integers, or run in one order and without fast-math flags: the same on every machine.
"""

from __future__ import annotations

import numpy as np

from dped_data.align.kernels.foreign_content import ALL_VALID, noise_variance
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
            _grey(phone[k] if which == 0 else dslr[k], grey)
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
def _grey(patch, grey):  # type: ignore[no-untyped-def]
    for j in range(grey.shape[0]):
        for i in range(grey.shape[1]):
            red, green, blue = np.int32(patch[j, i, 0]), np.int32(patch[j, i, 1]), np.int32(patch[j, i, 2])
            grey[j, i] = (77 * red + 150 * green + 29 * blue + 128) >> 8


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
        for i in range(size - 2):
            rows[j, i] = grey[j, i] + 2 * grey[j, i + 1] + grey[j, i + 2]
    for j in range(size - 2):
        for i in range(size - 2):
            soft[j, i] = rows[j, i] + 2 * rows[j + 1, i] + rows[j + 2, i]  # 16 times the grey
    softer = _blurred(soft)  # 4096 times the grey
    half = detail.shape[0]
    shrunk = np.empty((half, half), np.int32)
    for j in range(half):
        for i in range(half):
            v, u = 2 * j, 2 * i
            square = np.float32(0.0)
            total = np.int32(0)
            for dv in range(2):
                for du in range(2):
                    value = softer[v + dv, u + du]
                    rest = np.float32(256 * soft[v + dv + 2, u + du + 2] - value)
                    square += rest * rest
                    total += value
            detail[j, i] = square * np.float32(1 / (4 * 4096.0 * 4096.0))
            shrunk[j, i] = (total + 512) >> 10  # 16 times the grey
    smooth = _blurred(shrunk)
    for j in range(across.shape[0]):
        for i in range(across.shape[0]):
            across[j, i] = np.float32(smooth[j + 1, i + 2] - smooth[j + 1, i]) * np.float32(1 / 4096.0)
            down[j, i] = np.float32(smooth[j + 2, i + 1] - smooth[j, i + 1]) * np.float32(1 / 4096.0)


@njit(cache=True, nogil=True)
def _blurred(values):  # type: ignore[no-untyped-def]
    """Return 256 times the binomial 1 4 6 4 1 of values both ways, two less on each side."""
    height, width = values.shape
    rows, result = np.empty((height, width - 4), np.int32), np.empty((height - 4, width - 4), np.int32)
    for j in range(height):
        for i in range(width - 4):
            near = values[j, i + 1] + values[j, i + 3]
            rows[j, i] = values[j, i] + values[j, i + 4] + 4 * near + 6 * values[j, i + 2]
    for j in range(height - 4):
        for i in range(width - 4):
            near = rows[j + 1, i] + rows[j + 3, i]
            result[j, i] = rows[j, i] + rows[j + 4, i] + 4 * near + 6 * rows[j + 2, i]
    return result


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

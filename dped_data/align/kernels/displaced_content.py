"""Cells of a patch that the map leaves unexplained, and cells that another displacement explains clearly better.

Every cell has its own gain and offset, and every pixel its own variance: the photos' noise at its grey level, and what
a small misregistration makes of its gradient. So a strong edge says no more than it knows, and the faint landscape
behind a window frame counts as much as the frame.

Sums run in float32 and in one order, without fast-math flags: the same on every machine.

No library has this; its reference in numpy is in tests/naive, not timed.
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when patches with two contents are found otherwise.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
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

WORTH_SEARCHING = 16.0
"""Least evidence that is of interest: patches whose residuals cannot hold as much are not searched."""

MOST_GAIN = 10.0

NEAREST_SQUARE = 3
"""Squared displacement, pixels, from which on another place is another one."""

CLOSER_LOOKS = 3
"""Every second displacement both ways is tried, and all those beside the best so many. Ours: in half of the time it
found the same largest evidence as a search of all for about nine in ten of 2,106 patches, and decided alike on all of
them but one."""

LANES = 16
"""Values summed at once: one of the widest vectors; processors with narrower ones take it in parts."""

PLAIN = bool(numba.config.DISABLE_JIT)
_FLOATS, _I64 = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)


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
        cells, over displacements from 1.5 pixels on, of the log likelihood ratio of that displacement against none,
        per independent cell (CLOSER_LOOKS says which are tried); 0 where it is below WORTH_SEARCHING for certain.
    """
    unexplained, evidence = np.zeros(len(dslr)), np.zeros(len(dslr))
    _displaced_content(
        np.ascontiguousarray(phone), np.ascontiguousarray(dslr), phone_noise, dslr_noise, unexplained, evidence
    )
    return unexplained, evidence


@njit(cache=True, nogil=True)
def _smooth(grey, across, smooth):  # type: ignore[no-untyped-def]
    """Fill smooth (h - 2, w - 2) with the means of grey (h, w) by 1 2 1 along both axes; exact in float32."""
    width = smooth.shape[1]
    for j in range(across.shape[0]):
        line, row = grey[j], across[j]
        for i in range(width):
            row[i] = np.int32(line[i]) + 2 * np.int32(line[i + 1]) + np.int32(line[i + 2])
    for j in range(smooth.shape[0]):
        above, here, below, row = across[j], across[j + 1], across[j + 2], smooth[j]
        for i in range(width):
            row[i] = np.float32(above[i] + 2 * here[i] + below[i]) * np.float32(1 / 16)


@njit(cache=True, nogil=True)
def _square_gradients(grey, squares):  # type: ignore[no-untyped-def]
    """Fill squares (S, S) with the squared gradients of grey (S, S)."""
    last = len(grey) - 1
    half = np.float32(0.5)
    for j in range(len(grey)):
        line, above, below, row = grey[j], grey[max(j - 1, 0)], grey[min(j + 1, last)], squares[j]
        for i in range(row.size):
            step = (below[i] - above[i]) * half
            row[i] = step * step
        for i in range(1, last):
            step = (line[i + 1] - line[i - 1]) * half
            row[i] += step * step
        for i, step in ((0, (line[1] - line[0]) * half), (last, (line[last] - line[last - 1]) * half)):
            row[i] += step * step


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_weights(phone, dslr, gain, phone_noise, dslr_noise, gradients, other, weights):  # type: ignore[no-untyped-def]
    """Fill weights (S, S) with the inverse variance of each pixel's difference; phone, dslr: (S, S) smoothed.

    gradients, other: (S + 2, S + 2) and (S, S) to work in; the rim of the first stays 0.
    """
    size = len(weights)
    gain, step = np.float32(gain), np.float32(LEVELS / 256)
    _square_gradients(dslr, weights)
    _square_gradients(phone, other)
    for j in range(size):
        row, own, line = gradients[j + 1][1 : size + 1], weights[j], other[j]
        for i in range(size):
            row[i] = max(own[i], gain * line[i])
    least, of_gradient = np.float32(LEAST_NOISE), np.float32(GRADIENT_SD_PX**2)
    columns, steep = np.empty(size + 2, np.float32), np.empty(size, np.float32)
    for j in range(size):
        above, here, below = gradients[j], gradients[j + 1], gradients[j + 2]
        for i in range(size + 2):
            columns[i] = above[i] + here[i] + below[i]
        rows = np.float32((j > 0) + 1 + (j < size - 1))
        for i in range(size):
            steep[i] = (columns[i] + columns[i + 1] + columns[i + 2]) / (3 * rows)
        for i in (0, size - 1):
            steep[i] *= np.float32(1.5)  # two columns there
        own, row, line, second = gradients[j + 1][1 : size + 1], weights[j], phone[j], dslr[j]
        for i in range(size):
            level, other_level = np.uint32(line[i] * step), np.uint32(second[i] * step)
            row[i] = phone_noise[level] + dslr_noise[other_level]
        for i in range(size):
            gradient = own[i] if own[i] > steep[i] else steep[i]
            row[i] = np.float32(1) / (row[i] + least + of_gradient * gradient)


@njit(cache=True, nogil=True)
def _clipped_pixels(phone, dslr, near, cells):  # type: ignore[no-untyped-def]
    """Fill cells with how many of their pixels lie at an end of the scale in either photo, or beside one that does.

    near: (S + 2, S + 2) uint8 to work in.
    """
    size = dslr.shape[0]
    near[:] = 0
    cells[:] = 0
    found = 0
    for j in range(size):
        line, other = phone[MARGIN + j, MARGIN : MARGIN + size], dslr[j]
        for i in range(size):
            if (min(line[i], other[i]) <= LOW_LEVEL) | (max(line[i], other[i]) >= HIGH_LEVEL):
                found += 1
                for v in range(3):
                    for u in range(3):
                        near[j + v, i + u] = 1
    if not found:
        return
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            count = 0
            for j in range(row * BLOCK + 1, (row + 2) * BLOCK + 1):
                for i in range(column * BLOCK + 1, (column + 2) * BLOCK + 1):
                    count += near[j, i]
            cells[row, column] = count


@njit(cache=True, nogil=True, error_model="numpy")
def _deal(values, rows, wide, planes):  # type: ignore[no-untyped-def]
    """Deal values (h, w) out to planes (BLOCK, BLOCK, >= rows * wide): every BLOCKth of a row and of a column together.

    A block's pixels then lie at one index of all planes, and whole planes are summed at once, which vectors can do.
    """
    planes[:] = 0.0
    height, width = min(values.shape[0], rows * BLOCK), min(values.shape[1], wide * BLOCK)
    for y in range(height):
        line, first = values[y], y // BLOCK * wide
        p0, p1, p2, p3 = (
            planes[y % BLOCK, 0, first : first + wide],
            planes[y % BLOCK, 1, first : first + wide],
            planes[y % BLOCK, 2, first : first + wide],
            planes[y % BLOCK, 3, first : first + wide],
        )
        for column in range(width // BLOCK):
            at = np.uint64(column) * np.uint64(BLOCK)
            p0[column] = line[at]
            p1[column] = line[at + np.uint64(1)]
            p2[column] = line[at + np.uint64(2)]
            p3[column] = line[at + np.uint64(3)]
        for x in range(width // BLOCK * BLOCK, width):
            planes[y % BLOCK, x % BLOCK, first + x // BLOCK] = line[x]


@intrinsic
def _vector_block_sums(typing_context, weights, weighted, moved, places, blocks):  # type: ignore[no-untyped-def]
    """Do what `plain_block_sums` does, in the same order, LANES at once: from loops over so many arrays the compiler
    makes no vectors, and one loop for each sum reads everything three times."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        arrays = [context.make_array(k)(context, builder, x) for k, x in zip(signature.args, arguments, strict=True)]
        w, wb, a, at, out = (array.data for array in arrays)
        count = cgutils.unpack_tuple(builder, arrays[0].shape)[2]
        row_step = cgutils.unpack_tuple(builder, arrays[4].shape)[1]
        planes = range(BLOCK * BLOCK)
        starts = [builder.gep(a, [builder.load(builder.gep(at, [_I64(plane)]))]) for plane in planes]
        with cgutils.for_range(builder, builder.udiv(count, _I64(LANES))) as loop:
            first = builder.mul(loop.index, _I64(LANES))
            sums: list[Any] = [None] * 3
            for v in range(BLOCK):
                parts: list[Any] = [None] * 3
                for plane in planes[v * BLOCK : (v + 1) * BLOCK]:
                    place = builder.add(first, builder.mul(count, _I64(plane)))
                    weight, product = (_values(builder, planes_of, place) for planes_of in (w, wb))
                    value = _values(builder, starts[plane], first)
                    once = builder.fmul(weight, value)
                    terms = once, builder.fmul(once, value), builder.fmul(product, value)
                    parts = [_added(builder, part, term) for part, term in zip(parts, terms, strict=True)]
                sums = [_added(builder, total, part) for total, part in zip(sums, parts, strict=True)]
            for k, total in enumerate(sums):
                target = builder.gep(out, [builder.add(first, builder.mul(row_step, _I64(k)))])
                builder.store(total, builder.bitcast(target, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(weights, weighted, moved, places, blocks), generate


def _values(builder, planes, place):  # type: ignore[no-untyped-def]
    return builder.load(builder.bitcast(builder.gep(planes, [place]), _FLOATS.as_pointer()), align=4)


def _added(builder, total, term):  # type: ignore[no-untyped-def]
    return term if total is None else builder.fadd(total, term)


@njit(nogil=True)
def plain_block_sums(weights, weighted, moved, places, blocks):  # type: ignore[no-untyped-def]
    """Fill the three rows of blocks with the sums over each block of w a, w a a and w a b.

    Args:
        weights, weighted: (BLOCK, BLOCK, n) float32 planes of w and of w b, n a multiple of LANES.
        moved: (m,) float32, the planes of a in a row; places: (BLOCK * BLOCK,) int64 where in it each plane begins.
        blocks: (3, >= n) float32.
    """
    for i in range(weights.shape[2]):
        sums = np.zeros(3, np.float32)
        for v in range(BLOCK):
            parts = np.zeros(3, np.float32)
            for u in range(BLOCK):
                value = moved[places[v * BLOCK + u] + i]
                once = weights[v, u, i] * value
                parts[0] += once
                parts[1] += once * value
                parts[2] += weighted[v, u, i] * value
            sums += parts
        for k in range(3):
            blocks[k, i] = sums[k]


block_sums = plain_block_sums if PLAIN else _vector_block_sums


@njit(cache=True, nogil=True, error_model="numpy")
def _cell_sums(weights, weighted, moved, left, top, wide, places, blocks, cells):  # type: ignore[no-untyped-def]
    """Fill cells (3, n) with the sums over each cell of w a, w a a and w a b, b weighted; a begins at left, top.

    weights, weighted: (BLOCK, BLOCK, n) planes of w and of w b; moved: planes of a with as many columns.
    """
    for v in range(BLOCK):
        for u in range(BLOCK):
            y, x = top + v, left + u
            plane = (y % BLOCK) * BLOCK + x % BLOCK
            places[v * BLOCK + u] = plane * moved.shape[2] + y // BLOCK * wide + x // BLOCK
    block_sums(weights, weighted, moved.reshape(-1), places, blocks)
    for k in range(3):
        _to_cells(blocks[k], wide, cells[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _to_cells(blocks, wide, cells):  # type: ignore[no-untyped-def]
    """Fill cells (n) with the sums of the two blocks by two that begin at each of the blocks (n + wide + 1)."""
    here, right, below, across = blocks, blocks[1:], blocks[wide:], blocks[wide + 1 :]
    for i in range(cells.size):
        cells[i] = (here[i] + right[i]) + (below[i] + across[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_residuals(cells, weight, weighted, power, residuals):  # type: ignore[no-untyped-def]
    """Fill residuals (n) with each cell's power of b that no gain and offset of a explains.

    cells: w a, w a a, w a b; weight, weighted, power: w, w b and the power of b.
    """
    first, second, product = cells[0], cells[1], cells[2]
    zero, least = np.float32(0.0), np.float32(0.02 * CELL_PIXELS)
    for i in range(residuals.size):
        mean = first[i] / weight[i]
        power_a = second[i] - first[i] * mean
        common = product[i] - weighted[i] * mean
        common = common if common > zero else zero
        power_a = power_a if power_a > least else least
        residuals[i] = power[i] - common * common / power_a


@njit(cache=True, nogil=True, error_model="numpy")
def _total_evidence(own, other, judged, rows, wide, gains, columns):  # type: ignore[no-untyped-def]
    """Return the sum over the judged cells of what each says for the other displacement beyond CELL_EVIDENCE."""
    zero, one, share = np.float32(0.0), np.float32(1.0), np.float32(1 / CELL_PIXELS)
    factor, margin, most = np.float32(0.5 / NOISE_CORRELATION), np.float32(CELL_EVIDENCE), np.float32(MOST_RESIDUAL)
    for i in range(gains.size):
        rest = other[i] * share
        least = rest if rest > one else one
        ratio = (own[i] - other[i]) * factor / least - margin
        ratio = ratio if ratio > zero else zero
        gains[i] = ratio * judged[i] if rest <= most else zero
    columns[:] = zero
    for row in range(rows):
        line = gains[row * wide : (row + 1) * wide]
        for i in range(wide):
            columns[i] += line[i]
    return columns.sum()


@njit(cache=True, nogil=True)
def _moments(values):  # type: ignore[no-untyped-def]
    """Return mean and variance of values, sixteenths of whole numbers: sums of whole numbers, in any order the same."""
    total, square = np.int64(0), np.int64(0)
    for j in range(values.shape[0]):
        line = values[j]
        for i in range(values.shape[1]):
            sixteenths = np.int64(line[i] * np.float32(16))
            total += sixteenths
            square += sixteenths * sixteenths
    mean = total / values.size
    return mean / 16, (square / values.size - mean * mean) / 256


@njit(cache=True, nogil=True, error_model="numpy")
def _displaced_content(phone, dslr, phone_noise, dslr_noise, unexplained, evidence):  # type: ignore[no-untyped-def]
    size = dslr.shape[1]
    rows = size // BLOCK
    reach_blocks = (2 * REACH + BLOCK - 1) // BLOCK + 1
    wide = rows + reach_blocks
    count = -(-rows * wide // LANES) * LANES
    places_of = np.empty(BLOCK * BLOCK, np.int64)
    broad = size + 2 * REACH
    a, b = np.empty((broad, broad), np.float32), np.empty((size, size), np.float32)
    inner = np.empty((size, size), np.float32)  # of a, one row after another: views have no vectors
    weights, other_squares = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    gradients = np.zeros((size + 2, size + 2), np.float32)
    across_a, across_b = np.empty((broad + 2, broad), np.int32), np.empty((size + 2, size), np.int32)
    padded, near = np.empty((size + 2, size + 2), np.uint8), np.empty((size + 2, size + 2), np.uint8)
    dealt = np.empty((BLOCK, BLOCK, (rows + reach_blocks) * wide + LANES), np.float32)
    planes = (BLOCK, BLOCK, count)
    w, wb, inner_b = np.empty(planes, np.float32), np.empty(planes, np.float32), np.empty(planes, np.float32)
    blocks, cells = np.zeros((3, count + wide + 1), np.float32), np.empty((3, count), np.float32)
    weight, weighted, power = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    own, other = np.empty(count, np.float32), np.empty(count, np.float32)
    gains, judged = np.empty(count, np.float32), np.empty(count, np.float32)
    columns = np.empty(wide, np.float32)
    found_at = np.empty((2 * REACH + 1, 2 * REACH + 1))
    strongest, places = np.empty(CLOSER_LOOKS), np.zeros((CLOSER_LOOKS, 2), np.int64)
    noise_a, noise_b = np.empty(LEVELS, np.float32), np.empty(LEVELS, np.float32)
    clipped = np.empty((rows - 1, rows - 1), np.int64)
    per_cell = BLOCK * BLOCK / CELL_PIXELS
    whole = rows * BLOCK
    for k in range(len(dslr)):
        for j in range(size + 2):
            for i in range(size + 2):
                padded[j, i] = dslr[k, min(max(j - 1, 0), size - 1), min(max(i - 1, 0), size - 1)]
        _smooth(phone[k], across_a, a)
        _smooth(padded, across_b, b)
        for j in range(size):
            inner[j] = a[REACH + j][REACH : REACH + size]
        mean_a, variance_a = _moments(inner)
        mean_b, variance_b = _moments(b)
        gain = min(max(variance_b / max(variance_a, 1e-6), 1 / MOST_GAIN), MOST_GAIN)
        for level in range(LEVELS):
            noise_a[level], noise_b[level] = (
                SMOOTHED_NOISE * gain * phone_noise[level],
                SMOOTHED_NOISE * dslr_noise[level],
            )
        _fill_weights(inner, b, gain, noise_a, noise_b, gradients, other_squares, weights)
        _clipped_pixels(phone[k], dslr[k], near, clipped)
        a -= np.float32(mean_a)  # sums of squares keep their digits
        b -= np.float32(mean_b)
        _deal(a, rows + reach_blocks, wide, dealt)
        _deal(weights[:whole, :whole], rows, wide, w)
        _deal(b[:whole, :whole], rows, wide, inner_b)
        for v in range(BLOCK):
            for u in range(BLOCK):
                for i in range(count):
                    wb[v, u, i] = w[v, u, i] * inner_b[v, u, i]
        blocks[:] = 0.0
        for v in range(BLOCK):
            for u in range(BLOCK):
                for i in range(count):
                    blocks[0, i] += w[v, u, i]
                    blocks[1, i] += wb[v, u, i]
                    blocks[2, i] += wb[v, u, i] * inner_b[v, u, i]
        _to_cells(blocks[0], wide, weight)
        _to_cells(blocks[1], wide, weighted)
        _to_cells(blocks[2], wide, power)
        judged[:] = 0.0
        for i in range(count):
            weight[i] = weight[i] if weight[i] > 0 else np.float32(1.0)
            power[i] -= weighted[i] * weighted[i] / weight[i]
        _cell_sums(w, wb, dealt, REACH, REACH, wide, places_of, blocks, cells)
        _fill_residuals(cells, weight, weighted, power, own)
        bound, found = 0.0, 0
        for row in range(rows - 1):
            for column in range(rows - 1):
                if clipped[row, column] > MOST_CLIPPED:
                    continue
                i = row * wide + column
                judged[i] = 1.0
                left = own[i] / CELL_PIXELS - NOISE_MARGIN
                signal = power[i] / CELL_PIXELS
                found += signal > LEAST_SIGNAL and left > MOST_UNEXPLAINED * signal
                bound += max(own[i] / (2 * NOISE_CORRELATION) - CELL_EVIDENCE, 0.0)
        unexplained[k] = found / (rows - 1) ** 2
        if bound * per_cell < WORTH_SEARCHING:
            continue
        found_at[:] = -1.0
        for dy in range(-REACH, REACH + 1, 2):
            for dx in range(-REACH, REACH + 1, 2):
                if dx * dx + dy * dy >= NEAREST_SQUARE:
                    _cell_sums(w, wb, dealt, REACH + dx, REACH + dy, wide, places_of, blocks, cells)
                    _fill_residuals(cells, weight, weighted, power, other)
                    found_at[REACH + dy, REACH + dx] = _total_evidence(own, other, judged, rows, wide, gains, columns)
        for n in range(CLOSER_LOOKS):
            strongest[n] = -1.0
            for y in range(0, 2 * REACH + 1, 2):
                for x in range(0, 2 * REACH + 1, 2):
                    new = True
                    for m in range(n):
                        new = new and (places[m, 0] != y or places[m, 1] != x)
                    if new and found_at[y, x] > strongest[n]:
                        strongest[n] = found_at[y, x]
                        places[n, 0], places[n, 1] = y, x
        most = strongest[0]
        for n in range(CLOSER_LOOKS):
            for y in range(max(places[n, 0] - 1, 0), min(places[n, 0] + 2, 2 * REACH + 1)):
                for x in range(max(places[n, 1] - 1, 0), min(places[n, 1] + 2, 2 * REACH + 1)):
                    if found_at[y, x] < 0.0 and (y - REACH) ** 2 + (x - REACH) ** 2 >= NEAREST_SQUARE:
                        _cell_sums(w, wb, dealt, x, y, wide, places_of, blocks, cells)
                        _fill_residuals(cells, weight, weighted, power, other)
                        found_at[y, x] = _total_evidence(own, other, judged, rows, wide, gains, columns)
                        most = max(most, found_at[y, x])
        evidence[k] = most * per_cell

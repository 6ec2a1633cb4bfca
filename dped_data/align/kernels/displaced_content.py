"""Cells of a patch that the map leaves unexplained, and blocks that another displacement explains clearly better.

Every cell has its own gain and offset, and every pixel its own variance: the photos' noise at its grey level, and what
a small misregistration makes of its gradient. So a strong edge says no more than it knows, and the faint landscape
behind a window frame counts as much as the frame. What lies elsewhere is sought in blocks smaller than a cell, which
fit between the bars of a frame; gain and offset are there those of the blocks around at no displacement, for light
does not depend on the surface.

Sums run in float32 and in one order, without fast-math flags: the same on every machine.

No library has this; its reference in numpy is in tests/naive, not timed.
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when patches with two contents are found otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from dped_data.common.jit import copy, njit

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

MOST_UNEXPLAINED = 0.4
"""Share of a textured cell's power beyond which what the map leaves is another content. Ours."""

LOW_LEVEL, HIGH_LEVEL, MOST_CLIPPED = 8, 245, 6
"""A cell with more than so many pixels at an end of the scale cannot be judged, nor a block with a quarter of them:
photos differ in where they clip."""

LEAST_POWER = 0.02 * CELL_PIXELS
"""Least power that a gain is measured with, noise variances. Ours."""

NOISE_CORRELATION = 8.0
"""Pixels that share one independent piece of noise, after smoothing. Ours."""

BLOCK_EVIDENCE = 1.5
"""Log likelihood ratio that a block must exceed to speak for another displacement. Ours: noise prefers some, too."""

MOST_OF_BLOCK = 6.0
"""Most that a block may say. Ours: another surface covers more than one block."""

MOST_RESIDUAL = 3.0
"""Residual power over the noise up to which a displacement explains a block at all. Ours."""

STANDS_OUT = 6.5
"""Evidence for the best displacement beyond FLANKS times that for any not beside it from which on another surface lies
there: a surface is at one place, while noise, sharpness and what is missing in one photo speak for many. Also the
least of interest: patches whose residuals cannot hold as much are not searched. Ours: the logarithm of how many
displacements are tried is 5."""

FLANKS, BESIDE_PX = 2.0, 2.5

MOST_GAIN = 10.0

NEAREST_SQUARE = 3
"""Squared displacement, pixels, from which on another place is another one."""

CLOSER_LOOKS = 3
"""Every second displacement both ways is tried, and all those beside the best so many. Ours: in half of the time it
found the same largest evidence as a search of all for about nine in ten of 2,106 patches, and decided alike on all of
them but one."""

LANES = 8
"""Values summed at once: a vector of most processors; more of them leave no room for what is summed together."""

TOGETHER = 3
"""Displacements that are summed at once, so that weights are read once for all of them. Ours: with AVX-512 four would
take 0.9 times as long, with AVX2 1.2 times; either way two thirds of what one after another takes."""

SUMMED = 256
"""Pixels whose squared smoothed levels, in sixteenths, 32 bits can add up."""

PLAIN = bool(numba.config.DISABLE_JIT)
_FLOATS, _I64 = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)


@dataclass(frozen=True)
class DisplacedContent:
    """What N patches' cells say of another displacement.

    Attributes:
        unexplained: (N,) share of the cells, 0 to 1, whose texture the phone does not have there.
        evidence: (N,) the largest sum over the blocks, over displacements from 1.7 pixels on, of the log likelihood
            ratio of that displacement against none (CLOSER_LOOKS says which are tried); 0 where it is below STANDS_OUT
            for certain.
        beyond: (N,) by how much it exceeds FLANKS times the largest farther than BESIDE_PX from it; exact from
            STANDS_OUT on.
        displacement: (N, 2) int64 where it lies, x and y, phone pixels.
    """

    unexplained: NDArray[np.float64]
    evidence: NDArray[np.float64]
    beyond: NDArray[np.float64]
    displacement: NDArray[np.int64]


def displaced_content(
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    phone_noise: NDArray[np.float64],
    dslr_noise: NDArray[np.float64],
) -> DisplacedContent:
    """Return how much of each patch is unexplained, and the evidence that a part of it lies elsewhere.

    Args:
        phone: (N, S + 2 MARGIN, S + 2 MARGIN) luminance of the phone photo around each patch.
        dslr: (N, S, S) luminance of the DSLR half as stored.
        phone_noise, dslr_noise: (LEVELS,) variance of the pixels' noise by grey level.
    """
    unexplained, evidence, beyond = np.zeros((3, len(dslr)))
    displacement = np.zeros((len(dslr), 2), np.int64)
    found = unexplained, evidence, beyond, displacement
    _displaced_content(np.ascontiguousarray(phone), np.ascontiguousarray(dslr), phone_noise, dslr_noise, True, *found)
    return DisplacedContent(*found)


def evidence_at(
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    phone_noise: NDArray[np.float64],
    dslr_noise: NDArray[np.float64],
    displacement: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return (N,) the largest evidence at a displacement (2,), x and y, or one pixel beside it.

    Args: as for `displaced_content`.
    """
    unexplained, evidence, beyond = np.zeros((3, len(dslr)))
    at = np.tile(np.asarray(displacement, np.int64), (len(dslr), 1))
    found = unexplained, evidence, beyond, at
    _displaced_content(np.ascontiguousarray(phone), np.ascontiguousarray(dslr), phone_noise, dslr_noise, False, *found)
    return evidence


@njit(cache=True, nogil=True)
def _smooth(grey, across, smooth):  # type: ignore[no-untyped-def]
    """Fill smooth (h - 2, w) with the means of grey (h, w) by 1 2 1 along both axes; exact in float32.

    Planes are worked through as one long row here and below, for vectors: the last two columns are of no use.
    """
    wide, values, means = grey.shape[1], grey.reshape(-1), smooth.reshape(-1)
    _sum_along(values, across[: values.size - 2])
    _mean_down(across, wide, means[: means.size - 2])


@njit(cache=True, nogil=True)
def _sum_along(values, sums):  # type: ignore[no-untyped-def]
    second, third = values[1:], values[2:]
    for i in range(sums.size):
        sums[i] = np.uint16(np.uint16(values[i]) + np.uint16(2) * np.uint16(second[i]) + np.uint16(third[i]))


@njit(cache=True, nogil=True)
def _mean_down(sums, step, means):  # type: ignore[no-untyped-def]
    second, third = sums[step:], sums[2 * step :]
    for i in range(means.size):
        means[i] = np.float32(np.int32(sums[i] + np.int32(2) * second[i] + third[i])) * np.float32(1 / 16)


@njit(cache=True, nogil=True)
def _square_gradients(grey, size, squares, ends):  # type: ignore[no-untyped-def]
    """Fill squares (size²) with the squared gradients of grey (size²); ends (2, size) to work in."""
    half = np.float32(0.5)
    inner = (size - 2) * size
    _square_steps(grey[2 * size :], grey, squares[size : size + inner])
    _square_steps(grey[size:], grey, squares[:size])
    _square_steps(grey[inner + size :], grey[inner:], squares[inner + size :])
    for j in range(size):
        left, right = j * size, (j + 1) * size - 1
        first, last = (grey[left + 1] - grey[left]) * half, (grey[right] - grey[right - 1]) * half
        ends[0, j], ends[1, j] = squares[left] + first * first, squares[right] + last * last
    _add_square_steps(grey[2:], grey, squares[1 : size * size - 1])
    for j in range(size):
        squares[j * size], squares[(j + 1) * size - 1] = ends[0, j], ends[1, j]


@njit(cache=True, nogil=True)
def _square_steps(after, before, squares):  # type: ignore[no-untyped-def]
    for i in range(squares.size):
        step = (after[i] - before[i]) * np.float32(0.5)
        squares[i] = step * step


@njit(cache=True, nogil=True)
def _add_square_steps(after, before, squares):  # type: ignore[no-untyped-def]
    for i in range(squares.size):
        step = (after[i] - before[i]) * np.float32(0.5)
        squares[i] += step * step


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_weights(phone, dslr, size, gain, phone_noise, dslr_noise, gradients, rooms, weights):  # type: ignore[no-untyped-def]
    """Fill weights (size²) with the inverse variance of each pixel's difference; phone, dslr: (size²) smoothed.

    gradients: ((size + 2) * size) whose first and last rows stay 0, rooms: (2, size²), to work in.
    """
    gain = np.float32(gain)
    columns, steep = rooms[0], rooms[1]
    _square_gradients(dslr, size, weights, gradients[: 2 * size].reshape(2, size))
    _square_gradients(phone, size, columns, gradients[: 2 * size].reshape(2, size))
    for i in range(size):
        gradients[i] = np.float32(0)
    own = gradients[size : size + size * size]
    _larger(weights, gain, columns, own)
    _add_rows(gradients, size, columns)
    _mean_of_nine(columns, steep[1 : size * size - 1])
    for j in range(size):
        left, right = j * size, (j + 1) * size - 1
        steep[left] = (columns[left] + columns[left + 1]) / np.float32(9)
        steep[right] = (columns[right - 1] + columns[right]) / np.float32(9)
    for j in (0, size - 1):  # two rows there
        for i in range(j * size, (j + 1) * size):
            before = columns[i - 1] if i > j * size else np.float32(0)
            after = columns[i + 1] if i + 1 < (j + 1) * size else np.float32(0)
            steep[i] = (before + columns[i] + after) / np.float32(6)
    for j in range(size):  # two columns there
        steep[j * size] *= np.float32(1.5)
        steep[(j + 1) * size - 1] *= np.float32(1.5)
    _look_up(phone, dslr, phone_noise, dslr_noise, weights)
    _invert(own, steep, weights)


@njit(cache=True, nogil=True)
def _larger(first, gain, second, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        other = gain * second[i]
        out[i] = other if other > first[i] else first[i]


@njit(cache=True, nogil=True)
def _add_rows(values, step, sums):  # type: ignore[no-untyped-def]
    second, third = values[step:], values[2 * step :]
    for i in range(sums.size):
        sums[i] = values[i] + second[i] + third[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_of_nine(columns, means):  # type: ignore[no-untyped-def]
    second, third = columns[1:], columns[2:]
    for i in range(means.size):
        means[i] = (columns[i] + second[i] + third[i]) / np.float32(9)


@njit(cache=True, nogil=True)
def _look_up(phone, dslr, phone_noise, dslr_noise, variances):  # type: ignore[no-untyped-def]
    """Fill variances with the sum of both photos' noise at their levels of grey."""
    step = np.float32(LEVELS / 256)
    for i in range(variances.size):
        level, other = np.uint32(np.int32(phone[i] * step)), np.uint32(np.int32(dslr[i] * step))
        variances[i] = phone_noise[level] + dslr_noise[other]


@njit(cache=True, nogil=True, error_model="numpy")
def _invert(own, steep, weights):  # type: ignore[no-untyped-def]
    least, of_gradient = np.float32(LEAST_NOISE), np.float32(GRADIENT_SD_PX**2)
    for i in range(weights.size):
        gradient = own[i] if own[i] > steep[i] else steep[i]
        weights[i] = np.float32(1) / (weights[i] + least + of_gradient * gradient)


@njit(cache=True, nogil=True)
def _clipped_pixels(phone, dslr, marks, blocks):  # type: ignore[no-untyped-def]
    """Fill blocks with how many of their pixels lie at an end of the scale in either photo, or beside one that does.

    marks: (2, S + 2, S + 2) uint8 to work in, whose rims stay 0.
    """
    size = dslr.shape[0]
    wide = size + 2
    found = 0
    low, high = np.uint8(LOW_LEVEL), np.uint8(HIGH_LEVEL)
    for j in range(size):
        line, other, row = phone[MARGIN + j, MARGIN : MARGIN + size], dslr[j], marks[0, j + 1, 1 : size + 1]
        ends = np.uint8(0)
        for i in range(size):
            end = np.uint8((line[i] <= low) | (other[i] <= low) | (line[i] >= high) | (other[i] >= high))
            row[i] = end
            ends |= end
        found += int(ends)
    blocks[:] = 0
    if not found:
        return
    near, along = marks[0].reshape(-1), marks[1].reshape(-1)
    _any_of_three(near, 1, along[: near.size - 2])
    _any_of_three(along, wide, near[: size * wide])  # of pixel j, i at j * wide + i
    for row in range(blocks.shape[0]):
        for column in range(blocks.shape[1]):
            first = row * BLOCK * wide + column * BLOCK
            count = 0
            for j in range(BLOCK):
                for i in range(BLOCK):
                    count += near[first + j * wide + i]
            blocks[row, column] = count
    for i in range(wide):
        marks[0, 0, i] = 0
        marks[0, i, 0], marks[0, i, wide - 1] = 0, 0


@njit(cache=True, nogil=True)
def _any_of_three(values, step, out):  # type: ignore[no-untyped-def]
    second, third = values[step:], values[2 * step :]
    for i in range(out.size):
        out[i] = values[i] | second[i] | third[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _deal(values, step, height, width, wide, planes):  # type: ignore[no-untyped-def]
    """Deal values, height rows of width a step apart, out to planes (BLOCK, BLOCK, n): every BLOCKth of a row and of a
    column together.

    A block's pixels then lie at one index of all planes, and whole planes are summed at once, which vectors can do.
    """
    for y in range(height):
        line, first = values[y * step : y * step + width], y // BLOCK * wide
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
def _vector_block_sums(typing_context, weights, weighted, moved, places, blocks, together):  # type: ignore[no-untyped-def]
    """Do what `plain_block_sums` does, in the same order, LANES at once: from loops over so many arrays the compiler
    makes no vectors, and one loop for each sum reads everything three times."""
    count_of = len(together)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kinds, given = signature.args[:5], arguments[:5]
        arrays = [context.make_array(k)(context, builder, x) for k, x in zip(kinds, given, strict=True)]
        w, wb, a, at, out = (array.data for array in arrays)
        count = cgutils.unpack_tuple(builder, arrays[0].shape)[2]
        row_step = cgutils.unpack_tuple(builder, arrays[4].shape)[1]
        planes = range(BLOCK * BLOCK)
        starts = [
            [builder.gep(a, [builder.load(builder.gep(at, [_I64(g * BLOCK * BLOCK + plane)]))]) for plane in planes]
            for g in range(count_of)
        ]
        with cgutils.for_range(builder, builder.udiv(count, _I64(LANES))) as loop:
            first = builder.mul(loop.index, _I64(LANES))
            sums: list[list[Any]] = [[None] * 3 for _ in starts]
            for v in range(BLOCK):
                parts: list[list[Any]] = [[None] * 3 for _ in starts]
                for plane in planes[v * BLOCK : (v + 1) * BLOCK]:
                    place = builder.add(first, builder.mul(count, _I64(plane)))
                    weight, product = (_values(builder, planes_of, place) for planes_of in (w, wb))
                    for g, begins in enumerate(starts):
                        value = _values(builder, begins[plane], first)
                        once = builder.fmul(weight, value)
                        terms = once, builder.fmul(once, value), builder.fmul(product, value)
                        parts[g] = [_added(builder, part, term) for part, term in zip(parts[g], terms, strict=True)]
                sums = [
                    [_added(builder, total, part) for total, part in zip(*both, strict=True)]
                    for both in zip(sums, parts, strict=True)
                ]
            for k, total in enumerate(total for three in sums for total in three):
                target = builder.gep(out, [builder.add(first, builder.mul(row_step, _I64(k)))])
                builder.store(total, builder.bitcast(target, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(weights, weighted, moved, places, blocks, together), generate


def _values(builder, planes, place):  # type: ignore[no-untyped-def]
    return builder.load(builder.bitcast(builder.gep(planes, [place]), _FLOATS.as_pointer()), align=4)


def _added(builder, total, term):  # type: ignore[no-untyped-def]
    return term if total is None else builder.fadd(total, term)


@njit(nogil=True)
def plain_block_sums(weights, weighted, moved, places, blocks, together):  # type: ignore[no-untyped-def]
    """Fill three rows of blocks for each of G displacements with the sums over each block of w a, w a a and w a b.

    Args:
        weights, weighted: (BLOCK, BLOCK, n) float32 planes of w and of w b, n a multiple of LANES.
        moved: (m,) float32, the planes of a in a row; places: (G, BLOCK * BLOCK) int64 where in it each plane begins.
        blocks: (3 G, >= n) float32.
        together: a tuple G long, so that G is a constant.
    """
    for g in range(len(together)):
        for i in range(weights.shape[2]):
            sums = np.zeros(3, np.float32)
            for v in range(BLOCK):
                parts = np.zeros(3, np.float32)
                for u in range(BLOCK):
                    value = moved[places[g, v * BLOCK + u] + i]
                    once = weights[v, u, i] * value
                    parts[0] += once
                    parts[1] += once * value
                    parts[2] += weighted[v, u, i] * value
                sums += parts
            for k in range(3):
                blocks[3 * g + k, i] = sums[k]


ALL_TOGETHER = (0,) * TOGETHER

block_sums = plain_block_sums if PLAIN else _vector_block_sums


@njit(cache=True, nogil=True, error_model="numpy")
def _moved_sums(planes, moved, at_xy, wide, places, blocks, together):  # type: ignore[no-untyped-def]
    """Fill blocks (3 G, >= n) with the sums over each block of w a, w a a and w a b; a begins at each of at_xy (G, 2).

    planes: (2, BLOCK, BLOCK, n) of w and of w b; moved: planes of a with as many columns. together: a tuple G long.
    """
    for g in range(len(together)):
        for v in range(BLOCK):
            for u in range(BLOCK):
                y, x = at_xy[g, 1] + v, at_xy[g, 0] + u
                plane = (y % BLOCK) * BLOCK + x % BLOCK
                places[g, v * BLOCK + u] = plane * moved.shape[2] + y // BLOCK * wide + x // BLOCK
    block_sums(planes[0], planes[1], moved.reshape(-1), places, blocks, together)


@njit(cache=True, nogil=True, error_model="numpy")
def _to_cells(blocks, wide, cells):  # type: ignore[no-untyped-def]
    """Fill cells (n) with the sums of the two blocks by two that begin at each of the blocks (n + wide + 1)."""
    here, right, below, across = blocks, blocks[1:], blocks[wide:], blocks[wide + 1 :]
    for i in range(cells.size):
        cells[i] = (here[i] + right[i]) + (below[i] + across[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_residuals(first, second, product, wide, weight, weighted, power, residuals):  # type: ignore[no-untyped-def]
    """Fill residuals (n) with each cell's power of b that no gain and offset of a explains.

    first, second, product: each block's w a, w a a, w a b; weight, weighted, power: each cell's w, w b and power of b.
    """
    zero, least = np.float32(0.0), np.float32(LEAST_POWER)
    first_1, first_2, first_3 = first[1:], first[wide:], first[wide + 1 :]
    second_1, second_2, second_3 = second[1:], second[wide:], second[wide + 1 :]
    product_1, product_2, product_3 = product[1:], product[wide:], product[wide + 1 :]
    for i in range(residuals.size):
        total = (first[i] + first_1[i]) + (first_2[i] + first_3[i])
        square = (second[i] + second_1[i]) + (second_2[i] + second_3[i])
        both = (product[i] + product_1[i]) + (product_2[i] + product_3[i])
        mean = total / weight[i]
        power_a = square - total * mean
        common = both - weighted[i] * mean
        common = common if common > zero else zero
        power_a = power_a if power_a > least else least
        residuals[i] = power[i] - common * common / power_a


@njit(cache=True, nogil=True, error_model="numpy")
def _fit_blocks(own, weight, weighted, square, rows, wide, near, fit):  # type: ignore[no-untyped-def]
    """Fill fit (3, n): each block's gain and offset by the three by three blocks around it, what does not depend on a.

    own: (3, >= n) sums of w a, w a a and w a b; weight, weighted, square: (n) those of w, w b and w b b. Columns from
    `rows` on hold zeros. near: (5, wide) to work in.
    """
    gain, offset, constant = fit[0], fit[1], fit[2]
    for row in range(rows):
        first, last = max(row - 1, 0) * wide, min(row + 2, rows) * wide
        near[:] = np.float32(0.0)
        for start in range(first, last, wide):
            for i in range(wide):
                near[0, i] += weight[start + i]
                near[1, i] += weighted[start + i]
                near[2, i] += own[0, start + i]
                near[3, i] += own[1, start + i]
                near[4, i] += own[2, start + i]
        for column in range(rows):
            before, after = max(column - 1, 0), min(column + 2, rows)
            w, wb, wa = near[0, before:after].sum(), near[1, before:after].sum(), near[2, before:after].sum()
            power = near[3, before:after].sum() - wa * wa / w
            common = near[4, before:after].sum() - wa * wb / w
            i = row * wide + column
            gain[i] = max(common, np.float32(0.0)) / max(power, np.float32(LEAST_POWER))
            offset[i] = (wb - gain[i] * wa) / w
            constant[i] = square[i] - np.float32(2) * offset[i] * weighted[i] + offset[i] * offset[i] * weight[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_block_residuals(first, second, product, fit, residuals):  # type: ignore[no-untyped-def]
    """Fill residuals (n) with the mean power of b in each block that its gain and offset of a leave.

    first, second, product: each block's w a, w a a, w a b; fit: (3, n) as `_fit_blocks` fills it.
    """
    two, share = np.float32(2), np.float32(1 / (BLOCK * BLOCK))
    gain, offset, constant = fit[0], fit[1], fit[2]
    for i in range(residuals.size):
        common = product[i] - offset[i] * first[i]
        residuals[i] = (constant[i] - gain[i] * (two * common - gain[i] * second[i])) * share


@njit(cache=True, nogil=True, error_model="numpy")
def _total_evidence(own, other, judged, rows, wide, gains, columns):  # type: ignore[no-untyped-def]
    """Return the sum over the judged blocks of what each says for the other displacement beyond BLOCK_EVIDENCE."""
    zero, one = np.float32(0.0), np.float32(1.0)
    factor, margin = np.float32(BLOCK * BLOCK / 2 / NOISE_CORRELATION), np.float32(BLOCK_EVIDENCE)
    most, ceiling = np.float32(MOST_RESIDUAL), np.float32(MOST_OF_BLOCK)
    for i in range(gains.size):
        rest = other[i]
        least = rest if rest > one else one
        ratio = (own[i] - rest) * factor / least - margin
        ratio = ratio if ratio > zero else zero
        ratio = ratio if ratio < ceiling else ceiling
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
    for start in range(0, values.size, SUMMED):
        part = values[start : start + SUMMED]
        part_total, part_square = np.uint32(0), np.uint32(0)
        for i in range(part.size):
            sixteenths = np.uint32(np.int32(part[i] * np.float32(16)))
            part_total += sixteenths
            part_square += np.uint32(sixteenths * sixteenths)
        total += np.int64(part_total)
        square += np.int64(part_square)
    mean = total / values.size
    return mean / 16, (square / values.size - mean * mean) / 256


@njit(cache=True, nogil=True)
def _sum_planes(planes, sums):  # type: ignore[no-untyped-def]
    """Fill sums (n) with those of planes (BLOCK, BLOCK, n), one after another."""
    for i in range(sums.size):
        sums[i] = np.float32(0)
    for v in range(BLOCK):
        p0, p1, p2, p3 = planes[v, 0], planes[v, 1], planes[v, 2], planes[v, 3]
        for i in range(sums.size):
            sums[i] = (((sums[i] + p0[i]) + p1[i]) + p2[i]) + p3[i]


@njit(cache=True, nogil=True)
def _multiply(a, b, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = a[i] * b[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _look(to_move, blocks_of, work, x, y, reach, step, found_at):  # type: ignore[no-untyped-def]
    """Fill in the evidence found_at (2 REACH + 1, 2 REACH + 1) up to `reach` around x, y where it is not known yet."""
    planes, dealt, begins = to_move
    fit, own, judged, rows, wide = blocks_of
    looks, sums, residuals, gains, columns = work
    count = 0
    for j in range(max(y - reach, 0), min(y + reach, 2 * REACH) + 1, step):
        for i in range(max(x - reach, 0), min(x + reach, 2 * REACH) + 1, step):
            if found_at[j, i] < 0.0 and (i - REACH) ** 2 + (j - REACH) ** 2 >= NEAREST_SQUARE:
                looks[count, 0], looks[count, 1] = i, j
                count += 1
    if not count:
        return
    for n in range(count, count + TOGETHER - 1):  # the last one again where others are missing
        copy(looks[count - 1], looks[n])
    for first in range(0, count, TOGETHER):
        some = looks[first : first + TOGETHER]
        _moved_sums(planes, dealt, some, wide, begins, sums, ALL_TOGETHER)
        for g in range(TOGETHER):
            _fill_block_residuals(sums[3 * g], sums[3 * g + 1], sums[3 * g + 2], fit, residuals[g])
            total = _total_evidence(own, residuals[g], judged, rows, wide, gains, columns)
            found_at[some[g, 1], some[g, 0]] = total


@njit(cache=True, nogil=True)
def _peak(found_at, step, chosen):  # type: ignore[no-untyped-def]
    """Return x and y of the largest evidence at every `step`th displacement that is not among chosen (K, 2)."""
    x, y, most = 0, 0, -1.0
    for j in range(0, 2 * REACH + 1, step):
        for i in range(0, 2 * REACH + 1, step):
            new = found_at[j, i] > most
            for m in range(len(chosen)):
                new = new and (chosen[m, 0] != i or chosen[m, 1] != j)
            if new:
                x, y, most = i, j, found_at[j, i]
    return x, y


@njit(cache=True, nogil=True)
def _beyond_others(found_at, x, y):  # type: ignore[no-untyped-def]
    """Return by how much the evidence at x, y exceeds FLANKS times any that is not beside it."""
    most = 0.0
    for j in range(2 * REACH + 1):
        for i in range(2 * REACH + 1):
            if (i - x) ** 2 + (j - y) ** 2 > BESIDE_PX**2:
                most = max(most, found_at[j, i])
    return found_at[y, x] - FLANKS * most


@njit(cache=True, nogil=True, error_model="numpy")
def _displaced_content(  # type: ignore[no-untyped-def]
    phone, dslr, phone_noise, dslr_noise, search, unexplained, evidence, beyond, displacement
):
    size = dslr.shape[1]
    rows = size // BLOCK
    reach_blocks = (2 * REACH + BLOCK - 1) // BLOCK + 1
    wide = rows + reach_blocks
    count = -(-rows * wide // LANES) * LANES
    broad = size + 2 * REACH
    stride_a, stride_b = broad + 2, size + 2
    a, b_wide = np.empty((broad, stride_a), np.float32), np.empty((size, stride_b), np.float32)
    inner, b = np.empty(size * size, np.float32), np.empty(size * size, np.float32)  # views have no vectors
    weights, rooms = np.empty(size * size, np.float32), np.empty((2, size * size), np.float32)
    gradients = np.zeros((size + 2) * size, np.float32)
    across = np.empty(stride_a * stride_a, np.uint16)
    padded, marks = np.empty((stride_b, stride_b), np.uint8), np.zeros((2, stride_b, stride_b), np.uint8)
    dealt = np.zeros((BLOCK, BLOCK, (rows + reach_blocks) * wide + LANES), np.float32)
    planes = np.zeros((2, BLOCK, BLOCK, count), np.float32)  # of w and of w b
    inner_b, power_b = np.zeros((BLOCK, BLOCK, count), np.float32), np.zeros((BLOCK, BLOCK, count), np.float32)
    blocks, of_b = np.zeros((3 * TOGETHER, count + wide + 1), np.float32), np.empty((3, count), np.float32)
    own, own_blocks, residuals = (
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty((TOGETHER, count), np.float32),
    )
    near_sums, of_dslr, fit = (
        np.empty((5, wide), np.float32),
        np.empty((3, count), np.float32),
        np.zeros((3, count), np.float32),
    )
    gains, judged = np.empty(count, np.float32), np.empty(count, np.float32)
    columns = np.empty(wide, np.float32)
    found_at = np.empty((2 * REACH + 1, 2 * REACH + 1))
    places = np.zeros((CLOSER_LOOKS, 2), np.int64)
    begins = np.empty((TOGETHER, BLOCK * BLOCK), np.int64)
    here, looks = np.full((1, 2), REACH), np.empty(((2 * REACH + 1) ** 2 + TOGETHER, 2), np.int64)
    noise_a, noise_b = np.empty(LEVELS, np.float32), np.empty(LEVELS, np.float32)
    clipped = np.empty((rows, rows), np.int64)
    to_move, blocks_of = (planes, dealt, begins), (fit, own_blocks, judged, rows, wide)
    work = looks, blocks, residuals, gains, columns
    whole = rows * BLOCK
    for k in range(len(dslr)):
        for j in range(stride_b):
            line, row = dslr[k, min(max(j - 1, 0), size - 1)], padded[j]
            copy(line, row[1:])
            row[0], row[size + 1] = line[0], line[size - 1]
        _smooth(phone[k], across, a)
        _smooth(padded, across, b_wide)
        for j in range(size):
            copy(a[REACH + j][REACH : REACH + size], inner[j * size :])
            copy(b_wide[j][:size], b[j * size :])
        mean_a, variance_a = _moments(inner)
        mean_b, variance_b = _moments(b)
        gain = min(max(variance_b / max(variance_a, 1e-6), 1 / MOST_GAIN), MOST_GAIN)
        for level in range(LEVELS):
            noise_a[level], noise_b[level] = (
                SMOOTHED_NOISE * gain * phone_noise[level],
                SMOOTHED_NOISE * dslr_noise[level],
            )
        _fill_weights(inner, b, size, gain, noise_a, noise_b, gradients, rooms, weights)
        _clipped_pixels(phone[k], dslr[k], marks, clipped)
        _subtract(np.float32(mean_a), a.reshape(-1))  # sums of squares keep their digits
        _subtract(np.float32(mean_b), b)
        height = min(broad, (rows + reach_blocks) * BLOCK)
        _deal(a.reshape(-1), stride_a, height, min(broad, wide * BLOCK), wide, dealt)
        _deal(weights, size, whole, whole, wide, planes[0])
        _deal(b, size, whole, whole, wide, inner_b)
        _multiply(planes[0].reshape(-1), inner_b.reshape(-1), planes[1].reshape(-1))
        _multiply(planes[1].reshape(-1), inner_b.reshape(-1), power_b.reshape(-1))
        _sum_planes(planes[0], blocks[0, :count])
        _sum_planes(planes[1], blocks[1, :count])
        _sum_planes(power_b, blocks[2, :count])
        for n in range(3):
            copy(blocks[n, :count], of_dslr[n])
        weight, weighted, power = of_b[0], of_b[1], of_b[2]
        for n in range(3):
            _to_cells(blocks[n], wide, of_b[n])
        for i in range(count):
            weight[i] = weight[i] if weight[i] > 0 else np.float32(1.0)
            power[i] -= weighted[i] * weighted[i] / weight[i]
        _moved_sums(planes, dealt, here, wide, begins, blocks, (0,))
        _fill_residuals(blocks[0], blocks[1], blocks[2], wide, weight, weighted, power, own)
        found = 0
        for row in range(rows - 1):
            for column in range(rows - 1):
                if clipped[row : row + 2, column : column + 2].sum() <= MOST_CLIPPED:
                    i = row * wide + column
                    left = own[i] / CELL_PIXELS - NOISE_MARGIN
                    signal = power[i] / CELL_PIXELS
                    found += signal > LEAST_SIGNAL and left > MOST_UNEXPLAINED * signal
        unexplained[k] = found / (rows - 1) ** 2
        _fit_blocks(blocks, of_dslr[0], of_dslr[1], of_dslr[2], rows, wide, near_sums, fit)
        _fill_block_residuals(blocks[0], blocks[1], blocks[2], fit, own_blocks)
        judged[:] = 0.0
        bound = 0.0
        for row in range(rows):
            for column in range(rows):
                if 4 * clipped[row, column] <= MOST_CLIPPED:
                    i = row * wide + column
                    judged[i] = 1.0
                    most = own_blocks[i] * (BLOCK * BLOCK / 2 / NOISE_CORRELATION) - BLOCK_EVIDENCE
                    bound += min(max(most, 0.0), MOST_OF_BLOCK)
        found_at[:] = -1.0
        if not search:
            x, y = displacement[k, 0] + REACH, displacement[k, 1] + REACH
            _look(to_move, blocks_of, work, x, y, 1, 1, found_at)
            evidence[k] = max(found_at.max(), 0.0)
            continue
        if bound < STANDS_OUT:
            continue
        _look(to_move, blocks_of, work, REACH, REACH, REACH, 2, found_at)
        for n in range(CLOSER_LOOKS):
            x, y = _peak(found_at, 2, places[:n])
            places[n, 0], places[n, 1] = x, y
            _look(to_move, blocks_of, work, x, y, 1, 1, found_at)
        x, y = _peak(found_at, 1, places[:0])
        beyond[k] = _beyond_others(found_at, x, y)
        if beyond[k] > STANDS_OUT:
            _look(to_move, blocks_of, work, REACH, REACH, REACH, 1, found_at)
            x, y = _peak(found_at, 1, places[:0])
            beyond[k] = _beyond_others(found_at, x, y)
        evidence[k] = found_at[y, x]
        displacement[k, 0], displacement[k, 1] = x - REACH, y - REACH


@njit(cache=True, nogil=True)
def _subtract(mean, values):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        values[i] -= mean

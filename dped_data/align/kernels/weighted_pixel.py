"""One sample of a photo as sums over its taps, in vectors of the compiler's own language.

From loops the compiler makes tests for overlapping arrays at every sample, and scalar sums: three times as slow.
Fallback and oracle: `plain_weighted_pixel`, the same bytes from a loop. It takes over where the compiler is off
(NUMBA_DISABLE_JIT=1) and with DPED_PLAIN_SAMPLING=1, which helps where a new llvmlite builds the vectors no more.
Delete the vectors when the plain loop is as fast.
"""

from __future__ import annotations

import os
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dped_data.common.jit import njit

PLAIN = bool(numba.config.DISABLE_JIT) or os.environ.get("DPED_PLAIN_SAMPLING", "0") != "0"
"""Whether the loop takes the intrinsic's place."""

LANES = 8
"""Values summed at once: one vector of most processors; others take it in parts."""

_FLOATS, _DOUBLES = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.DoubleType(), 4)
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FUSED = ("contract",)  # exact either way


@intrinsic
def vector_weighted_pixel(typing_context, region, at, row_step, kernel_y, phase_y, kernel_x, phase_x, scale, taps):  # type: ignore[no-untyped-def]
    """Return the pixel (3 uint8) that sums over taps x taps pixels make, times `scale`, rounded half up.

    Vertical sums first, channels side by side, then horizontal ones of these.

    Args:
        region: (V,) float32, rows of RGB pixels, one after another; LANES values past the last tap are read too.
        at: of the first tap's red; row_step: values per row.
        kernel_y, kernel_x: (P, T) float32 and float64 weights; phase_y, phase_x: rows of them.
        scale: float64.
        taps: a tuple T long, so that T is a constant.
    """
    count = len(taps)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kinds = signature.args
        first, step = (builder.sext(arguments[k], _I64) for k in (1, 2))
        pixels, weights_y, weights_x = (
            context.make_array(kinds[k])(context, builder, arguments[k]).data for k in (0, 3, 5)
        )
        row_y, row_x = (builder.mul(builder.sext(arguments[k], _I64), _I64(count)) for k in (4, 6))
        sums: list[Any] = [None] * -(-(3 * count + 1) // LANES)  # one value more than needed: pixels are read as four
        for tap in range(count):
            row = builder.add(first, builder.mul(step, _I64(tap)))
            weight = _spread(builder, builder.load(builder.gep(weights_y, [builder.add(row_y, _I64(tap))])), LANES)
            for part in range(len(sums)):
                place = builder.gep(pixels, [builder.add(row, _I64(part * LANES))])
                values = builder.load(builder.bitcast(place, _FLOATS.as_pointer()), align=4)
                sums[part] = _added(builder, sums[part], values, weight)
        total = None
        for tap in range(count):
            part, lane = divmod(3 * tap, LANES)
            pick = ir.Constant(ir.VectorType(_I32, 4), [lane, lane + 1, lane + 2, lane + 3])
            pixel = builder.shuffle_vector(sums[part], sums[min(part + 1, len(sums) - 1)], pick)
            weight = _spread(builder, builder.load(builder.gep(weights_x, [builder.add(row_x, _I64(tap))])), 4)
            total = _added(builder, total, builder.fpext(pixel, _DOUBLES), weight)
        value = builder.fmul(total, _spread(builder, arguments[7], 4))
        value = builder.fadd(value, ir.Constant(_DOUBLES, [0.5] * 4))  # what exceeds a whole number is cut off below
        for limit, beyond in ((0.0, "<"), (255.0, ">")):
            bound = ir.Constant(_DOUBLES, [limit] * 4)
            value = builder.select(builder.fcmp_ordered(beyond, value, bound), bound, value)
        levels = builder.trunc(builder.fptosi(value, ir.VectorType(_I32, 4)), ir.VectorType(ir.IntType(8), 4))
        channels = [builder.extract_element(levels, _I32(channel)) for channel in range(3)]
        return context.make_tuple(builder, signature.return_type, channels)

    pixel = types.UniTuple(types.uint8, 3)
    return pixel(region, at, row_step, kernel_y, phase_y, kernel_x, phase_x, scale, taps), generate


def _spread(builder, scalar, width):  # type: ignore[no-untyped-def]
    """Return a vector of `width` times the scalar."""
    vector = builder.insert_element(ir.Constant(ir.VectorType(scalar.type, width), ir.Undefined), scalar, _I32(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, width), [0] * width))


def _added(builder, total, values, weight):  # type: ignore[no-untyped-def]
    product = builder.fmul(values, weight, flags=_FUSED)
    return product if total is None else builder.fadd(total, product, flags=_FUSED)


@njit(nogil=True)
def plain_weighted_pixel(region, at, row_step, kernel_y, phase_y, kernel_x, phase_x, scale, taps):  # type: ignore[no-untyped-def]
    """Return what `vector_weighted_pixel` does, by loops; sums of whole numbers, so that all bytes are the same."""
    total = np.zeros(3)
    for k in range(len(taps)):
        for channel in range(3):
            down = np.float32(0.0)
            for m in range(len(taps)):
                down += kernel_y[phase_y, m] * region[at + m * row_step + 3 * k + channel]
            total[channel] += np.float64(down) * kernel_x[phase_x, k]
    total = np.minimum(np.maximum(total * scale + 0.5, 0.0), 255.0)
    return np.uint8(total[0]), np.uint8(total[1]), np.uint8(total[2])


weighted_pixel = plain_weighted_pixel if PLAIN else vector_weighted_pixel

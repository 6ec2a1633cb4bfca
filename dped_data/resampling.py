"""The patch geometry as a dense map, and the one resampling of the DSLR photo along it (leaf).

Both functions depend on the geometry of one patch and nothing else, so that a stored patch can be
re-created, byte for byte, from the DSLR photo and its row of `dslr_xy`.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dped_data.compiled import FAST_MATH

NODES = 5
"""Nodes of a patch's geometry along each side."""

PHASE_BITS = 8
PHASES = 1 << PHASE_BITS
"""Sub-pixel positions of the interpolation kernel. Ours: a quarter of 1/64 px is far below any misalignment."""

WEIGHT_BITS = 12
"""Fixed-point bits of the kernel weights; integer sums make the samples exact and equal on every machine."""


@cache
def node_weights(patch_size: int) -> NDArray[np.float64]:
    """Return the weights (S, 5) that interpolate the five nodes of a side at its S patch pixels.

    Row i holds the values at pixel i of the five cardinal cubic splines over linspace(0, S-1, 5), with the
    not-a-knot end condition (one cubic through the first three and through the last three nodes).
    """
    spline = CubicSpline(np.linspace(0.0, patch_size - 1, NODES), np.eye(NODES), axis=0, bc_type="not-a-knot")
    return np.ascontiguousarray(spline(np.arange(patch_size, dtype=np.float64)))


def dense_map(dslr_xy: NDArray[np.float64], patch_size: int) -> NDArray[np.float64]:
    """Return where every patch pixel lies in the DSLR photo: the bicubic interpolation of the nodes.

    The interpolation is the tensor product of cubic splines with the not-a-knot end condition; it equals
    `scipy.interpolate.RectBivariateSpline(t, t, nodes, kx=3, ky=3, s=0)` with t = linspace(0, S-1, 5).

    Args:
        dslr_xy: (N, 5, 5, 2) nodes, [row, column] -> (x, y) in DSLR pixels.
        patch_size: side S of the patch, pixels.
    Returns:
        (N, S, S, 2) float64, DSLR pixels.
    """
    weights = node_weights(patch_size)
    dense = np.empty((len(dslr_xy), patch_size, patch_size, 2))
    for nodes, target in zip(dslr_xy, dense, strict=True):
        _dense_map_of_one(np.ascontiguousarray(nodes, dtype=np.float64), weights, target)
    return dense


def sample_dslr(dslr: NDArray[np.uint8], dslr_xy: NDArray[np.float64], patch_size: int) -> NDArray[np.uint8]:
    """Sample the full-resolution DSLR photo once, anti-aliased, on each patch's dense map.

    Each sample is the mean over a box of one phone pixel (its sides: the patch's mean DSLR pixels per patch
    pixel along x and y, to 1/64 px, at least one DSLR pixel) of the Keys cubic (a = -1/2) through the DSLR pixels.
    Photo edges are replicated. Weights have 1/256 px phases and 12 bits; sums are of whole numbers, exact,
    and rounded half up.

    Args:
        dslr: (H, W, 3) uint8.
        dslr_xy: (N, 5, 5, 2) float64 nodes as for `dense_map`.
        patch_size: side S, pixels.
    Returns:
        (N, S, S, 3) uint8.
    """
    weights = node_weights(patch_size)
    pixels = np.ascontiguousarray(dslr)
    patches = np.empty((len(dslr_xy), patch_size, patch_size, 3), np.uint8)
    dense = np.empty((patch_size, patch_size, 2))
    for nodes, patch in zip(dslr_xy, patches, strict=True):
        nodes_xy = np.ascontiguousarray(nodes, dtype=np.float64)
        _dense_map_of_one(nodes_xy, weights, dense)
        side_x, side_y = _box_sides(_pixel_steps(nodes_xy, patch_size))
        _sample(pixels, dense, *_kernels(side_x, side_y), patch)
    return patches


def sample_map(
    dslr: NDArray[np.uint8], dslr_xy: NDArray[np.float64], step_xy: tuple[float, float]
) -> NDArray[np.uint8]:
    """Sample the DSLR photo as `sample_dslr` does, at any dense map.

    Args:
        dslr: (H, W, 3) uint8.
        dslr_xy: (h, w, 2) float64, DSLR pixels.
        step_xy: DSLR pixels per target pixel along the DSLR's x and y: the sides of the box.
    Returns:
        (h, w, 3) uint8.
    """
    target = np.empty((*dslr_xy.shape[:2], 3), np.uint8)
    side_x, side_y = _box_sides(step_xy)
    _sample(np.ascontiguousarray(dslr), np.ascontiguousarray(dslr_xy), *_kernels(side_x, side_y), target)
    return target


def _box_sides(step_xy: tuple[float, float]) -> tuple[int, int]:
    """Return the box's sides in 64ths of a DSLR pixel, at least one pixel."""
    return max(64, int(step_xy[0] * 64 + 0.5)), max(64, int(step_xy[1] * 64 + 0.5))


def _pixel_steps(nodes_xy: NDArray[np.float64], patch_size: int) -> tuple[float, float]:
    """Return the mean extent of a patch pixel in the DSLR photo along the DSLR's x and y."""
    along_columns = (nodes_xy[:, -1] - nodes_xy[:, 0]).mean(axis=0) / (patch_size - 1)
    along_rows = (nodes_xy[-1] - nodes_xy[0]).mean(axis=0) / (patch_size - 1)
    extent = np.sqrt(along_columns**2 + along_rows**2)
    return float(extent[0]), float(extent[1])


@lru_cache(maxsize=256)
def area_kernel(width_64ths: int) -> NDArray[np.int32]:
    """Return the taps (PHASES, T) of a box of `width_64ths / 64` px over the Keys cubic, in 2**-WEIGHT_BITS.

    Row p belongs to a sample (p / PHASES) to the right of pixel 0; tap k weighs pixel k - T // 2 + 1.
    Each row sums to 2**WEIGHT_BITS exactly: what rounding leaves goes to the largest tap.
    """
    width = width_64ths / 64
    taps = 2 * int(np.ceil(2 + width / 2))
    offset = np.arange(taps) - taps // 2 + 1 - np.arange(PHASES)[:, None] / PHASES
    exact = (_keys_integral(offset + width / 2) - _keys_integral(offset - width / 2)) / width
    fixed = np.floor(exact * 2**WEIGHT_BITS + 0.5).astype(np.int32)
    row = np.arange(PHASES)
    fixed[row, fixed.argmax(axis=1)] += 2**WEIGHT_BITS - fixed.sum(axis=1, dtype=np.int32)
    return fixed


@lru_cache(maxsize=256)
def _kernels(side_x_64ths: int, side_y_64ths: int) -> tuple[NDArray[np.float64], NDArray[np.float32], tuple[int, ...]]:
    """Return both directions' taps, made equally wide by zeros, in types that hold their sums, and a tuple as long."""
    kernels = [area_kernel(side) for side in (side_x_64ths, side_y_64ths)]
    count = max(kernel.shape[1] for kernel in kernels)
    x, y = (np.pad(k, ((0, 0), (((count - k.shape[1]) // 2,) * 2))) for k in kernels)
    return x.astype(np.float64), y.astype(np.float32), (0,) * count


def _keys_integral(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral from 0 to x of the Keys cubic with a = -1/2 (Keys 1981, equation 15)."""
    t = np.minimum(np.abs(x), 2.0)
    inner = np.minimum(t, 1.0)
    integral = inner - 5 / 6 * inner**3 + 3 / 8 * inner**4
    outer = np.maximum(t, 1.0)
    integral += (2 * outer - 2 * outer**2 + 5 / 6 * outer**3 - outer**4 / 8) - (2 - 2 + 5 / 6 - 1 / 8)
    return np.sign(x) * integral


@njit(cache=True, nogil=True)
def _dense_map_of_one(nodes_xy, weights, dense):  # type: ignore[no-untyped-def]
    """Fill `dense` (S, S, 2) from nodes (5, 5, 2): down the columns first; sums in the order of the nodes."""
    size = dense.shape[0]
    row = np.empty((5, 2))
    for i in range(size):
        for column in range(5):
            for axis in range(2):
                total = weights[i, 0] * nodes_xy[0, column, axis]
                for k in range(1, 5):
                    total += weights[i, k] * nodes_xy[k, column, axis]
                row[column, axis] = total
        for j in range(size):
            w0, w1, w2, w3, w4 = weights[j, 0], weights[j, 1], weights[j, 2], weights[j, 3], weights[j, 4]
            for axis in range(2):
                total = w0 * row[0, axis] + w1 * row[1, axis] + w2 * row[2, axis]
                dense[i, j, axis] = total + w3 * row[3, axis] + w4 * row[4, axis]


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _sample(photo, dense, kernel_x, kernel_y, taps, target):  # type: ignore[no-untyped-def]
    """Fill the target (h, w, 3): vertical sums of rows of taps, channels side by side, then horizontal ones.

    All sums are of whole numbers and exact: vertical ones stay below 2**24 (float32), horizontal ones below 2**53.
    The length of the tuple `taps` is the kernels' width: a constant for the compiler, which then unrolls the loops.
    """
    height, width = photo.shape[0], photo.shape[1]
    count = len(taps)
    before = count // 2 - 1
    flat = photo.reshape(-1)
    row_step = np.uint64(3 * width)  # unsigned: the compiler then need not allow for indices from the end
    sums = np.empty(3 * count, np.float32)
    for i in range(dense.shape[0]):
        for j in range(dense.shape[1]):
            # To the nearest phase; the clip keeps absurd geometry inside the integer range.
            fine_x = np.int64(np.floor(min(max(dense[i, j, 0], -1e6), 1e6) * PHASES + 0.5))
            fine_y = np.int64(np.floor(min(max(dense[i, j, 1], -1e6), 1e6) * PHASES + 0.5))
            phase_x, phase_y = fine_x & (PHASES - 1), fine_y & (PHASES - 1)
            left = (fine_x >> PHASE_BITS) - before
            top = (fine_y >> PHASE_BITS) - before
            if left >= 0 and left + count <= width and top >= 0 and top + count <= height:
                at = np.uint64((top * width + left) * 3)
                for lane in range(3 * count):
                    total = np.float32(0)
                    for tap in range(count):
                        value = flat[at + np.uint64(tap) * row_step + np.uint64(lane)]
                        total += kernel_y[phase_y, tap] * np.float32(value)
                    sums[lane] = total
            else:
                for k in range(count):
                    column = min(max(left + k, 0), width - 1)
                    for channel in range(3):
                        total = np.float32(0)
                        for tap in range(count):
                            row = min(max(top + tap, 0), height - 1)
                            total += kernel_y[phase_y, tap] * np.float32(photo[row, column, channel])
                        sums[3 * k + channel] = total
            red, green, blue = 0.0, 0.0, 0.0
            for k in range(count):
                weight_x = kernel_x[phase_x, k]
                red += weight_x * sums[3 * k]
                green += weight_x * sums[3 * k + 1]
                blue += weight_x * sums[3 * k + 2]
            target[i, j, 0] = _rounded(red)
            target[i, j, 1] = _rounded(green)
            target[i, j, 2] = _rounded(blue)


@njit(cache=True, nogil=True)
def _rounded(total):  # type: ignore[no-untyped-def]
    """Scale a sum of weighted pixels to a pixel, rounded half up."""
    return np.uint8(min(max(np.floor(total / 4.0**WEIGHT_BITS + 0.5), 0.0), 255.0))

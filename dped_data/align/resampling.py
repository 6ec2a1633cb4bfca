"""The patch geometry as a dense map, and the one resampling of the DSLR photo along it.

Both functions depend on the geometry of one patch and nothing else, so that a stored patch can be
re-created, byte for byte, from the DSLR photo and its row of `dslr_xy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dped_data.align.kernels.weighted_pixel import LANES, PLAIN, weighted_pixel
from dped_data.common.jit import njit
from dped_data.common.patch_nodes import NODES, node_steps

PHASE_BITS = 8
PHASES = 1 << PHASE_BITS
"""Sub-pixel positions of the interpolation kernel. Ours: a quarter of 1/64 px is far below any misalignment."""

WEIGHT_BITS = 12
"""Fixed-point bits of the kernel weights; integer sums make the samples exact and equal on every machine."""

REGION_VALUES = 3 << 17
"""What a block of samples may span of the DSLR photo, values: a patch at three times the phone's scale, and it stays in
the processor's cache."""


@cache
def node_weights(patch_size: int) -> NDArray[np.float64]:
    """Return the weights (S, 5) that interpolate the five nodes of a side at its S patch pixels.

    Row i holds the values at pixel i of the five cardinal cubic splines over linspace(0, S-1, 5), with the
    not-a-knot end condition (one cubic through the first three and through the last three nodes).
    """
    spline = CubicSpline(node_steps(patch_size), np.eye(NODES), axis=0, bc_type="not-a-knot")
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
    weights = _weights_by_node(patch_size)
    planes = np.empty((len(dslr_xy), 2, patch_size, patch_size))
    for nodes, target in zip(np.ascontiguousarray(dslr_xy, dtype=np.float64), planes, strict=True):
        _dense_map_of_one(nodes, weights, target)
    return np.ascontiguousarray(np.moveaxis(planes, 1, -1))


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
    weights = _weights_by_node(patch_size)
    pixels = np.ascontiguousarray(dslr)
    nodes_xy = np.ascontiguousarray(dslr_xy, dtype=np.float64)
    patches = np.empty((len(nodes_xy), patch_size, patch_size, 3), np.uint8)
    dense, region = np.empty((2, patch_size, patch_size)), _empty_region()
    for nodes, step_xy, patch in zip(nodes_xy, _pixel_steps(nodes_xy, patch_size).tolist(), patches, strict=True):
        _dense_map_of_one(nodes, weights, dense)
        _sample_block(pixels, dense, _kernels(*_box_sides(step_xy)), patch, region)
    return patches


def sample_dslr_16(dslr: NDArray[np.uint16], dslr_xy: NDArray[np.float64], patch_size: int) -> NDArray[np.uint16]:
    """Sample a DSLR photo of 16 bits, (H, W, 3), as `sample_dslr` does one of 8: by the same weights, in whole numbers.

    Returns (N, S, S, 3) uint16; of a photo whose values are at most 255 that is what `sample_dslr` gives.
    """
    pixels, nodes_xy = np.ascontiguousarray(dslr), np.ascontiguousarray(dslr_xy, dtype=np.float64)
    patches = np.empty((len(nodes_xy), patch_size, patch_size, 3), np.uint16)
    steps = _pixel_steps(nodes_xy, patch_size).tolist()
    for patch, map_xy, step_xy in zip(patches, dense_map(nodes_xy, patch_size), steps, strict=True):
        kernels = _kernels(*_box_sides(step_xy))
        top = int(np.iinfo(np.uint16).max)
        _sample_16(pixels, map_xy, kernels.x.astype(np.int64), kernels.y.astype(np.int64), top, patch)
    return patches


@njit(cache=True, nogil=True)
def _sample_16(photo, map_xy, kernel_x, kernel_y, top, target):  # type: ignore[no-untyped-def]
    """Fill the target (S, S, 3); photo edges are replicated."""
    taps = kernel_x.shape[1]
    before, last_x, last_y = taps // 2 - 1, photo.shape[1] - 1, photo.shape[0] - 1
    half = np.int64(1) << (2 * WEIGHT_BITS - 1)
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            x = np.int64(np.floor(min(max(map_xy[i, j, 0], -taps), last_x + taps) * PHASES + 0.5))
            y = np.int64(np.floor(min(max(map_xy[i, j, 1], -taps), last_y + taps) * PHASES + 0.5))
            column, row = (x >> PHASE_BITS) - before, (y >> PHASE_BITS) - before
            weights_x, weights_y = kernel_x[x & (PHASES - 1)], kernel_y[y & (PHASES - 1)]
            for channel in range(3):
                total = np.int64(0)
                for k in range(taps):
                    line = photo[min(max(row + k, 0), last_y)]
                    across = np.int64(0)
                    for m in range(taps):
                        across += weights_x[m] * np.int64(line[min(max(column + m, 0), last_x), channel])
                    total += weights_y[k] * across
                target[i, j, channel] = min(max((total + half) >> (2 * WEIGHT_BITS), 0), top)


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
    dense = np.ascontiguousarray(np.moveaxis(dslr_xy, -1, 0), dtype=np.float64)
    _sample_block(np.ascontiguousarray(dslr), dense, _kernels(*_box_sides(step_xy)), target, _empty_region())
    return target


def _box_sides(step_xy: Sequence[float]) -> tuple[int, int]:
    """Return the box's sides in 64ths of a DSLR pixel, at least one pixel."""
    return max(64, int(step_xy[0] * 64 + 0.5)), max(64, int(step_xy[1] * 64 + 0.5))


def _pixel_steps(nodes_xy: NDArray[np.float64], patch_size: int) -> NDArray[np.float64]:
    """Return (N, 2) the mean extent of a patch pixel in the DSLR photo along the DSLR's x and y."""
    along_columns = (nodes_xy[:, :, -1] - nodes_xy[:, :, 0]).mean(axis=1) / (patch_size - 1)
    along_rows = (nodes_xy[:, -1] - nodes_xy[:, 0]).mean(axis=1) / (patch_size - 1)
    extent: NDArray[np.float64] = np.sqrt(along_columns**2 + along_rows**2)
    return extent


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


@dataclass(frozen=True)
class _Kernels:
    """Both directions' taps (PHASES, T), equally many, in types that hold their sums; `taps` is a tuple T long."""

    x: NDArray[np.float64]
    y: NDArray[np.float32]
    taps: tuple[int, ...]


@lru_cache(maxsize=256)
def _kernels(side_x_64ths: int, side_y_64ths: int) -> _Kernels:
    """Return both directions' kernels, the narrower one made as wide as the other by zeros."""
    kernels = [area_kernel(side) for side in (side_x_64ths, side_y_64ths)]
    count = max(kernel.shape[1] for kernel in kernels)
    x, y = (np.pad(k, ((0, 0), (((count - k.shape[1]) // 2,) * 2))) for k in kernels)
    return _Kernels(x.astype(np.float64), y.astype(np.float32), (0,) * count)


def _keys_integral(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral from 0 to x of the Keys cubic with a = -1/2 (Keys 1981, equation 15)."""
    t = np.minimum(np.abs(x), 2.0)
    inner = np.minimum(t, 1.0)
    integral = inner - 5 / 6 * inner**3 + 3 / 8 * inner**4
    outer = np.maximum(t, 1.0)
    integral += (2 * outer - 2 * outer**2 + 5 / 6 * outer**3 - outer**4 / 8) - (2 - 2 + 5 / 6 - 1 / 8)
    return np.sign(x) * integral


@cache
def _weights_by_node(patch_size: int) -> NDArray[np.float64]:
    """Return `node_weights` as (5, S), so that compiled loops run along a row of pixels."""
    return np.ascontiguousarray(node_weights(patch_size).T)


@njit(cache=True, nogil=True)
def _dense_map_of_one(nodes_xy, weights, dense):  # type: ignore[no-untyped-def]
    """Fill `dense` (2, S, S) from nodes (5, 5, 2): down the columns first; sums in the order of the nodes."""
    size = dense.shape[1]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    node = np.empty(5)
    for axis in range(2):
        for i in range(size):
            for column in range(5):
                total = weights[0, i] * nodes_xy[0, column, axis]
                for k in range(1, 5):
                    total += weights[k, i] * nodes_xy[k, column, axis]
                node[column] = total
            n0, n1, n2, n3, n4 = node[0], node[1], node[2], node[3], node[4]
            row = dense[axis, i]
            for j in range(size):
                row[j] = w0[j] * n0 + w1[j] * n1 + w2[j] * n2 + w3[j] * n3 + w4[j] * n4


def _empty_region() -> NDArray[np.float32]:
    return np.empty(REGION_VALUES + LANES, np.float32)


def _sample_block(
    photo: NDArray[np.uint8],
    dense: NDArray[np.float64],
    kernels: _Kernels,
    target: NDArray[np.uint8],
    region: NDArray[np.float32],
) -> None:
    """Fill the target (h, w, 3) through the dense map (2, h, w), by halves where it spans too much of the photo."""
    if _sample(photo, dense, kernels.x, kernels.y, kernels.taps, target, region):
        return
    rows, columns = target.shape[:2]
    middle = max(rows, columns) // 2
    for half in (slice(0, middle), slice(middle, None)):
        part = (half,) if rows >= columns else (slice(None), half)
        _sample_block(photo, np.ascontiguousarray(dense[:, *part]), kernels, target[part], region)


@njit(cache=True, nogil=True)
def _to_phases(dense, size, reach, phases):  # type: ignore[no-untyped-def]
    """Fill `phases` with coordinates to the nearest 1 / PHASES px; return the least and the largest.

    Beyond `reach` pixels outside the photo all taps fall on its edge, so that going farther changes nothing.
    """
    least, most = np.float64(-reach), np.float64(size - 1 + reach)
    low, high = np.int32(2**31 - 1), np.int32(-(2**31))
    for i in range(dense.shape[0]):
        row, fine = dense[i], phases[i]
        for j in range(row.size):
            at = row[j] if row[j] > least else least  # in this order NaN becomes `least`
            at = min(at, most)
            fine[j] = np.int32(np.floor(at * np.float64(PHASES) + 0.5))
        for j in range(row.size):
            low, high = min(low, fine[j]), max(high, fine[j])
    return low, high


@njit(cache=True, nogil=True)
def _copy_region(photo, left, top, width, height, region):  # type: ignore[no-untyped-def]
    """Fill the region, rows of 3 * width values, with the photo from (left, top) on; its edges are continued."""
    for i in range(height):
        source = photo[min(max(top + i, 0), photo.shape[0] - 1)]
        row = region[3 * width * i : 3 * width * (i + 1)]
        first = min(max(-left, 0), width)
        last = max(min(photo.shape[1] - left, width), first)
        inner = source[max(left, 0) : max(left, 0) + last - first].reshape(-1)
        middle = row[3 * first : 3 * last]
        for k in range(middle.size):
            middle[k] = np.float32(inner[k])
        for j in range(first):
            for channel in range(3):
                row[3 * j + channel] = np.float32(source[0, channel])
        for j in range(last, width):
            for channel in range(3):
                row[3 * j + channel] = np.float32(source[photo.shape[1] - 1, channel])


@njit(cache=not PLAIN, nogil=True)  # what is kept on disk does not know which of the two it was made of
def _sample(photo, dense, kernel_x, kernel_y, taps, target, region):  # type: ignore[no-untyped-def]
    """Fill the target (h, w, 3); return False, having done nothing, if `region` cannot hold what it spans.

    The part of the photo that it spans is converted once. Then for each sample vertical sums of rows of taps, channels
    side by side, and horizontal ones of these. All are sums of whole numbers and exact: vertical ones stay below 2**24
    (float32), horizontal ones below 2**53. The tuple `taps` is as long as the kernels are wide.
    """
    count = len(taps)
    before = count // 2 - 1
    rows, columns = target.shape[0], target.shape[1]
    phases_x, phases_y = np.empty((rows, columns), np.int32), np.empty((rows, columns), np.int32)
    low_x, high_x = _to_phases(dense[0], photo.shape[1], count, phases_x)
    low_y, high_y = _to_phases(dense[1], photo.shape[0], count, phases_y)
    left, top = (low_x >> PHASE_BITS) - before, (low_y >> PHASE_BITS) - before
    width = (high_x >> PHASE_BITS) - before + count - left
    height = (high_y >> PHASE_BITS) - before + count - top
    if 3 * width * height > region.size - LANES and rows * columns > 1:
        return False
    _copy_region(photo, left, top, width, height, region)
    row_step = np.int64(3 * width)
    for i in range(rows):
        for j in range(columns):
            x, y = phases_x[i, j], phases_y[i, j]
            column, row = (x >> PHASE_BITS) - before - left, (y >> PHASE_BITS) - before - top
            at, phase_x, phase_y = np.int64(row) * row_step + 3 * column, x & (PHASES - 1), y & (PHASES - 1)
            target[i, j, 0], target[i, j, 1], target[i, j, 2] = weighted_pixel(
                region, at, row_step, kernel_y, phase_y, kernel_x, phase_x, 0.25**WEIGHT_BITS, taps
            )
    return True

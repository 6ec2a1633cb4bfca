"""Where the windows of a photo lie: a regular grid, placed so that most windows fit into the overlap (leaf)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.smooth_map import SmoothMap

LATTICE_PX = 32
"""Spacing at which the map is evaluated for placing the grid; smooth maps are straight over so short a way."""


def reach_of(dslr_from_phone: SmoothMap) -> NDArray[np.float64]:
    """Return how far the DSLR photo reaches beyond each point of a lattice over the phone photo.

    Returns:
        (rows, columns) distance to the DSLR photo's nearest edge, DSLR pixels, negative outside, at multiples of
        LATTICE_PX.
    """
    width, height = dslr_from_phone.phone_size_wh
    x = np.arange(0, width + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    y = np.arange(0, height + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    mapped = dslr_from_phone(np.stack(np.meshgrid(x, y), axis=-1))
    last = np.array(dslr_from_phone.dslr_size_wh) - 1.0
    return np.minimum(mapped, last - mapped).min(axis=-1)


def overlap_share(dslr_from_phone: SmoothMap) -> float:
    """Return the share of the phone photo, 0 to 1, that the DSLR photo covers, from a lattice of 65 x 65 points."""
    width, height = dslr_from_phone.phone_size_wh
    x, y = np.meshgrid(np.linspace(0, width - 1, 65), np.linspace(0, height - 1, 65))
    mapped = dslr_from_phone(np.stack((x, y), axis=-1))
    inside = (mapped >= 0) & (mapped <= np.array(dslr_from_phone.dslr_size_wh) - 1)
    return float(inside.all(axis=-1).mean())


def place_windows(
    reach: NDArray[np.float64], phone_size_wh: tuple[int, int], size_px: int, stride_px: int
) -> NDArray[np.int32]:
    """Return the top-left corners (W, 2), in reading order, of the windows of the best-placed grid.

    The grid's origin is searched over one stride, in about 25 steps each way, for the most windows that lie inside
    both photos; ties go to the origin nearest the top-left corner of their intersection.

    Args:
        reach: see `reach_of`.
        phone_size_wh: size of the phone photo.
        size_px, stride_px: side of the windows and step of the grid, pixels.
    """
    width, height = phone_size_wh
    if width < size_px or height < size_px:
        return np.empty((0, 2), np.int32)
    step = next(s for s in range(max(1, stride_px // 20), 0, -1) if stride_px % s == 0)
    x = np.minimum(np.arange(0, width + step, step), width - 1)
    y = np.minimum(np.arange(0, height + step, step), height - 1)
    inside = _interpolated(reach, x, y) >= 0
    reach_over = -(-(size_px - 1) // step)
    columns = max(0, (width - size_px) // step + 1)
    rows = max(0, (height - size_px) // step + 1)
    fits = np.ones((rows, columns), bool)
    for row in (0, reach_over):
        for column in (0, reach_over):
            corner = np.zeros((rows, columns), bool)
            part = inside[row : row + rows, column : column + columns]
            corner[: part.shape[0], : part.shape[1]] = part
            fits &= corner
    per_stride = stride_px // step
    best, origin = -1, (0, 0)
    for row in range(min(per_stride, rows)):
        for column in range(min(per_stride, columns)):
            count = int(fits[row::per_stride, column::per_stride].sum())
            if count > best:
                best, origin = count, (row, column)
    chosen = np.argwhere(fits[origin[0] :: per_stride, origin[1] :: per_stride]) * per_stride + np.array(origin)
    return np.ascontiguousarray(chosen[:, ::-1] * step, dtype=np.int32)


def _interpolated(lattice: NDArray[np.float64], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the bilinear interpolation of the lattice at all pairs of whole-pixel columns and rows."""
    i, j = y // LATTICE_PX, x // LATTICE_PX
    fy, fx = (y / LATTICE_PX - i)[:, None], x / LATTICE_PX - j
    upper, lower = lattice[i], lattice[i + 1]
    rows = upper + (lower - upper) * fy
    result: NDArray[np.float64] = rows[:, j] + (rows[:, j + 1] - rows[:, j]) * fx
    return result

"""Where the windows of a photo lie: a regular grid, placed so that most windows fit into the overlap (leaf)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.smooth_map import SmoothMap

ROUNDING_PX = 1e-6
"""The photo's own edge counts as inside whatever the rounding of the map."""

LATTICE_PX = 32
"""Spacing at which the map is evaluated for placing the grid; smooth maps are straight over so short a way."""


def overlap_share(dslr_from_phone: SmoothMap) -> float:
    """Return the share of the phone photo, 0 to 1, that the DSLR photo covers, from a lattice of 65 x 65 points."""
    width, height = dslr_from_phone.phone_size_wh
    x, y = np.meshgrid(np.linspace(0, width - 1, 65), np.linspace(0, height - 1, 65))
    mapped = dslr_from_phone(np.stack((x, y), axis=-1))
    inside = (mapped >= 0) & (mapped <= np.array(dslr_from_phone.dslr_size_wh) - 1)
    return float(inside.all(axis=-1).mean())


def place_windows(dslr_from_phone: SmoothMap, size_px: int, stride_px: int) -> NDArray[np.int32]:
    """Return the top-left corners (W, 2), in reading order, of the windows of the best-placed grid.

    The grid's origin is searched over one stride, in about 25 steps each way, for the most windows that lie inside
    both photos; ties go to the origin nearest the top-left corner of their intersection.

    Args:
        dslr_from_phone: decides what lies inside the DSLR photo.
        size_px, stride_px: side of the windows and step of the grid, pixels.
    """
    width, height = dslr_from_phone.phone_size_wh
    if width < size_px or height < size_px:
        return np.empty((0, 2), np.int32)
    step = next(s for s in range(max(1, stride_px // 20), 0, -1) if stride_px % s == 0)
    x = np.minimum(np.arange(0, width + step, step), width - 1)
    y = np.minimum(np.arange(0, height + step, step), height - 1)
    inside = _inside(dslr_from_phone, x, y)
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
    if not fits.any():
        return np.empty((0, 2), np.int32)
    corner_row, corner_column = int(fits.any(axis=1).argmax()), int(fits.any(axis=0).argmax())
    best, origin = -1, (0, 0)
    for row in (np.arange(corner_row, corner_row + per_stride) % per_stride).tolist():
        for column in (np.arange(corner_column, corner_column + per_stride) % per_stride).tolist():
            count = int(fits[row::per_stride, column::per_stride].sum())
            if count > best:
                best, origin = count, (row, column)
    chosen = np.argwhere(fits[origin[0] :: per_stride, origin[1] :: per_stride]) * per_stride + np.array(origin)
    return np.ascontiguousarray(chosen[:, ::-1] * step, dtype=np.int32)


def _inside(dslr_from_phone: SmoothMap, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the DSLR photo covers the phone pixels at all pairs of rows and columns."""
    width, height = dslr_from_phone.phone_size_wh
    lattice_x = np.arange(0, width + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    lattice_y = np.arange(0, height + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    lattice = dslr_from_phone(np.stack(np.meshgrid(lattice_x, lattice_y), axis=-1))
    inside = np.ones((len(y), len(x)), bool)
    i, j = y // LATTICE_PX, x // LATTICE_PX
    fy, fx = (y / LATTICE_PX - i)[:, None], x / LATTICE_PX - j
    for axis, size in enumerate(dslr_from_phone.dslr_size_wh):
        rows = lattice[i, :, axis] * (1 - fy) + lattice[i + 1, :, axis] * fy
        mapped = rows[:, j] * (1 - fx) + rows[:, j + 1] * fx
        inside &= (mapped >= -ROUNDING_PX) & (mapped <= size - 1 + ROUNDING_PX)
    return inside

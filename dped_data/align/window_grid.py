"""Where the windows of a photo lie: a regular grid, placed so that most windows fit into the overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.smooth_map import SmoothMap
from dped_data.common.jit import njit

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


def place_windows(
    dslr_from_phone: SmoothMap, size_px: int, stride_px: int, even_from_xy: tuple[int, int] | None = None
) -> NDArray[np.int32]:
    """Return the top-left corners (W, 2), in reading order, of the windows of the best-placed grid.

    The grid's origin is searched over one stride, in about 25 steps each way, for the most windows that lie inside
    both photos; ties go to the origin nearest the top-left corner of their intersection.

    Args:
        dslr_from_phone: decides what lies inside the DSLR photo.
        size_px, stride_px: side of the windows and step of the grid, pixels.
        even_from_xy: corners lie at even distances from this pixel, 0 or 1 each; the stride is even then. None: at any.
    """
    width, height = dslr_from_phone.phone_size_wh
    left, top = even_from_xy or (0, 0)
    width, height = width - left, height - top
    if width < size_px or height < size_px:
        return np.empty((0, 2), np.int32)
    grain = 1 if even_from_xy is None else 2
    at_most = range(max(1, stride_px // 20), 0, -1)
    step = next((s for s in at_most if stride_px % s == 0 and s % grain == 0), grain)
    x = left + np.minimum(np.arange(0, width + step, step), width - 1)
    y = top + np.minimum(np.arange(0, height + step, step), height - 1)
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
    counts = _counts_by_origin(fits, per_stride)
    from_corner = np.roll(counts, (-corner_row, -corner_column), axis=(0, 1))
    steps = np.unravel_index(from_corner.argmax(), counts.shape)  # the first of equals
    origin = (int(steps[0] + corner_row) % per_stride, int(steps[1] + corner_column) % per_stride)
    chosen = np.argwhere(fits[origin[0] :: per_stride, origin[1] :: per_stride]) * per_stride + np.array(origin)
    return np.ascontiguousarray(chosen[:, ::-1] * step + (left, top), dtype=np.int32)


def _inside(dslr_from_phone: SmoothMap, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the DSLR photo covers the phone pixels at all pairs of rows and columns."""
    width, height = dslr_from_phone.phone_size_wh
    lattice_x = np.arange(0, width + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    lattice_y = np.arange(0, height + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    lattice = dslr_from_phone(np.stack(np.meshgrid(lattice_x, lattice_y), axis=-1))
    inside = np.ones((len(y), len(x)), bool)
    last_xy = np.array(dslr_from_phone.dslr_size_wh) - 1 + ROUNDING_PX
    _mark_inside(lattice, x, y, last_xy, inside)
    return inside


@njit(cache=True, nogil=True)
def _mark_inside(lattice, x, y, last_xy, inside):  # type: ignore[no-untyped-def]
    """Fill inside (rows, columns): whether the lattice's bilinear interpolation lies between 0 and `last_xy`."""
    row = np.empty((lattice.shape[1], 2))
    for k in range(len(y)):
        i = y[k] // LATTICE_PX
        fy = y[k] / LATTICE_PX - i
        for j in range(len(row)):
            for axis in range(2):
                row[j, axis] = lattice[i, j, axis] * (1 - fy) + lattice[i + 1, j, axis] * fy
        for m in range(len(x)):
            j = x[m] // LATTICE_PX
            fx = x[m] / LATTICE_PX - j
            for axis in range(2):
                mapped = row[j, axis] * (1 - fx) + row[j + 1, axis] * fx
                inside[k, m] &= (mapped >= -ROUNDING_PX) & (mapped <= last_xy[axis])


def _counts_by_origin(fits: NDArray[np.bool_], steps: int) -> NDArray[np.int64]:
    """Return (S, S): how many of `fits` lie on the grid of each origin, S steps apart."""
    rows, columns = (-size % steps for size in fits.shape)
    whole = np.pad(fits, ((0, rows), (0, columns)))
    counts: NDArray[np.int64] = whole.reshape(-1, steps, whole.shape[1] // steps, steps).sum(axis=(0, 2))
    return counts

"""Look into patches part by part: does every part of a pair show the same, in the same place?

A patch's one shift says nothing of a window in which a near object, a passer-by or another surface covers a part: the
larger content decides it. Here cells of a quarter of the side, which overlap by half, are each searched for. This is
the correlation of `remeasure`, not the builder's test, which holds pixels against a fitted tone curve: what the
builder lets through is found here by another principle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.remeasure import (
    BLUR_PX,
    CLEARLY,
    LEAST_CORRELATION,
    MOST_DEVIATION_PX,
    Half,
    Shifts,
    contrast_of,
    fisher_z,
    is_clipped,
)
from dped_data.inspection.tone_parts import parts_elsewhere

PARTS = 7
"""Cells on each side of a patch: a quarter of it wide, half of that apart."""
_SHARE = 4
_REACH_PX = 8
_MARGIN_PX = 3
"""Left around the cells, so that those at the border can be found further out, too."""
_LEAST_STD, _LEAST_NOISES = 4.0, 4.0
"""Ours: contrast of a cell that tells, grey levels and multiples of the noise; in both photos, since a phone smears
weak texture away."""
_MOST_CLIPPED = 0.05
_LEAST_FINE = 1.0
"""Ours: grey levels of fine detail below which nothing is said of sharpness."""
_LEAST_SLOPE, _SLOPE_SHARE = 0.5, 0.1
"""Ours: root mean square slope across a cell's edges, grey levels per pixel, and as a share of its contrast: along an
edge a cell lies anywhere, and only where both photos have texture both ways does it say where it belongs."""
_FOREIGN, _ELSEWHERE, _MOVED_PX = 0.5, 0.7, 2.0
"""Ours: a cell shows something else where it correlates below 0.5 in its place, or above 0.7 at least 2 px away and
there clearly better."""
_WELL = 0.95
"""A cell that correlates better than this, and best in its place, is not searched for."""
_LEAST_CELLS = 12
"""Fewer cells that tell give a patch no answer, and no scale."""


@dataclass(frozen=True)
class Cells:
    """What the cells of N patch pairs say.

    Attributes:
        told: (N,) bool, whether enough cells have the texture to tell.
        foreign: (N,) int32, cells that show something else, or the same in another place than the rest of the patch.
        scale: (N,) float32, how much larger the DSLR patch shows its content, minus 1; NaN where it cannot be told.
    """

    told: NDArray[np.bool_]
    foreign: NDArray[np.int32]
    scale: NDArray[np.float32]


def compare_cells(phone: Half, dslr: Half, shifts: Shifts) -> Cells:
    """Search every cell of N patch pairs near where the patch's measured shift puts it."""
    count = len(phone.grey)
    result = Cells(np.zeros(count, bool), np.zeros(count, np.int32), np.full(count, np.nan, np.float32))
    for rows, grid in _alike(shifts, phone.grey.shape[1]):
        tells = _telling(phone, rows, grid.cuts()) & _telling(dslr, rows, grid.cuts(*grid.shift))
        result.told[rows] = tells.sum((1, 2)) >= _LEAST_CELLS
        near = _near(phone.soft[rows], dslr.soft[rows], grid)
        highest, moves = near.max((0, 1)), np.stack([_steps(near[1]), _steps(near[:, 1])], -1)
        searched = tells & ((highest <= _WELL) | (near[1, 1] < highest))
        found = tells & ~searched & (highest > _ELSEWHERE)
        for n, k in enumerate(rows.tolist()):
            for row, column in np.argwhere(searched[n]).tolist():
                foreign, move = _searched(
                    phone.soft[k], dslr.soft[k], grid, row, column, float(highest[n, row, column])
                )
                result.foreign[k] += foreign
                found[n, row, column], moves[n, row, column] = move is not None, move or (0.0, 0.0)
            result.scale[k] = _scale(grid, found[n], moves[n])
        apart = parts_elsewhere(phone, dslr, rows, grid.shift)
        result.foreign[rows] += apart
        result.told[rows] |= apart > 0
    return result


@dataclass(frozen=True)
class _Grid:
    """The cells of patches of side `size` that share a whole-pixel shift.

    Attributes:
        x, y: (PARTS,) left and top edges in the phone patches; in the DSLR patches they lie `shift` further.
        side: of a cell.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    shift: tuple[int, int]
    side: int
    size: int

    def cuts(self, dx: int = 0, dy: int = 0) -> _Cuts:
        """Matrices that sum over the cells, moved right and down."""
        at = np.arange(self.size)
        columns, rows = (
            ((at >= first[:, None]) & (at < first[:, None] + self.side)).astype(np.float32)
            for first in (self.x + dx, self.y + dy)
        )
        return rows, np.ascontiguousarray(columns.T)


_Cuts = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(PARTS, S) to multiply patches (n, S, S) with from the left, (S, PARTS) from the right."""


def _alike(shifts: Shifts, size: int) -> Iterator[tuple[NDArray[np.int64], _Grid]]:
    """Yield which pairs share a whole-pixel shift, of those that match, with cells over what both halves show."""
    usable = ~shifts.edge & (shifts.correlation >= LEAST_CORRELATION) & (shifts.deviation_px <= MOST_DEVIATION_PX)
    whole = np.where(usable[:, None], shifts.shift_px.round(), 0).astype(np.int64)
    side = (size - 2 * _MARGIN_PX) // _SHARE
    for shift in np.unique(whole[usable], axis=0).tolist():
        x, y = (
            np.linspace(_MARGIN_PX + max(0, -s), size - _MARGIN_PX - max(0, s) - side, PARTS).round().astype(np.int64)
            for s in shift
        )
        yield np.flatnonzero(usable & (whole == shift).all(1)), _Grid(x, y, (shift[0], shift[1]), side, size)


def _telling(half: Half, rows: NDArray[np.int64], cuts: _Cuts) -> NDArray[np.bool_]:
    """Return which cells (n, PARTS, PARTS) of some patches have contrast above the noise, and are not clipped."""
    noise = half.noise[rows] / (2 * np.sqrt(np.pi) * BLUR_PX)  # what the blur leaves of it
    least, pixels = np.maximum(_LEAST_STD, _LEAST_NOISES * noise), _pixels(cuts)
    clipped = _sums(is_clipped(half.patches[rows]).astype(np.float32), cuts) > _MOST_CLIPPED * pixels
    soft = half.soft[rows]
    centred = soft - soft.mean((1, 2), keepdims=True)
    return ~clipped & (_powers(centred, cuts) >= least[:, None, None] ** 2 * pixels)


def _near(target: NDArray[np.float32], source: NDArray[np.float32], grid: _Grid) -> NDArray[np.float64]:
    """Correlations (3, 3, n, PARTS, PARTS) of the cells at the nine places around the pairs' shift, row by row."""
    target, source = (half - half.mean((1, 2), keepdims=True) for half in (target, source))
    here, pixels = grid.cuts(), grid.side**2
    around = [grid.cuts(grid.shift[0] + d, grid.shift[1] + d) for d in (-1, 0, 1)]
    nine = np.concatenate([rows for rows, _ in around]), np.concatenate([columns for _, columns in around], 1)
    mine, power = _sums(target, here), _powers(target, here)
    shape = (len(target), 3, PARTS, 3, PARTS)
    theirs, their_power = (of(source, nine).reshape(shape).transpose(1, 3, 0, 2, 4) for of in (_sums, _powers))
    product = np.empty_like(theirs)
    for dy in range(3):
        for dx in range(3):
            back = (1 - grid.shift[1] - dy, 1 - grid.shift[0] - dx)
            product[dy, dx] = _sums(target * np.roll(source, back, (1, 2)), here)  # cells keep off what wraps around
    covariance = product - mine * theirs / pixels
    return np.asarray(covariance / np.sqrt(np.maximum(power * their_power, 1e-6)))


def _sums(values: NDArray[np.float32], cuts: _Cuts) -> NDArray[np.float64]:
    """Sums of (n, S, S) over the cells, (n, PARTS, PARTS)."""
    return np.asarray(cuts[0] @ values @ cuts[1], np.float64)


def _powers(values: NDArray[np.float32], cuts: _Cuts) -> NDArray[np.float64]:
    """Sums over the cells of the squared distance to each cell's mean; `values` have means near zero."""
    return np.maximum(_sums(values * values, cuts) - _sums(values, cuts) ** 2 / _pixels(cuts), 0.0)


def _pixels(cuts: _Cuts) -> float:
    """Of a cell."""
    return float(cuts[0][0].sum() * cuts[1][:, 0].sum())


def _searched(
    target: NDArray[np.float32], source: NDArray[np.float32], grid: _Grid, row: int, column: int, at: float
) -> tuple[bool, tuple[float, float] | None]:
    """Search one cell of a pair (S, S), which correlates by `at` in its place: return whether it is foreign, and how
    far it has moved if it is found near its place."""
    x, y = int(grid.x[column]), int(grid.y[row])
    left, top = x + grid.shift[0], y + grid.shift[1]
    cell = target[y : y + grid.side, x : x + grid.side]
    best, move = _find(cell, source, left, top)
    elsewhere = best > _ELSEWHERE and np.hypot(*move) >= _MOVED_PX and fisher_z(best) > fisher_z(at) + CLEARLY
    if at < _FOREIGN or elsewhere:
        there = source[top : top + grid.side, left : left + grid.side]
        return _both_ways(cell) and _both_ways(there), None
    return False, move if best > _ELSEWHERE and max(map(abs, move)) <= _MARGIN_PX else None


def _find(cell: NDArray[np.float32], source: NDArray[np.float32], x: int, y: int) -> tuple[float, tuple[float, float]]:
    """Return a cell's best correlation within reach of (x, y), and how far from there it lies, pixels."""
    height, width = cell.shape
    top, left = max(y - _REACH_PX, 0), max(x - _REACH_PX, 0)
    area = source[top : y + height + _REACH_PX, left : x + width + _REACH_PX]
    surface = cv2.matchTemplate(area, cell, cv2.TM_CCOEFF_NORMED)
    row, column = (int(v) for v in np.unravel_index(surface.argmax(), surface.shape))
    best, move = float(surface[row, column]), (column - (x - left), row - (y - top))
    if 0 < row < surface.shape[0] - 1 and 0 < column < surface.shape[1] - 1:
        around = surface[row - 1 : row + 2, column - 1 : column + 2]
        return best, (move[0] + float(_steps(around[1])), move[1] + float(_steps(around[:, 1])))
    return best, (float(move[0]), float(move[1]))


def _both_ways(cell: NDArray[np.float32]) -> bool:
    """Whether a cell has texture along and across its strongest edges, by the lesser eigenvalue of its slopes."""
    gradient = [cv2.Sobel(cell, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0)]
    across, down = gradient
    xx, yy, xy = (float((a * b).mean()) for a, b in ((across, across), (down, down), (across, down)))
    least = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    return bool(np.sqrt(max(least, 0.0)) >= max(_LEAST_SLOPE, _SLOPE_SHARE * contrast_of(cell)))


def _steps(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where a parabola through three samples (3, ...) has its top, from the middle one; far away where it has none."""
    before, at, after = values.astype(np.float64)
    bend = before - 2 * at + after
    return np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 10.0)


def _scale(grid: _Grid, found: NDArray[np.bool_], moves: NDArray[np.float64]) -> float:
    """Least squares growth of the found cells' moves with their places: the DSLR half's scale minus 1; NaN with too
    few of them."""
    rows, columns = np.nonzero(found)
    if len(rows) < _LEAST_CELLS:
        return float("nan")
    places = np.stack([grid.x[columns], grid.y[rows]], -1).astype(np.float64)
    offset, move = places - places.mean(0), moves[rows, columns]
    spread = float((offset**2).sum())
    return float((offset * (move - move.mean(0))).sum() / spread) if spread > 0 else float("nan")


def relative_sharpness(phone: Half, dslr: Half) -> NDArray[np.float32]:
    """Fine detail of N DSLR patches over that of the phone patches; 1: as sharp, below: blurred.

    Each is taken over the patch's own coarser contrast, so that neither exposure nor tone counts, and less its noise.
    NaN where the phone patch has no fine detail above its noise.
    """
    (fine, coarse, noise), (their_fine, their_coarse, their_noise) = (_details(half) for half in (phone, dslr))
    told = (np.minimum(coarse, their_coarse) >= _LEAST_STD) & (fine >= np.maximum(_LEAST_FINE, _LEAST_NOISES * noise))
    mine, theirs = (np.sqrt(np.maximum(a**2 - b**2, 0.0)) for a, b in ((fine, noise), (their_fine, their_noise)))
    result = np.full(len(told), np.nan, np.float32)
    result[told] = (theirs[told] / their_coarse[told]) / (mine[told] / coarse[told])
    return result


def _details(half: Half) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Standard deviations (N,) of the bands from 1 to 2 px and from 2.5 to 6 px, and the noise within the first."""
    fine, coarse = np.zeros(len(half.grey)), np.zeros(len(half.grey))
    for k, grey in enumerate(half.grey):
        soft = cv2.GaussianBlur(grey, (0, 0), 2.0)
        fine[k] = contrast_of(half.soft[k] - soft)
        softer = cv2.GaussianBlur(soft, (0, 0), np.sqrt(2.5**2 - 2.0**2))[::2, ::2]  # every second pixel says it all
        coarse[k] = contrast_of(softer - cv2.GaussianBlur(softer, (0, 0), np.sqrt(6.0**2 - 2.5**2) / 2))
    share = np.sqrt((1 / 4 + 1 / 16 - 1 / 5) / np.pi)  # of white noise, by the blurs of 1 and 2 px
    return fine, coarse, half.noise * share

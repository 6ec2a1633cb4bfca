"""Look into patches cell by cell: does every part of a pair show the same, in the same place?

A patch's one shift says nothing of a window in which a near object, a passer-by or another surface covers a part: the
larger content decides it. Here each of 4x4 cells is searched for by itself. This is the correlation of `remeasure`,
not the builder's test, which holds pixels against a fitted tone curve: what the builder lets through is found here by
another principle.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.remeasure import BLUR_PX, LEAST_CORRELATION, Shifts

BRIGHT, BLACK = 250, 4
"""A pixel with a channel at 250 or more is burnt out, one with all at 4 or less black."""
PARTS = 4
"""Cells on each side of a patch."""
_REACH_PX = 8
_NEAR_PX = 1
"""Around the place where the patch's own shift puts a cell."""
_MARGIN_PX = 3
"""Left around the cells, so that those at the border can be found further out, too."""
_LEAST_STD, _LEAST_NOISES = 4.0, 4.0
"""Ours: contrast of a cell that tells, grey levels and multiples of the noise; in both photos, since a phone smears
weak texture away."""
_MOST_CLIPPED = 0.05
_LEAST_FINE = 1.0
"""Ours: grey levels of fine detail below which nothing is said of sharpness."""
_FOREIGN, _ELSEWHERE, _CLEARLY, _MOVED_PX = 0.5, 0.8, 0.05, 2.0
"""Ours: a cell shows something else where it correlates below 0.5 in its place, or above 0.8 and better by 0.05 at
least 2 px away. Of 886 patches that the builder kept (City100, two cameras, two rendered rigs, real pairs with truth)
two have such a cell by these limits; with a half moved by 4 to 8 px, of those that tell, 73 to 87 % have one."""
_LEAST_CELLS = 6
"""Fewer cells that tell give a patch no answer, and no scale."""
_SECOND_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


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


def compare_cells(phone: NDArray[np.uint8], dslr: NDArray[np.uint8], shifts: Shifts) -> Cells:
    """Search every cell of patches (N, S, S, 3) uint8 near where the patch's measured shift puts it."""
    count = len(phone)
    result = Cells(np.zeros(count, bool), np.zeros(count, np.int32), np.full(count, np.nan, np.float32))
    for k in range(count):
        if shifts.edge[k] or shifts.correlation[k] < LEAST_CORRELATION:
            continue  # another scene or place: `matched` says so
        x, y = (round(float(v)) for v in shifts.shift_px[k])
        told, foreign, scale = _compare(phone[k], dslr[k], (x, y))
        result.told[k], result.foreign[k], result.scale[k] = told >= _LEAST_CELLS, foreign, scale
    return result


@dataclass(frozen=True)
class _Half:
    """One half of a pair: its grey levels blurred to the band limit, what is clipped in it, and what contrast tells."""

    grey: NDArray[np.float32]
    clipped: NDArray[np.uint8]
    least_std: float


def _half(patch: NDArray[np.uint8]) -> _Half:
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    noise = noise_level(grey) / (2 * np.sqrt(np.pi) * BLUR_PX)  # what the blur leaves of it
    top = patch.max(-1)
    clipped = ((top >= BRIGHT) | (top <= BLACK)).astype(np.uint8)
    return _Half(cv2.GaussianBlur(grey, (0, 0), BLUR_PX), clipped, max(_LEAST_STD, _LEAST_NOISES * noise))


def _compare(phone: NDArray[np.uint8], dslr: NDArray[np.uint8], shift: tuple[int, int]) -> tuple[int, int, float]:
    """Return cells that tell, cells that are foreign, and the scale minus 1 of one pair."""
    target, source = _half(phone), _half(dslr)
    edges = _edges(phone.shape[0], shift)
    tells, near = _near(target, source, edges, shift)
    foreign = 0
    places: list[tuple[float, float]] = []
    moves: list[tuple[float, float]] = []
    for row, column in np.argwhere(tells):
        (left, right), (top, bottom) = edges[0][column : column + 2], edges[1][row : row + 2]
        around = near[:, :, row, column]
        best, move = around[1, 1], (_step(around[1]), _step(around[:, 1]))
        if around.max() <= 1 - _CLEARLY or max(map(abs, move)) > _NEAR_PX:
            best, move = _find(target.grey[top:bottom, left:right], source.grey, left + shift[0], top + shift[1])
        elsewhere = best > max(_ELSEWHERE, around.max() + _CLEARLY) and np.hypot(*move) >= _MOVED_PX
        if around.max() < _FOREIGN or elsewhere:
            foreign += 1
        elif best > _ELSEWHERE and max(map(abs, move)) <= _MARGIN_PX:
            places.append(((left + right) / 2, (top + bottom) / 2))
            moves.append(move)
    return int(tells.sum()), foreign, _scale(np.array(places), np.array(moves))


def _edges(size: int, shift: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges of the cells in x and in y: over what both halves show at this shift, less a margin to search in."""
    x, y = (
        np.linspace(_MARGIN_PX + max(0, -s), size - _MARGIN_PX - max(0, s), PARTS + 1).round().astype(np.int64)
        for s in shift
    )
    return x, y


def _near(
    target: _Half, source: _Half, edges: tuple[NDArray[np.int64], NDArray[np.int64]], shift: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which cells tell (PARTS, PARTS), and all cells' correlations at the 3x3 places around `shift` first."""
    columns, rows = edges
    area = (slice(rows[0], rows[-1]), slice(columns[0], columns[-1]))
    around = (
        slice(rows[0] + shift[1] - 1, rows[-1] + shift[1] + 1),
        slice(columns[0] + shift[0] - 1, columns[-1] + shift[0] + 1),
    )
    cuts = rows - rows[0], columns - columns[0]
    pixels = np.outer(np.diff(rows), np.diff(columns))
    mine = target.grey[area] - target.grey[area].mean()
    theirs = source.grey[around] - source.grey[around].mean()
    mine_sum, mine_power = _sums(_integral(mine), cuts), _sums(_integral(mine * mine), cuts)
    mine_power -= mine_sum**2 / pixels
    levels, squares = _integral(theirs), _integral(theirs * theirs)
    near = np.zeros((3, 3, PARTS, PARTS))
    height, width = mine.shape
    for dy in range(3):
        for dx in range(3):
            theirs_sum = _sums(levels, cuts, dy, dx)
            power = _sums(squares, cuts, dy, dx) - theirs_sum**2 / pixels
            product = _sums(_integral(mine * theirs[dy : dy + height, dx : dx + width]), cuts)
            near[dy, dx] = (product - mine_sum * theirs_sum / pixels) / np.sqrt(np.maximum(mine_power * power, 1e-6))
            if dy == dx == 1:
                tells = power >= source.least_std**2 * pixels
    tells &= mine_power >= target.least_std**2 * pixels
    for clipped, dy in ((_integral(target.clipped[area]), 0), (_integral(source.clipped[around]), 1)):
        tells &= _sums(clipped, cuts, dy, dy) <= _MOST_CLIPPED * pixels
    return tells, near


def _integral(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(cv2.integral(np.ascontiguousarray(values)), np.float64)


def _sums(
    integral: NDArray[np.float64], cuts: tuple[NDArray[np.int64], NDArray[np.int64]], dy: int = 0, dx: int = 0
) -> NDArray[np.float64]:
    """Sums over the cells, moved down by `dy` and right by `dx`, from the integral of an image."""
    at = integral[np.ix_(cuts[0] + dy, cuts[1] + dx)]
    return at[1:, 1:] - at[:-1, 1:] - at[1:, :-1] + at[:-1, :-1]


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
        return best, (move[0] + _step(around[1]), move[1] + _step(around[:, 1]))
    return best, (float(move[0]), float(move[1]))


def _step(values: NDArray[np.floating]) -> float:
    """Where a parabola through three samples has its top, from the middle one; far away where it has none."""
    before, at, after = (float(v) for v in values)
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 10.0


def _scale(places: NDArray[np.float64], moves: NDArray[np.float64]) -> float:
    """Least squares growth of the moves with the places: the DSLR half's scale minus 1; NaN with too few cells."""
    if len(places) < _LEAST_CELLS:
        return float("nan")
    offset = places - places.mean(0)
    spread = float((offset**2).sum())
    return float((offset * (moves - moves.mean(0))).sum() / spread) if spread > 0 else float("nan")


def noise_level(grey: NDArray[np.float32]) -> float:
    """Standard deviation of a photo's noise: the median of what a second difference both ways leaves, which is blind
    to edges (J. Immerkaer, Fast noise variance estimation, 1996)."""
    left = cv2.filter2D(grey, -1, _SECOND_DIFFERENCE)[1:-1, 1:-1]
    return float(np.median(np.abs(left))) / (0.6745 * 6)


def relative_sharpness(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Fine detail of DSLR patches over that of phone patches (N, S, S, 3); 1: as sharp, below: blurred.

    Each is taken over the patch's own coarser contrast, so that neither exposure nor tone counts, and less its noise.
    NaN where the phone patch has no fine detail above its noise.
    """
    result = np.full(len(phone), np.nan, np.float32)
    for k, pair in enumerate(zip(phone, dslr, strict=True)):
        (fine, coarse, noise), (theirs, their_coarse, their_noise) = (_detail(patch) for patch in pair)
        if min(coarse, their_coarse) >= _LEAST_STD and fine >= max(_LEAST_FINE, _LEAST_NOISES * noise):
            left = [np.sqrt(max(a**2 - b**2, 0.0)) for a, b in ((fine, noise), (theirs, their_noise))]
            result[k] = (left[1] / their_coarse) / (left[0] / coarse)
    return result


def _detail(patch: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Standard deviations of the bands from 1 to 2 px and from 2.5 to 6 px, and the noise within the first."""
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    levels = [cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.0, 2.0, 2.5, 6.0)]
    share = np.sqrt((1 / 4 + 1 / 16 - 1 / 5) / np.pi)  # of white noise, by the blurs of 1 and 2 px
    return float((levels[0] - levels[1]).std()), float((levels[2] - levels[3]).std()), noise_level(grey) * share

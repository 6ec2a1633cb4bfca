"""Look at the dark and the bright parts of a patch apart: at what lies behind a frame, or before a bright wall.

A strong edge rules every cell that it crosses: the bars of a window correlate in their place, whatever the view through
its panes does. So patches are divided by their tone here, dark from bright, and the edges between are left out. Of each
part the fine detail alone, less the part's own shading, is searched for near its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.remeasure import Half, fisher_z, is_clipped

_REACH_PX = 8
_FINE_PX, _SHADING_PX = 0.7, 2.5
"""Ours: standard deviations of the blurs that differ by the fine detail."""
_NOISE_SHARE = 0.36
"""What of a pixel's noise their difference has."""
_LEAST_DIVIDED = 0.8
"""Ours: share of a patch's variance that lies between its two tones; below it no edge rules its cells."""
_LEAST_NOISES, _LEAST_STD = 3.0, 1.0
"""Ours: fine detail that tells, multiples of its noise and grey levels, in both halves."""
_LEAST_PIXELS, _LEAST_SHARE = 80, 0.5
"""Ours: pixels of a part, and the share of them that must meet pixels of the same tone in the other half."""
_BADLY, _WELL, _FAR_PX = 0.75, 0.8, 2.0
_LEAST_GAIN, _LEAST_DEVIATIONS = 0.2, 4.0
"""Ours: a part lies elsewhere where it correlates below 0.75 within a pixel of its place and above 0.8 at least 2 px
away, and there better by 0.2 of Fisher's z and by four times what the z of as many independent pixels varies by."""
_AROUND = np.ones((3, 3), np.uint8)
_DISTANCE_PX = np.hypot(*np.mgrid[-_REACH_PX : _REACH_PX + 1, -_REACH_PX : _REACH_PX + 1])


def parts_elsewhere(phone: Half, dslr: Half, rows: NDArray[np.int64], shift: tuple[int, int]) -> NDArray[np.int32]:
    """Count the parts of patches that lie elsewhere in the DSLR half than the rest of their patch.

    Args:
        phone, dslr: of N pairs.
        rows: (n,) which of them.
        shift: whole pixels, x and y, by which the DSLR patches of these show their content further right and down.
    Returns:
        (n,) int32.
    """
    found = np.zeros(len(rows), np.int32)
    for n, k in enumerate(rows.tolist()):
        if (level := _threshold(phone.soft[k])) is None or (other := _threshold(dslr.soft[k])) is None:
            continue
        least = [max(_LEAST_STD, _LEAST_NOISES * _NOISE_SHARE * float(half.noise[k])) for half in (phone, dslr)]
        for mine, theirs in zip(_tones(phone, k, level), _tones(dslr, k, other), strict=True):
            found[n] += _elsewhere(mine, theirs.moved(*shift), (least[0], least[1]))
    return found


@dataclass(frozen=True)
class _Tone:
    """One tone of a patch: its fine detail (S, S), 0 elsewhere, and its mask (S, S), 1 off the tone's edges."""

    detail: NDArray[np.float32]
    mask: NDArray[np.uint8]

    def moved(self, x: int, y: int) -> _Tone:
        """This tone with what lies at (x, y) brought to the origin; what is not in the patch is none of it."""
        if x == y == 0:
            return self
        matrix, size = np.array([[1.0, 0, -x], [0, 1, -y]]), self.mask.shape[::-1]
        return _Tone(*(cv2.warpAffine(a, matrix, size, flags=cv2.INTER_NEAREST) for a in (self.detail, self.mask)))


def _threshold(soft: NDArray[np.float32]) -> float | None:
    """The grey level that divides a patch's tones best (N. Otsu, A threshold selection method from gray-level
    histograms, 1979), of every second pixel of every second row; None where they are not two."""
    some = soft[::2, ::2].astype(np.uint8)
    level, bright = cv2.threshold(some, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    (mean,), (deviation,) = (v[:, 0] for v in cv2.meanStdDev(some))
    share, above = cv2.mean(bright)[0], cv2.mean(some, bright)[0]
    between = share / max(1 - share, 1e-3) * (above - mean) ** 2
    return level if between > _LEAST_DIVIDED * deviation**2 else None


def _tones(half: Half, k: int, level: float) -> tuple[_Tone, _Tone]:
    """The dark and the bright part of a patch, without clipped pixels."""
    bright, whole = half.soft[k] > level, ~is_clipped(half.patches[k])
    dark, light = (cv2.erode((tone & whole).astype(np.uint8), _AROUND, borderValue=1) for tone in (~bright, bright))
    return _Tone(_fine(half.grey[k], dark), dark), _Tone(_fine(half.grey[k], light), light)


def _fine(grey: NDArray[np.float32], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    within = mask.astype(np.float32)
    part = (grey - cv2.mean(grey, mask)[0]) * within
    fine, shading = (
        cv2.GaussianBlur(part, (side, side), deviation)
        / np.maximum(cv2.GaussianBlur(within, (side, side), deviation), 1e-3)
        for side, deviation in ((5, _FINE_PX), (11, _SHADING_PX))
    )
    return np.asarray((fine - shading) * within)


def _elsewhere(mine: _Tone, theirs: _Tone, least: tuple[float, float]) -> int:
    """Count the parts of one tone that lie elsewhere in the other half; all of them together count as one more."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mine.mask, connectivity=4)
    if boxes[1:, cv2.CC_STAT_AREA].max(initial=0) < _LEAST_PIXELS:
        return 0
    both = (mine.mask & theirs.mask) > 0
    a, b, label = mine.detail[both], theirs.detail[both], labels[both]
    sums = np.array([np.bincount(label, weights, count) for weights in (None, a * b, a * a, b * b)], np.float64)
    sums[:, 0] = sums.sum(1)  # no part, so it holds all of them
    areas = np.asarray(boxes[:, cv2.CC_STAT_AREA], np.float64)
    areas[0] = mine.mask.sum()
    doubtful = (areas >= _LEAST_PIXELS) & (_correlation(sums, areas) < _BADLY)
    doubtful &= (sums[2:] >= sums[0] * np.square(least)[:, None]).all(0)
    doubtful[0] &= count > 2  # of a single part it says the same once more
    found = 0
    for k in np.flatnonzero(doubtful).tolist():
        x, y, width, height = boxes[k, :4].tolist() if k else (0, 0, *mine.mask.shape[::-1])
        part = np.s_[y : y + height, x : x + width]
        mask = (labels[part] == k if k else mine.mask).astype(np.float32)
        found += _found_away(mine.detail[part] * mask, mask, theirs, (x, y))
    return found


def _found_away(
    detail: NDArray[np.float32], mask: NDArray[np.float32], theirs: _Tone, corner_xy: tuple[int, int]
) -> bool:
    """Search the other half's tone for one part (h, w), whose corner has its place there at `corner_xy`."""
    (height, width), (x, y) = mask.shape, corner_xy
    area, window = np.s_[y : y + height + 2 * _REACH_PX, x : x + width + 2 * _REACH_PX], (_REACH_PX,) * 4
    values, within = (
        cv2.copyMakeBorder(a, *window, cv2.BORDER_CONSTANT, value=0.0)[area] for a in (theirs.detail, theirs.mask)
    )
    meets = np.float32(within)
    asked = ((meets, mask), (values, detail), (meets, detail * detail), (values * values, mask))
    sums = np.stack([cv2.matchTemplate(*pair, cv2.TM_CCORR) for pair in asked]).astype(np.float64)
    correlation = _correlation(sums, np.asarray(mask.sum(), np.float64))
    near = float(correlation[_DISTANCE_PX < _FAR_PX].max())
    away = np.where((_DISTANCE_PX < _FAR_PX) | (sums[0] < _LEAST_SHARE * mask.sum()), -1.0, correlation)
    best = np.unravel_index(away.argmax(), away.shape)
    chance = _LEAST_DEVIATIONS / np.sqrt(max(sums[0][best], 1.0))
    return bool(near < _BADLY and away[best] > _WELL and fisher_z(away[best]) - fisher_z(near) > _LEAST_GAIN + chance)


def _correlation(sums: NDArray[np.float64], areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations from sums (4, ...) over pixels: one, product, square and square; 1 where too few of the part's
    pixels meet the same tone to say anything else."""
    pixels, product, mine, theirs = sums
    enough = pixels >= _LEAST_SHARE * areas
    return np.where(enough, product / np.sqrt(np.maximum(mine * theirs, 1e-6)), 1.0)

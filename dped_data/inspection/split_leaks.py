"""Find scenes that appear in more than one split: a model tested on what it was trained on tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.records import CaptureFigures
from dped_data.inspection.report import Leak

_COARSE_CORRELATION = 0.75
"""Ours: two views of 16x16 pixels below it never show the same scene; loose, since the second look decides."""
_REACH = 8
"""Pixels of the 64 px view that the camera may have turned between two shots: an eighth of the field of view."""
_LEAST_STD = 1.0
"""Ours: grey levels of detail in a view; below it the rounding to whole levels is what correlates."""
_CHUNK = 512
_MOST = 1000
_MOST_LOOKS = 50_000
"""Ours: pairs that get the second look at most, some ten seconds; far above what sets without leaks have."""
_DETAILS = 512
"""Ours: high-passed views held at once, 8 MB; all of 10,000 captures would be 160 MB."""


def find_leaks(figures: Sequence[CaptureFigures], limit: float) -> tuple[tuple[Leak, ...], float]:
    """Return pairs of captures in different splits whose views correlate above `limit`, most alike first.

    The number beside them is the highest correlation seen, leak or not; 0 when no two are worth a second look.

    Views are compared at 16x16 first (all pairs, one matrix product), then what is left at 64x64, high-passed, so
    that the common "bright sky above dark ground" does not count, over small shifts of the camera.
    """
    usable = [(f.listed.row, f.view) for f in figures if f.view is not None and f.listed.row.status == "kept"]
    splits = np.array([row.split for row, _ in usable])
    if len(set(splits.tolist())) < 2:
        return (), 0.0
    coarse = np.stack([_normalised(view.coarse.ravel().astype(np.float32)) for _, view in usable])

    @lru_cache(_DETAILS)
    def detail(number: int) -> NDArray[np.float32]:
        return _detail(usable[number][1].grey)

    leaks, highest = [], 0.0
    for first, second in _alike(coarse, splits):
        correlation = _same_scene(detail(first), detail(second))
        highest = max(highest, correlation)
        if correlation > limit:
            leaks.append(Leak(usable[first][0].capture_id, usable[second][0].capture_id, correlation))
    leaks.sort(key=lambda leak: (-leak.correlation, leak.first, leak.second))
    return tuple(leaks[:_MOST]), highest


def _alike(coarse: NDArray[np.float32], splits: NDArray[np.str_]) -> list[tuple[int, int]]:
    """Pairs of rows in different splits whose coarse views may show the same scene; of very many the most alike.

    One scene shot a hundred times gives thousands of pairs: a bound keeps the second look from taking hours.
    """
    pairs, alikeness = np.empty((0, 2), np.int64), np.empty(0, np.float32)
    for start in range(0, len(coarse), _CHUNK):
        alike = coarse[start : start + _CHUNK] @ coarse[start:].T
        first, second = np.nonzero(alike > _COARSE_CORRELATION)
        apart = (first < second) & (splits[start + first] != splits[start + second])
        first, second = first[apart], second[apart]
        pairs = np.concatenate([pairs, np.stack([first, second], axis=1) + start])
        alikeness = np.concatenate([alikeness, alike[first, second]])
        if len(pairs) > _MOST_LOOKS:
            best = np.sort(np.argsort(-alikeness, kind="stable")[:_MOST_LOOKS])
            pairs, alikeness = pairs[best], alikeness[best]
    return [(int(first), int(second)) for first, second in pairs]


def _normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values - values.mean()
    return (centred / max(float(np.linalg.norm(centred)), 1e-6)).astype(np.float32)


def _detail(view: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = view.astype(np.float32)
    band: NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 6.0)
    return band


def _same_scene(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    middle = second[_REACH:-_REACH, _REACH:-_REACH]
    if min(first.std(), middle.std()) < _LEAST_STD:
        return 0.0
    return float(cv2.matchTemplate(first, middle, cv2.TM_CCOEFF_NORMED).max())

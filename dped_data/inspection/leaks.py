"""Find scenes that appear in more than one split: a model tested on what it was trained on tells nothing."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.records import CaptureFigures
from dped_data.inspection.report import Leak

_COARSE_SIDE = 16
_COARSE_CORRELATION = 0.75
"""Ours: below it two thumbnails of 16x16 are never the same scene shot twice; loose, since the second look decides."""
_REACH = 8
"""Pixels of the 64 px thumbnail that the camera may have turned between two shots: an eighth of the field of view."""
_CHUNK = 512
_MOST = 1000
_MOST_LOOKS = 50_000
"""Ours: pairs that get the second look at most, some ten seconds; far above what sets without leaks have."""


def find_leaks(figures: Sequence[CaptureFigures], limit: float) -> tuple[Leak, ...]:
    """Return pairs of captures in different splits whose thumbnails correlate above `limit`, most alike first.

    Thumbnails are compared at 16x16 first (all pairs, one matrix product), then what is left at 64x64, high-passed, so
    that the common "bright sky above dark ground" does not count, over small shifts of the camera.
    """
    usable = [f for f in figures if f.thumbnail is not None and f.stored.row.status == "kept"]
    splits = np.array([f.stored.row.split for f in usable])
    if len(set(splits.tolist())) < 2:
        return ()
    coarse = np.stack([_coarse(f.thumbnail) for f in usable if f.thumbnail is not None])
    detail = {k: _detail(f.thumbnail) for k, f in enumerate(usable) if f.thumbnail is not None}
    leaks = []
    for first, second in _alike(coarse, splits):
        correlation = _same_scene(detail[first], detail[second])
        if correlation > limit:
            names = (usable[first].stored.row.capture_id, usable[second].stored.row.capture_id)
            leaks.append(Leak(*names, correlation))
    leaks.sort(key=lambda leak: (-leak.correlation, leak.first, leak.second))
    return tuple(leaks[:_MOST])


def _alike(coarse: NDArray[np.float32], splits: NDArray[np.str_]) -> list[tuple[int, int]]:
    """Pairs of rows in different splits whose coarse thumbnails may show the same scene; of very many the most alike.

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


def _coarse(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(thumbnail, (_COARSE_SIDE, _COARSE_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return _normalised(small.ravel())


def _normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values - values.mean()
    return (centred / max(float(np.linalg.norm(centred)), 1e-6)).astype(np.float32)


def _detail(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.float32)
    band: NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 6.0)
    return band


def _same_scene(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    middle = second[_REACH:-_REACH, _REACH:-_REACH]
    if first.std() < 0.5 or middle.std() < 0.5:
        return 0.0
    return float(cv2.matchTemplate(first, middle, cv2.TM_CCOEFF_NORMED).max())

"""Lines between two clocks, b = a + offset + drift * (a - reference): search, fit and growth.

All functions take ascending times in seconds; `a` is the camera with fewer shots. Constants are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dped_data.common.spread_rows import spread_rows

Times = NDArray[np.float64]

MAX_DRIFT = 4e-4
"""1.4 s per hour; clocks of cameras stay below 1e-4."""
TYPICAL_DRIFT = 2e-4
"""Standard deviation of the prior on the drift; it matters only where few shots leave the drift open."""
_SPANS_S = (3600.0, 8 * 3600.0, 3 * 86400.0, 30 * 86400.0, np.inf)
_MAX_EVENTS = 300
_MAX_DIFFERENCES = 1.5e7
_BEAM = 6
_ENOUGH = 20
_SHARPEST_S = 0.02
_MOST_STEPS = 25_000
"""Steps of the drift to either side; a year of shots takes 21,000. More span than that is searched more coarsely."""
_MOST_FOUND = 200_000


@dataclass(frozen=True)
class Line:
    """b = a + offset + drift * (a - reference), with standard deviations of offset and drift, and its support.

    Attributes:
        pairs: shots of the stretch it was fitted to that have a partner within the tolerance.
        residual: median absolute residual of these pairs, seconds.
    """

    offset: float
    drift: float
    reference: float
    offset_sd: float
    drift_sd: float
    pairs: int = 0
    residual: float = 0.0

    def map(self, a: Times) -> Times:
        """Return the times `a` on the clock of `b`."""
        return np.asarray(a + self.offset + self.drift * (a - self.reference))

    def uncertainty(self, at: float) -> float:
        """Return four standard deviations of the mapped time `at`, seconds."""
        return 4 * (self.offset_sd + self.drift_sd * abs(at - self.reference))

    def score(self, tolerance: float) -> float:
        """Return how well the line explains its pairs: many and sharp ones (a log likelihood against a flat one)."""
        return float(self.pairs * np.log(10 * tolerance / (self.residual + _SHARPEST_S)))


def best_line(a: Times, b: Times, tolerance: float) -> Line | None:
    """Return the line over all of `a` that explains the shots best, None if there is none.

    Stretches of `a` are tried one after another, until a line brings nearly all shots together or two stretches lead to
    the same one.
    """
    best: Line | None = None
    for line in _grown_lines(a, b, tolerance):
        same = best is not None and len(_distinct((best, line), a, tolerance, 2)) == 1
        if best is None or line.score(tolerance) > best.score(tolerance):
            best = line
        if best.pairs >= 30 and (same or best.pairs >= 0.9 * len(a)):
            break
    return best


def _grown_lines(a: Times, b: Times, tolerance: float) -> Iterator[Line]:
    """Yield lines over all of `a`, grown from the candidates of several short stretches."""
    for stretch in _anchors(a, len(b)):
        start = Line(0.0, 0.0, float(stretch.mean()), np.inf, MAX_DRIFT / 4)
        candidates = [
            fit_line(line, stretch, b, tolerance) for line in _search(start, stretch, b, tolerance, 2 * _BEAM)
        ]
        if candidates:
            yield _grow(candidates, a, b, stretch, tolerance)


def _anchors(a: Times, others: int) -> Iterator[Times]:
    """Yield stretches of `a` to start from: the three busiest of each length, as far as the search is affordable."""
    seen: set[tuple[int, int]] = set()
    for span in _SPANS_S:
        steps = 1 + MAX_DRIFT * min(span, a[-1] - a[0])
        most = int(np.clip(_MAX_DIFFERENCES / (steps * others), 8, _MAX_EVENTS))
        counts = np.minimum(np.searchsorted(a, a + span, "right") - np.arange(len(a)), most)
        for start in np.argsort(-counts, kind="stable")[: 3 * most : most]:
            window = (int(start), int(start + counts[start]))
            if window[1] - window[0] >= 2 and window not in seen:
                seen.add(window)
                yield a[slice(*window)]


def _search(centre: Line, a: Times, b: Times, tolerance: float, count: int) -> list[Line]:
    """Return up to `count` lines inside the uncertainty of `centre` that bring the most pairs together, best first."""
    half_span = max(abs(a[0] - centre.reference), abs(a[-1] - centre.reference))
    reach = min(4 * centre.drift_sd, 2 * MAX_DRIFT)
    steps = math.ceil(min(reach * half_span / tolerance, _MOST_STEPS))
    drifts = np.linspace(-reach, reach, 2 * steps + 1) if steps else np.zeros(1)
    found: list[tuple[int, float, float]] = []  # pairs, drift, offset: of many thousands few become lines
    for drift in np.unique(np.clip(centre.drift + drifts, -MAX_DRIFT, MAX_DRIFT)).tolist():
        mapped = replace(centre, drift=drift).map(a)
        differences = np.sort(all_differences(mapped, b, 4 * centre.offset_sd + tolerance))
        found += [(pairs, drift, centre.offset + shift) for shift, pairs in _peaks(differences, tolerance, count)]
        if len(found) > _MOST_FOUND:
            found = sorted(found, key=_most_pairs)[: _MOST_FOUND // 2]
    best = (
        replace(centre, offset=offset, drift=drift, pairs=pairs)
        for pairs, drift, offset in sorted(found, key=_most_pairs)
    )
    return _distinct(best, a, tolerance, count)


def _most_pairs(found: tuple[int, float, float]) -> tuple[int, float, float]:
    pairs, drift, offset = found
    return -pairs, abs(drift), offset


def _distinct(lines: Iterable[Line], a: Times, tolerance: float, count: int) -> list[Line]:
    """Return the first `count` lines that differ by more than half a tolerance at an end of `a`."""
    ends = a[[0, -1]]
    chosen: list[Line] = []
    for line in lines:
        if all(np.abs(line.map(ends) - other.map(ends)).max() > tolerance / 2 for other in chosen):
            chosen.append(line)
        if len(chosen) == count:
            break
    return chosen


def all_differences(mapped: Times, b: Times, reach: float) -> Times:
    """Return all differences b - mapped of at most `reach`, in no useful order."""
    first = np.searchsorted(b, mapped - reach, "left")
    counts = np.searchsorted(b, mapped + reach, "right") - first
    index_b = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return np.asarray(b[index_b] - np.repeat(mapped, counts))


def window_counts(differences: Times, width: float) -> NDArray[np.int64]:
    """Return for each of the ascending differences how many lie in the window of `width` that starts there."""
    return np.searchsorted(differences, differences + width, "right") - np.arange(len(differences))


def _peaks(differences: Times, tolerance: float, count: int) -> list[tuple[float, int]]:
    """Return the centres and sizes of the `count` fullest windows of width 2 * tolerance, apart from one another."""
    if not len(differences):
        return []
    inside = window_counts(differences, 2 * tolerance)
    keep = min(len(inside), 100 * count)
    fullest = np.argpartition(-inside, keep - 1)[:keep]
    peaks: list[tuple[float, int]] = []
    for i in fullest[np.lexsort((fullest, -inside[fullest]))]:
        centre = float(differences[i + inside[i] // 2])  # the median
        if all(abs(centre - other) > tolerance for other, _ in peaks):
            peaks.append((centre, int(inside[i])))
        if len(peaks) == count:
            break
    return peaks


def pairs_near(line: Line, a: Times, b: Times, tolerance: float) -> tuple[Times, Times]:
    """Return (times in `a`, residuals) of the mutual nearest pairs within `tolerance` of the line."""
    mapped = line.map(a)
    nearest = _nearest(b, mapped)
    residuals = b[nearest] - mapped
    mutual = (_nearest(mapped, b)[nearest] == np.arange(len(a))) & (np.abs(residuals) <= tolerance)
    return a[mutual], residuals[mutual]


def _nearest(ordered: Times, values: Times) -> NDArray[np.int64]:
    """Return for each value the index of the nearest of at least two ordered times."""
    right = np.clip(np.searchsorted(ordered, values), 1, len(ordered) - 1)
    left_is_nearer = values - ordered[right - 1] <= ordered[right] - values
    return np.where(left_is_nearer, right - 1, right).astype(np.int64)


def fit_line(line: Line, a: Times, b: Times, tolerance: float) -> Line:
    """Fit the line to its pairs by least squares, with a weak prior towards no drift.

    Plain least squares inside the tolerance, since only the mean of time stamps cut to whole seconds is unbiased.
    """
    for _ in range(4):
        at, residuals = pairs_near(line, a, b, tolerance)
        if len(at) < 2:
            break
        scale = max(float(residuals.std()), _SHARPEST_S)
        reference = float(at.mean())
        prior = (scale / TYPICAL_DRIFT) ** 2
        spread = float(np.sum((at - reference) ** 2)) + prior
        slope = (float(np.sum((at - reference) * residuals)) - line.drift * prior) / spread
        line = Line(
            offset=line.offset + line.drift * (reference - line.reference) + float(residuals.mean()),
            drift=float(np.clip(line.drift + slope, -MAX_DRIFT, MAX_DRIFT)),
            reference=reference,
            offset_sd=scale / float(np.sqrt(len(at))),
            drift_sd=scale / float(np.sqrt(spread)),
        )
    _, residuals = pairs_near(line, a, b, tolerance)
    return replace(line, pairs=len(residuals), residual=float(np.median(np.abs(residuals))) if len(residuals) else 0.0)


def _grow(lines: list[Line], a: Times, b: Times, stretch: Times, tolerance: float) -> Line:
    """Widen the stretch until it covers all of `a`; keep the best few lines, search around those that are unsure."""
    low, high = int(np.searchsorted(a, stretch[0])), int(np.searchsorted(a, stretch[-1], "right"))
    lines = _best(lines, stretch, tolerance)
    while low > 0 or high < len(a):
        low, high = _wider(low, high, a)
        window = a[low:high]
        grown: list[Line] = []
        for line in lines:
            if max(line.uncertainty(window[0]), line.uncertainty(window[-1])) <= tolerance / 2:
                grown.append(fit_line(line, window, b, tolerance))
                continue
            sample = window[spread_rows(len(window), _MAX_EVENTS)]
            grown += [fit_line(found, window, b, tolerance) for found in _search(line, sample, b, tolerance, _BEAM)]
        lines = _best(grown, window, tolerance)
    return lines[0]


def _best(lines: list[Line], a: Times, tolerance: float) -> list[Line]:
    return _distinct(sorted(lines, key=lambda line: -line.score(tolerance)), a, tolerance, _BEAM)


def _wider(low: int, high: int, a: Times) -> tuple[int, int]:
    """Extend the range [low, high) of `a` on the side where the next shot is nearer.

    It grows by its own length in time, and by enough shots that their own rhythm tells where they belong.
    """
    span = float(a[high - 1] - a[low])
    if low > 0 and (high == len(a) or a[low] - a[low - 1] < a[high] - a[high - 1]):
        return max(0, min(low - _ENOUGH, int(np.searchsorted(a, a[low] - span)))), high
    return low, min(len(a), max(high + _ENOUGH, int(np.searchsorted(a, a[high - 1] + span))))

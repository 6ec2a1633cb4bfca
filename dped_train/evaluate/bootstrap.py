"""Means over patches, with an interval that takes into account that patches of one capture resemble each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A mean and the interval that holds it with 95 % confidence, by resampling whole captures."""

    mean: float
    low: float
    high: float


def figure_lines(
    name: str, figures: Sequence[Figure | None], digits: Sequence[int], head: int, widths: Sequence[int]
) -> list[str]:
    """Return two lines of a table: behind `name` the means, and below each its interval; "-" where nothing is known.

    Args:
        digits, widths: of each figure, behind the point and in all; head: columns before the first one.
    """
    means, intervals = name, " " * head
    for figure, places, width in zip(figures, digits, widths, strict=True):
        mean, interval = "-", ""
        if figure is not None:
            mean, interval = f"{figure.mean:.{places}f}", f"[{figure.low:.{places}f}, {figure.high:.{places}f}]"
        head += width
        means, intervals = means + mean.rjust(head - len(means)), intervals + interval.rjust(head - len(intervals))
    return [means, intervals.rstrip()] if intervals.strip() else [means]


def bootstrap(values: NDArray[np.float64], group: NDArray[np.int64], *, equal: bool = False) -> Figure:
    """Mean of `values` (N,) and its interval when whole groups (captures) are drawn anew, with replacement.

    Patches of one capture resemble each other, so that drawing single patches would make the interval too narrow.

    Args:
        group: (N,) number of each value's group, from 0 without gaps.
        equal: give every group the same weight, instead of every value.
    """
    mean, means = _resampled(values, group, equal)
    return _figure(mean, means)


def bootstrap_pooled_psnr(
    mse: NDArray[np.float64],
    group: NDArray[np.int64],
    *,
    equal: bool = False,
    against: NDArray[np.float64] | None = None,
) -> Figure:
    """PSNR in dB of the mean of the patches' squared errors `mse` (N,) for a peak of 1; minus that of `against`.

    The mean of the patches' own PSNR is larger: there a good patch makes up for a bad one. `group`, `equal` as above.
    """
    mean, means = (_psnr(part) for part in _resampled(mse, group, equal))
    if against is not None:
        other, others = (_psnr(part) for part in _resampled(against, group, equal))
        mean, means = mean - other, means - others
    return _figure(float(mean), np.atleast_1d(means))


def _resampled(values: NDArray[np.float64], group: NDArray[np.int64], equal: bool) -> tuple[float, NDArray[np.float64]]:
    """The mean, and those of the drawings, which are the same for every call with the same groups."""
    counts = np.bincount(group).astype(np.float64)
    sums = np.bincount(group, values).astype(np.float64)
    if equal:
        sums, counts = sums / counts, np.ones_like(counts)
    groups = len(counts)
    drawn = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    return float(sums.sum() / counts.sum()), (drawn @ sums) / (drawn @ counts)


def _figure(mean: float, means: NDArray[np.float64]) -> Figure:
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Figure(mean, float(low), float(high))


def _psnr(mse: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return -10 * np.log10(np.asarray(mse, np.float64))

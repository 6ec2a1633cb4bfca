"""Means over patches, with an interval that takes into account that patches of one capture resemble each other."""

from __future__ import annotations

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


def bootstrap(values: NDArray[np.float64], group: NDArray[np.int64], *, equal: bool = False) -> Figure:
    """Mean of `values` (N,) and its interval when whole groups (captures) are drawn anew, with replacement.

    Patches of one capture resemble each other, so that drawing single patches would make the interval too narrow.

    Args:
        group: (N,) number of each value's group, from 0 without gaps.
        equal: give every group the same weight, instead of every value.
    """
    counts = np.bincount(group).astype(np.float64)
    sums = np.bincount(group, values).astype(np.float64)
    if equal:
        sums, counts = sums / counts, np.ones_like(counts)
    groups = len(counts)
    drawn = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Figure(float(sums.sum() / counts.sum()), float(low), float(high))

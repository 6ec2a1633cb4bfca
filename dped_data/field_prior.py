"""The prior of a field of displacements, fitted to the measurements of one capture (leaf)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.records import FieldPrior

STUDENT_DEGREES = 4.0
"""Degrees of freedom of the measurement errors: tracks fail more often than a normal distribution says."""

STUDENT_PEAK = 0.375
"""Density of Student's t with STUDENT_DEGREES at zero."""

EDGE_SHARE, EDGE_DENSITY = 0.2, 1 / 20**2
"""Share of pairs that straddle a depth edge, and their density: anything within 20 x 20 px. Ours."""

NOISE_FACTORS = (0.7, 1.0, 1.4)
FIELD_FACTORS = (0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2)
NUGGETS_PX = (0.01, 0.02, 0.04, 0.08)
"""What `fit_prior` tries: factors of the stated noise and field amplitudes, and the nugget."""

MIN_PAIRS, MAX_PAIRS = 8, 1500
MAX_FIRST = 600
"""Measurements whose neighbours are looked up: enough for MAX_PAIRS, and bounded memory for any number of windows."""


@dataclass(frozen=True)
class FittedPrior:
    """The field's prior, the factor for the measurements' standard deviations, and their log likelihood."""

    prior: FieldPrior
    noise_factor: float
    likelihood: float


def fit_prior(
    centre_xy: NDArray[np.float64],
    displacement: NDArray[np.float64],
    covariance: NDArray[np.float64],
    reach_px: float,
    start: FieldPrior,
) -> FittedPrior:
    """Choose the field's amplitude, the nugget and the noise factor that explain the differences of near windows best.

    Composite likelihood of the pairwise differences, Student-t, so that depth edges and wrong tracks do not set the
    scale; each photo pair has its own lens, warp and noise.

    Args:
        centre_xy, displacement, covariance: (M, 2), (M, 2), (M, 2, 2) trusted measurements.
        reach_px: pairs farther apart than this are left out.
        start: lengths, and the amplitudes that FIELD_FACTORS multiply.
    Returns:
        See FittedPrior.
    """
    first, second = _near_pairs(centre_xy, reach_px)
    if len(first) < MIN_PAIRS:
        return FittedPrior(start, NOISE_FACTORS[-1], -np.inf)
    lag = ((centre_xy[first] - centre_xy[second]) ** 2).sum(axis=1)
    apart = start.near_sd**2 * (1 - np.exp(-0.5 * lag / start.near_px**2)) + start.far_sd**2 * (
        1 - np.exp(-0.5 * lag / start.far_px**2)
    )
    noise = np.stack([covariance[first, a, a] + covariance[second, a, a] for a in (0, 1)], axis=-1)
    moved = (displacement[first] - displacement[second]) ** 2

    def likelihood(field: float, factor: float, nugget: float) -> float:
        variance = 2 * field**2 * apart[:, None] + factor**2 * noise + 2 * nugget**2
        # Student-t densities of both axes, their powers of 5/2 written as products and roots: logarithms are slow.
        tail = 1 + moved / (STUDENT_DEGREES * variance)
        density = STUDENT_PEAK**2 / (np.sqrt(variance[:, 0] * variance[:, 1]) * (tail[:, 0] * tail[:, 1]) ** 2.5)
        return float(np.log((1 - EDGE_SHARE) * density + EDGE_SHARE * EDGE_DENSITY).sum())

    field, factor, nugget = FIELD_FACTORS[2], NOISE_FACTORS[1], NUGGETS_PX[0]
    for _ in range(2):  # one at a time, twice around: the three hardly depend on each other
        field = max(FIELD_FACTORS, key=lambda value: likelihood(value, factor, nugget))
        factor = max(NOISE_FACTORS, key=lambda value: likelihood(field, value, nugget))
        nugget = max(NUGGETS_PX, key=lambda value: likelihood(field, factor, value))
    prior = FieldPrior(start.near_px, start.near_sd * field, start.far_px, start.far_sd * field, nugget)
    return FittedPrior(prior, factor, likelihood(field, factor, nugget))


def _near_pairs(centre_xy: NDArray[np.float64], reach_px: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return up to MAX_PAIRS pairs of rows no farther apart than `reach_px`, spread evenly over the measurements."""
    chosen = np.arange(0, len(centre_xy), -(-len(centre_xy) // MAX_FIRST) or 1)
    square = (centre_xy[chosen, None, 0] - centre_xy[:, 0]) ** 2 + (centre_xy[chosen, None, 1] - centre_xy[:, 1]) ** 2
    first, second = np.nonzero((square < reach_px**2) & (chosen[:, None] < np.arange(len(centre_xy))))
    every = max(1, -(-len(first) // MAX_PAIRS))
    return chosen[first[::every]], second[::every]

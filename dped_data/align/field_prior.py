"""The prior of a field of displacements, fitted to the measurements of one capture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from dped_data.align.kernels.kriging import STUDENT_DEGREES
from dped_data.align.records import FieldPrior
from dped_data.common.jit import FAST_MATH, njit

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
"""Measurements whose neighbours are looked up: enough for MAX_PAIRS, and bounded work for any number of windows."""

MULTIPLIED = 32
"""Densities that are multiplied at a time: all lie between 1e-4 and 1e4."""


@dataclass(frozen=True)
class FittedPrior:
    """The field's prior, the factor for the measurements' standard deviations, and their log likelihood."""

    prior: FieldPrior
    noise_factor: float
    likelihood: float


@dataclass(frozen=True)
class NearPairs:
    """Pairs of near measurements, and what does not depend on the map that these are held against.

    Attributes:
        first, second: (P,) rows of the measurements.
        apart: (P,) mean square difference of the field at both, per squared factor of its amplitude.
        noise: (2, P) stated variance of the difference along x and y.
        start: the prior that FIELD_FACTORS multiply.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    apart: NDArray[np.float64]
    noise: NDArray[np.float64]
    start: FieldPrior


def near_pairs(
    centre_xy: NDArray[np.float64], covariance: NDArray[np.float64], reach_px: float, start: FieldPrior
) -> NearPairs:
    """Pair up the measurements.

    Args:
        centre_xy, covariance: (M, 2), (M, 2, 2) trusted measurements.
        reach_px: pairs farther apart than this are left out.
        start: lengths, and the amplitudes that FIELD_FACTORS multiply.
    Returns:
        Up to MAX_PAIRS pairs, spread evenly over the measurements.
    """
    first, second = near_rows(centre_xy, reach_px, -(-len(centre_xy) // MAX_FIRST) or 1)
    every = max(1, -(-len(first) // MAX_PAIRS))
    first, second = first[::every], second[::every]
    lag = ((centre_xy[first] - centre_xy[second]) ** 2).sum(axis=1)
    apart = start.near_sd**2 * (1 - np.exp(-0.5 * lag / start.near_px**2)) + start.far_sd**2 * (
        1 - np.exp(-0.5 * lag / start.far_px**2)
    )
    noise = np.stack([covariance[first, a, a] + covariance[second, a, a] for a in (0, 1)])
    return NearPairs(first, second, apart, noise, start)


def fit_prior(pairs: NearPairs, displacement: NDArray[np.float64]) -> FittedPrior:
    """Choose the field's amplitude, the nugget and the noise factor that explain the differences of near windows best.

    Composite likelihood of the pairwise differences, Student-t, so that depth edges and wrong tracks do not set the
    scale; each photo pair has its own lens, warp and noise.

    Args:
        pairs: of measurements.
        displacement: (M, 2) what these found.
    """
    start = pairs.start
    if len(pairs.first) < MIN_PAIRS:
        return FittedPrior(start, NOISE_FACTORS[-1], -np.inf)
    moved = np.ascontiguousarray(((displacement[pairs.first] - displacement[pairs.second]) ** 2).T)

    @cache
    def likelihood(field: float, factor: float, nugget: float) -> float:
        return float(_log_likelihood(pairs.apart, pairs.noise, moved, 2 * field**2, factor**2, 2 * nugget**2))

    field, factor, nugget = FIELD_FACTORS[2], NOISE_FACTORS[1], NUGGETS_PX[0]
    for _ in range(2):  # one at a time, twice around: the three hardly depend on each other
        field = max(FIELD_FACTORS, key=lambda value: likelihood(value, factor, nugget))
        factor = max(NOISE_FACTORS, key=lambda value: likelihood(field, value, nugget))
        nugget = max(NUGGETS_PX, key=lambda value: likelihood(field, factor, value))
    prior = FieldPrior(start.near_px, start.near_sd * field, start.far_px, start.far_sd * field, nugget)
    return FittedPrior(prior, factor, likelihood(field, factor, nugget))


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _log_likelihood(apart, noise, moved, field, factor, nugget):  # type: ignore[no-untyped-def]
    """Return the sum of the logarithms of the pairs' densities: Student's t along both axes, or anywhere at an edge.

    The powers of 5/2 are written as products and roots, and densities multiplied before a logarithm is taken.
    """
    total = 0.0
    peak = (1 - EDGE_SHARE) * STUDENT_PEAK**2
    for begin in range(0, apart.size, MULTIPLIED):
        product = 1.0
        for k in range(begin, min(begin + MULTIPLIED, apart.size)):
            shared = field * apart[k] + nugget
            x, y = shared + factor * noise[0, k], shared + factor * noise[1, k]
            both = x * y
            tails = (STUDENT_DEGREES * x + moved[0, k]) * (STUDENT_DEGREES * y + moved[1, k])
            tails = tails / (STUDENT_DEGREES * STUDENT_DEGREES * both)
            product *= peak / (np.sqrt(both * tails) * tails * tails) + EDGE_SHARE * EDGE_DENSITY
        total += np.log(product)
    return total


def near_rows(
    centre_xy: NDArray[np.float64], reach_px: float, every: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of all pairs within a distance, in order, the first of each pair among every so many."""
    count = len(centre_xy)
    first, second = cKDTree(centre_xy).query_pairs(reach_px * (1 + 1e-9), output_type="ndarray").astype(np.int64).T
    among = first % every == 0
    first, second = first[among], second[among]
    step_xy = centre_xy[first] - centre_xy[second]
    near = (step_xy**2).sum(axis=1) < reach_px**2  # pairs on a grid are often exactly as far apart as that
    in_order = np.sort(first[near] * count + second[near])  # one key: half the time of a sort by two
    return in_order // count, in_order % count

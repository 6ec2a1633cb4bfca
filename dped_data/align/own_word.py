"""What a window says of itself against what its neighbours say of it, in scenes with more than one surface.

Neighbours make a window certain where all lie on one surface. Where surfaces bend or slope, the window's own affine
motion may be worth more: where the windows' slopes lead to their neighbours. Where surfaces end, what a window cannot
measure itself, as along its only edge, nobody knows for certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.displacement_field import TrackedField
from dped_data.align.field_prior import MAX_FIRST, FittedPrior, NearPairs, near_rows
from dped_data.align.kernels.kriging import STUDENT_DEGREES
from dped_data.align.kernels.lucas_kanade import Tracks
from dped_data.align.smooth_map import SmoothMap
from dped_data.align.tie_points import TiePoints, displaced_from

OTHER_SURFACE_PX, OTHER_SURFACE_SDS = 1.0, 3.0
"""Near, precise tracks that differ by more than both of these lie on two surfaces. Ours."""

MOST_APART_PX = 4.0
"""Surfaces farther apart than this count as this far: the few farthest tell least of the others. Ours."""

PAIRS_REACH, PRIOR_PAIRS = 2.2, 3.0
"""Pairs within so many window sides say how near the next surface is; those of the whole photo count for so many."""

SURE_NEIGHBOURS = 2
"""Near tracks, not overlapping, that must agree with one before it tells of another surface. Ours: on rendered flat
scenes four in five pairs on "two surfaces" had a single wrong track on one side."""

CERTAIN_PX, CERTAIN_NCC = 0.3, 0.9
"""Predicted error and correlation of an own motion that may be worth more than the neighbours' word. Ours."""

BESIDE, NEXT = 0.95, 1.6
"""Windows so many sides apart, centre to centre, tell whether their slopes lead to each other. Ours: nearer ones see
the same noise."""

SLOPE_VARIANCES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
REST_VARIANCES = (0.0, 0.02, 0.08, 0.32, 1.28)
"""What `slope_variance` tries: mean square of what slopes make over a window, and of what is no slope, px squared."""

SLOPE_PX = 0.4
"""Standard deviation over a window up to which slopes are asked. Ours."""

LEAST_GAIN = 0.05
"""Log likelihood per pair that slopes must win to be believed. Ours: on flat scenes 0, on bent ones up to 1."""

MEASURED_SD = 0.1
"""What two certain tracks may differ beside their stated errors, px. Ours."""

MIN_SLOPE_PAIRS, MAX_SLOPE_PAIRS = 8, 1000

NO_WORD, LEAST_VARIANCE = 1e6, 1e-6
"""Variance of what was not measured, and the least of what was, px squared."""


@dataclass(frozen=True)
class OwnMotions:
    """The affine motions of W windows against the smooth map, phone pixels.

    Attributes:
        nodes: (W, 5, 5, 2) displacement at the windows' nodes.
        variance: (W,) predicted mean square error of the nodes; centre_variance: (W,) that of their mean.
        ncc: (W,) correlation of the windows after the motion.
    """

    nodes: NDArray[np.float64]
    variance: NDArray[np.float64]
    centre_variance: NDArray[np.float64]
    ncc: NDArray[np.float64]


def own_motions(
    windows: TiePoints, tracks: Tracks, rough: SmoothMap, smooth: SmoothMap, node_xy: NDArray[np.float64]
) -> OwnMotions:
    """Return what the windows measured by themselves, as seen from `smooth`.

    Args:
        windows: W tie points; tracks: of these and others after them, measured against `rough`.
        node_xy: (W, 5, 5, 2) the windows' nodes in the phone photo.
    """
    count = len(node_xy)
    uv = (node_xy - windows.centre_xy[:, None, None]) / windows.half_px
    nodes = _seen_from(smooth, rough, tracks.motion[:count], uv.reshape(count, -1, 2), node_xy.reshape(count, -1, 2))
    centre_variance = np.trace(tracks.covariance[:count], axis1=1, axis2=2)
    return OwnMotions(nodes.reshape(node_xy.shape), tracks.node_variance[:count], centre_variance, tracks.ncc[:count])


def _seen_from(
    smooth: SmoothMap,
    rough: SmoothMap,
    motion: NDArray[np.float64],
    uv: NDArray[np.float64],
    phone_xy: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (N, K, 2) displacements against `smooth` at phone_xy (N, K, 2) of motions (N, 6) against `rough`.

    Args:
        uv: (N, K, 2) where phone_xy lies in the windows, from -1 to 1.
    """
    moved = motion[:, None, :2] + np.einsum("nab,nkb->nka", motion[:, 2:].reshape(-1, 2, 2), uv)
    found_at = rough(phone_xy + moved)
    return displaced_from(smooth, phone_xy.reshape(-1, 2), found_at.reshape(-1, 2)).reshape(phone_xy.shape)


def slope_variance(
    tracked: TrackedField, displacement: NDArray[np.float64], rough: SmoothMap, smooth: SmoothMap, noise_factor: float
) -> float:
    """Return how much of the windows' slopes is real, as the mean square of what that makes over a window, px squared.

    Real slopes lead to where the windows beside are; their noise does not. Of several variances of real slopes the one
    is taken under which the windows beside lie most probably where they were found (Student's t, so that depth edges
    do not decide); 0 unless that wins LEAST_GAIN: then no window knows more of slopes than its neighbours.

    Args:
        tracked: N tracks against `rough`; displacement: (N, 2) what they found against `smooth`.
        noise_factor: of the tracks' standard deviations.
    """
    tie_points, tracks = tracked.tie_points, tracked.tracks
    centre_variance = noise_factor**2 * np.trace(tracks.covariance, axis1=1, axis2=2)
    noise = np.maximum(noise_factor**2 * tracks.node_variance - centre_variance, LEAST_VARIANCE)
    rows = np.flatnonzero(tracked.precise & (tracks.ncc > CERTAIN_NCC) & (noise < SLOPE_PX**2))
    side = 2 * tie_points.half_px
    first, second = near_rows(tie_points.centre_xy[rows], NEXT * side, -(-len(rows) // MAX_FIRST) or 1)
    step = tie_points.centre_xy[rows[second]] - tie_points.centre_xy[rows[first]]
    beside = np.flatnonzero((step**2).sum(axis=1) > (BESIDE * side) ** 2)
    if len(beside) < MIN_SLOPE_PAIRS:
        return 0.0
    beside = beside[:: -(-len(beside) // MAX_SLOPE_PAIRS)]
    one, other = rows[first[beside]], rows[second[beside]]
    one, other = np.concatenate((one, other)), np.concatenate((other, one))  # each leads to the other
    step = (tie_points.centre_xy[other] - tie_points.centre_xy[one]) / tie_points.half_px
    ends = np.broadcast_to(np.eye(2), (len(one), 2, 2))
    corners = tie_points.centre_xy[one, None] + ends * tie_points.half_px
    slopes = _seen_from(smooth, rough, tracks.motion[one], ends, corners) - displacement[one, None]
    led = np.einsum("pk,pka->pa", step, slopes)
    found = displacement[other] - displacement[one]
    least = centre_variance[one] + centre_variance[other] + MEASURED_SD**2
    way = (step**2).sum(axis=1)

    def likelihood(real: float) -> float:
        share = real / (real + noise[one])
        square = ((found - share[:, None] * led) ** 2).sum(axis=1)
        known = least + share * noise[one] * way
        return max(float(_log_likelihoods(square, known + rest).mean()) for rest in REST_VARIANCES)

    found_likelihood = {real: likelihood(real) for real in SLOPE_VARIANCES}
    best = max(SLOPE_VARIANCES, key=lambda real: found_likelihood[real])
    return best if found_likelihood[best] > found_likelihood[0.0] + LEAST_GAIN else 0.0


def _log_likelihoods(square: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (P,) logarithms of Student's t in two dimensions, up to a constant, of squared lengths."""
    tail: NDArray[np.float64] = np.log1p(2 * square / (STUDENT_DEGREES * variance))
    return -np.log(variance) - (STUDENT_DEGREES / 2 + 1) * tail


def surface_variance(
    tracked: TrackedField,
    displacement: NDArray[np.float64],
    fitted: FittedPrior,
    windows: TiePoints,
    covariance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (W,) the variance, px squared, of what windows have from neighbours that may lie on another surface.

    What a window measured itself bounds it, direction by direction. How often neighbours lie on two surfaces, and how
    far apart these are, is told by the near pairs of precise tracks, those near the window above all.

    Args:
        tracked, displacement, fitted: N measurements, what they found (N, 2), and how these vary on one surface.
        windows: W tie points; covariance: (W, 2, 2) of what they measured themselves, NO_WORD where nothing.
    """
    pairs, precise = tracked.pairs, displacement[tracked.precise]
    apart = precise[pairs.first] - precise[pairs.second]
    square = (apart**2).sum(axis=1)
    amplitude = fitted.prior.near_sd / pairs.start.near_sd
    variance = fitted.noise_factor**2 * pairs.noise.sum(axis=0)
    variance += 4 * (amplitude**2 * pairs.apart + fitted.prior.nugget_sd**2)  # of two axes and both ends
    other = (square > OTHER_SURFACE_SDS**2 * variance) & (square > OTHER_SURFACE_PX**2)
    centre_xy = tracked.tie_points.centre_xy[tracked.precise]
    beside = ((centre_xy[pairs.first] - centre_xy[pairs.second]) ** 2).sum(axis=1) > (BESIDE * 2 * windows.half_px) ** 2
    sure = _counted(pairs, beside & ~other, len(precise)) >= SURE_NEIGHBOURS
    other &= sure[pairs.first] & sure[pairs.second]
    if not other.any():
        return np.zeros(len(covariance))
    middle_xy = (centre_xy[pairs.first] + centre_xy[pairs.second]) / 2
    reach = PAIRS_REACH * 2 * windows.half_px
    near_x, near_y = (np.abs(windows.centre_xy[:, None, axis] - middle_xy[:, axis]) < reach for axis in (0, 1))
    near = near_x & near_y
    count, others = np.count_nonzero(near, axis=1), np.count_nonzero(near & other, axis=1)
    share = (others + PRIOR_PAIRS * other.mean()) / (count + PRIOR_PAIRS)
    steps = apart[other] * np.minimum(1.0, MOST_APART_PX / np.sqrt(square[other]))[:, None]
    between = np.einsum("pa,pb->ab", steps, steps) / len(steps) + 1e-4 * np.eye(2)  # no BLAS: the same for any threads
    both = np.linalg.inv(np.linalg.inv(between) + np.linalg.inv(covariance + 1e-6 * np.eye(2)))
    found: NDArray[np.float64] = share * np.trace(both, axis1=1, axis2=2)
    return found


def _counted(pairs: NearPairs, chosen: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Return (count,) how many of the chosen pairs each measurement is in."""
    return np.bincount(np.concatenate((pairs.first[chosen], pairs.second[chosen])), minlength=count)


def hear_windows(
    own: OwnMotions, nodes: NDArray[np.float64], variance: NDArray[np.float64], slopes: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Decide between the windows' own motions and their neighbours' word; mix the slopes of both.

    Where windows' slopes lead to their neighbours, the neighbours' word lacks them. A window whose own motion is more
    certain than that stands by itself; of the others' slopes as much counts as is probably real. Where they do not,
    the neighbours' word holds.

    Args:
        nodes: (W, 5, 5, 2) displacement from the neighbours; variance: (W,) its mean square error without slopes.
        slopes: mean square of what the windows' real slopes make, as in `slope_variance`.
    Returns:
        (W, 5, 5, 2) displacement, phone pixels; (W,) its predicted root mean square error.
    """
    if not slopes:
        return nodes, np.sqrt(variance)
    apart = own.nodes - nodes
    own_slopes = apart - apart.mean(axis=(1, 2), keepdims=True)
    noise = np.maximum(own.variance - own.centre_variance, LEAST_VARIANCE)
    heard = own.ncc > CERTAIN_NCC
    alone = heard & (own.variance < CERTAIN_PX**2) & (own.variance < variance + slopes)
    share = np.where(heard, slopes / (slopes + noise), 0.0)
    mixed = nodes + share[:, None, None, None] * own_slopes
    square = np.where(alone, own.variance, variance + (1 - share) * slopes)
    return np.where(alone[:, None, None, None], own.nodes, mixed), np.sqrt(square)

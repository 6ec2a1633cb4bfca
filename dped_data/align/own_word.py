"""What a window says of itself against what its neighbours say of it, in scenes with more than one surface.

Neighbours make a window certain where all lie on one surface. Where surfaces end, bend or slope, the window's own
affine motion may be worth more; and what it cannot measure itself, as along its only edge, nobody knows for certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.displacement_field import TrackedField
from dped_data.align.field_prior import FittedPrior
from dped_data.align.kernels.lucas_kanade import Tracks
from dped_data.align.smooth_map import SmoothMap
from dped_data.align.tie_points import TiePoints, displaced_from

OTHER_SURFACE_PX, OTHER_SURFACE_SDS = 1.0, 3.0
"""Near, precise tracks that differ by more than both of these lie on two surfaces. Ours."""

MOST_APART_PX = 4.0
"""Surfaces farther apart than this count as this far: the few farthest tell least of the others. Ours."""

PAIRS_REACH, PRIOR_PAIRS = 2.2, 3.0
"""Pairs within so many window sides say how near the next surface is; those of the whole photo count for so many."""

CERTAIN_PX, CERTAIN_NCC = 0.3, 0.9
"""Predicted error and correlation of an own motion that may contradict the neighbours. Ours."""

SLOPES_PX = 0.4
"""Own motions with a smaller predicted error tell how far the neighbours' slopes are off. Ours."""

SLOPE_NOISE, MOST_SLOPE_VARIANCE, PRIOR_SLOPES = 1.5, 0.2, 5.0
"""Squared differences of slopes over their expectation that are noise, what one window may say of the others' slopes,
px squared, and windows without a difference that always count. Ours: so flat scenes keep their neighbours' word."""

CONTRADICTION = 6.0
"""Squared difference over its expectation from which on the neighbours are wrong, not the window. Ours: with 3, noise
in flat scenes put windows off by 0.5 px."""

NO_WORD = 1e6
"""Variance of what was not measured, px squared."""


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


@dataclass(frozen=True)
class Heard:
    """What holds of W windows when they were heard.

    Attributes:
        nodes: (W, 5, 5, 2) displacement, phone pixels; error: (W,) its predicted root mean square error.
        alone: (W,) whether the window stands by itself.
    """

    nodes: NDArray[np.float64]
    error: NDArray[np.float64]
    alone: NDArray[np.bool_]


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
    affine = tracks.motion[:count, 2:].reshape(-1, 2, 2)
    moved = tracks.motion[:count, None, None, :2] + np.einsum("wab,wijb->wija", affine, uv)
    found_at = rough(node_xy + moved)
    nodes = displaced_from(smooth, node_xy.reshape(-1, 2), found_at.reshape(-1, 2)).reshape(node_xy.shape)
    centre_variance = np.trace(tracks.covariance[:count], axis1=1, axis2=2)
    return OwnMotions(nodes, tracks.node_variance[:count], centre_variance, tracks.ncc[:count])


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
    if not other.any():
        return np.zeros(len(covariance))
    centre_xy = tracked.tie_points.centre_xy[tracked.precise]
    middle_xy = (centre_xy[pairs.first] + centre_xy[pairs.second]) / 2
    reach = PAIRS_REACH * 2 * windows.half_px
    near = np.abs(windows.centre_xy[:, None] - middle_xy).max(axis=-1) < reach
    share = (near @ other.astype(float) + PRIOR_PAIRS * other.mean()) / (near.sum(axis=1) + PRIOR_PAIRS)
    steps = apart[other] * np.minimum(1.0, MOST_APART_PX / np.sqrt(square[other]))[:, None]
    between = np.einsum("pa,pb->ab", steps, steps) / len(steps) + 1e-4 * np.eye(2)  # no BLAS: the same for any threads
    both = np.linalg.inv(np.linalg.inv(between) + np.linalg.inv(covariance + 1e-6 * np.eye(2)))
    found: NDArray[np.float64] = share * np.trace(both, axis1=1, axis2=2)
    return found


def hear_windows(own: OwnMotions, nodes: NDArray[np.float64], variance: NDArray[np.float64]) -> Heard:
    """Decide between the windows' own motions and their neighbours' word; mix the slopes of both.

    How far the neighbours' slopes are off is told by the windows that know theirs; where one contradicts its
    neighbours clearly, it is they who are wrong there, by so much. A window whose own motion is more certain than all
    that stands by itself.

    Args:
        nodes: (W, 5, 5, 2) displacement from the neighbours; variance: (W,) its mean square error.
    """
    apart = own.nodes - nodes
    centre = apart.mean(axis=(1, 2), keepdims=True)
    slopes = apart - centre
    centre_square, slope_square = (centre[:, 0, 0] ** 2).sum(axis=-1), (slopes**2).sum(axis=-1).mean(axis=(1, 2))
    slope_variance = np.maximum(own.variance - own.centre_variance, 1e-6)
    heard = own.ncc > CERTAIN_NCC
    certain, telling = heard & (own.variance < CERTAIN_PX**2), heard & (own.variance < SLOPES_PX**2)
    excess = np.clip(slope_square - SLOPE_NOISE * slope_variance, -MOST_SLOPE_VARIANCE, MOST_SLOPE_VARIANCE)
    usual = max(0.0, float(excess[telling].sum()) / (float(telling.sum()) + PRIOR_SLOPES))
    off = np.maximum(usual, np.where(telling, slope_square - CONTRADICTION * slope_variance, 0.0))
    wrong = np.maximum(centre_square - CONTRADICTION * (own.centre_variance + variance), 0.0)
    variance = variance + np.where(certain, wrong, 0.0)
    alone = certain & (own.variance < variance + off)
    share = off / (off + slope_variance)
    mixed = nodes + share[:, None, None, None] * slopes
    return Heard(
        np.where(alone[:, None, None, None], own.nodes, mixed),
        np.sqrt(np.where(alone, own.variance, variance + (1 - share) * off)),
        alone,
    )

"""The measured field of displacements, and its value and predicted error anywhere in the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.field_prior import FittedPrior, NearPairs, fit_prior, near_pairs
from dped_data.align.kernels.lucas_kanade import Tracks
from dped_data.align.kriging import LocalField, local_kriging
from dped_data.align.records import FieldPrior, MeasuredField
from dped_data.align.smooth_map import SmoothMap
from dped_data.align.tie_points import TiePoints, track_sd

NEAR_SHARE, FAR_SHARE = 0.135, 0.46
"""Lengths of the field's two parts, share of the phone photo's width. Ours: a third and one of a warp's wavelength."""

FIELD_SD_SHARE = 0.0005
START_NUGGET_PX = 0.03
USABLE_SD_PX, USABLE_NCC = 2.0, 0.5
PRECISE_SD_PX, PRECISE_NCC = 0.3, 0.8
"""Tracks that may inform their neighbours, and those that set the field's amplitude and the noise factor. Ours."""

PAIR_REACH = 8
"""Pairs of tracks up to this many half windows apart set the amplitude."""

CALIBRATION, MAP_CALIBRATION, FLOOR_PX = 1.2, 1.4, 0.02
"""From the standard deviations of kriging and smooth map to the true error; measured on rendered rigs."""


CONFLICT_PX, CONFLICT_POWER, CONFLICT_FULL_PX = 3.5, 2, 2.0
"""Error where all near measurements contradict the window by CONFLICT_FULL_PX or more, for it then lies among several
surfaces; how it falls with their share; with less of a contradiction it falls in proportion. Measured likewise. It is
a bound: a window that is certain by itself owes its neighbours less (`_borrowed_variance`)."""


@dataclass(frozen=True)
class TrackedField:
    """What tracks say of a field, whatever smooth map it is seen from.

    Attributes:
        tie_points, tracks: N of them.
        precise: (N,) tracks that set the amplitude.
        pairs: of the precise tracks.
    """

    tie_points: TiePoints
    tracks: Tracks
    precise: NDArray[np.bool_]
    pairs: NearPairs


def tracked_field(tie_points: TiePoints, tracks: Tracks, phone_width: int) -> TrackedField:
    """Choose the tracks that set the field's amplitude, and pair them up."""
    precise = (track_sd(tracks) < PRECISE_SD_PX) & (tracks.ncc > PRECISE_NCC)
    amplitude = FIELD_SD_SHARE * phone_width
    start = FieldPrior(NEAR_SHARE * phone_width, amplitude, FAR_SHARE * phone_width, 1.2 * amplitude, START_NUGGET_PX)
    reach = PAIR_REACH * tie_points.half_px
    return TrackedField(
        tie_points, tracks, precise, near_pairs(tie_points.centre_xy[precise], tracks.covariance[precise], reach, start)
    )


def prior_of(tracked: TrackedField, displacement: NDArray[np.float64]) -> FittedPrior:
    """Return the prior that fits the displacements (N, 2), and the factor of their standard deviations."""
    return fit_prior(tracked.pairs, displacement[tracked.precise])


def measured_field(tracked: TrackedField, displacement: NDArray[np.float64], fitted: FittedPrior) -> MeasuredField:
    """Return the measurements with the prior that fits them."""
    usable = (track_sd(tracked.tracks) < USABLE_SD_PX) & (tracked.tracks.ncc > USABLE_NCC)
    covariance = tracked.tracks.covariance * (fitted.noise_factor**2 * tracked.tie_points.variance_factor)
    return MeasuredField(tracked.tie_points.centre_xy, displacement, covariance, usable, fitted.prior)


def krige(
    field: MeasuredField, smooth: SmoothMap, query_xy: NDArray[np.float64], own: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the displacement (N, K, 2) at nodes (N, K, 2) and its predicted RMS error (N,), phone pixels.

    Args:
        field: measured against `smooth`.
        own: (N,) row of each window's own measurement, which decides between surfaces.
    """
    usable_own = np.where(field.usable[own], own, -1)
    local = local_kriging(
        field.centre_xy, field.displacement, field.covariance, field.usable, query_xy, usable_own, field.prior
    )
    map_sd = smooth.sd(query_xy[:, query_xy.shape[1] // 2]) / smooth.scale()
    own_variance = np.where(usable_own >= 0, np.trace(field.covariance[own], axis1=1, axis2=2), np.inf)
    borrowed = _borrowed_variance(local, own_variance)
    square = (CALIBRATION * local.sd) ** 2 + (MAP_CALIBRATION * map_sd) ** 2 + borrowed + FLOOR_PX**2
    return local.nodes, np.sqrt(square)


def _borrowed_variance(local: LocalField, own_variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) the variance of what windows have from neighbours on another surface.

    What the window itself measured bounds it: a window that is certain by itself borrows nothing.
    """
    contradiction = local.conflict * local.conflict_px**2
    bound = CONFLICT_PX * local.conflict**CONFLICT_POWER * np.minimum(local.conflict_px / CONFLICT_FULL_PX, 1.0)
    variance: NDArray[np.float64] = np.minimum(contradiction / (1 + contradiction / own_variance), bound**2)
    return variance

"""Tie points, windows that are measured: where they lie at a level, their maps, and their tracks in photo pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from dped_data.align.kernels.lucas_kanade import Tracks, TrackSettings, quadratic_maps, track_windows
from dped_data.align.pyramid import Level
from dped_data.align.smooth_map import SmoothMap

MIN_TIE_POINT_PX = 32
"""Smaller patches are measured on a window of this side around them: little texture fits into less, and more of it
may lie on another surface. Ours."""

SHARED_SAMPLE, SHARED_POWER = 64, 0.5
"""Tie points that are looked at to count how many share a pixel, and how the variance grows with that number. Ours:
part of the noise of overlapping tie points is the same."""

BLOCK_ROWS = 1024
"""Points whose distances to all others are looked at together, for bounded memory."""

FEW_WINDOWS = 150
"""Photos with fewer windows are also measured between them, so that their field is as well known as a large photo's."""


@dataclass(frozen=True)
class TiePoints:
    """Windows that are measured at one level.

    Attributes:
        corner_xy: (N, 2) top-left pixel in the phone level.
        size_px: side, level pixels.
        centre_xy: (N, 2) centre, phone photo pixels.
        half_px: distance from the centre to the outermost pixels' centres, phone photo pixels.
    """

    corner_xy: NDArray[np.int64]
    size_px: int
    centre_xy: NDArray[np.float64]
    half_px: float

    @cached_property
    def variance_factor(self) -> float:
        """What overlapping tie points' variances are multiplied by, 1 or more: they see the same noise."""
        apart = np.abs(self.centre_xy[:SHARED_SAMPLE, None] - self.centre_xy).max(axis=-1)
        overlapping = np.maximum(0, 1 - apart / (2 * self.half_px)).sum(axis=1)
        return max(1.0, float(np.median(overlapping))) ** SHARED_POWER

    def select(self, rows: NDArray[np.int64] | slice) -> TiePoints:
        """Return some of the tie points."""
        return replace(self, corner_xy=self.corner_xy[rows], centre_xy=self.centre_xy[rows])


def tie_point_quadrants(level: Level, tie_points: TiePoints) -> TiePoints:
    """Return the four quarters of every tie point, in reading order: what lies together is read together."""
    half = tie_points.size_px // 2
    step = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (tie_points.size_px - half)
    return _tie_points_at(level, (tie_points.corner_xy[:, None] + step).reshape(-1, 2), half)


def place_tie_points(level: Level, window_xy: NDArray[np.int32], window_px: int) -> TiePoints:
    """Place a tie point over each window (W, 2): as large, MIN_TIE_POINT_PX at least, inside the photo."""
    size = min(max(window_px, MIN_TIE_POINT_PX) // level.phone_factor, *level.phone.shape)
    return place_around(level, window_xy.astype(np.float64) + (window_px - 1) / 2, size)


def place_around(level: Level, centre_xy: NDArray[np.float64], size_px: int) -> TiePoints:
    """Place tie points of `size_px` level pixels around centres (N, 2), phone photo pixels, inside the photo."""
    height, width = level.phone.shape
    wanted = (centre_xy + 0.5) / level.phone_factor - 0.5 - (size_px - 1) / 2
    corner = np.clip(np.floor(wanted + 0.5).astype(np.int64), 0, np.array([width - size_px, height - size_px]))
    return _tie_points_at(level, corner, size_px)


def _tie_points_at(level: Level, corner_xy: NDArray[np.int64], size_px: int) -> TiePoints:
    centre = level.phone_photo_xy((corner_xy + (size_px - 1) / 2).astype(np.float64))
    return TiePoints(corner_xy, size_px, centre, (size_px - 1) / 2 * level.phone_factor)


def with_between(window_xy: NDArray[np.int32], smooth: SmoothMap, window_px: int) -> NDArray[np.int32]:
    """Return the windows and, where they are few, those half a window beside them that lie inside both photos."""
    if len(window_xy) >= FEW_WINDOWS:
        return window_xy
    half = window_px // 2
    phone_last = np.array(smooth.phone_size_wh) - window_px
    dslr_last = np.array(smooth.dslr_size_wh) - 1
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (window_px - 1)
    found = [window_xy]
    for step in ((half, 0), (0, half), (half, half)):
        shift = np.array(step, np.int32)
        between = np.unique(np.concatenate((window_xy + shift, window_xy - shift)), axis=0)
        mapped = smooth((between[:, None] + corners).astype(np.float64))
        inside = ((between >= 0) & (between <= phone_last)).all(axis=1)
        inside &= ((mapped >= 0) & (mapped <= dslr_last)).all(axis=(1, 2))
        found.append(between[inside])
    return np.concatenate(found)


def window_maps(level: Level, smooth: SmoothMap, tie_points: TiePoints) -> NDArray[np.float64]:
    """Return (N, 2, 6): each tie point's quadratic map from the window to DSLR level pixels."""
    offset = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1) * tie_points.half_px
    return quadratic_maps(level.dslr_level_xy(smooth(tie_points.centre_xy[:, None, None] + offset)))


def track_tie_points(
    level: Level, smooth: SmoothMap, tie_points: TiePoints, start_px: NDArray[np.float64], settings: TrackSettings
) -> Tracks:
    """Track tie points from displacements `start_px` (N, 2) against the smooth map; all in phone photo pixels."""
    factor = level.phone_factor
    start = np.zeros((len(start_px), 6))
    start[:, :2] = start_px / factor
    maps = window_maps(level, smooth, tie_points)
    tracks = track_windows(level.phone, level.dslr, tie_points.corner_xy, tie_points.size_px, maps, start, settings)
    covariance, node_variance = tracks.covariance * factor**2, tracks.node_variance * factor**2
    return Tracks(tracks.motion * factor, covariance, tracks.ncc, tracks.noise, node_variance)


def track_sd(tracks: Tracks) -> NDArray[np.float64]:
    """Return (N,) the predicted root mean square length of the error of each displacement."""
    sd: NDArray[np.float64] = np.sqrt(np.trace(tracks.covariance, axis1=1, axis2=2))
    return sd


def moved_points(motion: NDArray[np.float64], uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, K, 2): the displacement of N motions at K points of the window, u and v from -1 to 1."""
    affine = motion[:, 2:].reshape(-1, 2, 2)
    moved: NDArray[np.float64] = motion[:, None, :2] + np.einsum("nab,kb->nka", affine, uv)
    return moved


def displaced_from(
    smooth: SmoothMap, centre_xy: NDArray[np.float64], dslr_xy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (N, 2) how far, in phone pixels, the DSLR points lie from where the map puts the centres (N, 2)."""
    at = smooth(centre_xy)
    per_x, per_y = (smooth(centre_xy + np.array(step)) - at for step in ((1.0, 0.0), (0.0, 1.0)))
    rest = dslr_xy - at
    determinant = per_x[:, 0] * per_y[:, 1] - per_x[:, 1] * per_y[:, 0]
    across = rest[:, 0] * per_y[:, 1] - rest[:, 1] * per_y[:, 0]
    down = per_x[:, 0] * rest[:, 1] - per_x[:, 1] * rest[:, 0]
    return np.stack((across, down), axis=-1) / determinant[:, None]


def nearest_rows(xy: NDArray[np.float64], query_xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (Q,) the row of the nearest of `xy` (N, 2) to each of `query_xy` (Q, 2); of equals the first."""
    parts = [query_xy[at : at + BLOCK_ROWS] for at in range(0, len(query_xy), BLOCK_ROWS)]
    return np.concatenate([np.empty(0, np.int64), *(cdist(part, xy, "sqeuclidean").argmin(axis=1) for part in parts)])

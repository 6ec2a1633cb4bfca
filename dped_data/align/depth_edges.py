"""Does a window show one surface? Tests for depth edges that run through it or just beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.cell_evidence import foreign_cells
from dped_data.align.kernels.lucas_kanade import TrackSettings
from dped_data.align.pyramid import Level
from dped_data.align.smooth_map import SmoothMap
from dped_data.align.tie_points import TiePoints, tie_point_quadrants, track_sd, track_tie_points, window_maps
from dped_data.common.jit import njit

QUADRANT = TrackSettings(False, 5, 0.02, translation_sd=1.5, affine_sd=1.0, noise_correlation=16.0)
QUADRANT_MOVE_PX, QUADRANT_SD_PX = 0.6, 1.0
"""A quadrant that moves this far, and twice its standard deviation more, on its own is another surface; one with a
larger standard deviation cannot tell. Ours: good windows' quadrants stay within 0.3 px."""

RIVAL_PX, RIVAL_SD_PX = 0.75, 0.5
"""A near window whose displacement differs by this much and twice its standard deviation more is a rival; one with a
larger standard deviation is not. Ours: less than a pixel of difference does no harm, and on flat scenes less certain
windows were mostly wrong tracks."""

BEND_SDS = 2.0
"""A near window may be on the same bent surface that lies where this one's slope leads, or where it would lie without
slope, to within RIVAL_PX and so many times what the photo's real slopes make over the way. Ours."""

RIVAL_REACH = 2.2
"""Rivals are sought this many window sides away, so that an edge between two windows is seen from both."""

MAX_RIVALS = 4

CELL_PX, MARGIN_PX = 12, 12
"""Cells of the test, and the rim around the window that is tested as well: an edge there may reach into the window's
corner by less than anything can see."""


def quadrant_moves(
    level: Level, smooth: SmoothMap, windows: TiePoints, nodes: NDArray[np.float64], noise_factor: float
) -> NDArray[np.bool_]:
    """Return (W,) whether a quadrant of the window, tracked on its own, leaves the field.

    Args:
        nodes: (W, 5, 5, 2) displacement at the windows' nodes, phone pixels.
        noise_factor: what the tracks' standard deviations are multiplied by.
    """
    start = nodes[:, 1::2, 1::2].reshape(-1, 2)
    tracks = track_tie_points(level, smooth, tie_point_quadrants(level, windows), start, QUADRANT)
    distance = np.linalg.norm(tracks.motion[:, :2] - start, axis=1)
    sd = track_sd(tracks) * noise_factor
    moved = np.logical_and(distance > QUADRANT_MOVE_PX + 2 * sd, sd < QUADRANT_SD_PX)
    return moved.reshape(-1, 4).any(axis=1)


def rival_evidence(
    level: Level,
    smooth: SmoothMap,
    windows: TiePoints,
    nodes: NDArray[np.float64],
    tie_points: TiePoints,
    displacement: NDArray[np.float64],
    sd: NDArray[np.float64],
    slope_variance: float,
) -> NDArray[np.float64]:
    """Return (W,) the evidence that a cell of the window or its rim follows a near window's displacement instead.

    Args:
        windows, nodes: the windows to test and the field's displacement at their nodes (W, 5, 5, 2), phone pixels.
        tie_points, displacement, sd: N measurements (N, 2) and their standard deviations (N,), phone pixels.
        slope_variance: how bent surfaces are (`own_word.slope_variance`); 0: no window's slope says anything.
    Returns:
        Log likelihood ratios as `foreign_cells` gives them; 0 where no near window disagrees.
    """
    factor = level.phone_factor
    evidence = np.zeros(len(nodes))
    centre = nodes[:, 2, 2]
    across, down = (nodes[:, 2, 4] - nodes[:, 2, 0]) / 2, (nodes[:, 4, 2] - nodes[:, 0, 2]) / 2
    slopes = np.stack((across, down), axis=1) / windows.half_px
    bend = BEND_SDS * np.sqrt(slope_variance) / windows.half_px
    rivals = _rivals(windows, centre, slopes if bend else 0 * slopes, bend, tie_points, displacement, sd)
    busy = np.flatnonzero(~np.isnan(rivals[:, 0, 0]))
    tested = windows.select(busy)
    motion = np.zeros((len(busy), 6))
    motion[:, :2], motion[:, [2, 4]], motion[:, [3, 5]] = centre[busy], across[busy], down[busy]
    evidence[busy] = foreign_cells(
        level.phone,
        level.dslr,
        tested.corner_xy,
        tested.size_px,
        window_maps(level, smooth, tested),
        motion / factor,
        rivals[busy] / factor,
        CELL_PX // factor,
        MARGIN_PX // factor,
    )
    return evidence


def _rivals(
    windows: TiePoints,
    centre: NDArray[np.float64],
    slopes: NDArray[np.float64],
    bend: float,
    tie_points: TiePoints,
    displacement: NDArray[np.float64],
    sd: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (W, MAX_RIVALS, 2): distinct displacements near that contradict the window's; NaN for none.

    Args:
        centre, slopes: (W, 2) the window's displacement, and how it changes per pixel to the right and down (W, 2, 2).
        bend: what a bent surface may add to that, px per px of the way.
    """
    rivals = np.full((len(centre), MAX_RIVALS, 2), np.nan)
    able = np.flatnonzero(sd < RIVAL_SD_PX)
    able = able[np.argsort(sd[able], kind="stable")]  # the best measured speak first
    reach = RIVAL_REACH * 2 * windows.half_px
    xy, found = tie_points.centre_xy[able], displacement[able]
    _fill_rivals(windows.centre_xy, reach, centre, slopes, bend, xy, found, sd[able], rivals)
    return rivals


@njit(cache=True, nogil=True)
def _fill_rivals(window_xy, reach, centre, slopes, bend, tie_point_xy, displacement, sd, rivals):  # type: ignore[no-untyped-def]
    for k in range(len(window_xy)):
        found = 0
        for j in range(len(tie_point_xy)):
            dx, dy = tie_point_xy[j, 0] - window_xy[k, 0], tie_point_xy[j, 1] - window_xy[k, 1]
            if found == MAX_RIVALS or max(abs(dx), abs(dy)) >= reach:
                continue
            apart = np.hypot(centre[k, 0] - displacement[j, 0], centre[k, 1] - displacement[j, 1])
            led_x = slopes[k, 0, 0] * dx + slopes[k, 1, 0] * dy
            led_y = slopes[k, 0, 1] * dx + slopes[k, 1, 1] * dy
            rest = np.hypot(centre[k, 0] + led_x - displacement[j, 0], centre[k, 1] + led_y - displacement[j, 1])
            new = min(apart, rest) - bend * max(abs(dx), abs(dy)) > RIVAL_PX + 2 * sd[j]
            for i in range(found):
                other = np.hypot(rivals[k, i, 0] - displacement[j, 0], rivals[k, i, 1] - displacement[j, 1])
                new = new and other > RIVAL_PX
            if new:
                rivals[k, found, 0], rivals[k, found, 1] = displacement[j, 0], displacement[j, 1]
                found += 1

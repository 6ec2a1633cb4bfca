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

BEND = 0.3
"""A near window that lies where the window's own slope leads, to within RIVAL_PX and this share of the way, is on the
same bent surface. Ours."""

FAR_RIVAL_PX = 3.0
"""Only rivals this far off speak of the rim of a window that stands by itself: nearer ones may be its own surface,
which bends there. Ours."""

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
    alone: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return (W,) the evidence that a cell of the window or its rim follows a near window's displacement instead.

    Args:
        windows, nodes: the windows to test and the field's displacement at their nodes (W, 5, 5, 2), phone pixels.
        tie_points, displacement, sd: N measurements (N, 2) and their standard deviations (N,), phone pixels.
        alone: (W,) windows that stand by themselves: on a bent surface their rim follows the neighbours, and may.
    Returns:
        Log likelihood ratios as `foreign_cells` gives them; 0 where no near window disagrees.
    """
    factor = level.phone_factor
    evidence = np.zeros(len(nodes))
    centre = nodes[:, 2, 2]
    across, down = (nodes[:, 2, 4] - nodes[:, 2, 0]) / 2, (nodes[:, 4, 2] - nodes[:, 0, 2]) / 2
    slopes = np.stack((across, down), axis=1) / windows.half_px
    rivals = _rivals(windows, centre, slopes, tie_points, displacement, sd)
    far = _first(rivals, np.hypot(*np.moveaxis(rivals - centre[:, None], -1, 0)) > FAR_RIVAL_PX)
    motion = np.zeros((len(nodes), 6))
    motion[:, :2], motion[:, [2, 4]], motion[:, [3, 5]] = centre, across, down
    for margin, rows, candidates in ((MARGIN_PX, ~alone, rivals), (MARGIN_PX, alone, far), (0, alone, rivals)):
        busy = np.flatnonzero(rows & ~np.isnan(candidates[:, 0, 0]))
        tested = windows.select(busy)
        found = foreign_cells(
            level.phone,
            level.dslr,
            tested.corner_xy,
            tested.size_px,
            window_maps(level, smooth, tested),
            motion[busy] / factor,
            candidates[busy] / factor,
            CELL_PX // factor,
            margin // factor,
        )
        evidence[busy] = np.maximum(evidence[busy], found)
    return evidence


def _rivals(
    windows: TiePoints,
    centre: NDArray[np.float64],
    slopes: NDArray[np.float64],
    tie_points: TiePoints,
    displacement: NDArray[np.float64],
    sd: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (W, MAX_RIVALS, 2): distinct displacements near that contradict the window's; NaN for none.

    Args:
        centre, slopes: (W, 2) the window's displacement, and how it changes per pixel to the right and down (W, 2, 2).
    """
    rivals = np.full((len(centre), MAX_RIVALS, 2), np.nan)
    able = np.flatnonzero(sd < RIVAL_SD_PX)
    able = able[np.argsort(sd[able], kind="stable")]  # the best measured speak first
    reach = RIVAL_REACH * 2 * windows.half_px
    xy, found = tie_points.centre_xy[able], displacement[able]
    _fill_rivals(windows.centre_xy, reach, centre, slopes, xy, found, sd[able], rivals)
    return rivals


def _first(rivals: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the chosen ones of `rivals` (W, R, 2), before NaN for the others."""
    order = np.argsort(~chosen, axis=1, kind="stable")[..., None]
    return np.take_along_axis(np.where(chosen[..., None], rivals, np.nan), order, axis=1)


@njit(cache=True, nogil=True)
def _fill_rivals(window_xy, reach, centre, slopes, tie_point_xy, displacement, sd, rivals):  # type: ignore[no-untyped-def]
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
            new = min(apart, rest - BEND * np.hypot(led_x, led_y)) > RIVAL_PX + 2 * sd[j]
            for i in range(found):
                other = np.hypot(rivals[k, i, 0] - displacement[j, 0], rivals[k, i, 1] - displacement[j, 1])
                new = new and other > RIVAL_PX
            if new:
                rivals[k, found, 0], rivals[k, found, 1] = displacement[j, 0], displacement[j, 1]
                found += 1

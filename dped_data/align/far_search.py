"""Near objects that move by more than the ordinary search reaches: how far they move, and the windows on them.

The matches tell how far, or a person does. Then every window that is not explained where the smooth map puts it is
searched that far, at a level coarse enough for the way, and believed only where it is explained far better there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.lucas_kanade import Tracks, TrackSettings
from dped_data.align.kernels.template_search import search_windows
from dped_data.align.pyramid import Level, halve_level
from dped_data.align.records import Matches
from dped_data.align.smooth_map import SmoothMap
from dped_data.align.tie_points import (
    TiePoints,
    displaced_from,
    place_around,
    track_sd,
    track_tie_points,
    window_maps,
)
from dped_data.errors import CaptureRejected

NEAR_PX = 20.0
"""What the ordinary search reaches, phone pixels: more than a rig of two cameras side by side usually shows."""

NEIGHBOUR_SHARE, APART_SHARE, APART_SLOPE = 0.1, 0.004, 0.03
"""Matches this near each other confirm one another when they move alike, to within so much and so much more per pixel
between them; shares of the phone photo's width. Ours: of false matches no two move alike."""

CONFIRMING, MIN_CONFIRMED = 3, 8
"""Neighbours that confirm a match, and confirmed matches that show parallax. Ours: repeated ornaments make groups of
four and five that agree on a wrong place."""

MARGIN = 1.1
"""The search reaches this much farther than the matches show: few of them lie on the nearest part of an object."""

MOST_SHARE = 0.15
"""Farthest measured reach, share of the phone photo's width. Ours: beyond it hardly a window shows the same twice."""

BEYOND_SHARE = 1 / 3
"""With more of the matches beyond the reach the pair is rejected. Ours: what is left then is one depth of many."""

MOST_STEPS = 25
"""Reach of the search at one level, level pixels: it takes the square of it."""

EXPLAINED_NCC = 0.97
"""A window that correlates this well is where it belongs. Ours: without much texture 0.9 is reached anywhere."""

FAR_NCC, REST, FAR_SD_PX = 0.8, 0.5, 3.0
"""A far place counts when the window correlates this well there, when it leaves less than this share of what is left
unexplained at the ordinary place, and with a standard deviation below this one. Ours: on real stereo scenes three of
four such places are right; without the last, one of two."""


def search_reach(smooth: SmoothMap, matches: Matches, stated_px: float) -> float:
    """Return how far windows are to be searched, phone pixels; NEAR_PX for scenes without much parallax.

    Args:
        smooth: fitted to the matches.
        stated_px: what near objects move by at most; 0 to take it from the matches.
    Raises:
        CaptureRejected: most of what both photos show moves by more than is stated, or than can be searched.
    """
    moved = displaced_from(smooth, matches.phone_xy, matches.dslr_xy)
    length = np.hypot(moved[:, 0], moved[:, 1])
    width = smooth.phone_size_wh[0]
    far = np.flatnonzero(length > NEAR_PX)
    between = np.linalg.norm(matches.phone_xy[far, None] - matches.phone_xy[far], axis=-1)
    apart = np.linalg.norm(moved[far, None] - moved[far], axis=-1)
    alike = (between < NEIGHBOUR_SHARE * width) & (apart < APART_SHARE * width + APART_SLOPE * between)
    shown = length[far[alike.sum(axis=1) > CONFIRMING]]  # each is alike itself
    most = MOST_SHARE * width
    measured = min(MARGIN * float(shown.max()), most) if len(shown) >= MIN_CONFIRMED else 0.0
    reach = max(stated_px or measured, NEAR_PX)
    beyond = shown[shown > reach]
    if len(beyond) >= max(MIN_CONFIRMED, BEYOND_SHARE * (len(length) - len(far) + len(shown))):
        raise CaptureRejected("refinement", "parallax beyond the search", round(float(np.median(beyond)), 1), reach)
    return reach


def track_far(
    level: Level,
    smooth: SmoothMap,
    tie_points: TiePoints,
    tracks: Tracks,
    reach_px: float,
    settings: TrackSettings,
) -> tuple[Tracks, NDArray[np.bool_]]:
    """Search and track again what was not explained, up to `reach_px` away; return the tracks and which are far.

    Args:
        level, tie_points, tracks, settings: of the tracks that are there; windows explained there keep theirs.
    """
    is_far = np.zeros(len(tracks.ncc), bool)
    rows = np.flatnonzero(tracks.ncc < EXPLAINED_NCC)
    if not len(rows):
        return tracks, is_far
    again = tie_points.select(rows)
    far = track_tie_points(level, smooth, again, _searched_far(level, smooth, again, reach_px), settings)
    better = (far.ncc > FAR_NCC) & (1 - far.ncc < REST * (1 - tracks.ncc[rows])) & (track_sd(far) < FAR_SD_PX)
    is_far[rows[better]] = True
    tracks = replace(tracks, **{name: values.copy() for name, values in vars(tracks).items()})
    for name, values in vars(tracks).items():
        values[is_far] = vars(far)[name][better]
    return tracks, is_far


def _searched_far(level: Level, smooth: SmoothMap, tie_points: TiePoints, reach_px: float) -> NDArray[np.float64]:
    """Return (N, 2) where each window correlates best, phone pixels; at a coarser level the farther the reach is."""
    size = tie_points.size_px
    while reach_px > MOST_STEPS * level.phone_factor and min(level.phone.shape) // 2 >= size:
        level = halve_level(level)
    if level.phone_factor * (size - 1) != 2 * tie_points.half_px:  # as many pixels of a larger window
        tie_points = place_around(level, tie_points.centre_xy, size)
    maps, steps = window_maps(level, smooth, tie_points), int(np.ceil(reach_px / level.phone_factor))
    return search_windows(level.phone, level.dslr, tie_points.corner_xy, size, maps, steps)[0] * level.phone_factor

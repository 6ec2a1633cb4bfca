"""Stage 5: what the homography leaves - lens distortion, slow warp, parallax - measured window by window.

Smooth map from the matches -> search and track at a quarter of the resolution -> smooth map again -> track at half
the resolution -> smooth map again -> robust kriging over the neighbours -> what each window says of itself -> tests
for depth edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.depth_edges import quadrant_moves, rival_evidence
from dped_data.align.displacement_field import TrackedField, krige, measured_field, prior_of, tracked_field
from dped_data.align.far_search import NEAR_PX, search_reach, track_far
from dped_data.align.field_prior import FittedPrior
from dped_data.align.kernels.lucas_kanade import Tracks, TrackSettings
from dped_data.align.kernels.template_search import search_windows
from dped_data.align.own_word import NO_WORD, hear_windows, own_motions, slope_variance, surface_variance
from dped_data.align.pyramid import Level, make_level
from dped_data.align.records import CONTRAST_LIMITS, WINDOW_REASONS, Alignment, Homography, Matches
from dped_data.align.smooth_map import (
    MATCH_PRIOR_SD,
    TRACK_PRIOR_SD,
    SmoothMap,
    fit_polynomial,
    fit_polynomials,
    fit_projective,
    project,
    smooth_map_of_homography,
)
from dped_data.align.tie_points import (
    TiePoints,
    displaced_from,
    moved_points,
    nearest_rows,
    place_tie_points,
    track_sd,
    track_tie_points,
    window_maps,
    with_between,
)
from dped_data.align.window_grid import overlap_share, place_windows
from dped_data.common.patch_nodes import NODES, node_grid
from dped_data.errors import CaptureRejected
from dped_data.settings import PatchSettings

MATCH_GATES = (0.03, 0.01)
"""Matches this near the current map, share of the DSLR's width, take part in its next fit: wide first, for the best
homography is several pixels off where the lenses distort."""

POLYNOMIAL_GATE = 0.008
MIN_POLYNOMIAL_MATCHES = 20
MATCH_SD = 0.0004
"""Standard deviation of a SIFT match at 0.25 megapixels, share of the DSLR's width. Measured: 0.2 px of 600."""

COARSE_FACTOR, FINE_FACTOR = 4, 2
"""Phone pixels per level pixel. Tracking at full resolution took twice the time and won a fifth of the error."""

LEVEL_SIGMA = 0.7
COARSE = TrackSettings(True, 12, 0.03, translation_sd=2.0, affine_sd=1.0, noise_correlation=16.0)
FINE = TrackSettings(True, 8, 0.015, translation_sd=1.0, affine_sd=0.5, noise_correlation=16.0)
SEARCH_RADIUS = int(NEAR_PX) // COARSE_FACTOR
"""Reach of the search, level pixels; what lies beyond is far_search's."""

SEARCH_GAIN, SEARCH_NCC = 0.02, 0.5
"""A search result counts when it correlates by this much better than no displacement, and by so much at all. Ours."""

COARSE_SD_PX = 0.5
"""Tracks with a larger standard deviation do not shape the smooth map, phone pixels. Ours."""

MIN_TRACKS = 8
MODEL_SD_PX = 0.1
"""What a window may differ from the smooth map, phone pixels. Ours: keeps single windows from bending it."""

MAP_TERMS = (7, 5, 3)
"""Terms of the prior (the polynomial's degree and one) that are tried for every smooth map."""

PARSIMONY = 1.0
"""Log likelihood that each coefficient must win: of maps that are equal where there is texture, the stiffer one knows
more of where there is none. Ours."""

RIVAL_NCC = 0.9
"""Only well correlated tracks may contradict a window: a failed track points anywhere. Ours."""

LOST_NCC = 0.8
"""A window with texture whose track correlates less did not find its place. Ours."""

FOREIGN_EVIDENCE = 2.0
"""Log likelihood ratio beyond which a block of cells belongs to another surface. Ours: 7 to 1."""


def refine_alignment(
    phone_grey: NDArray[np.uint8],
    dslr_grey: NDArray[np.uint8],
    homography: Homography,
    matches: Matches,
    settings: PatchSettings,
    even_from_xy: tuple[int, int] | None = None,
    of_matches: SmoothMap | None = None,
) -> Alignment:
    """Find where every window of the phone photo lies in the DSLR photo, and how sure that is.

    Args:
        phone_grey, dslr_grey: (H, W) uint8.
        homography, matches: from the earlier stages.
        settings: patch size and stride, largest predicted error.
        even_from_xy: where windows may lie, as in `place_windows`.
        of_matches: what `fit_matches` gives, where it is known already.
    Raises:
        CaptureRejected: the overlap is smaller than one patch; parallax beyond the search.
    """
    size = settings.patch_size
    smooth = of_matches or fit_matches(homography, matches, _size_wh(phone_grey), _size_wh(dslr_grey))
    reach_px = search_reach(smooth, matches, settings.max_parallax)
    scale = smooth.scale()
    coarse = make_level(phone_grey, dslr_grey, scale, COARSE_FACTOR, LEVEL_SIGMA)
    tie_points = place_tie_points(coarse, with_between(_windows(smooth, settings, even_from_xy), smooth, size), size)
    tracks = track_tie_points(coarse, smooth, tie_points, _searched(coarse, smooth, tie_points), COARSE)
    is_far = np.zeros(len(tracks.ncc), bool)
    if reach_px > NEAR_PX:
        tracks, is_far = track_far(coarse, smooth, tie_points, tracks, reach_px, COARSE)
    plane = fit_plane(homography, matches, _size_wh(phone_grey), _size_wh(dslr_grey))
    most_px = NEAR_PX if is_far.any() else np.inf  # near objects do not bend the map
    rough, smooth = smooth, _best_fit(smooth, plane, tie_points, tracks, most_px)[0].smooth
    found = displaced_from(smooth, tie_points.centre_xy, rough(tie_points.centre_xy + tracks.motion[:, :2]))
    found[(track_sd(tracks) > 2 * COARSE_SD_PX) & ~is_far] = 0.0
    fine = make_level(phone_grey, dslr_grey, scale, FINE_FACTOR, LEVEL_SIGMA)
    window_xy = _windows(smooth, settings, even_from_xy)
    return _refine_windows(fine, smooth, plane, homography, window_xy, tie_points.centre_xy, found, most_px, settings)


def fit_matches(
    homography: Homography, matches: Matches, phone_size_wh: tuple[int, int], dslr_size_wh: tuple[int, int]
) -> SmoothMap:
    """Fit homography, radial term and polynomial to all matches near the map, not to the homography's inliers alone."""
    smooth = smooth_map_of_homography(homography.dslr_from_phone, phone_size_wh, dslr_size_wh)
    for gate in MATCH_GATES:
        near = _near(smooth, matches, gate)
        if near.sum() >= MIN_POLYNOMIAL_MATCHES:
            smooth = fit_projective(smooth, matches.phone_xy[near], matches.dslr_xy[near])
    near = _near(smooth, matches, POLYNOMIAL_GATE)
    if near.sum() < MIN_POLYNOMIAL_MATCHES:
        return smooth
    sd = np.full(int(near.sum()), MATCH_SD * dslr_size_wh[0])
    return fit_polynomial(smooth, matches.phone_xy[near], matches.dslr_xy[near], MATCH_PRIOR_SD, sd)


def fit_plane(
    homography: Homography, matches: Matches, phone_size_wh: tuple[int, int], dslr_size_wh: tuple[int, int]
) -> SmoothMap:
    """Fit homography and radial term to the homography's inliers: the surface that most matches agree on."""
    inlier = homography.inlier
    smooth = smooth_map_of_homography(homography.dslr_from_phone, phone_size_wh, dslr_size_wh)
    return fit_projective(smooth, matches.phone_xy[inlier], matches.dslr_xy[inlier])


def _refine_windows(
    level: Level,
    smooth: SmoothMap,
    plane: SmoothMap,
    homography: Homography,
    window_xy: NDArray[np.int32],
    coarse_xy: NDArray[np.float64],
    coarse_displacement: NDArray[np.float64],
    most_px: float,
    settings: PatchSettings,
) -> Alignment:
    """Track at the fine level, krige, and pass a first verdict on every window."""
    size = settings.patch_size
    tie_points = place_tie_points(level, with_between(window_xy, smooth, size), size)
    start = coarse_displacement[nearest_rows(coarse_xy, tie_points.centre_xy)]
    tracks = track_tie_points(level, smooth, tie_points, start, FINE)
    best, tracked = _best_fit(smooth, plane, tie_points, tracks, most_px)
    field = measured_field(tracked, best.displacement, best.fitted)
    rough, smooth, noise_factor = smooth, best.smooth, best.fitted.noise_factor
    node_xy = window_xy[:, None, None].astype(np.float64) + node_grid(size)
    count = len(window_xy)
    flat_nodes, error = krige(field, smooth, node_xy.reshape(count, NODES * NODES, 2), np.arange(count))
    caution = max(noise_factor, 1.0)
    windows, track_error = tie_points.select(slice(0, count)), track_sd(tracks) * caution
    measured = np.where(field.usable[:count, None, None], field.covariance[:count], NO_WORD * np.eye(2))
    variance = error**2 + surface_variance(tracked, field.displacement, best.fitted, windows, measured)
    own = own_motions(windows, tracks, rough, smooth, node_xy)
    slopes = slope_variance(tracked, field.displacement, rough, smooth, noise_factor)
    nodes, error = hear_windows(own, flat_nodes.reshape(count, NODES, NODES, 2), variance, slopes)
    dslr_xy = smooth(node_xy + nodes)
    mixed = quadrant_moves(level, smooth, windows, nodes, caution)
    rival_sd = np.where(tracks.ncc > RIVAL_NCC, track_error, np.inf)
    evidence = rival_evidence(level, smooth, windows, nodes, tie_points, field.displacement, rival_sd, slopes)
    mixed |= evidence > FOREIGN_EVIDENCE
    uncertain = error > settings.max_error_px
    last = np.array(smooth.dslr_size_wh) - 1.0
    reason = np.zeros(count, np.uint8)
    reason[mixed] = WINDOW_REASONS.index("quadrant")
    by_itself = track_error[:count] <= settings.max_error_px
    asked = np.flatnonzero(uncertain)
    reason[asked] = _why_uncertain(level, windows.select(asked), by_itself[asked], tracks.ncc[asked])
    reason[~((dslr_xy >= 0) & (dslr_xy <= last)).all(axis=(1, 2, 3))] = WINDOW_REASONS.index("outside")
    shift, angle = _beyond_homography(homography.dslr_from_phone, node_xy, dslr_xy)
    return Alignment(smooth, field, window_xy, dslr_xy, shift, angle, error, reason, overlap_share(smooth))


def _why_uncertain(
    level: Level, windows: TiePoints, by_itself: NDArray[np.bool_], ncc: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return (W,) the reason of windows whose place is uncertain: no texture, a track that was lost, or neither.

    Args:
        by_itself: (W,) whether the window's own measurement would be certain enough.
        ncc: (W,) correlation of its track.
    """
    reason = np.full(len(ncc), WINDOW_REASONS.index("error"), np.uint8)
    side = windows.size_px
    cuts = (level.phone[y : y + side, x : x + side] for x, y in windows.corner_xy.tolist())
    plain = np.array([cut.std() for cut in cuts]) < CONTRAST_LIMITS[-1]
    reason[~by_itself & (ncc < LOST_NCC)] = WINDOW_REASONS.index("lost")
    reason[~by_itself & plain] = WINDOW_REASONS.index("texture")
    return reason


@dataclass(frozen=True)
class _Fit:
    """A smooth map, the tracks' displacements (N, 2) against it, and how probable these are."""

    smooth: SmoothMap
    displacement: NDArray[np.float64]
    fitted: FittedPrior


def _best_fit(
    rough: SmoothMap, plane: SmoothMap, tie_points: TiePoints, tracks: Tracks, most_px: float
) -> tuple[_Fit, TrackedField]:
    """Fit the smooth map in several ways and take the one against which neighbouring tracks agree best.

    Near objects bend a flexible map far off the background; a stiff one cannot follow a lens. The pairs' likelihood,
    which depth edges do not dominate, decides.

    Args:
        rough: what the tracks are measured against.
        plane: the surface that most matches agree on.
        most_px: tracks that moved farther do not shape the map.
    """
    tracked = tracked_field(tie_points, tracks, rough.phone_size_wh[0])
    found_at = rough(tie_points.centre_xy + tracks.motion[:, :2])
    fits = [_Fit(rough, tracks.motion[:, :2], prior_of(tracked, tracks.motion[:, :2]))]
    sd = track_sd(tracks)
    trusted = (sd < COARSE_SD_PX) & (np.hypot(tracks.motion[:, 0], tracks.motion[:, 1]) < most_px)
    if trusted.sum() >= MIN_TRACKS:
        # Five points of every trusted track, so that its affine part counts.
        uv = np.array([[0.0, 0.0], [-0.6, -0.6], [0.6, -0.6], [-0.6, 0.6], [0.6, 0.6]])
        phone_xy = (tie_points.centre_xy[trusted, None] + uv * tie_points.half_px).reshape(-1, 2)
        dslr_xy = rough(phone_xy + moved_points(tracks.motion[trusted], uv).reshape(-1, 2))
        variance = len(uv) * tie_points.variance_factor * (sd[trusted] ** 2 + MODEL_SD_PX**2)
        point_sd = np.repeat(np.sqrt(variance), len(uv)) * rough.scale()
        starts = ((rough, False), (rough, True), (plane, True))
        priors = tuple(TRACK_PRIOR_SD[:terms] for terms in MAP_TERMS)
        for smooth in fit_polynomials(starts, phone_xy, dslr_xy, priors, point_sd):
            displacement = displaced_from(smooth, tie_points.centre_xy, found_at)
            fits.append(_Fit(smooth, displacement, prior_of(tracked, displacement)))
    best = max(fits, key=lambda fit: fit.fitted.likelihood - PARSIMONY * len(fit.smooth.coefficients))
    return best, tracked


def _near(smooth: SmoothMap, matches: Matches, gate: float) -> NDArray[np.bool_]:
    distance = np.linalg.norm(smooth(matches.phone_xy) - matches.dslr_xy, axis=1)
    return distance < gate * smooth.dslr_size_wh[0]


def _size_wh(grey: NDArray[np.uint8]) -> tuple[int, int]:
    return grey.shape[1], grey.shape[0]


def _windows(smooth: SmoothMap, settings: PatchSettings, even_from_xy: tuple[int, int] | None) -> NDArray[np.int32]:
    stride = settings.stride or settings.patch_size
    window_xy = place_windows(smooth, settings.patch_size, stride, even_from_xy)
    if not len(window_xy):
        raise CaptureRejected("refinement", "overlap smaller than a patch", round(overlap_share(smooth), 4), None)
    return window_xy


def _searched(level: Level, smooth: SmoothMap, tie_points: TiePoints) -> NDArray[np.float64]:
    """Return (N, 2) the displacement an exhaustive search finds, phone pixels; 0 where it is not clearly better."""
    maps = window_maps(level, smooth, tie_points)
    found, ncc = search_windows(level.phone, level.dslr, tie_points.corner_xy, tie_points.size_px, maps, SEARCH_RADIUS)
    better = (ncc[:, 1] > ncc[:, 0] + SEARCH_GAIN) & (ncc[:, 1] > SEARCH_NCC)
    return np.where(better[:, None], found, 0.0) * level.phone_factor


def _beyond_homography(
    dslr_from_phone: NDArray[np.float64], node_xy: NDArray[np.float64], dslr_xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shift (W, 2) at the centre, phone pixels, and the rotation (W,), degrees, beyond the homography."""
    rest = project(np.linalg.inv(dslr_from_phone).astype(np.float64), dslr_xy) - node_xy
    right = (rest[:, :, -1] - rest[:, :, 0]).mean(axis=1)
    down = (rest[:, -1] - rest[:, 0]).mean(axis=1)
    side = node_xy[:, 0, -1, 0] - node_xy[:, 0, 0, 0]
    angle = np.degrees(np.arctan2(right[:, 1] - down[:, 0], 2 * side + right[:, 0] + down[:, 1]))
    return rest[:, 2, 2], angle

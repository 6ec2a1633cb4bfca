"""Stage 5: what the homography leaves - lens distortion, slow warp, parallax - measured window by window.

Smooth map from the matches -> search and track at a quarter of the resolution -> smooth map again -> track at half
resolution -> robust kriging over the neighbours -> quadrant check.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.errors import CaptureRejected
from dped_data.kriging import FieldPrior, LocalField, local_kriging
from dped_data.levels import Level, make_level
from dped_data.lucas_kanade import Tracks, TrackSettings, quadratic_maps, track_windows
from dped_data.records import WINDOW_REASONS, Alignment, Homography, Matches
from dped_data.settings import PatchSettings
from dped_data.smooth_map import SmoothMap, fit_polynomial, fit_projective, project, smooth_map_of_homography
from dped_data.window_grid import coverage, place_windows
from dped_data.window_search import search_windows

MATCH_GATES = (0.03, 0.01)
"""Matches this near the current map, share of the DSLR's width, take part in its next fit: wide first, for the best
homography is several pixels off where the lenses distort."""

POLYNOMIAL_GATE = 0.008
MIN_POLYNOMIAL_MATCHES = 20
MATCH_SD = 0.0004
"""Standard deviation of a SIFT match at 0.25 megapixels, share of the DSLR's width. Measured: 0.2 px of 600."""

COARSE = TrackSettings(True, 12, 0.03, 2.0, 1.0, noise_correlation=4.0)
FINE = TrackSettings(True, 8, 0.015, 1.0, 0.5, noise_correlation=4.0)
QUADRANT = TrackSettings(False, 5, 0.02, 1.5, 1.0, noise_correlation=4.0)
COARSE_FACTOR, FINE_FACTOR = 4, 2
COARSE_SIGMA, FINE_SIGMA = 0.7, 0.7
SEARCH_RADIUS = 5
"""Reach of the search, level pixels: 20 photo pixels."""

MIN_PROBE_PX = 64
"""Smaller patches are measured on a window of this side around them: little texture fits into less."""

TRUSTED_SD_PX = 0.5
"""Coarse tracks with a larger standard deviation do not take part in the second fit, phone pixels."""


@dataclass(frozen=True)
class _Probes:
    """The windows that are measured at one level: corner in level pixels, side, centre in photo pixels."""

    corner_xy: NDArray[np.int64]
    size_px: int
    centre_xy: NDArray[np.float64]
    half_px: float


def refine_alignment(
    phone_grey: NDArray[np.uint8],
    dslr_grey: NDArray[np.uint8],
    homography: Homography,
    matches: Matches,
    settings: PatchSettings,
) -> Alignment:
    """Find where every window of the phone photo lies in the DSLR photo, and how sure that is.

    Args:
        phone_grey, dslr_grey: (H, W) uint8.
        homography, matches: from the earlier stages.
        settings: patch size and stride, largest predicted error.
    Raises:
        CaptureRejected: the overlap is smaller than one patch.
    """
    sizes = (_size_wh(phone_grey), _size_wh(dslr_grey))
    smooth = fit_matches(homography, matches, *sizes)
    scale = _scale_at_centre(smooth)
    stride = settings.stride or settings.patch_size
    coarse_level = make_level(phone_grey, dslr_grey, scale, COARSE_FACTOR, COARSE_SIGMA)
    window_xy = _windows(smooth, settings.patch_size, stride)
    probes, tracks = _coarse_tracks(coarse_level, smooth, window_xy, settings.patch_size)
    first = smooth
    smooth = _refit(smooth, probes, tracks)
    carried = _carry(first, smooth, probes, tracks)
    window_xy = _windows(smooth, settings.patch_size, stride)
    fine_level = make_level(phone_grey, dslr_grey, scale, FINE_FACTOR, FINE_SIGMA)
    return _refine_windows(fine_level, smooth, homography, window_xy, probes.centre_xy, carried, settings)


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
    return fit_polynomial(smooth, matches.phone_xy[near], matches.dslr_xy[near], 4, sd)


def _near(smooth: SmoothMap, matches: Matches, gate: float) -> NDArray[np.bool_]:
    distance = np.linalg.norm(smooth(matches.phone_xy) - matches.dslr_xy, axis=1)
    return distance < gate * smooth.dslr_size_wh[0]


def _size_wh(grey: NDArray[np.uint8]) -> tuple[int, int]:
    return grey.shape[1], grey.shape[0]


def _scale_at_centre(smooth: SmoothMap) -> float:
    """Return DSLR pixels per phone pixel at the phone photo's centre."""
    centre = (np.array(smooth.phone_size_wh) - 1) / 2
    at = smooth(centre + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    return float(np.sqrt(abs(np.linalg.det(at[1:] - at[0]))))


def _windows(smooth: SmoothMap, size_px: int, stride_px: int) -> NDArray[np.int32]:
    reach, overlap = coverage(smooth)
    window_xy = place_windows(reach, smooth.phone_size_wh, size_px, stride_px)
    if not len(window_xy):
        raise CaptureRejected("refinement", "overlap smaller than a patch", round(overlap, 4), None)
    return window_xy


def _probes(level: Level, window_xy: NDArray[np.int32], patch_size: int) -> _Probes:
    """Place a measuring window over each patch window: as large, but no smaller than MIN_PROBE_PX."""
    height, width = level.phone.shape
    size = min(max(patch_size, MIN_PROBE_PX) // level.phone_factor, width, height)
    wanted = (window_xy + (patch_size - 1) / 2 + 0.5) / level.phone_factor - 0.5 - (size - 1) / 2
    corner = np.clip(np.floor(wanted + 0.5).astype(np.int64), 0, np.array([width - size, height - size]))
    centre = level.phone_photo_xy(corner + (size - 1) / 2)
    return _Probes(corner, size, centre, (size - 1) / 2 * level.phone_factor)


def _maps(level: Level, smooth: SmoothMap, probes: _Probes) -> NDArray[np.float64]:
    """Return each probe's quadratic map from window to DSLR level pixels."""
    offset = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1) * probes.half_px
    return quadratic_maps(level.dslr_level_xy(smooth(probes.centre_xy[:, None, None] + offset)))


def _coarse_tracks(
    level: Level, smooth: SmoothMap, window_xy: NDArray[np.int32], patch_size: int
) -> tuple[_Probes, Tracks]:
    """Search and track every window at the coarse level; the tracks come in phone photo pixels."""
    probes = _probes(level, window_xy, patch_size)
    maps = _maps(level, smooth, probes)
    found, correlation = search_windows(level.phone, level.dslr, probes.corner_xy, probes.size_px, maps, SEARCH_RADIUS)
    start = np.zeros((len(found), 6))
    better = (correlation[:, 1] > correlation[:, 0] + 0.02) & (correlation[:, 1] > 0.5)
    start[better, :2] = found[better]
    tracks = track_windows(level.phone, level.dslr, probes.corner_xy, probes.size_px, maps, start, COARSE)
    return probes, _in_photo_pixels(tracks, level.phone_factor)


def _in_photo_pixels(tracks: Tracks, factor: int) -> Tracks:
    return Tracks(tracks.motion * factor, tracks.covariance * factor**2, tracks.ncc, tracks.noise)


def _sd(tracks: Tracks) -> NDArray[np.float64]:
    sd: NDArray[np.float64] = np.sqrt(np.trace(tracks.covariance, axis1=1, axis2=2))
    return sd


def _refit(smooth: SmoothMap, probes: _Probes, tracks: Tracks) -> SmoothMap:
    """Fit the polynomial again, to five points of every trusted track."""
    trusted = _sd(tracks) < TRUSTED_SD_PX
    if trusted.sum() < 8:
        return smooth
    motion, centre = tracks.motion[trusted], probes.centre_xy[trusted]
    uv = np.array([[0.0, 0.0], [-0.6, -0.6], [0.6, -0.6], [-0.6, 0.6], [0.6, 0.6]])
    phone_xy = (centre[:, None] + uv * probes.half_px).reshape(-1, 2)
    dslr_xy = smooth(phone_xy + _moved(motion, uv).reshape(-1, 2))
    sd = np.repeat(np.sqrt(5 * (_sd(tracks)[trusted] ** 2 + 0.15**2)), len(uv)) * _scale_at_centre(smooth)
    return fit_polynomial(smooth, phone_xy, dslr_xy, 5, sd)


def _moved(motion: NDArray[np.float64], uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, K, 2): the displacement of N motions at K points of the window, u and v from -1 to 1."""
    affine = motion[:, 2:].reshape(-1, 2, 2)
    return motion[:, None, :2] + np.einsum("nab,kb->nka", affine, uv)


def _carry(old: SmoothMap, new: SmoothMap, probes: _Probes, tracks: Tracks) -> NDArray[np.float64]:
    """Return (N, 2): the tracks' displacements as seen from the new map, phone pixels; zero where not trusted."""
    x = probes.centre_xy
    jacobian = np.stack([new(x + np.array(step)) - new(x) for step in ((1.0, 0.0), (0.0, 1.0))], axis=-1)
    rest = old(x + tracks.motion[:, :2]) - new(x)
    carried = np.linalg.solve(jacobian, rest[..., None])[..., 0]
    return np.where((_sd(tracks) < 2 * TRUSTED_SD_PX)[:, None], carried, 0.0)


def _refine_windows(
    level: Level,
    smooth: SmoothMap,
    homography: Homography,
    window_xy: NDArray[np.int32],
    coarse_xy: NDArray[np.float64],
    carried: NDArray[np.float64],
    settings: PatchSettings,
) -> Alignment:
    """Track at the fine level, krige, and pass a first verdict on every window."""
    probes = _probes(level, window_xy, settings.patch_size)
    maps = _maps(level, smooth, probes)
    start = np.zeros((len(window_xy), 6))
    start[:, :2] = carried[_nearest_rows(coarse_xy, probes.centre_xy)] / level.phone_factor
    tracks = _in_photo_pixels(
        track_windows(level.phone, level.dslr, probes.corner_xy, probes.size_px, maps, start, FINE), level.phone_factor
    )
    steps = np.linspace(0, settings.patch_size - 1, 5)
    offset = np.stack(np.meshgrid(steps, steps), axis=-1)
    node_xy = window_xy[:, None, None] + offset
    field = _field(probes, tracks, node_xy.reshape(len(window_xy), 25, 2), smooth)
    nodes = field.nodes.reshape(-1, 5, 5, 2)
    error = field.sd
    dslr_xy = smooth(node_xy + nodes)
    reason = np.zeros(len(window_xy), np.uint8)
    reason[_quadrant_moves(level, smooth, probes, nodes)] = WINDOW_REASONS.index("quadrant")
    reason[error > settings.max_error_px] = WINDOW_REASONS.index("error")
    reason[(error > settings.max_error_px) & (_sd(tracks) > settings.max_error_px)] = WINDOW_REASONS.index("texture")
    last = np.array(smooth.dslr_size_wh) - 1.0
    reason[~((dslr_xy >= 0) & (dslr_xy <= last)).all(axis=(1, 2, 3))] = WINDOW_REASONS.index("outside")
    shift, angle = _beyond_homography(homography.dslr_from_phone, node_xy, dslr_xy)
    _, overlap = coverage(smooth)
    return Alignment(smooth, window_xy, dslr_xy, shift, angle, error, reason, overlap)


def _nearest_rows(xy: NDArray[np.float64], query_xy: NDArray[np.float64]) -> NDArray[np.int64]:
    square = ((query_xy[:, None] - xy) ** 2).sum(axis=-1)
    rows: NDArray[np.int64] = square.argmin(axis=1)
    return rows


def _field(probes: _Probes, tracks: Tracks, node_xy: NDArray[np.float64], smooth: SmoothMap) -> LocalField:
    """Krige the tracks; lengths and amplitudes are shares of the phone photo's width."""
    width = smooth.phone_size_wh[0]
    prior = FieldPrior(0.135 * width, 0.0005 * width, 0.46 * width, 0.0006 * width, 0.03)
    usable = (_sd(tracks) < 2.0) & (tracks.ncc > 0.5)
    own = np.where(usable, np.arange(len(usable)), -1)
    return local_kriging(probes.centre_xy, tracks.motion[:, :2], tracks.covariance, usable, node_xy, own, prior)


def _quadrant_moves(level: Level, smooth: SmoothMap, probes: _Probes, nodes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which windows have a quadrant that, tracked on its own, leaves the map: an edge in depth runs there."""
    half = probes.size_px // 2
    moved = np.zeros(len(nodes), bool)
    for row in (0, 1):
        for column in (0, 1):
            corner = probes.corner_xy + np.array([column, row]) * (probes.size_px - half)
            centre = level.phone_photo_xy(corner + (half - 1) / 2)
            quadrant = _Probes(corner, half, centre, (half - 1) / 2 * level.phone_factor)
            start = np.zeros((len(nodes), 6))
            start[:, :2] = nodes[:, 1 + 2 * row, 1 + 2 * column] / level.phone_factor
            maps = _maps(level, smooth, quadrant)
            tracks = _in_photo_pixels(
                track_windows(level.phone, level.dslr, corner, half, maps, start, QUADRANT), level.phone_factor
            )
            distance = np.linalg.norm(tracks.motion[:, :2] - start[:, :2] * level.phone_factor, axis=1)
            moved |= (distance > 0.6 + 1.5 * _sd(tracks)) & (_sd(tracks) < 1.0)
    return moved


def _beyond_homography(
    dslr_from_phone: NDArray[np.float64], node_xy: NDArray[np.float64], dslr_xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shift (W, 2) at the centre, phone pixels, and the rotation (W,), degrees, beyond the homography."""
    phone_from_dslr = np.linalg.inv(dslr_from_phone)
    rest = project(phone_from_dslr, dslr_xy) - node_xy
    right = (rest[:, :, -1] - rest[:, :, 0]).mean(axis=1)
    down = (rest[:, -1] - rest[:, 0]).mean(axis=1)
    side = node_xy[:, 0, -1, 0] - node_xy[:, 0, 0, 0]
    angle = np.degrees(np.arctan2(right[:, 1] - down[:, 0], 2 * side + right[:, 0] + down[:, 1]))
    return rest[:, 2, 2], angle

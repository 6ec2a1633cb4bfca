"""Windows stand by themselves where they know better; what nobody of their surface tells them is uncertain."""

from __future__ import annotations

import numpy as np

from dped_data.align.displacement_field import prior_of, tracked_field
from dped_data.align.kernels.lucas_kanade import Tracks
from dped_data.align.own_word import NO_WORD, OwnMotions, hear_windows, slope_variance, surface_variance
from dped_data.align.smooth_map import smooth_map_of_homography
from dped_data.align.tie_points import TiePoints

COUNT = 40
GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), axis=-1)
ZERO = np.zeros((COUNT, 5, 5, 2))
SLOPE = 0.6 * GRID[..., :1] * np.array([1.0, 0.0])


def own(nodes: np.ndarray, sd: np.ndarray | float) -> OwnMotions:
    variance = np.broadcast_to(np.asarray(sd) ** 2, len(nodes))
    return OwnMotions(nodes, variance, variance / 4, np.full(len(nodes), 0.98))


def test_without_real_slopes_the_neighbours_word_holds_whatever_a_window_found() -> None:
    nodes = np.random.default_rng(0).normal(0, 3, (COUNT, 5, 5, 2))
    found, error = hear_windows(own(nodes, 0.1), ZERO, np.full(COUNT, 0.5**2), 0.0)
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_allclose(error, 0.5)


def test_on_bent_surfaces_certain_windows_stand_by_themselves_and_others_say_that_they_do_not_know() -> None:
    sd = np.where(np.arange(COUNT) < 30, 0.15, 1.0)
    nodes = np.broadcast_to(SLOPE, ZERO.shape)
    found, error = hear_windows(own(nodes, sd), ZERO, np.full(COUNT, 0.05**2), 0.18)
    np.testing.assert_array_equal(found[:30], nodes[:30])
    np.testing.assert_allclose(error[:30], 0.15)
    assert np.abs(found[30:]).max() < 0.25 * SLOPE.max()
    assert (error[30:] > 0.3).all()  # of slopes like the others', which its neighbours do not tell


def slopes_of(slope_scale: float, noise: float = 0.0, step_px: float = 0.0) -> float:
    """`slope_variance` of windows side by side on a wave, with so much of its slopes, noise in them, and an edge."""
    y, x = np.mgrid[:8, :12] * 50.0 + 30
    centre = np.stack((x.ravel(), y.ravel()), axis=-1)
    count, random = len(centre), np.random.default_rng(1)
    displacement = 4 * np.sin(centre[:, :1] / 100) * np.array([1.0, 0.0]) + random.normal(0, 0.03, (count, 2))
    displacement[centre[:, 0] > 300] += (step_px, 0)
    motion = np.zeros((count, 6))
    motion[:, :2] = displacement
    motion[:, 2] = slope_scale * 4 * np.cos(centre[:, 0] / 100) / 100 * 24.5
    motion[:, 2:] += random.normal(0, noise, (count, 4))
    covariance = np.tile(np.eye(2) * 0.03**2, (count, 1, 1))
    tracks = Tracks(motion, covariance, np.full(count, 0.99), np.ones(count), np.full(count, 2 * 0.03**2 + 0.1**2))
    tie_points = TiePoints((centre - 25).astype(np.int64), 50, centre, 24.5)
    smooth = smooth_map_of_homography(np.eye(3), (700, 500), (700, 500))
    return slope_variance(tracked_field(tie_points, tracks, 700), displacement, smooth, smooth, 1.0)


def test_slopes_are_real_where_they_lead_to_the_windows_beside() -> None:
    made = (4 / 100 * 24.5) ** 2 / 4  # half of the windows' mean square at their edge, mean over a wave
    assert made / 3 < slopes_of(1.0) < 3 * made
    assert made / 4 < slopes_of(1.0, step_px=8.0) < 4 * made
    assert slopes_of(0.0, noise=0.3) == 0
    assert slopes_of(0.0, noise=0.3, step_px=8.0) == 0
    assert slopes_of(-1.0) == 0


def surfaces(step_px: float, single: bool = False) -> np.ndarray:
    """Variance of four windows near the edge and four far off, which measured both axes, only y, nothing, nothing."""
    y, x = np.mgrid[:8, :16] * 50
    centre = np.stack((x.ravel(), y.ravel()), axis=-1).astype(np.float64)
    count = len(centre)
    tie_points = TiePoints((centre - 25).astype(np.int64), 50, centre, 24.5)
    beyond = (centre == (400, 200)).all(axis=1) if single else centre[:, 0] > 400
    displacement = np.where(beyond[:, None], (step_px, 0.0), (0.0, 0.0))
    displacement += np.random.default_rng(0).normal(0, 0.03, (count, 2))
    noise = np.tile(np.eye(2) * 0.03**2, (count, 1, 1))
    tracks = Tracks(np.zeros((count, 6)), noise, np.full(count, 0.99), np.ones(count), np.zeros(count))
    tracked = tracked_field(tie_points, tracks, 800)
    fitted = prior_of(tracked, displacement)
    rows = np.flatnonzero((centre[:, 1] == 200) & np.isin(centre[:, 0], (400, 0))).repeat(4)
    sd = np.tile([(0.1, 0.1), (NO_WORD**0.5, 0.1), (NO_WORD**0.5, NO_WORD**0.5), (1.0, 0.1)], (2, 1))
    covariance = np.eye(2) * sd[:, None] ** 2
    return surface_variance(tracked, displacement, fitted, tie_points.select(rows), covariance)


def test_what_a_window_cannot_measure_is_uncertain_where_surfaces_are_near() -> None:
    far, near = np.split(surfaces(5.0), 2)
    assert near[0] < 0.1**2  # it knows
    assert near[1] > 1  # 5 px off in one of several neighbours
    np.testing.assert_allclose(near[2], near[1], rtol=0.01)  # the surfaces do not differ along y
    assert 0.3 < near[3] < near[1]
    assert (far < 0.2 * near).all()


def test_where_all_lies_on_one_surface_nothing_is_added() -> None:
    assert (surfaces(0.0) == 0).all()


def test_a_single_wrong_track_is_no_surface() -> None:
    assert (surfaces(5.0, single=True) == 0).all()

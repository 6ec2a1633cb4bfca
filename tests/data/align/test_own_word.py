"""Windows stand by themselves where they know better; what nobody of their surface tells them is uncertain."""

from __future__ import annotations

import numpy as np

from dped_data.align.displacement_field import prior_of, tracked_field
from dped_data.align.kernels.lucas_kanade import Tracks
from dped_data.align.own_word import NO_WORD, OwnMotions, hear_windows, surface_variance
from dped_data.align.tie_points import TiePoints

COUNT = 40
GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), axis=-1)
SLOPE = 0.6 * GRID[..., :1] * np.array([1.0, 0.0])


def own(nodes: np.ndarray, sd: np.ndarray | float) -> OwnMotions:
    variance = np.broadcast_to(np.asarray(sd) ** 2, len(nodes))
    return OwnMotions(nodes, variance, variance / 4, np.full(len(nodes), 0.98))


def test_where_own_motions_differ_by_their_noise_the_neighbours_word_holds() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (COUNT, 1, 1, 2))
    heard = hear_windows(own(noise * GRID, 0.2), np.zeros((COUNT, 5, 5, 2)), np.full(COUNT, 0.05**2))
    assert not heard.alone.any() and (heard.nodes == 0).all()
    np.testing.assert_allclose(heard.error, 0.05)


def test_on_bent_surfaces_certain_windows_stand_by_themselves_and_others_say_that_they_do_not_know() -> None:
    sd = np.where(np.arange(COUNT) < 30, 0.15, 1.0)
    nodes = np.broadcast_to(SLOPE, (COUNT, 5, 5, 2))
    heard = hear_windows(own(nodes, sd), np.zeros((COUNT, 5, 5, 2)), np.full(COUNT, 0.05**2))
    assert heard.alone.tolist() == (sd < 0.5).tolist()
    np.testing.assert_array_equal(heard.nodes[0], SLOPE)
    np.testing.assert_allclose(heard.error[0], 0.15)
    assert heard.error[-1] > 0.3  # of slopes like the others', which its neighbours do not tell


def test_a_window_that_contradicts_its_neighbours_is_believed_only_when_it_is_certain() -> None:
    nodes = np.zeros((COUNT, 5, 5, 2))
    nodes[:2] += (1.5, 0.0)
    sd = np.full(COUNT, 0.2)
    sd[1] = 0.5
    heard = hear_windows(own(nodes, sd), np.zeros((COUNT, 5, 5, 2)), np.full(COUNT, 0.05**2))
    assert heard.alone.tolist() == [True] + [False] * (COUNT - 1)
    assert (heard.nodes[0] == nodes[0]).all() and (heard.nodes[1:] == 0).all()


def surfaces(step_px: float) -> np.ndarray:
    """Variance of four windows near the edge and four far off, which measured both axes, only y, nothing, nothing."""
    y, x = np.mgrid[:8, :16] * 50
    centre = np.stack((x.ravel(), y.ravel()), axis=-1).astype(np.float64)
    count = len(centre)
    tie_points = TiePoints((centre - 25).astype(np.int64), 50, centre, 24.5)
    displacement = np.where(centre[:, :1] > 400, (step_px, 0.0), (0.0, 0.0))
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

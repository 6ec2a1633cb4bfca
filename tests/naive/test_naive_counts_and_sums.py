"""The small compiled loops: sums, means, counts and nearest rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from dped_data.align import depth_edges, field_prior
from dped_data.align.depth_edges import _fill_rivals
from dped_data.align.features import _nearest_two
from dped_data.align.field_prior import _log_likelihood, near_rows
from dped_data.align.ncc import correlate_patches
from dped_data.align.pyramid import _box_means
from dped_data.align.tie_points import nearest_rows
from dped_data.align.window_grid import LATTICE_PX, ROUNDING_PX, _counts_by_origin, _mark_inside
from dped_data.common.jit import dot

RANDOM = np.random.default_rng(11)


def test_the_dot_product_is_numpys() -> None:
    a, b = RANDOM.integers(-9, 9, (2, 37)).astype(np.float32)
    assert dot(a, b) == a @ b


def test_agreement_is_the_correlation_of_luminances() -> None:
    """To 1e-12: numpy's covariances are not exact sums."""
    a = RANDOM.integers(0, 256, (5, 7, 7, 3)).astype(np.uint8)
    b = (a * 0.6 + RANDOM.integers(0, 80, a.shape)).astype(np.uint8)
    b[3], a[4] = 255 - a[3], 9
    found = correlate_patches(a, b)
    for k in range(5):
        x, y = ((p[k].astype(int) @ [299, 587, 114]).ravel() / 1000 for p in (a, b))
        ncc = 0.0 if k == 4 else np.corrcoef(x, y)[0, 1]
        np.testing.assert_allclose(found.ncc[k], ncc, atol=1e-12)
        np.testing.assert_allclose(found.residual[k], np.sqrt(x.var() * (1 - ncc**2)), atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
def test_box_means_are_means(factor: int) -> None:
    """Equal to the bit: whole sums times the float32 share."""
    photo = RANDOM.integers(0, 256, (17, 23)).astype(np.uint8)
    small = np.empty((17 // factor, 23 // factor), np.float32)
    _box_means(photo, factor, small)
    h, w = small.shape
    sums = photo[: h * factor, : w * factor].astype(int).reshape(h, factor, w, factor).sum(axis=(1, 3))
    assert np.array_equal(small, sums.astype(np.float32) * np.float32(1 / factor**2))


def test_inside_is_where_the_interpolated_lattice_is() -> None:
    p = LATTICE_PX
    ys, xs = np.arange(0, 2 * p, 3), np.arange(0, 3 * p, 2)
    node_y, node_x = np.mgrid[:3, :4] * float(p)
    lattice = np.stack((1.5 * node_x - 20 + 0.3 * node_y, 2.0 * node_y - 15 - 0.2 * node_x), axis=-1)
    lattice += RANDOM.normal(0, 5, lattice.shape)
    last, inside = np.array([3.4 * p, 3.1 * p]), np.ones((len(ys), len(xs)), bool)
    inside[0, 3] = False  # what is out stays out
    before = inside.copy()
    _mark_inside(lattice, xs, ys, last, inside)
    for k, m in np.ndindex(inside.shape):
        (i, j), fy, fx = (ys[k] // p, xs[m] // p), ys[k] % p / p, xs[m] % p / p
        at = np.array([1 - fy, fy]) @ np.moveaxis(lattice[i : i + 2, j : j + 2], -1, 0) @ np.array([1 - fx, fx])
        assert inside[k, m] == (before[k, m] and bool((at >= -ROUNDING_PX).all() and (at <= last).all()))
    assert 0 < inside.sum() < inside.size - 1


def test_a_point_on_the_border_is_inside() -> None:
    lattice = np.zeros((2, 2, 2))
    for value, wanted in ((-ROUNDING_PX, True), (50.0, True), (50.1, False), (-2 * ROUNDING_PX, False)):
        lattice[:], inside = value, np.ones((1, 1), bool)
        _mark_inside(lattice, np.array([0]), np.array([0]), np.array([50.0, 50.0]), inside)
        assert inside[0, 0] == wanted


def test_origins_are_counted_by_remainder() -> None:
    fits = RANDOM.random((8, 11)) < 0.6
    counts = _counts_by_origin(fits, 3)
    assert counts.tolist() == [[int(fits[i::3, j::3].sum()) for j in range(3)] for i in range(3)]


def test_the_nearest_two_are_the_first_of_a_sort() -> None:
    query, train = (RANDOM.integers(0, 9, (n, 5)).astype(np.float32) for n in (9, 14))
    index, distance, second = _nearest_two(query, train)
    apart = np.sqrt(((query[:, None] - train[None]) ** 2).sum(axis=-1, dtype=np.float64))
    assert index.tolist() == apart.argmin(axis=1).tolist()
    np.testing.assert_allclose(np.stack((distance, second), axis=1), np.sort(apart, axis=1)[:, :2], rtol=1e-6)


def test_nearest_rows_are_the_least_distances() -> None:
    xy, query = RANDOM.integers(0, 6, (30, 2)) * 1.0, RANDOM.integers(0, 6, (20, 2)) * 1.0  # with ties
    distance = ((query[:, None] - xy[None]) ** 2).sum(axis=-1)
    assert nearest_rows(xy, query).tolist() == distance.argmin(axis=1).tolist()


def test_rivals_are_distinct_and_contradict() -> None:
    windows, tie_points = RANDOM.uniform(0, 60, (9, 2)), RANDOM.uniform(0, 60, (40, 2))
    tie_points[0] = windows[0] + (25.0, 0.0)  # just out of reach
    centre, moved = RANDOM.normal(0, 2, (9, 2)), RANDOM.normal(0, 5, (40, 2))
    sd, limit, most = RANDOM.uniform(0, 1, 40), depth_edges.RIVAL_PX, depth_edges.MAX_RIVALS
    slopes = RANDOM.normal(0, 0.1, (9, 2, 2))
    slopes[:3] = 0
    found = np.full((9, most, 2), np.nan)
    _fill_rivals(windows, 25.0, centre, slopes, 0.05, tie_points, moved, sd, found)
    for k in range(9):
        chosen: list[np.ndarray] = []
        for j in np.flatnonzero(np.abs(windows[k] - tie_points).max(axis=1) < 25.0):
            led = (tie_points[j] - windows[k]) @ slopes[k]  # where the window's own slope leads
            rest, way = np.linalg.norm(centre[k] + led - moved[j]), np.abs(tie_points[j] - windows[k]).max()
            apart = min(np.linalg.norm(centre[k] - moved[j]), rest) - 0.05 * way > limit + 2 * sd[j]
            if apart and all(np.linalg.norm(c - moved[j]) > limit for c in chosen) and len(chosen) < most:
                chosen.append(moved[j])
        assert np.array_equal(found[k], np.array(chosen + [np.full(2, np.nan)] * (most - len(chosen))), equal_nan=True)


def test_the_likelihood_is_scipys_student_t() -> None:
    """To 1e-9: another order of the same sums."""
    n, degrees = 2 * field_prior.MULTIPLIED + 3, field_prior.STUDENT_DEGREES
    apart, noise, moved = RANDOM.random(n), RANDOM.uniform(0.1, 1, (2, n)), RANDOM.gamma(1, 2, (2, n))
    spread = 0.7 * apart + 0.2 + 1.3 * noise
    density = student.pdf(np.sqrt(moved / spread), degrees) / np.sqrt(spread)
    share = field_prior.EDGE_SHARE
    wanted = np.log((1 - share) * density.prod(axis=0) + share * field_prior.EDGE_DENSITY).sum()
    np.testing.assert_allclose(_log_likelihood(apart, noise, moved, 0.7, 1.3, 0.2), wanted, rtol=1e-9)


@pytest.mark.parametrize("every", [1, 3])
def test_near_rows_are_all_pairs_within_reach(every: int) -> None:
    xy = RANDOM.integers(0, 7, (25, 2)) * 1.0  # distances that equal the reach occur
    first, second = near_rows(xy, 5.0, every)
    square = ((xy[:, None] - xy[None]) ** 2).sum(axis=-1)
    wanted = [(i, j) for i in range(0, 25, every) for j in range(i + 1, 25) if square[i, j] < 25.0]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == wanted

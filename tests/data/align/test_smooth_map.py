from __future__ import annotations

import numpy as np
from planted_scene import distorted

from dped_data.align.smooth_map import (
    MATCH_PRIOR_SD,
    TRACK_PRIOR_SD,
    fit_polynomial,
    fit_projective,
    project,
    smooth_map_of_homography,
)

H = np.array([[1.4, 0.05, 40.0], [-0.04, 1.38, 25.0], [2e-5, -1e-5, 1.0]])
PHONE_WH, DSLR_WH = (840, 600), (1300, 960)


def points(count: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform((0, 0), (839, 599), (count, 2))


def test_project_applies_the_homography() -> None:
    xy = np.array([[10.0, 20.0]])
    homogeneous = H @ np.array([10.0, 20.0, 1.0])
    np.testing.assert_allclose(project(H, xy)[0], homogeneous[:2] / homogeneous[2])
    np.testing.assert_allclose(smooth_map_of_homography(H, PHONE_WH, DSLR_WH)(xy), project(H, xy))


def test_homography_and_radial_term_are_recovered_among_outliers() -> None:
    true = distorted(1.45, 2.0, (30, 20), 0.03, ((840 - 1) / 2, (600 - 1) / 2))
    xy = points()
    dslr_xy = true(xy) + np.random.default_rng(1).normal(0, 0.3, xy.shape)
    dslr_xy[::4] += np.random.default_rng(2).normal(0, 15, dslr_xy[::4].shape)
    start = smooth_map_of_homography(np.array([[1.45, -0.05, 30.0], [0.05, 1.45, 20.0], [0, 0, 1]]), PHONE_WH, DSLR_WH)
    fitted = fit_projective(start, xy, dslr_xy)
    error = np.linalg.norm(fitted(points(seed=9)) - true(points(seed=9)), axis=1)
    assert error.max() < 0.25
    corner = 0.03 * (419.5**2 + 299.5**2) / 400**2
    assert abs(fitted.radial - corner) < 0.1 * corner


def test_a_slow_warp_is_fitted_by_the_polynomial() -> None:
    def true(xy: np.ndarray) -> np.ndarray:
        return project(H, xy) + 4 * np.sin(xy[..., ::-1] * 2 * np.pi / 840)

    start = smooth_map_of_homography(H, PHONE_WH, DSLR_WH)
    xy = points(1500)
    fitted = fit_polynomial(start, xy, true(xy), TRACK_PRIOR_SD, np.full(len(xy), 0.1))
    inner = points(seed=5)
    assert np.linalg.norm(fitted(inner) - true(inner), axis=1).mean() < 0.06


def test_a_start_that_is_trusted_keeps_a_near_object_from_bending_the_map() -> None:
    xy = points(1500)
    dslr_xy = project(H, xy)
    near = (xy[:, 0] > 420) & (xy[:, 1] > 200)  # a third of the points
    dslr_xy[near] += 9
    start = smooth_map_of_homography(H, PHONE_WH, DSLR_WH)
    sd = np.full(len(xy), 0.1)
    trusting = fit_polynomial(start, xy, dslr_xy, TRACK_PRIOR_SD, sd, trust_start=True)
    assert np.linalg.norm(trusting(xy[~near]) - project(H, xy[~near]), axis=1).max() < 0.05


def test_the_map_says_where_it_is_not_sure() -> None:
    xy = points(600)
    xy = xy[xy[:, 0] < 400]
    true = project(H, xy) + 3 * np.sin(xy[:, ::-1] / 90)
    fitted = fit_polynomial(
        smooth_map_of_homography(H, PHONE_WH, DSLR_WH), xy, true, MATCH_PRIOR_SD, np.full(len(xy), 0.3)
    )
    sure, unsure = fitted.sd(np.array([[200.0, 300.0], [800.0, 300.0]]))
    assert sure < 0.2 < 5 * sure < unsure


def test_scale_is_dslr_pixels_per_phone_pixel() -> None:
    assert abs(smooth_map_of_homography(np.diag([1.5, 1.5, 1.0]), PHONE_WH, DSLR_WH).scale() - 1.5) < 1e-9

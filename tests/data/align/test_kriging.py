from __future__ import annotations

import numpy as np

from dped_data.align.field_prior import fit_prior, near_pairs
from dped_data.align.kriging import local_kriging
from dped_data.align.records import FieldPrior

PRIOR = FieldPrior(near_px=350, near_sd=0.05, far_px=1200, far_sd=0.05, nugget_sd=0.01)
OFFSET = np.stack(np.meshgrid(np.linspace(-50, 50, 5), np.linspace(-50, 50, 5)), axis=-1).reshape(25, 2)


def lattice(columns: int = 12, rows: int = 9) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(columns) * 100.0, np.arange(rows) * 100.0), axis=-1).reshape(-1, 2)


def krige(displacement: np.ndarray, sd: float | np.ndarray = 0.1, usable: np.ndarray | None = None):
    xy = lattice()
    covariance = (
        np.broadcast_to(np.eye(2), (len(xy), 2, 2)) * np.broadcast_to(np.square(sd), len(xy))[:, None, None] / 2
    )
    usable = np.ones(len(xy), bool) if usable is None else usable
    own = np.where(usable, np.arange(len(xy)), -1)
    return local_kriging(xy, displacement, covariance, usable, xy[:, None] + OFFSET, own, PRIOR)


def test_noise_is_averaged_over_the_neighbours_and_predicted() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1 / np.sqrt(2), (108, 2))
    field = krige(noise)
    error = np.sqrt((field.nodes**2).sum(axis=2).mean(axis=1))
    assert np.sqrt((error**2).mean()) < 0.05
    assert 0.5 < np.sqrt((error**2).mean()) / np.sqrt((field.sd**2).mean()) < 2
    assert field.conflict.max() < 0.3


def test_one_wrong_measurement_does_not_move_its_neighbours() -> None:
    displacement = np.zeros((108, 2))
    displacement[50] = (6.0, -4.0)
    others = np.delete(np.arange(108), 50)
    assert np.abs(krige(displacement).nodes[others]).max() < 0.05


def test_a_near_object_keeps_its_own_displacement_and_the_edge_shows() -> None:
    xy = lattice()
    near = (xy[:, 0] >= 600) & (xy[:, 1] >= 300)
    displacement = np.where(near[:, None], (8.0, 1.0), (0.0, 0.0))
    field = krige(displacement)
    error = np.linalg.norm(field.nodes - displacement[:, None], axis=2).max(axis=1)
    assert error.max() < 0.3
    beside = (np.abs(xy[:, 0] - 550) < 60) & (xy[:, 1] > 400)
    far = xy[:, 0] < 300
    assert field.conflict[beside].min() > 0.2 > field.conflict[far].max()


def test_far_from_any_measurement_the_prior_is_all_that_is_known() -> None:
    xy = lattice()
    usable = xy[:, 0] < 200
    field = krige(np.zeros((108, 2)), usable=usable)
    assert field.sd[-1] > 2 * field.sd[0]
    nothing = krige(np.zeros((108, 2)), usable=np.zeros(108, bool))
    np.testing.assert_allclose(nothing.sd, np.sqrt(2 * (0.05**2 + 0.05**2)))


def test_the_noise_and_the_amplitude_are_found_in_spite_of_edges() -> None:
    rng, xy = np.random.default_rng(3), lattice(24, 18)
    covariance = np.broadcast_to(np.eye(2) * 0.05**2, (len(xy), 2, 2))
    start = FieldPrior(350, 1.3, 1200, 1.5, 0.03)
    for true_factor in (0.7, 1.4):
        displacement = rng.normal(0, 0.05 * true_factor, (len(xy), 2))
        displacement[(xy[:, 0] > 900) & (xy[:, 1] > 600)] += 7.0
        fitted = fit_prior(near_pairs(xy, covariance, 400, start), displacement)
        explained = np.hypot(fitted.noise_factor * 0.05, fitted.prior.nugget_sd)
        assert abs(explained / (0.05 * true_factor) - 1) < 0.3
        assert fitted.prior.near_sd < 0.1


def test_too_few_measurements_leave_the_prior_as_it_is() -> None:
    start = FieldPrior(350, 1.3, 1200, 1.5, 0.03)
    none = near_pairs(np.zeros((0, 2)), np.zeros((0, 2, 2)), 400, start)
    assert fit_prior(none, np.zeros((0, 2))).prior == start

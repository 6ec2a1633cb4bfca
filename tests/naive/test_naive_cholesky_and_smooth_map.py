from __future__ import annotations

import numpy as np
import pytest

from dped_data.align.kernels.cholesky import backward, factor, forward
from dped_data.align.kernels.smooth_map import TOGETHER, map_points, normal_equations, residual_lengths, ridge_solve

RANDOM = np.random.default_rng(4)


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9, 13])
def test_cholesky_is_numpys(n: int) -> None:
    root = RANDOM.normal(size=(n + 2, n + 2))
    a, b = root @ root.T + np.eye(n + 2), RANDOM.normal(size=n)  # two rows more than are asked for
    u, lower, whole = a.copy(), b.copy(), b.copy()
    factor(u, n)
    wanted = np.linalg.cholesky(a[:n, :n]).T
    np.testing.assert_allclose(np.triu(u[:n, :n]), wanted, rtol=1e-10, atol=1e-10)
    forward(u, n, lower)
    np.testing.assert_allclose(lower, np.linalg.solve(wanted.T, b), rtol=1e-9, atol=1e-10)
    forward(u, n, whole)
    backward(u, n, whole)
    np.testing.assert_allclose(whole, np.linalg.solve(a[:n, :n], b), rtol=1e-9, atol=1e-10)
    assert np.array_equal(u[n:], a[n:])


def test_a_singular_system_is_held_above_zero() -> None:
    u = np.zeros((2, 2))
    factor(u, 2)
    np.testing.assert_allclose(np.diag(u), 1e-6)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_mapped_points_are_homography_plus_polynomial(degree: int) -> None:
    xy, size = RANDOM.uniform(0, 400, (TOGETHER + 3, 2)), (400, 300)
    h = np.array([[1.2, 0.05, 3.0], [-0.04, 1.1, 5.0], [1e-4, -2e-4, 1.0]])
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    coefficients, found = RANDOM.normal(size=(len(powers), 2)), np.empty_like(xy)
    map_points(xy, h, 0.03, coefficients, degree, size, found)
    middle = (np.array(size) - 1) / 2
    u, v = ((xy - middle) / (size[0] / 2)).T
    corner = 1 + (300 / 400) ** 2
    x, y = (xy - middle).T * (1 + 0.03 * (u**2 + v**2) / corner) + middle[:, None]
    mapped = h @ np.stack((x, y, np.ones_like(x)))
    polynomial = sum(c[:, None] * u**i * v**j for c, (i, j) in zip(coefficients, powers, strict=True))
    np.testing.assert_allclose(found, (mapped[:2] / mapped[2] + polynomial).T, rtol=1e-11)


def fit() -> tuple[np.ndarray, ...]:
    count = TOGETHER + 5
    return RANDOM.normal(size=(4, count)), RANDOM.uniform(0.1, 1, count), RANDOM.normal(size=(2, count))


def test_normal_equations_and_residuals_are_matrix_products() -> None:
    design, weight, values = fit()
    normal, right, length = np.ones((4, 4)), np.ones((4, 2)), np.empty(len(weight))
    normal_equations(design, weight, values, normal, right)
    np.testing.assert_allclose(normal, (design * weight) @ design.T, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(right, (design * weight) @ values.T, rtol=1e-11, atol=1e-11)
    coefficients = RANDOM.normal(size=(4, 2))
    residual_lengths(design, values, coefficients, length)
    np.testing.assert_allclose(length, np.linalg.norm(values - coefficients.T @ design, axis=0), rtol=1e-11)


@pytest.mark.parametrize("strength", np.geomspace(0.02, 30, 12))  # so that different factors win
def test_the_ridge_is_the_dense_one_of_largest_evidence(strength: float) -> None:
    design, weight, values = fit()
    normal, right = (design * weight) @ design.T, (design * weight) @ (strength * values).T
    prior, scales, found = np.array([1.0, 0.5, 2.0, 0.2]), np.geomspace(0.02, 40, 80), np.empty((4, 2))
    chosen = ridge_solve(normal, right, prior, scales, found)
    evidence, solutions = [], []
    for scale in scales:
        inverse = np.diag((prior * scale) ** -2.0)
        system = normal + inverse
        solutions.append(np.linalg.solve(system, right))
        spread = np.linalg.slogdet(system)[1] - np.linalg.slogdet(inverse)[1]  # half of it for each of two axes
        evidence.append(0.5 * (right * solutions[-1]).sum() - spread)
    assert chosen == int(np.argmax(evidence))
    np.testing.assert_allclose(found, solutions[chosen], rtol=1e-9, atol=1e-12)

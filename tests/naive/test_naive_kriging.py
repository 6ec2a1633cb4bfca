from __future__ import annotations

import numpy as np
import pytest
from naive.windows import Floats

from dped_data.align.kernels import kriging
from dped_data.align.kernels.kriging import _exp, local_kriging

KERNEL = np.array([25.0, 0.8, 120.0, 1.5, 0.1])  # near range and sd, far range and sd, nugget


def prior(a: Floats, b: Floats, trend: float) -> Floats:
    """Return the covariance (A, B) of the field at points (A, 2) and (B, 2) relative to the window."""
    square = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    near, near_sd, far, far_sd, _ = KERNEL
    stationary = near_sd**2 * np.exp(-square / 2 / near**2) + far_sd**2 * np.exp(-square / 2 / far**2)
    return stationary + trend * (kriging.OFFSET_SD_PX**2 + kriging.SLOPE_SD**2 * a @ b.T)


def krige(centres: Floats, moved: Floats, noise: Floats, usable: Floats, query: Floats, own: int):  # type: ignore[no-untyped-def]
    """Return nodes (Q, 2), sd, conflict and conflict_px of one window, by dense solves."""
    middle = query.mean(axis=0)
    order = sorted(np.flatnonzero(usable), key=lambda j: (j != own, ((centres[j] - middle) ** 2).sum()))
    rows = np.array(order[: kriging.NEIGHBOURS])
    n, at, values, noises = len(rows), centres[rows] - middle, moved[rows], noise[rows]
    both = np.zeros((n, n, 2, 2))
    nugget = KERNEL[4] ** 2 * np.eye(2)
    for trend in (0.0, 1.0):
        base = np.ones(n)
        for a in range(n if own >= 0 else 0):
            if rows[a] == own:
                continue
            apart = at[a] - at[0]
            spread = 2 * (prior(at[:1], at[:1], 0.0) - prior(at[:1], at[a : a + 1], 0.0))[0, 0] + 2 * KERNEL[4] ** 2
            spread += trend * kriging.SLOPE_SD**2 * apart @ apart
            difference = values[a] - values[0]
            t = difference @ np.linalg.solve(noises[a] + noises[0] + spread * np.eye(2), difference)
            base[a] = min(1.0, (kriging.CONSISTENT / t) ** 2)
        weights = base.copy()
        for attempt in range(3):
            both[:] = 0.0
            both[:, :, 0, 0] = both[:, :, 1, 1] = prior(at, at, trend)
            local = (noises + nugget) / np.maximum(weights, 1e-4)[:, None, None]
            both[np.arange(n), np.arange(n)] += local
            system = both.transpose(2, 0, 3, 1).reshape(2 * n, 2 * n)
            solution = np.linalg.solve(system, values.T.ravel())
            if attempt < 2:
                residual = np.einsum("nij,nj->ni", local, solution.reshape(2, n).T)
                t = np.einsum("ni,ni->n", residual, np.linalg.solve(noises + nugget, residual[..., None])[..., 0])
                weights = base * (kriging.STUDENT_DEGREES + 2) / (kriging.STUDENT_DEGREES + np.maximum(t, 2.0))
        ring = [a for a in range(n) if rows[a] != own][:8]
        lost = [a for a in ring if weights[a] < kriging.LOST_WEIGHT]
        conflict = len(lost) / max(len(ring), 1)
        conflict_px = sum(np.hypot(*residual[a]) for a in lost) / max(len(lost), 1)
        if conflict <= kriging.MAX_CONFLICT and (own < 0 or weights[0] >= kriging.LOST_WEIGHT):
            break
    asked = query - middle
    nodes = prior(asked, at, trend) @ solution.reshape(2, n).T
    variance = 0.0
    for q in (0, len(query) // 2, len(query) - 1):
        point = asked[q : q + 1]
        column = prior(at, point, trend)[:, 0]
        for axis in range(2):
            shared = np.zeros(2 * n)
            shared[axis * n : axis * n + n] = column
            variance += (prior(point, point, trend)[0, 0] - shared @ np.linalg.solve(system, shared)) / 3
    return nodes, np.sqrt(variance), conflict, conflict_px


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("contradicted", [False, True])
def test_kriging_is_the_dense_solution(count: int, contradicted: bool) -> None:
    """To 1e-6: its exponential is good to 1e-12; a trend of 400 px² against noise of 0.02 loses 5 digits."""
    random = np.random.default_rng(count)
    centres = random.uniform(0, 200, (count, 2))
    moved = random.normal(0, 0.3, (count, 2)) + centres * 0.004
    if contradicted:
        moved[::3] += (6.0, -4.0)
    root = random.normal(0, 0.2, (count, 2, 2))
    noise = root @ root.transpose(0, 2, 1) + 0.02 * np.eye(2)
    usable = np.ones(count, bool)
    usable[1] = False
    own = np.array([0, -1, 2])
    grid = np.stack(np.meshgrid(np.linspace(-20, 20, 3), np.linspace(-24, 16, 3)), axis=-1).reshape(9, 2)
    query = np.array([centres[0], [90.0, 110.0], centres[2]])[:, None] + grid
    nodes, sd, conflict, conflict_px = np.zeros((3, 9, 2)), np.zeros(3), np.zeros(3), np.zeros(3)
    local_kriging(centres, moved, noise, usable, query, own, KERNEL, nodes, sd, conflict, conflict_px)
    for k in range(3):
        wanted = krige(centres, moved, noise, usable, query[k], int(own[k]))
        for found, value in zip((nodes[k], sd[k], conflict[k], conflict_px[k]), wanted, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-6)


def test_without_measurements_the_field_is_the_prior() -> None:
    nodes, sd, conflict = np.zeros((1, 9, 2)), np.zeros(1), np.zeros(1)
    args = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2, 2)), np.zeros(2, bool), np.zeros((1, 9, 2))
    local_kriging(*args, np.array([-1]), KERNEL, nodes, sd, conflict, np.zeros(1))
    assert not nodes.any()
    np.testing.assert_allclose(sd, np.sqrt(2 * (KERNEL[1] ** 2 + KERNEL[3] ** 2)))


def test_the_exponential_is_numpys() -> None:
    """To 1e-12 where it matters; farther out to 1e-12 of the covariance at distance 0."""
    for x in np.linspace(-6, 0, 50):
        np.testing.assert_allclose(_exp(x), np.exp(x), rtol=1e-12)
    for x in (-800.0, -40.0, -30.0, -9.0):
        np.testing.assert_allclose(_exp(x), np.exp(x), rtol=0, atol=1e-12)

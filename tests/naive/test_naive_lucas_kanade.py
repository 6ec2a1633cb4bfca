from __future__ import annotations

import numpy as np
import pytest
from naive.windows import Floats, moved, photo, some_maps, window_values

from dped_data.align.kernels.lucas_kanade import MIN_GAIN, NOISE_FLOOR, TrackSettings, track_windows

SIZE = 9


def track(template: Floats, image: Floats, corner: Floats, maps: Floats, start: Floats, s: TrackSettings):  # type: ignore[no-untyped-def]
    """Return all that Tracks holds of one window: Gauss-Newton with a prior on the motion, in float64."""
    n, centre, (left, top) = 6 if s.affine else 2, (SIZE - 1) / 2, corner
    wide = np.pad(template.astype(float), 1, mode="edge")
    part = np.s_[top : top + SIZE, left : left + SIZE]
    gx, gy = ((wide[1:-1, 2:] - wide[1:-1, :-2]) / 2)[part], ((wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2)[part]
    v, u = (np.mgrid[:SIZE, :SIZE] - centre) / centre
    rows = [*[gx, gy, u * gx, v * gx, u * gy, v * gy][:n], template[part].astype(float)]
    rows = np.array([row.ravel() - row.mean() for row in rows])
    hessian = rows @ rows.T
    hessian[n, n] += 1e-3
    sd = np.array([s.translation_sd] * 2 + [s.affine_sd] * 4)[:n]
    m = start.copy()
    for iteration in range(s.iterations + 1):
        values = window_values(image, moved(maps, centre, m), SIZE, 0, 0, SIZE, SIZE).ravel()
        values -= values.mean()
        right = rows @ values
        gain = max(right[n] / hessian[n, n], MIN_GAIN)
        ncc = right[n] / np.sqrt(hessian[n, n] * (values @ values))
        variance = (values @ values - right[n] ** 2 / hessian[n, n]) / SIZE**2 + NOISE_FLOOR
        prior = s.noise_correlation * variance / sd**2
        normal = hessian + np.diag([*(prior / gain**2), 0.0])
        covariance = np.linalg.inv(normal)[:n, :n] * s.noise_correlation * variance / gain**2
        right[:n] += prior * (m - start)[:n] / gain
        step = np.linalg.solve(normal, right)
        step = step[:n] / max(step[n], MIN_GAIN)
        if iteration == s.iterations:
            break
        m[:n] -= step * min(1.0, s.max_step / np.abs(step).max())
        if np.abs(step).max() < s.tolerance:
            break
    grid = np.array([(u, v) for v in np.linspace(-1, 1, 5) for u in np.linspace(-1, 1, 5)])
    moves = [np.array([[1, 0, u, v, 0, 0], [0, 1, 0, 0, u, v]])[:, :n] for u, v in grid]
    nodes = np.mean([np.trace(move @ covariance @ move.T) for move in moves])
    return m, covariance[:2, :2], ncc, np.sqrt(variance), nodes


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("iterations", [0, 1, 3])
@pytest.mark.parametrize("max_step", [2.0, 0.05])
def test_tracks_are_those_of_plain_gauss_newton(affine: bool, iterations: int, max_step: float) -> None:
    """To 2e-3: samples differ by up to 5e-3 grey levels, contrasts are tens of levels, sums are float32."""
    template = photo(40, 44)
    image = (photo(40, 44, seed=1) * 0.8 + 13).astype(np.float32)
    corners = np.array([(12, 9), (0, 0), (35, 31), (20, 17)])
    maps, start = some_maps(corners, SIZE), np.zeros((4, 6))
    start[:, :2] = [(0.4, -0.3), (0.0, 0.2), (-0.3, 0.0), (0.1, 0.1)]
    start[:, 2:] = 0.05
    settings = TrackSettings(affine, iterations, 0.2, 1.5, 0.4, 3.0, max_step)
    found = track_windows(template, image, corners, SIZE, maps, start, settings)
    for k in range(len(corners)):
        motion, covariance, ncc, noise, nodes = track(template, image, corners[k], maps[k], start[k], settings)
        np.testing.assert_allclose(found.motion[k], motion, atol=2e-3)
        np.testing.assert_allclose(found.covariance[k], covariance, rtol=5e-3, atol=1e-6)
        np.testing.assert_allclose(found.ncc[k], ncc, atol=1e-3)
        np.testing.assert_allclose(found.noise[k], noise, rtol=2e-3)
        np.testing.assert_allclose(found.node_variance[k], nodes, rtol=5e-3)

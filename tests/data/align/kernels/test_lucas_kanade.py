from __future__ import annotations

import numpy as np
import pytest
from planted_scene import texture

from dped_data.align.kernels.lucas_kanade import TrackSettings, quadratic_maps, track_windows

SIZE = 50
AFFINE = TrackSettings(True, 15, 1e-4, translation_sd=5.0, affine_sd=5.0, noise_correlation=1.0)
SHIFT = TrackSettings(False, 15, 1e-4, translation_sd=5.0, affine_sd=5.0, noise_correlation=1.0)


def view(motion: np.ndarray, corner: tuple[int, int], gain: float = 1.0, bias: float = 0.0) -> np.ndarray:
    """The image in which the template's window at `corner` has made `motion`: image(x + motion(x)) = template(x)."""
    centre = np.array(corner) + (SIZE - 1) / 2
    y, x = np.mgrid[0:160, 0:160].astype(np.float64)
    affine = np.eye(2) + motion[2:].reshape(2, 2) / ((SIZE - 1) / 2)
    source = (np.stack((x, y), axis=-1) - centre - motion[:2]) @ np.linalg.inv(affine).T + centre
    return (gain * texture(source) + bias).astype(np.float32)


def track(image: np.ndarray, corner: tuple[int, int], settings: TrackSettings, template: np.ndarray | None = None):
    y, x = np.mgrid[0:160, 0:160].astype(np.float64)
    template = texture(np.stack((x, y), axis=-1)).astype(np.float32) if template is None else template
    steps = np.linspace(0, SIZE - 1, 3)
    nodes = np.stack(np.meshgrid(steps, steps), axis=-1)[None] + np.array(corner)
    corners = np.array([corner], np.int64)
    return track_windows(template, image, corners, SIZE, quadratic_maps(nodes), np.zeros((1, 6)), settings)


@pytest.mark.parametrize("gain_bias", [(1.0, 0.0), (0.5, 40.0)])
def test_an_affine_motion_is_recovered_whatever_gain_and_bias(gain_bias: tuple[float, float]) -> None:
    motion = np.array([1.3, -0.8, 0.4, -0.3, 0.2, 0.5])
    tracks = track(view(motion, (50, 60), *gain_bias), (50, 60), AFFINE)
    np.testing.assert_allclose(tracks.motion[0], motion, atol=0.03)  # bilinear interpolation of waves of 9 px
    assert tracks.ncc[0] > 0.999


def test_a_shift_is_recovered_by_two_parameters() -> None:
    motion = np.array([-1.7, 1.1, 0, 0, 0, 0])
    tracks = track(view(motion, (40, 40)), (40, 40), SHIFT)
    np.testing.assert_allclose(tracks.motion[0, :2], motion[:2], atol=0.02)
    assert (tracks.motion[0, 2:] == 0).all()


def test_the_covariance_predicts_the_scatter_under_noise() -> None:
    clean, rng = view(np.zeros(6), (50, 50)), np.random.default_rng(0)
    found, predicted = [], []
    for _ in range(60):
        noisy = (clean + 20 * rng.standard_normal(clean.shape)).astype(np.float32)
        tracks = track(noisy, (50, 50), SHIFT)
        found.append(tracks.motion[0, :2])
        predicted.append(np.diag(tracks.covariance[0]))
    ratio = np.var(found, axis=0) / np.mean(predicted, axis=0)
    assert (ratio > 0.3).all() and (ratio < 2.0).all()  # interpolation averages noise, so the scatter is smaller


def test_a_window_without_texture_stays_at_its_start_and_says_so() -> None:
    flat = np.full((160, 160), 90, np.float32)
    tracks = track(flat, (50, 50), SHIFT, flat)
    assert (tracks.motion == 0).all()
    np.testing.assert_allclose(np.diag(tracks.covariance[0]), SHIFT.translation_sd**2, rtol=0.01)


def test_windows_do_not_influence_each_other() -> None:
    image = view(np.array([0.6, 0.4, 0, 0, 0, 0]), (50, 50))
    y, x = np.mgrid[0:160, 0:160].astype(np.float64)
    template = texture(np.stack((x, y), axis=-1)).astype(np.float32)
    corners = np.array([[10, 10], [50, 50], [90, 30]], np.int64)
    steps = np.linspace(0, SIZE - 1, 3)
    nodes = np.stack(np.meshgrid(steps, steps), axis=-1)[None] + corners[:, None, None]
    maps = quadratic_maps(nodes)
    together = track_windows(template, image, corners, SIZE, maps, np.zeros((3, 6)), AFFINE)
    for k in range(3):
        alone = track_windows(template, image, corners[k : k + 1], SIZE, maps[k : k + 1], np.zeros((1, 6)), AFFINE)
        np.testing.assert_array_equal(alone.motion[0], together.motion[k])


def test_quadratic_maps_pass_through_their_nodes() -> None:
    nodes = np.random.default_rng(2).normal(size=(4, 3, 3, 2))
    c = quadratic_maps(nodes)
    for row, v in enumerate((-1, 0, 1)):
        for column, u in enumerate((-1, 0, 1)):
            if u == 0 or v == 0:  # the corners also hold terms of higher order, which a smooth map has not
                value = c @ np.array([1, u, v, u * u, u * v, v * v])
                np.testing.assert_allclose(value, nodes[:, row, column], atol=1e-12)

from __future__ import annotations

import numpy as np
import pytest
from planted_scene import identity, nodes_of, photo, texture
from scipy.interpolate import RectBivariateSpline

from dped_data.align.resampling import (
    WEIGHT_BITS,
    area_kernel,
    dense_map,
    node_weights,
    sample_dslr,
    sample_dslr_16,
    sample_map,
)


def straight_nodes(x: float, y: float, step: float, size: int) -> np.ndarray:
    return nodes_of(np.zeros((1, 2), np.int32), size) * step + np.array([x, y])


@pytest.mark.parametrize("size", [16, 100, 101])
def test_dense_map_is_the_bicubic_spline_that_the_format_promises(size: int) -> None:
    nodes = np.random.default_rng(0).normal(size=(3, 5, 5, 2)) * 5 + straight_nodes(50, 40, 1.3, size)
    t = np.linspace(0, size - 1, 5)
    expected = np.empty((3, size, size, 2))
    for k in range(3):
        for axis in range(2):
            spline = RectBivariateSpline(t, t, nodes[k, :, :, axis], kx=3, ky=3, s=0)
            expected[k, :, :, axis] = spline(np.arange(size), np.arange(size))
    np.testing.assert_allclose(dense_map(nodes, size), expected, atol=1e-10)


def test_node_weights_pass_through_the_nodes_and_keep_straight_lines() -> None:
    weights = node_weights(101)
    np.testing.assert_allclose(weights[::25], np.eye(5), atol=1e-12)
    np.testing.assert_allclose(weights @ np.linspace(0, 100, 5), np.arange(101), atol=1e-10)


@pytest.mark.parametrize("side", [64, 88, 128, 200, 400])
def test_kernel_phases_sum_to_one_and_are_centred(side: int) -> None:
    kernel = area_kernel(side)
    assert (kernel.sum(axis=1) == 2**WEIGHT_BITS).all()
    taps = np.arange(kernel.shape[1]) - kernel.shape[1] // 2 + 1
    centre = kernel @ taps / 2**WEIGHT_BITS
    np.testing.assert_allclose(centre, np.arange(256) / 256, atol=0.004)


@pytest.mark.parametrize("step", [0.8, 1.0, 1.4, 2.5, 5.2])
def test_samples_are_the_box_mean_of_the_scene(step: float) -> None:
    size = 40
    dslr = photo(identity, (300, 280))
    nodes = straight_nodes(20.3, 30.7, step, size)
    box = max(step, 1.0)
    offset = (np.arange(9) + 0.5) / 9 * box - box / 2
    truth = np.zeros((size, size))
    for dy in offset:
        for dx in offset:
            truth += texture(dense_map(nodes, size)[0] + np.array([dx, dy])) / 81
    error = sample_dslr(dslr, nodes, size)[0, :, :, 0] - truth
    assert np.sqrt((error**2).mean()) < 0.5  # rounding alone is 0.41: 54 dB
    assert abs(error.mean()) < 0.1


def test_whole_pixel_shifts_of_a_ramp_are_exact() -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (80, 200, 3)).copy()
    patch = sample_dslr(ramp, straight_nodes(30, 20, 1.0, 24), 24)[0]
    np.testing.assert_array_equal(patch[:, :, 0], np.broadcast_to(np.arange(30, 54), (24, 24)))


def test_a_patch_depends_on_nothing_but_the_photo_and_its_nodes() -> None:
    dslr = photo(identity, (200, 200), seed=3)
    nodes = np.concatenate([straight_nodes(10 + 7 * k, 12.4, 1 + 0.11 * k, 32) for k in range(6)])
    together = sample_dslr(dslr, nodes, 32)
    for k in range(6):
        np.testing.assert_array_equal(sample_dslr(dslr, nodes[k : k + 1], 32)[0], together[k])


def test_the_photo_continues_its_edge_pixels() -> None:
    dslr = np.full((50, 50, 3), 77, np.uint8)
    far = np.concatenate([straight_nodes(x, y, 1.0, 16) for x, y in ((-30, 5), (60, 5), (5, -1e9), (1e9, 1e9))])
    assert (sample_dslr(dslr, far, 16) == 77).all()


def test_fine_stripes_become_grey_not_moire() -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 200
    patch = sample_dslr(stripes, straight_nodes(20, 20, 2.0, 32), 32)
    assert abs(patch.astype(int) - 100).max() <= 1


def test_a_dense_map_samples_like_a_patch() -> None:
    dslr = photo(identity, (200, 200), seed=5)
    nodes = straight_nodes(20.25, 30.5, 1.25, 48)
    by_map = sample_map(dslr, dense_map(nodes, 48)[0], (1.25, 1.25))
    np.testing.assert_array_equal(by_map, sample_dslr(dslr, nodes, 48)[0])


def test_a_map_that_spans_much_of_the_photo_is_sampled_in_parts() -> None:
    dslr = photo(identity, (900, 1000), seed=7)
    scattered = np.random.default_rng(1).uniform(-50, 1050, (12, 9, 2))
    whole = sample_map(dslr, scattered, (1.4, 2.6))
    for i in range(12):
        for j in range(9):
            one = sample_map(dslr, scattered[i : i + 1, j : j + 1], (1.4, 2.6))
            np.testing.assert_array_equal(one[0, 0], whole[i, j])


def test_sixteen_bits_are_sampled_as_eight() -> None:
    """The same weights and sums: of small values the same samples, of others scaled the same but for rounding."""
    photo = np.random.default_rng(0).integers(0, 256, (120, 150, 3), np.uint8)
    grid = np.stack(np.meshgrid(np.linspace(-3, 60, 5), np.linspace(20, 90, 5)), axis=-1)
    nodes = np.stack([grid, grid[::-1] + 0.3, grid @ np.array([[1.2, 0.3], [-0.3, 1.2]]) + 30])
    small = sample_dslr(photo, nodes, 32)
    np.testing.assert_array_equal(sample_dslr_16(photo.astype(np.uint16), nodes, 32), small)
    large = sample_dslr_16(photo.astype(np.uint16) * 257, nodes, 32)
    assert np.abs(large / 257 - small).max() <= 0.51

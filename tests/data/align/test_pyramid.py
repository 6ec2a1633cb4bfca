from __future__ import annotations

import numpy as np
import pytest
from planted_scene import identity, photo

from dped_data.align.pyramid import halve_level, make_level


def test_levels_are_means_of_whole_blocks_and_points_go_both_ways() -> None:
    grey = photo(identity, (203, 151))[:, :, 0].copy()
    level = make_level(grey, grey, 1.0, 4, 1e-3)
    assert level.phone.shape == (37, 50) and (level.phone_factor, level.dslr_factor) == (4, 4)
    means = grey[:148, :200].reshape(37, 4, 50, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(level.phone, means, atol=0.01)
    np.testing.assert_allclose(level.phone_photo_xy(np.array([[0.0, 0.0], [2.5, 1.0]])), [[1.5, 1.5], [11.5, 5.5]])
    np.testing.assert_allclose(level.dslr_level_xy(np.array([[1.5, 1.5], [11.5, 5.5]])), [[0, 0], [2.5, 1]])


@pytest.mark.parametrize(("scale", "factor"), [(0.99, 2), (1.41, 2), (1.6, 3), (3.0, 6), (0.3, 1)])
def test_the_dslr_level_is_never_coarser_than_the_phones(scale: float, factor: int) -> None:
    grey = np.zeros((120, 160), np.uint8)
    assert make_level(grey, grey, scale, 2, 0.7).dslr_factor == factor


def test_tall_photos_are_made_in_strips_without_seams() -> None:
    grey = photo(identity, (90, 700))[:, :, 1].copy()
    level = make_level(grey, grey, 1.0, 2, 1e-3)
    np.testing.assert_allclose(level.phone, grey.reshape(350, 2, 45, 2).mean(axis=(1, 3)), atol=0.01)


def test_a_halved_level_is_that_of_twice_the_factor() -> None:
    grey = photo(identity, (202, 150))[:, :, 0].copy()
    halved, twice = halve_level(make_level(grey, grey, 1.5, 2, 1e-3)), make_level(grey, grey, 1.5, 4, 1e-3)
    assert (halved.phone_factor, halved.dslr_factor) == (twice.phone_factor, twice.dslr_factor)
    np.testing.assert_allclose(halved.phone, twice.phone, atol=0.01)

from __future__ import annotations

import numpy as np
import pytest

from dped_data.align.smooth_map import smooth_map_of_homography
from dped_data.align.window_grid import overlap_share, place_windows


def shifted(dx: float, dy: float, phone_wh: tuple[int, int] = (840, 600), dslr_wh: tuple[int, int] = (840, 600)):
    return smooth_map_of_homography(np.array([[1.0, 0, dx], [0, 1.0, dy], [0, 0, 1]]), phone_wh, dslr_wh)


def test_full_overlap_fills_the_photo_from_its_corner() -> None:
    grid = place_windows(shifted(0, 0), 100, 100)
    expected = [(x, y) for y in range(0, 600, 100) for x in range(0, 800, 100)]
    np.testing.assert_array_equal(grid, expected)


def test_the_grid_starts_at_the_intersections_corner() -> None:
    smooth = shifted(-335.0, -195.0)  # the DSLR photo begins at phone pixel (335, 195)
    grid = place_windows(smooth, 100, 100)
    assert grid[0].tolist() == [335, 195]
    assert len(grid) == 5 * 4


@pytest.mark.parametrize("stride", [50, 100, 97])
def test_windows_lie_inside_both_photos(stride: int) -> None:
    smooth = smooth_map_of_homography(
        np.array([[1.3, 0.06, -200], [-0.05, 1.3, -90], [1e-5, 0, 1]]), (840, 600), (900, 700)
    )
    grid = place_windows(smooth, 100, stride)
    corners = grid[:, None] + np.array([[0, 0], [99, 0], [0, 99], [99, 99]])
    mapped = smooth(corners.astype(np.float64))
    assert len(grid) > 5
    assert (mapped >= -0.05).all() and (mapped <= np.array([899.05, 699.05])).all()
    assert ((grid - grid[0]) % stride == 0).all()


def test_a_photo_smaller_than_a_window_has_none() -> None:
    assert place_windows(shifted(0, 0, (90, 600)), 100, 100).shape == (0, 2)
    assert len(place_windows(shifted(0, 0, (100, 100)), 100, 100)) == 1


def test_overlap_is_the_covered_share() -> None:
    assert overlap_share(shifted(0, 0)) == 1.0
    assert abs(overlap_share(shifted(420, 0)) - 0.5) < 0.02
    assert overlap_share(shifted(5000, 0)) == 0.0


@pytest.mark.parametrize("even_from_xy", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("stride", [34, 66, 100])
def test_windows_lie_at_even_distances_from_a_pixel(even_from_xy: tuple[int, int], stride: int) -> None:
    smooth = shifted(-7, -13, (501, 403))
    grid = place_windows(smooth, 100, stride, even_from_xy)
    assert ((grid - even_from_xy) % 2 == 0).all()
    assert (grid >= [7, 13]).all() and (grid + 100 <= [501, 403]).all()
    anywhere = place_windows(smooth, 100, stride)
    assert len(anywhere) * 0.75 <= len(grid) <= len(anywhere)
    edge = place_windows(shifted(0, 0, (101, 101)), 100, 100, even_from_xy)
    assert edge.tolist() == [[*even_from_xy]]

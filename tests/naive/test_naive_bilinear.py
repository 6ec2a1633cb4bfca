from __future__ import annotations

import numpy as np
import pytest
from naive.windows import SAMPLE_BOUND, moved, photo, some_maps, window_values

from dped_data.align.kernels.bilinear import VECTOR, move_map, sample_window


@pytest.mark.parametrize("corner", [(12, 9), (-3, -2), (34, 30), (-60, 90)])  # inside, over the edges, outside
def test_a_sampled_window_is_the_bilinear_photo(corner: tuple[int, int]) -> None:
    image, size, columns, rows = photo(40, 44), 9, 13, 11
    (maps,) = some_maps(np.array([corner]), size)
    values = np.empty((rows, columns), np.float32)
    places, parts = np.empty(values.size + VECTOR, np.uint32), np.empty((2, values.size + VECTOR), np.float32)
    sample_window(image, maps[0], maps[1], (size - 1) * 0.5, -2, -1, columns, places, parts, values.reshape(-1))
    wanted = window_values(image, maps, size, -2, -1, columns, rows)
    np.testing.assert_allclose(values, wanted, rtol=0, atol=SAMPLE_BOUND)


def test_a_moved_map_is_the_map_and_its_derivatives_times_the_motion() -> None:
    (base,) = some_maps(np.array([(5, 6)]), 9)
    motion, fx, fy = np.array([0.7, -1.1, 0.3, 0.2, -0.4, 0.6]), np.empty(6), np.empty(6)
    move_map(base, 4.0, motion, fx, fy)
    np.testing.assert_allclose((fx, fy), moved(base, 4.0, motion), rtol=1e-14)


def test_where_the_map_is_not_a_number_the_first_pixel_is_read() -> None:
    image, values = photo(20, 22), np.empty(9, np.float32)
    sample_window(
        image, np.full(6, np.nan), np.full(6, np.nan), 1.0, 0, 0, 3,
        np.empty(9 + VECTOR, np.uint32), np.empty((2, 9 + VECTOR), np.float32), values,
    )  # fmt: skip
    assert (values == image[0, 0]).all()

"""Pairs of near measurements: exactly those that comparing all with all finds."""

from __future__ import annotations

import numpy as np
import pytest

from dped_data.align.field_prior import near_rows


@pytest.mark.parametrize(("count", "every"), [(0, 1), (1, 1), (2, 1), (60, 1), (300, 3)])
def test_near_rows_are_all_pairs_within_reach_in_order(count: int, every: int) -> None:
    across = np.arange(np.ceil(np.sqrt(count))) * 40.1
    grid_xy = np.stack(np.meshgrid(across, across), axis=-1).reshape(-1, 2)
    xy = np.random.default_rng(count).permutation(grid_xy)[:count]
    reach = 3 * 40.1  # many pairs on the grid are just as far apart: they are left out
    expected = [
        (i, j) for i in range(0, count, every) for j in range(i + 1, count) if ((xy[i] - xy[j]) ** 2).sum() < reach**2
    ]
    first, second = near_rows(xy, reach, every)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected

"""A cell that follows a rival's displacement is found; rivals that are not there (NaN) are never looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dped_data.align.kernels.cell_evidence import foreign_cells
from dped_data.align.kernels.lucas_kanade import quadratic_maps

SIZE, CELL, MARGIN = 48, 8, 8
CORNERS = np.array([[20, 20], [110, 20]], np.int64)
RIVAL_XY = (4.0, 0.0)


def photos() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two equal photos, but for a part of the first window that moved by the rival's displacement in the second."""
    rng = np.random.default_rng(5)
    first = (gaussian_filter(rng.normal(0, 1, (90, 180)), 1.5) * 200 + 128).astype(np.float32)
    second = first.copy()
    second[30:60, 44:64] = first[30:60, 40:60]
    return first, second


def evidence(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    first, second = photos()
    offset = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1) * (SIZE - 1) / 2
    maps = quadratic_maps(CORNERS[:, None, None] + (SIZE - 1) / 2 + offset)
    return foreign_cells(first, second, CORNERS, SIZE, maps, np.zeros((2, 6)), candidates, CELL, MARGIN)


def test_a_moved_part_is_found_where_it_is() -> None:
    found = evidence(np.tile(np.array(RIVAL_XY), (2, 1, 1)))
    assert found[0] > 20
    assert found[1] == 0


def test_missing_rivals_count_for_nothing() -> None:
    none = np.full((2, 3, 2), np.nan)
    assert np.array_equal(evidence(none), [0.0, 0.0])
    one = none.copy()
    one[:, 0] = RIVAL_XY
    assert np.array_equal(evidence(one), evidence(np.tile(np.array(RIVAL_XY), (2, 1, 1))))


def test_absurd_rivals_stay_inside_the_photo() -> None:
    far = np.array([[[1e12, -1e12]], [[-1e12, 1e12]]])
    assert np.isfinite(evidence(far)).all()

"""The predicted error of windows that borrow from neighbours which may lie on another surface."""

from __future__ import annotations

import numpy as np
import pytest

from dped_data.align.displacement_field import krige
from dped_data.align.records import FieldPrior, MeasuredField
from dped_data.align.smooth_map import smooth_map_of_homography

STEP = 64
PRIOR = FieldPrior(near_px=150, near_sd=0.05, far_px=500, far_sd=0.05, nugget_sd=0.02)


def errors(middle_sd: float, surface_share: float, off_px: float = 0.0) -> float:
    """Predicted error of the middle one of 5 x 5 windows; three of its eight neighbours lie `off_px` off."""
    y, x = np.mgrid[:5, :5]
    centre = np.stack((x.ravel(), y.ravel()), axis=-1) * float(STEP) + 100
    covariance = np.tile(np.eye(2) * 0.05**2, (25, 1, 1))
    covariance[12] = np.diag([middle_sd**2, 0.05**2])
    displacement = np.zeros((25, 2))
    displacement[[6, 7, 8], 0] = off_px
    field = MeasuredField(centre, displacement, covariance, np.ones(25, np.bool_), PRIOR, surface_share, 6.0)
    smooth = smooth_map_of_homography(np.eye(3), (600, 600), (600, 600))
    return float(krige(field, smooth, centre[12][None, None], np.array([12]))[1][0])


def test_what_an_only_edge_leaves_open_counts_where_the_scene_has_several_surfaces() -> None:
    assert errors(middle_sd=1.0, surface_share=0.0) < 0.15  # a wall: the neighbours know
    assert errors(middle_sd=1.0, surface_share=0.3) == pytest.approx(0.3**0.5, abs=0.08)  # a room: they may not
    assert errors(middle_sd=0.05, surface_share=0.3) < 0.15


def test_a_window_that_is_certain_by_itself_does_not_pay_for_neighbours_on_another_surface() -> None:
    assert errors(middle_sd=0.05, surface_share=0.0, off_px=5.0) < 0.2
    assert errors(middle_sd=0.6, surface_share=0.0, off_px=5.0) > 0.3

"""The predicted error of windows that borrow from neighbours which may lie on another surface."""

from __future__ import annotations

import numpy as np

from dped_data.align.displacement_field import krige
from dped_data.align.records import FieldPrior, MeasuredField
from dped_data.align.smooth_map import smooth_map_of_homography

STEP = 64
PRIOR = FieldPrior(near_px=150, near_sd=0.05, far_px=500, far_sd=0.05, nugget_sd=0.02)


def errors(middle_sd: float, off_px: float) -> float:
    """Predicted error of the middle one of 5 x 5 windows; three of its eight neighbours lie `off_px` off."""
    y, x = np.mgrid[:5, :5]
    centre = np.stack((x.ravel(), y.ravel()), axis=-1) * float(STEP) + 100
    covariance = np.tile(np.eye(2) * 0.05**2, (25, 1, 1))
    covariance[12] = np.diag([middle_sd**2, 0.05**2])
    displacement = np.zeros((25, 2))
    displacement[[6, 7, 8], 0] = off_px
    field = MeasuredField(centre, displacement, covariance, np.ones(25, np.bool_), PRIOR)
    smooth = smooth_map_of_homography(np.eye(3), (600, 600), (600, 600))
    return float(krige(field, smooth, centre[12][None, None], np.array([12]))[1][0])


def test_a_window_that_is_certain_by_itself_does_not_pay_for_neighbours_on_another_surface() -> None:
    assert errors(middle_sd=0.05, off_px=5.0) < 0.2
    assert errors(middle_sd=0.6, off_px=5.0) > 0.3

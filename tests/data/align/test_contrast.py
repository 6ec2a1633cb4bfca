"""Windows sorted by contrast, and how the counts reach captures.csv."""

import numpy as np

from dped_data.align.capture_notes import count_contrast


def test_counts_considered_and_kept_windows_by_class() -> None:
    grey = np.full((20, 60), 100, np.uint8)
    grey[:, 20:40:2] = 116  # columns 16 apart: a standard deviation of 8
    grey[:, 40:60:2] = 160  # of 30
    window_xy = np.array([[0, 0], [20, 0], [40, 0], [40, 0]], np.int32)
    counts = count_contrast(grey, window_xy, np.array([False, True, True, False]), 20)
    assert counts.considered == (1, 1, 2)
    assert counts.kept == (0, 1, 1)


def test_no_windows_give_no_counts() -> None:
    counts = count_contrast(np.zeros((10, 10), np.uint8), np.empty((0, 2), np.int32), np.empty(0, bool), 4)
    assert counts.considered == counts.kept == (0, 0, 0)

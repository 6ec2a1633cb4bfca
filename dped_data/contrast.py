"""How much contrast the windows of a photo have, and how many of each class are kept (leaf)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.records import CONTRAST_CLASSES, CONTRAST_LIMITS, ContrastCounts


def count_contrast(
    phone_grey: NDArray[np.uint8], window_xy: NDArray[np.int32], kept: NDArray[np.bool_], size: int
) -> ContrastCounts:
    """Sort the windows of the phone photo by contrast, and count those considered and those kept.

    Args:
        phone_grey: (H, W) uint8.
        window_xy: (W, 2) corners; kept: (W,); size: side of a window, pixels.
    """
    spread = [float(cv2.meanStdDev(phone_grey[y : y + size, x : x + size])[1][0, 0]) for x, y in window_xy]
    groups = np.digitize(np.array(spread), CONTRAST_LIMITS)
    considered, passed = (np.bincount(g, minlength=len(CONTRAST_CLASSES)).tolist() for g in (groups, groups[kept]))
    return ContrastCounts((considered[0], considered[1], considered[2]), (passed[0], passed[1], passed[2]))

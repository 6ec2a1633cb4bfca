"""How much contrast the windows of a photo have, and how many of each class are kept (leaf)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import CONTRAST_CLASSES, CONTRAST_LIMITS, ContrastCounts
from dped_data.common.jit import njit


def count_contrast(
    phone_grey: NDArray[np.uint8], window_xy: NDArray[np.int32], kept: NDArray[np.bool_], size: int
) -> ContrastCounts:
    """Sort the windows of the phone photo by contrast, and count those considered and those kept.

    Args:
        phone_grey: (H, W) uint8.
        window_xy: (W, 2) corners; kept: (W,); size: side of a window, pixels.
    """
    spread = np.zeros(len(window_xy))
    _spreads(phone_grey, window_xy, size, spread)
    groups = np.digitize(spread, CONTRAST_LIMITS)
    considered, passed = (np.bincount(g, minlength=len(CONTRAST_CLASSES)).tolist() for g in (groups, groups[kept]))
    return ContrastCounts((considered[0], considered[1], considered[2]), (passed[0], passed[1], passed[2]))


@njit(cache=True, nogil=True)
def _spreads(grey, window_xy, size, spread):  # type: ignore[no-untyped-def]
    """Fill spread (W,) with the standard deviation of each window, from exact sums."""
    count = float(size * size)
    for k in range(len(window_xy)):
        total, square = np.int64(0), np.int64(0)
        for j in range(size):
            row = grey[window_xy[k, 1] + j, window_xy[k, 0] : window_xy[k, 0] + size]
            row_total, row_square = np.uint32(0), np.uint32(0)
            for i in range(size):
                row_total += np.uint32(row[i])
                row_square += np.uint32(row[i]) * np.uint32(row[i])
            total += row_total
            square += row_square
        spread[k] = np.sqrt(max(square / count - (total / count) ** 2, 0.0))

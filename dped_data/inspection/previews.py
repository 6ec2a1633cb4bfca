"""Small pictures of whole photos, put together from stored patches."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.records import StoredCapture

GREY = 128
"""What is shown where there is nothing."""
_BAND_PIXELS = 2**22
"""Ours: how much of a photo is put together at once; 12 MB."""


def photo_size(stored: StoredCapture, patch_size: int) -> tuple[int, int]:
    """Width and height of the phone photo; where unknown, the smallest that holds every patch."""
    if min(stored.phone_size_wh) > 0:
        return stored.phone_size_wh
    if len(stored.phone_xy) == 0:
        return patch_size, patch_size
    right, bottom = stored.phone_xy.max(0) + patch_size
    return int(right), int(bottom)


def shrink_factor(size_wh: tuple[int, int], longest_px: int) -> int:
    """Whole number by which a photo is shrunk so that its longer side is at most `longest_px`."""
    return max(1, -(-max(size_wh) // longest_px))


def mosaic(patches: NDArray[np.uint8], stored: StoredCapture, factor: int) -> NDArray[np.uint8]:
    """Lay a capture's patches (N, S, S, 3) where they were cut, shrunk by `factor`; grey where there is none."""
    return _laid(patches, GREY, stored, factor)


def covered(stored: StoredCapture, size: int, factor: int) -> NDArray[np.bool_]:
    """Return which pixels of the mosaic the patches cover whole, (h, w)."""
    width, height = (-(-side // factor) for side in photo_size(stored, size))
    area = np.zeros((height, width), np.int32)
    for x, y in stored.phone_xy.tolist():
        columns, rows = _overlap(x, size, factor, width), _overlap(y, size, factor, height)
        area[y // factor : y // factor + len(rows), x // factor : x // factor + len(columns)] += np.outer(rows, columns)
    return area >= factor**2


@lru_cache(maxsize=4096)
def _overlap(start: int, size: int, factor: int, most: int) -> NDArray[np.int32]:
    """How many of a patch's pixels lie in each pixel of the mosaic that it touches, along one side."""
    first = start // factor
    edges = np.arange(first, min(-(-(start + size) // factor), most) + 1) * factor
    return np.diff(edges.clip(start, start + size)).astype(np.int32)


def _laid(patches: NDArray[np.uint8], ground: int, stored: StoredCapture, factor: int) -> NDArray[np.uint8]:
    """Lay patches (N, S, S, ...) on a ground in bands of whole rows of the picture: it may be far smaller than all."""
    size = patches.shape[1]
    width, height = (-(-side // factor) for side in photo_size(stored, size))
    picture = np.empty((height, width, *patches.shape[3:]), np.uint8)
    rows = max(1, _BAND_PIXELS // (width * factor**2))
    for top in range(0, height, rows):
        part = picture[top : top + rows]
        first = top * factor
        band = np.full((len(part) * factor, width * factor, *patches.shape[3:]), ground, np.uint8)
        inside = (stored.phone_xy[:, 1] < first + len(band)) & (stored.phone_xy[:, 1] + size > first)
        for index in np.flatnonzero(inside).tolist():
            x, y = int(stored.phone_xy[index, 0]), int(stored.phone_xy[index, 1]) - first
            target = band[max(y, 0) : y + size, x : x + size]
            target[:] = patches[index, max(-y, 0) :][: target.shape[0], : target.shape[1]]
        part[:] = band if factor == 1 else cv2.resize(band, (width, len(part)), interpolation=cv2.INTER_AREA)
    return picture

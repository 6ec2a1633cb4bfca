"""What captures.csv notes of a capture beside its alignment: tones of both photos, contrast of the windows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import CONTRAST_CLASSES, CONTRAST_LIMITS, ContrastCounts, ToneNotes
from dped_data.align.smooth_map import SmoothMap
from dped_data.photos.colour import linear_light

LATTICE = 100
"""Sampled points along the phone photo's width: enough for medians, cheap beside decoding."""

CLIPPED = 254
DARK = 8
"""Values from CLIPPED on have lost their highlights; below DARK the ratio is noise. Ours."""


def compare_tones(phone: NDArray[np.uint8], dslr: NDArray[np.uint8], dslr_from_phone: SmoothMap) -> ToneNotes:
    """Compare the photos (H, W, 3) at a lattice of points, pixel by nearest pixel, through the smooth map."""
    height, width = phone.shape[:2]
    step = max(1, width // LATTICE)
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    dslr_xy = np.floor(dslr_from_phone(np.stack((x, y), axis=-1).astype(np.float64)) + 0.5)
    inside = ((dslr_xy >= 0) & (dslr_xy <= np.array([dslr.shape[1] - 1, dslr.shape[0] - 1]))).all(axis=-1)
    if not inside.any():
        return ToneNotes((float("nan"),) * 3, float("nan"), float("nan"))
    target = dslr_xy[inside].astype(np.int64)
    ours, theirs = phone[y[inside], x[inside]], dslr[target[:, 1], target[:, 0]]
    low, high = np.minimum(ours, theirs), np.maximum(ours, theirs)
    light = linear_light(np.arange(256, dtype=np.uint8))
    gains = []
    for channel in range(3):
        usable = (low[:, channel] >= DARK) & (high[:, channel] < CLIPPED)
        ratio = light[theirs[usable, channel]] / light[ours[usable, channel]]
        gains.append(float(np.median(ratio)) if len(ratio) else float("nan"))
    clipped = [float((pixels >= CLIPPED).any(axis=1).mean()) for pixels in (ours, theirs)]
    return ToneNotes((gains[0], gains[1], gains[2]), clipped[0], clipped[1])


def count_contrast(
    phone_grey: NDArray[np.uint8], window_xy: NDArray[np.int32], kept: NDArray[np.bool_], size: int
) -> ContrastCounts:
    """Sort the windows of the phone photo by contrast, and count those considered and those kept.

    Args:
        phone_grey: (H, W) uint8.
        window_xy: (W, 2) corners; kept: (W,); size: side of a window, pixels.
    """
    cuts = (phone_grey[y : y + size, x : x + size] for x, y in window_xy.tolist())
    spread = np.array([cv2.meanStdDev(cut)[1][0, 0] for cut in cuts])
    groups = np.digitize(spread, CONTRAST_LIMITS)
    considered, passed = (np.bincount(g, minlength=len(CONTRAST_CLASSES)).tolist() for g in (groups, groups[kept]))
    return ContrastCounts((considered[0], considered[1], considered[2]), (passed[0], passed[1], passed[2]))

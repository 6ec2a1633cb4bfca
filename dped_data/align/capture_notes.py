"""Radiometric notes: how the tones of two aligned photos compare (leaf)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import ToneNotes
from dped_data.align.smooth_map import SmoothMap

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


def linear_light(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return sRGB values as linear light, 0 to 1 (IEC 61966-2-1)."""
    encoded = values / 255.0
    linear: NDArray[np.float64] = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear

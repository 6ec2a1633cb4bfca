"""Both photos at a coarser level, smoothed alike, and the way between level pixels and photo pixels (leaf)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PIXEL_RATIO = 0.95
"""Least DSLR level pixels per phone level pixel: the DSLR level is never coarser than the phone's."""

STRIP_ROWS = 64
"""Rows of a level that are made at a time."""

LENS_SIGMA = 0.5
"""Assumed blur of a phone's lens and pixel, phone pixels; the DSLR is blurred by what it has less of it."""


@dataclass(frozen=True)
class Level:
    """Phone and DSLR photo at one level.

    Attributes:
        phone: (h, w) float32; one of its pixels is the mean of phone_factor x phone_factor photo pixels.
        dslr: (h, w) float32; likewise with dslr_factor.
    """

    phone: NDArray[np.float32]
    dslr: NDArray[np.float32]
    phone_factor: int
    dslr_factor: int

    def dslr_level_xy(self, dslr_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert DSLR photo pixels to DSLR level pixels."""
        return (dslr_xy + 0.5) / self.dslr_factor - 0.5

    def phone_photo_xy(self, level_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert phone level pixels to phone photo pixels."""
        return (level_xy + 0.5) * self.phone_factor - 0.5


def make_level(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], dslr_per_phone: float, factor: int, sigma: float
) -> Level:
    """Shrink both grey photos by whole factors and smooth them to the same blur.

    Args:
        phone, dslr: (H, W) uint8.
        dslr_per_phone: DSLR pixels per phone pixel.
        factor: phone pixels per level pixel.
        sigma: standard deviation of the Gaussian on the phone level, level pixels.
    """
    dslr_factor = max(1, int(dslr_per_phone * factor / PIXEL_RATIO))
    scale = dslr_per_phone * factor / dslr_factor
    dslr_sigma = float(np.sqrt(max((sigma**2 + LENS_SIGMA**2) * scale**2 - LENS_SIGMA**2, 0.01)))
    return Level(_smoothed(phone, factor, sigma), _smoothed(dslr, dslr_factor, dslr_sigma), factor, dslr_factor)


def _smoothed(photo: NDArray[np.uint8], factor: int, sigma: float) -> NDArray[np.float32]:
    height, width = photo.shape[0] // factor, photo.shape[1] // factor
    small = np.empty((height, width), np.float32)
    for top in range(0, height, STRIP_ROWS):  # a whole photo as float32 would double the worker's memory
        strip = photo[top * factor : min(top + STRIP_ROWS, height) * factor, : width * factor].astype(np.float32)
        target = small[top : top + STRIP_ROWS]
        cv2.resize(strip, (width, len(target)), dst=target, interpolation=cv2.INTER_AREA)
    smooth: NDArray[np.float32] = cv2.GaussianBlur(small, (0, 0), sigma)
    return smooth

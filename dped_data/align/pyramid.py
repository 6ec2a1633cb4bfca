"""Both photos at a coarser level, smoothed alike, and the way between level pixels and photo pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.common.jit import copy, njit

PIXEL_RATIO = 0.95
"""Least DSLR level pixels per phone level pixel: the DSLR level is never coarser than the phone's."""

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


def halve_level(level: Level) -> Level:
    """Return the next coarser level: means of 2x2 pixels of either photo."""
    phone, dslr = (
        cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        for grey in (level.phone, level.dslr)
        for height, width in [(grey.shape[0] // 2, grey.shape[1] // 2)]
    )
    return Level(phone, dslr, 2 * level.phone_factor, 2 * level.dslr_factor)


def _smoothed(photo: NDArray[np.uint8], factor: int, sigma: float) -> NDArray[np.float32]:
    small = np.empty((photo.shape[0] // factor, photo.shape[1] // factor), np.float32)
    _box_means(photo, factor, small)
    smooth: NDArray[np.float32] = cv2.GaussianBlur(small, (0, 0), sigma)
    return smooth


@njit(cache=True, nogil=True)
def _box_means(photo, factor, small):  # type: ignore[no-untyped-def]
    """Fill small (h, w) with the means of factor x factor pixels: sums down the columns, then along the row."""
    sums = np.empty(small.shape[1] * factor, np.int32)
    share = np.float32(1 / factor**2)
    for i in range(len(small)):
        row = photo[i * factor]
        copy(row[: sums.size], sums)
        for k in range(1, factor):
            row = photo[i * factor + k]
            for x in range(sums.size):
                sums[x] += row[x]
        means = small[i]
        if factor == 2:  # the most frequent factors written out, for vectors
            for j in range(means.size):
                means[j] = np.float32(sums[2 * j] + sums[2 * j + 1]) * share
        elif factor == 3:
            for j in range(means.size):
                means[j] = np.float32(sums[3 * j] + sums[3 * j + 1] + sums[3 * j + 2]) * share
        else:
            for j in range(means.size):
                total = np.int32(0)
                for k in range(factor):
                    total += sums[j * factor + k]
                means[j] = np.float32(total) * share

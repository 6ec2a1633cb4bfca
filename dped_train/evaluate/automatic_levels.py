"""An automatic adjustment of a whole photo: white balance, contrast, exposure; the same for every pixel.

It stands for the class of tools that the paper compares with as "APE", Apple's enhancer, whose algorithm is not
published and which runs on one system only (section 4.1). It is no copy of that tool: it shows what an adjustment of
global parameters reaches, without a model and without looking at a DSLR photo.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.exposure import adjust_gamma, rescale_intensity
from skimage.transform import downscale_local_mean

from dped_data.dataset.store import PatchStore
from dped_data.photos.colour import LUMA
from dped_data.photos.reading import read_photo
from dped_train.evaluate.capture_photos import capture_photos

# All limits are ours, those of a cautious automatic: a photo that is gray, dark or red on purpose stays recognisable.
GRAY_POWER = 6  # shades of gray with this Minkowski norm (Finlayson and Trezzi, 2004)
LARGEST_GAIN = 1.25
CLIPPED_PERCENT = 0.5  # of the pixels, on either end
DARKEST_WHITE, BRIGHTEST_BLACK = 0.6, 0.12
MIDDLE = 0.45  # the median luma that exposure aims at, in sRGB values: photographers' middle gray of 18 %
LARGEST_GAMMA = 1.4
LARGEST_SIDE_PX = 600  # the photo is looked at in this size


def automatic_levels(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The adjustment for a photo (H, W, 3) uint8 RGB: new values by old value and channel, (256, 3) uint8."""
    factor = max(1, -(-max(photo.shape[:2]) // LARGEST_SIDE_PX))
    small = downscale_local_mean(photo, (factor, factor, 1)).reshape(-1, 3) / 255
    ramp = np.linspace(0, 1, 256)[:, None] * _gains(small)
    small = small * _gains(small)
    black, white = np.percentile(small @ LUMA, [CLIPPED_PERCENT, 100 - CLIPPED_PERCENT])
    levels = (float(min(black, BRIGHTEST_BLACK)), float(max(white, DARKEST_WHITE)))
    ramp, small = (rescale_intensity(v.clip(*levels), levels, (0.0, 1.0)) for v in (ramp, small))
    median = float(np.clip(np.median(small @ LUMA), 0.01, 0.99))
    gamma = np.clip(np.log(MIDDLE) / np.log(median), 1 / LARGEST_GAMMA, LARGEST_GAMMA)
    result: NDArray[np.uint8] = (adjust_gamma(ramp, gamma) * 255).round().astype(np.uint8)
    return result


def with_levels(photo: NDArray[np.uint8], levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo or patches (..., 3) uint8 with the adjustment `levels` applied."""
    flat = np.ascontiguousarray(photo).reshape(1, -1, 3)
    return np.asarray(cv2.LUT(flat, levels[None]), np.uint8).reshape(photo.shape)


def adjusted(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo (H, W, 3) uint8 RGB, adjusted."""
    return with_levels(photo, automatic_levels(photo))


class AdjustedPatches:
    """The phone patches of a store as the automatic adjustment makes them.

    The adjustment is chosen on the whole phone photo where the dataset's photos are at hand; else on all patches of the
    capture together.
    """

    def __init__(self, store: PatchStore) -> None:
        self.store = store
        self.files = capture_photos(store)
        self.capture_ids = np.array(store.capture_ids())
        self._levels: dict[str, NDArray[np.uint8]] = {}

    def patches(self, rows: NDArray[np.int64], phone: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The adjusted patches at `rows` of the store, whose phone patches are `phone`, both (n, S, S, 3)."""
        made = [
            with_levels(patch, self._of(str(self.capture_ids[row]))) for row, patch in zip(rows, phone, strict=True)
        ]
        return np.stack(made)

    def _of(self, capture: str) -> NDArray[np.uint8]:
        if capture not in self._levels:
            if capture in self.files:
                photo = read_photo(self.files[capture].phone, self.files[capture].raw)
            else:
                photo = np.concatenate(self.store.read(np.flatnonzero(self.capture_ids == capture))[0])
            self._levels[capture] = automatic_levels(photo)
        return self._levels[capture]


def _gains(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """White balance: what brings the norms of the channels together, within limits; clipped pixels do not count."""
    inside = pixels[(pixels.max(axis=1) < 0.98) & (pixels.min(axis=1) > 0.02)]
    if not len(inside):
        return np.ones(3)
    norms = (inside**GRAY_POWER).mean(axis=0) ** (1 / GRAY_POWER)
    gains: NDArray[np.float64] = np.clip((norms @ LUMA) / norms, 1 / LARGEST_GAIN, LARGEST_GAIN)
    return gains

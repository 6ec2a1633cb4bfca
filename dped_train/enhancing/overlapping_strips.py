"""Enhance a whole photo with a network of limited receptive field: strips overlap by it, so that each row is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.common.malloc import keep_freed_memory
from dped_train.enhancing.streaming import CPU, Photo, WholePhotoEnhancer
from dped_train.networks.compared import Johnson, PhotoNetwork, Srcnn
from dped_train.networks.dped import CHANNELS, Enhancer
from dped_train.photo_tensors import photos_from_bytes

MAPS_ALIVE = 4  # of 64 channels at one time in the widest of these networks: input, result, skip, scratch buffer
FEWEST_ROWS = 32  # ours: below, most of what is computed would be overlap
MOST_ROWS = 256


class LocalPhotoEnhancer:
    """A network of limited reach prepared for photos of any size; see `WholePhotoEnhancer` for the arguments."""

    def __init__(self, network: Srcnn | Johnson, dtype: torch.dtype, device: torch.device = CPU) -> None:
        keep_freed_memory()
        self.network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.reach, self.dtype, self.device = network.REACH, dtype, device

    @torch.no_grad()
    def enhanced_rows(
        self, photo: Photo, map_bytes: int, moved: Callable[[float], object] = lambda share: None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the enhanced photo from top to bottom: first row and (h, W, 3) float32 RGB.

        Every row is what one pass over the whole photo gives, up to rounding: a strip is computed with `reach` more
        rows on both sides, as far as the photo has them.
        """
        height, width = photo.shape[:2]
        fitting = map_bytes // (MAPS_ALIVE * width * CHANNELS * self.dtype.itemsize) - 2 * self.reach
        rows = min(max(fitting, FEWEST_ROWS), MOST_ROWS)
        half = self.dtype is not torch.float32
        for first in range(0, height, rows):
            end, top = min(first + rows, height), max(first - self.reach, 0)
            part = photos_from_bytes(np.ascontiguousarray(photo[None, top : end + self.reach]), self.device)
            with torch.autocast(self.device.type, self.dtype if half else torch.bfloat16, enabled=half):
                made = self.network(part)
            moved((end - first) / height)
            yield first, made[0, :, first - top : end - top].permute(1, 2, 0).float().cpu().numpy()

    def enhance(self, photo: Photo, map_bytes: int) -> NDArray[np.float32]:
        """The whole enhanced photo, (H, W, 3) float32 RGB."""
        return np.concatenate([rows for _, rows in self.enhanced_rows(photo, map_bytes)])


def photo_enhancer(
    network: PhotoNetwork, dtype: torch.dtype, device: torch.device = CPU
) -> WholePhotoEnhancer | LocalPhotoEnhancer:
    """Prepare a network of any method for whole photos."""
    if isinstance(network, Enhancer):
        return WholePhotoEnhancer(network, dtype, device)
    return LocalPhotoEnhancer(network, dtype, device)

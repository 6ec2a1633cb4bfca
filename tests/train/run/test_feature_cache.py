"""The cache of VGG features returns what VGG would, and keeps to its memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dped_train.run.feature_cache import FeatureCache

PHOTOS = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class CountingVgg:
    """Stands for VGG: the mean colour of each photo, 12 bytes; counts what it is shown."""

    shown = 0

    def features(self, photos: Tensor) -> Tensor:
        self.shown += len(photos)
        return photos.mean((2, 3), keepdim=True)


@pytest.mark.parametrize(("limit_mb", "shown"), [(1, 6), (0, 12)])
def test_each_patch_is_computed_once_within_the_memory(limit_mb: int, shown: int) -> None:
    vgg = CountingVgg()
    cache = FeatureCache(vgg, limit_mb)  # type: ignore[arg-type]
    expected = PHOTOS.mean((2, 3), keepdim=True)
    for rows in (np.array([4, 0, 2]), np.array([0, 1, 3, 5]), np.array([2, 4, 1, 3, 0])):
        torch.testing.assert_close(cache.features(rows, PHOTOS[rows]), expected[rows])
    assert vgg.shown == shown


def test_a_full_memory_keeps_what_it_has() -> None:
    vgg = CountingVgg()
    cache = FeatureCache(vgg, 1)  # type: ignore[arg-type]
    cache.limit_bytes = 24  # two patches
    rows = np.arange(6)
    for _ in range(3):
        cache.features(rows, PHOTOS)
    assert vgg.shown == 6 + 4 + 4


def test_a_patch_may_stand_in_a_batch_twice() -> None:
    cache = FeatureCache(CountingVgg(), 1)  # type: ignore[arg-type]
    rows = np.array([3, 3, 1])
    found = cache.features(rows, PHOTOS[rows])
    torch.testing.assert_close(found, PHOTOS[rows].mean((2, 3), keepdim=True))

"""VGG features of DSLR patches, computed once for each patch as far as the memory set aside for them reaches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dped_train.networks.vgg import Vgg
from dped_train.photo_tensors import placed


class FeatureCache:
    """Remembers `vgg.features` of DSLR patches by their row in the store.

    The first patches seen stay; when the memory is full, further ones are computed anew each time. On a CPU patches
    are worked through one at a time, so that a feature never depends on what else was in the batch: a resumed run,
    whose cache is empty, computes the very same bits.
    """

    def __init__(self, vgg: Vgg, limit_mb: int) -> None:
        self.vgg = vgg
        self.limit_bytes = limit_mb * 1_000_000
        self._kept: dict[int, Tensor] = {}
        self._bytes = 0

    @torch.no_grad()
    def features(self, indices: NDArray[np.int64], dslr: Tensor) -> Tensor:
        """`vgg.features(dslr)`, where `indices` (n,) name the patches in `dslr` (n, 3, S, S)."""
        rows = indices.tolist()
        missing = [place for place, row in enumerate(rows) if row not in self._kept]
        fresh: dict[int, Tensor] = {}
        if missing:
            at_once = 1 if dslr.device.type == "cpu" else len(missing)
            some = dslr
            if len(missing) < len(rows):
                some = dslr.index_select(0, placed(torch.tensor(missing), dslr.device))
            made = torch.cat([self.vgg.features(part) for part in some.split(at_once)])
            fresh = {rows[place]: made[i : i + 1] for i, place in enumerate(missing)}
        result = torch.cat([self._kept[row] if row in self._kept else fresh[row] for row in rows])
        for row, features in fresh.items():
            size = features.numel() * features.element_size()
            if self._bytes + size <= self.limit_bytes:
                self._kept[row] = features.clone()
                self._bytes += size
        return result

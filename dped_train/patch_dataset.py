"""The pairs of a split as a torch `Dataset`, so that any trainer can read our shards through a `DataLoader`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dped_data.captures.records import Split
from dped_data.dataset.store import PatchStore
from dped_data.errors import UsageError
from dped_data.photos.mosaic_facts import mosaic_light

PairTransform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Changes a pair: phone and DSLR, (3, S, S) float32 each, to the same two. For a DataLoader it must be picklable."""


class PatchDataset(Dataset[dict[str, Tensor | str]]):
    """One item for each pair: two tensors (3, S, S) float32 RGB in [0, 1], and the name of each.

    It holds no open file when it is pickled, so that the workers of a `DataLoader` may have it,
    whichever way they start. Of a dataset with masks (--mask-cells) an item also holds `valid`, (1, S, S) float32: 1
    where both photos show the same, 0 where a loss should not look.

    Attributes:
        store: the patches beneath it, with their provenance (`store.patch_id(index)`).
    """

    def __init__(
        self,
        folder: Path | str,
        split: Split = "train",
        *,
        keys: tuple[str, str] = ("phone", "dslr"),
        transform: PairTransform | None = None,
        mosaics: bool = False,
    ) -> None:
        """Open a split; reads only dataset.json.

        Args:
            folder: the dataset of one phone (OUT/<phone>).
            split: which part.
            keys: how an item calls the phone's and the DSLR's patch; trainers of the BasicSR family say ("lq", "gt").
                An item also holds `<key>_path`, the name that `export-dped --as folders` gives the pair.
            transform: changes each pair when it is read, such as a random crop or mirror image of both alike.
            mosaics: an item also holds `mosaic`, (4, S/2, S/2) float32: R, G1, G2, B of the phone's sensor, 0 at the
                level of black and 1 at that of white, not clipped. Of a dataset built with --phone-raw.

        Raises:
            InputError: no such dataset, or a damaged one.
            UsageError: a transform for masks or mosaics, which would not follow it; no mosaics in the dataset.
        """
        self.store = PatchStore(folder, split)
        self.mosaics = mosaics
        if mosaics and transform is not None:
            raise UsageError(f"{folder}: a mosaic would not follow the transform; change pair and mosaic in your loop")
        if mosaics:
            self.black, self.white = self.store.mosaic_levels()
        if transform is not None and self.store.masked:
            raise UsageError(
                f"{folder}: built with --mask-cells, and a mask would not follow the transform; "
                "change pair and mask together in your loop, or build without masks"
            )
        self.keys = keys
        self.transform = transform

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.store)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        """Read a pair; IndexError beyond the last, InputError where its shard is damaged."""
        place = range(len(self))[operator.index(index)]
        phone, dslr = (torch.from_numpy(photo).permute(2, 0, 1).float().div(255) for photo in self.store[place])
        if self.transform is not None:
            phone, dslr = self.transform(phone, dslr)
        name = f"{self.store.split}/{place:08d}"
        item: dict[str, Tensor | str] = {}
        if self.store.masked:
            item["valid"] = torch.from_numpy(self.store.read_valid([place])).float()
        if self.mosaics:
            light = mosaic_light(self.store.read_mosaics([place])[0], self.black[place], self.white[place])
            item["mosaic"] = torch.from_numpy(light).permute(2, 0, 1).contiguous()
        for key, photo in zip(self.keys, (phone, dslr), strict=True):
            item |= {key: photo.contiguous(), f"{key}_path": name}
        return item

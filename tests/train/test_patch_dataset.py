"""The pairs as a torch `Dataset`: the stored pixels, in workers too."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset
from torch import Tensor
from torch.utils.data import DataLoader

from dped_data.dataset.store import PatchStore
from dped_train import PatchDataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", train=7, size=24)


def mirrored(phone: Tensor, dslr: Tensor) -> tuple[Tensor, Tensor]:
    return phone.flip(2), dslr.flip(2)


def test_an_item_is_the_stored_pair(folder: Path) -> None:
    pairs, store = PatchDataset(folder, keys=("lq", "gt")), PatchStore(folder, "train")
    assert len(pairs) == 7
    item = pairs[-2]
    assert {*item} == {"lq", "gt", "lq_path", "gt_path"}
    assert item["lq_path"] == item["gt_path"] == "train/00000005"
    for key, photo in zip(("lq", "gt"), store[5], strict=True):
        value = item[key]
        assert isinstance(value, Tensor) and value.dtype == torch.float32 and value.is_contiguous()
        assert np.array_equal((value * 255).round().permute(1, 2, 0).numpy(), photo)
    assert len([*pairs]) == 7  # iteration ends by the IndexError of a sequence
    with pytest.raises(IndexError):
        pairs[7]


def test_a_transform_sees_both_photos(folder: Path) -> None:
    plain, turned = PatchDataset(folder)[3], PatchDataset(folder, transform=mirrored)[3]
    for key in ("phone", "dslr"):
        assert isinstance(plain[key], Tensor) and torch.equal(plain[key].flip(2), turned[key])
        assert not torch.equal(plain[key], turned[key])


def test_two_workers_read_what_one_process_reads(folder: Path) -> None:
    pairs = PatchDataset(folder, transform=mirrored)
    pairs[0]  # a file is open now, which must not travel
    assert len(pickle.dumps(pairs)) < 20_000
    wanted = torch.stack([torch.as_tensor(pairs[index]["phone"]) for index in range(7)])
    loader = DataLoader(pairs, batch_size=2, num_workers=2, multiprocessing_context="forkserver")
    batches = [*loader]
    assert torch.equal(torch.cat([batch["phone"] for batch in batches]), wanted)
    assert [name for batch in batches for name in batch["dslr_path"]] == [f"train/{index:08d}" for index in range(7)]

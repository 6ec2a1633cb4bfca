"""Checkpoints come back as they were written, or are refused with one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dped_data.errors import InputError
from dped_train.run.checkpoint import (
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    pack_adam,
    pack_module,
    prune_checkpoints,
    save_checkpoint,
    unpack_adam,
    unpack_module,
)


def _example(step: int = 7) -> Checkpoint:
    tensors = {"net/weight": torch.arange(6.0).reshape(2, 3), "adam/0/step": torch.tensor(7.0)}
    return Checkpoint(step, tensors, {"seed": 3, "dataset": {"digest": "abc"}, "best_psnr": None})


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "checkpoints", _example())
    assert path.name == "step-0000007.safetensors"
    back = load_checkpoint(path)
    assert (back.step, back.facts) == (7, _example().facts)
    assert back.tensors.keys() == _example().tensors.keys()
    for name, value in _example().tensors.items():
        assert torch.equal(back.tensors[name], value)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _example())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"step-0000007.*not a whole checkpoint.*delete it to resume from an older"):
        load_checkpoint(path)


@pytest.mark.parametrize("what", ["a weight", "the facts"])
def test_a_tampered_checkpoint_is_refused(tmp_path: Path, what: str) -> None:
    path = save_checkpoint(tmp_path, _example())
    data = bytearray(path.read_bytes())
    place = len(data) - 1 if what == "a weight" else data.index(b"best_psnr") - 3
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="sha256, it was altered|not a whole checkpoint"):
        load_checkpoint(path)


def test_other_files_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "step-0000001.safetensors"
    torch.save({"step": 1}, path)
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load_checkpoint(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="architecture 'none given', needed 'dped-training'"):
        load_checkpoint(path)
    save_file({"weight": torch.zeros(1)}, path, {"architecture": "dped-training", "format_version": "9"})
    with pytest.raises(InputError, match="checkpoint format version 9, this program reads 1"):
        load_checkpoint(path)


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (100, 200, 300, 400, 1000):
        save_checkpoint(tmp_path, _example(step))
    prune_checkpoints(tmp_path, keep=2, best_step=200)
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [
        f"step-{step:07d}.safetensors" for step in (200, 400, 1000)
    ]
    prune_checkpoints(tmp_path, keep=1, best_step=None)
    assert [load_checkpoint(path).step for path in list_checkpoints(tmp_path)] == [1000]
    assert list_checkpoints(tmp_path / "nothing") == []


def test_network_and_optimiser_go_on_as_if_never_stored(tmp_path: Path) -> None:
    first, second = (_network(seed) for seed in (0, 1))
    adams = [torch.optim.Adam(net.parameters(), 0.01) for net in (first, second)]
    _descend(first, adams[0])
    tensors = pack_module("net", first) | pack_adam("adam", adams[0])
    checkpoint = load_checkpoint(save_checkpoint(tmp_path, Checkpoint(1, tensors, {})))
    unpack_module(checkpoint, "net", second, tmp_path)
    unpack_adam(checkpoint, "adam", adams[1], Path("x"))
    for net, adam in zip((first, second), adams, strict=True):
        _descend(net, adam)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_another_architecture_is_named(tmp_path: Path) -> None:
    checkpoint = Checkpoint(1, pack_module("net", _network(0)), {})
    with pytest.raises(InputError, match=r"another architecture: net/0.bias is \(4,\), needed \(5,\)"):
        unpack_module(checkpoint, "net", nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)), tmp_path)
    with pytest.raises(InputError, match=r"net/1.bias is \(4,\), needed nothing"):
        unpack_module(checkpoint, "net", nn.Sequential(nn.Linear(3, 4)), tmp_path)


def test_facts_are_plain_json(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _example())
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    assert json.loads(json.loads(header)["__metadata__"]["facts"])["dataset"] == {"digest": "abc"}


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def _descend(net: nn.Module, adam: torch.optim.Adam) -> None:
    net(torch.arange(15.0).reshape(5, 3).sin()).square().sum().backward()
    adam.step()
    adam.zero_grad()

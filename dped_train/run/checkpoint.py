"""Checkpoints of a training run: one safetensors file each, written whole, checked when read, never unpickled.

The tensors carry names like `enhancer/head.weight` or `enhancer_adam/3/exp_avg`; everything that is no tensor stands
as JSON in the file's metadata, together with a sha256 over both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from dped_data.common.files import atomic_write_bytes
from dped_data.common.foreign_files import parse_json, typed
from dped_data.common.names import shown
from dped_data.common.ownership import remove
from dped_data.errors import InputError
from dped_train.networks.file import digest_of_tensors, read_safetensors

ARCHITECTURE = "dped-training"
FORMAT_VERSION = 1
CHECKPOINTS, CHECKPOINT_FILES = "checkpoints", "step-*.safetensors"
"""The folder in a run, and the files in it."""
_MOST_STEPS = 2**53
_CURE = "resume with the settings and the dataset of the run"
_ADAM = ("exp_avg", "exp_avg_sq", "step")
"""What Adam keeps for every parameter that has been trained."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step` steps.

    Attributes:
        step: steps done; also the sampler's position, as every random number is a function of seed and step.
        tensors: networks, optimisers and running mean, by name.
        facts: the rest: settings, dataset digest, best validation so far, loss scale. Plain JSON values.
    """

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `checkpoint` into `folder` (made if missing) and return its path, step-NNNNNNN.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    facts = json.dumps({"step": checkpoint.step, **checkpoint.facts}, sort_keys=True)
    metadata = {
        "architecture": ARCHITECTURE,
        "format_version": str(FORMAT_VERSION),
        "facts": facts,
        "sha256": _digest(tensors, facts),
    }
    path = folder / f"step-{checkpoint.step:07d}.safetensors"
    atomic_write_bytes(path, save(tensors, metadata))
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: the file is truncated, altered, or no checkpoint of a training run.
    """
    cure = "delete it to resume from an older one"
    metadata, tensors = read_safetensors(path, "checkpoint", cure)
    architecture = metadata.get("architecture", "none given")
    if architecture != ARCHITECTURE:
        raise InputError(f"{path}: architecture {architecture!r}, needed {ARCHITECTURE!r}; {cure}")
    if metadata.get("format_version") != str(FORMAT_VERSION):
        version = metadata.get("format_version")
        raise InputError(f"{path}: checkpoint format version {version}, this program reads {FORMAT_VERSION}; {cure}")
    if _digest(tensors, metadata.get("facts", "")) != metadata.get("sha256"):
        raise InputError(f"{path}: the contents do not match the file's own sha256, it was altered; {cure}")
    try:
        facts = typed(dict[str, Any], parse_json(metadata["facts"], unknown_as_none=True))
        step = typed(int, facts.pop("step"))
        if not 0 <= step <= _MOST_STEPS:
            raise ValueError
    except (ValueError, LookupError):
        raise InputError(f"{path}: its facts are not those of a training run; {cure}") from None
    return Checkpoint(step, tensors, facts)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first; none where there is no folder."""
    return sorted(folder.glob(CHECKPOINT_FILES))


def prune_checkpoints(folder: Path, keep: int, best_step: int | None) -> None:
    """Remove all checkpoints but the newest `keep` and the best."""
    for path in list_checkpoints(folder)[:-keep]:
        if path.stem != f"step-{best_step or 0:07d}":
            remove(path)  # processes that train together each come by


def pack_module(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of `module` as tensors for a checkpoint."""
    return {f"{prefix}/{name}": value for name, value in module.state_dict().items()}


def unpack_module(checkpoint: Checkpoint, prefix: str, module: nn.Module, source: Path) -> None:
    """Load what `pack_module` stored; InputError when names or shapes differ (another architecture)."""
    found = _below(checkpoint, prefix)
    expected = module.state_dict()
    for name in sorted(found.keys() | expected.keys()):
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            have = tuple(found[name].shape) if name in found else "missing"
            want = tuple(expected[name].shape) if name in expected else "nothing"
            raise InputError(f"{source}: holds another architecture: {prefix}/{name} is {have}, needed {want}; {_CURE}")
    module.load_state_dict(found)


def pack_adam(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts as tensors for a checkpoint."""
    state = optimiser.state_dict()["state"]
    return {f"{prefix}/{number}/{name}": value for number, entry in state.items() for name, value in entry.items()}


def unpack_adam(checkpoint: Checkpoint, prefix: str, optimiser: torch.optim.Optimizer, source: Path) -> None:
    """Load what `pack_adam` stored into an optimiser over the same parameters; InputError when it is of others."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in _below(checkpoint, prefix).items():
        number, _, name = key.partition("/")
        shapes = {str(index): parameter.shape for index, parameter in enumerate(parameters)}
        wanted = torch.Size() if name == "step" else shapes.get(number)
        if number not in shapes or name not in _ADAM or value.shape != wanted:
            raise InputError(f"{source}: {prefix}/{shown(key)} {tuple(value.shape)} is of another optimiser; {_CURE}")
        # the fused step walks through memory: a moment must lie there in the order of its parameter (channels last)
        like = parameters[int(number)]
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(number), {})[name] = laid_out
    if incomplete := [number for number, entry in state.items() if len(entry) < len(_ADAM)]:
        raise InputError(f"{source}: {prefix}/{incomplete[0]} lacks a part of Adam's state; {_CURE}")
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _below(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name[len(start) :]: value for name, value in checkpoint.tensors.items() if name.startswith(start)}


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    return hashlib.sha256(f"{digest_of_tensors(tensors)}\n{facts}".encode()).hexdigest()

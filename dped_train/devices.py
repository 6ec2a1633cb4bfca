"""Which device computes, and in which precision: one answer for training, evaluating and enhancing."""

from __future__ import annotations

import re

import torch

from dped_data.errors import UsageError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def chosen_device(name: str, local_rank: int | None = None) -> torch.device:
    """The device that a person named.

    Args:
        name: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.
        local_rank: number of this process among those of a machine that share the work; each takes the GPU of its
            own number, whichever was named.

    Raises:
        UsageError: another name, or a GPU that is not there.
    """
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if wanted == "cpu":
        return torch.device("cpu")
    named = re.fullmatch(r"cuda(?::([0-9]+))?", wanted)
    if named is None:
        raise UsageError(f"--device {name}: no such device; allowed are auto, cpu, cuda and cuda:N")
    index = int(named[1] or 0) if local_rank is None else local_rank
    count = torch.cuda.device_count()
    if index >= count:
        raise UsageError(f"--device {name}: needs GPU {index}, there are {count}, counted from 0; use cpu or auto")
    return torch.device("cuda", index)


def chosen_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type in which convolutions compute: `fp32`, `bf16` or `fp16`; `auto` takes bfloat16 where the device has
    instructions for its products, so that it is faster than float32, and float32 elsewhere. UsageError otherwise."""
    if precision == "auto":
        return torch.bfloat16 if _multiplies_in_bfloat16(device) else torch.float32
    if precision not in _DTYPES:
        raise UsageError(f"--precision {precision}: allowed are auto, {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def _multiplies_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    supported: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return supported

"""Which device computes, and in which precision: one answer for training, evaluating and enhancing."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

import torch

from dped_data.common.free_memory import free_memory
from dped_data.errors import UsageError

_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    """The type in which convolutions compute: `fp32`, `tf32`, `bf16` or `fp16`; `auto` takes bfloat16 where its
    products are faster than those of float32; float16 on a GPU that has those alone; float32 elsewhere.

    Raises:
        UsageError: another name, or `tf32` on a CPU.
    """
    if precision == "auto":
        if _multiplies_in_bfloat16(device):
            return torch.bfloat16
        return torch.float16 if _multiplies_in_float16(device) else torch.float32
    if precision not in _DTYPES:
        raise UsageError(f"--precision {precision}: allowed are auto, {', '.join(_DTYPES)}")
    if precision == "tf32" and device.type != "cuda":
        raise UsageError("--precision tf32: is a GPU's arithmetic; use fp32 on a CPU")
    return _DTYPES[precision]


def choose_products(precision: str) -> None:
    """How a GPU multiplies float32: `tf32` keeps 10 bits of each factor, every other precision all 23.

    Left alone, torch multiplies with 10 bits in convolutions: VGG's gradient is then off by 9 %, not by 0.1 %.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def working_memory(device: torch.device) -> int | None:
    """Bytes to work in: of a GPU's memory four fifths of what is free or in torch's own hands; on a CPU a half of what
    is free or this process's, since others live there, too; None where that is unknown."""
    if device.type == "cpu":
        free_here = free_memory()
        return None if free_here is None else free_here // 2
    free, _ = torch.cuda.mem_get_info(device)
    return int(0.8 * (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)))


def _multiplies_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    in_tiles: bool = torch.cpu._is_amx_tile_supported()
    in_vectors: bool = torch.cpu._is_avx512_bf16_supported()
    return in_tiles or (in_vectors and _is_by_amd())


@cache
def _is_by_amd() -> bool:
    """Who made the processor decides how fast its AVX512-BF16 is: a 3x3 convolution of 64 channels makes 228 GFLOP/s
    on a core of an AMD EPYC, twice those of float32; 83 on a core of an Intel Xeon whose AMX is off, half of them."""
    cpuinfo = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (cpuinfo.read_text(errors="replace") if cpuinfo.exists() else platform.processor())


def _multiplies_in_float16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)

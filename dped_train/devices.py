"""Which device computes, and in which precision: one answer for training, evaluating and enhancing."""

from __future__ import annotations

import torch

from dped_data.errors import UsageError
from dped_train.settings import TrainSettings


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    supported: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return supported


def chosen_device(wanted: str, local_rank: int | None = None) -> torch.device:
    """The device that a person named; `auto` is the first GPU there is. UsageError where there is none such."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {wanted}: no such device; allowed are auto, cpu, cuda and cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {wanted}: allowed are cpu and cuda; choose one of them, or auto")
    if device.type == "cuda":
        index = local_rank if local_rank is not None else (device.index or 0)
        if index >= torch.cuda.device_count():
            raise UsageError(f"--device {wanted}: {torch.cuda.device_count()} GPUs here; use --device cpu or auto")
        device = torch.device("cuda", index)
    return device


def precision_of(settings: TrainSettings, device: torch.device) -> torch.dtype:
    """The type in which the convolutions compute. `auto`: bfloat16 where the device multiplies in it, else float32."""
    if settings.precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.precision]
    return torch.bfloat16 if multiplies_in_bfloat16(device) else torch.float32


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name}: not usable here ({reason}); try cpu") from error
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    return torch.bfloat16 if multiplies_in_bfloat16(device) else torch.float32

"""The settings of `dped enhance`, documented on the field; the command's flags are generated from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from dped_data.common.typed_settings import FrozenDefaults, setting

CHANGES_NO_PIXEL = ("overwrite", "memory_mb", "at_once", "device", "models")
"""Settings that do not change what a written photo holds, beyond rounding."""


@dataclass(frozen=True)
class EnhanceSettings:
    """How photos are enhanced and written."""

    format: Literal["jpeg", "png", "tiff"] = setting("jpeg", "format of the enhanced photos")
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "arithmetic of the convolutions; auto takes bf16 where the device multiplies faster in it, else fp32"
    )
    quality: int = setting(95, "JPEG quality", minimum=1, maximum=100)
    bit_depth: Literal["8", "16"] = setting(
        "8", "bits of each colour; 16 for png and tiff only; photos of 16 bits keep them there"
    )
    strength: float = setting(1.0, "how much of the enhancement to apply; 0 leaves the photo", minimum=0, maximum=1)
    side_by_side: bool = setting(False, "write the photo and the enhanced photo next to each other")
    memory_mb: int = setting(
        0,
        "memory to work in, megabytes; less is slower; 0: half of what is free, at least 1500 in bf16, 2500 in fp32; "
        "four fifths of what is free on a GPU, of which it counts there",
        minimum=0,
    )
    at_once: int = setting(1, "photos worked on at a time; they share threads and memory", minimum=1)
    device: str = setting("auto", "cpu, cuda, cuda:1, …; auto takes the first GPU there is")
    models: str = setting("models", "folder where a model given by its name is looked for, as NAME.safetensors")
    overwrite: bool = setting(False, "replace photos that exist and were made otherwise")

    frozen_defaults: ClassVar[FrozenDefaults] = FrozenDefaults(
        format_version=1,
        first={
            "format": "jpeg",
            "precision": "auto",
            "quality": 95,
            "bit_depth": "8",
            "strength": 1.0,
            "side_by_side": False,
            "memory_mb": 0,
            "at_once": 1,
            "device": "auto",
            "models": "models",
            "overwrite": False,
        },
        added={},
    )

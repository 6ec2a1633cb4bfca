"""Whether the hand-made parts of this room compute, or torch's own operations in their plain form."""

from __future__ import annotations

import os

import torch

SWITCH = "DPED_PLAIN_TORCH"
"""Environment variable: anything but nothing and "0" leaves every part of the room out. Read at every call."""


def by_hand() -> bool:
    """Whether to take the hand-made parts: not where a compiler or exporter follows the calls, which knows torch's
    operations only, and not where the environment switches them off."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return not traced and os.environ.get(SWITCH, "0") in ("", "0")

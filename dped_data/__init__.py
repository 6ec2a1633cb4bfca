"""Photos in, shards out: the DPED dataset construction and alignment toolkit."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dped_data.build import build_dataset
    from dped_data.shards import PatchStore

__all__ = ["PatchStore", "build_dataset"]

_MODULE_OF = {"build_dataset": "build", "PatchStore": "shards"}


def __getattr__(name: str) -> Any:
    """Import on first use: `dped --help` needs neither OpenCV nor HDF5."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dped_data' has no attribute '{name}'")
    return getattr(importlib.import_module(f"dped_data.{_MODULE_OF[name]}"), name)

"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dped_train.enhancer_file import load_enhancer, save_enhancer

__all__ = ["load_enhancer", "save_enhancer"]

_MODULE_OF = {"load_enhancer": "enhancer_file", "save_enhancer": "enhancer_file"}


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and `dped --help` does not need it."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dped_train' has no attribute '{name}'")
    return getattr(importlib.import_module(f"dped_train.{_MODULE_OF[name]}"), name)

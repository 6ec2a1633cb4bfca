"""Photos in, shards out: the DPED dataset construction and alignment toolkit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.common.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_data.build import build_dataset
    from dped_data.dataset.store import PatchStore

__all__ = ["PatchStore", "build_dataset"]

__getattr__ = lazy_attributes(__name__, {"build_dataset": "build", "PatchStore": "dataset.store"})

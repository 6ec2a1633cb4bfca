"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_train.enhancer_file import load_enhancer, save_enhancer

__all__ = ["load_enhancer", "save_enhancer"]

__getattr__ = lazy_attributes(__name__, {"load_enhancer": "enhancer_file", "save_enhancer": "enhancer_file"})

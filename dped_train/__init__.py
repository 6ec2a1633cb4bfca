"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_train.data import PatchPairs
    from dped_train.enhance_photos import enhance
    from dped_train.enhance_settings import EnhanceSettings
    from dped_train.enhancer_file import load_enhancer, save_enhancer
    from dped_train.export import export_enhancer

__all__ = ["EnhanceSettings", "PatchPairs", "enhance", "export_enhancer", "load_enhancer", "save_enhancer"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "EnhanceSettings": "enhance_settings",
        "PatchPairs": "data",
        "enhance": "enhance_photos",
        "export_enhancer": "export",
        "load_enhancer": "enhancer_file",
        "save_enhancer": "enhancer_file",
    },
)

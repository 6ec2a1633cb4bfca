"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.common.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_train.data import PatchPairs
    from dped_train.enhancing.photos import enhance
    from dped_train.enhancing.settings import EnhanceSettings
    from dped_train.export import export_enhancer
    from dped_train.networks.file import load_enhancer, save_enhancer

__all__ = ["EnhanceSettings", "PatchPairs", "enhance", "export_enhancer", "load_enhancer", "save_enhancer"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "EnhanceSettings": "enhancing.settings",
        "PatchPairs": "data",
        "enhance": "enhancing.photos",
        "export_enhancer": "export",
        "load_enhancer": "networks.file",
        "save_enhancer": "networks.file",
    },
)

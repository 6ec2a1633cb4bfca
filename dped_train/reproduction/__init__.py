"""The paper's own tables and figures, repeated on any dataset: `dped reproduce`.

It stands on all of the trainer; only the command line enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.common.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_train.reproduction.pipeline import reproduce, reproduction_text

__all__ = ["reproduce", "reproduction_text"]

__getattr__ = lazy_attributes(__name__, {"reproduce": "pipeline", "reproduction_text": "pipeline"})

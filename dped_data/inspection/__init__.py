"""Judge a dataset: measure it independently of the builder, give a verdict, and show the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_data.inspection.inspect import as_json, inspect_pairs
    from dped_data.inspection.terminal import terminal_text

__all__ = ["as_json", "inspect_pairs", "terminal_text"]

__getattr__ = lazy_attributes(__name__, {"as_json": "inspect", "inspect_pairs": "inspect", "terminal_text": "terminal"})

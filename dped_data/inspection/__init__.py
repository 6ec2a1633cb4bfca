"""Judge a dataset: measure it independently of the builder, give a verdict, and show the worst first.

It stands above `work` and knows none of the rooms beside it; only the command line enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dped_data.common.lazy import lazy_attributes

if TYPE_CHECKING:
    from dped_data.inspection.pipeline import as_json, inspect_pairs
    from dped_data.inspection.review_server import ReviewServer
    from dped_data.inspection.terminal import terminal_text
    from dped_data.inspection.verify import verify_dataset, verify_text

__all__ = ["ReviewServer", "as_json", "inspect_pairs", "terminal_text", "verify_dataset", "verify_text"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "ReviewServer": "review_server",
        "as_json": "pipeline",
        "inspect_pairs": "pipeline",
        "terminal_text": "terminal",
        "verify_dataset": "verify",
        "verify_text": "verify",
    },
)

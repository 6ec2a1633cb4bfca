"""Progress on stderr, silent when it is no terminal (leaf)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], *, total: int | None = None, label: str, unit: str) -> Iterable[T]:
    """Yield `items` while a bar on stderr shows count, rate and time left."""
    return tqdm(items, total=total, desc=label, unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True)


def progress_bar(total: int | None, *, label: str, unit: str) -> Any:
    """Return a tqdm bar, a context manager with `update(n)`, for work that does not come one item at a time."""
    return tqdm(total=total, desc=label, unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True)


def note(text: str) -> None:
    """Tell the person at once, above a bar if there is one: a line on stderr."""
    tqdm.write(f"dped: {text}", file=sys.stderr)

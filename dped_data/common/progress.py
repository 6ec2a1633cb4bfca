"""Progress on stderr, silent when it is no terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from dped_data.common.terminal_lines import shortened

T = TypeVar("T")

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but line feed and tab, marks of direction and of new lines, bytes that are not UTF-8."""

_BAR = "{desc} {percentage:3.0f}% |{bar:10}| {n_fmt}/{total_fmt} {unit}s [{elapsed}<{remaining}]{postfix}"
_PART_BAR = _BAR.replace("{n_fmt}/{total_fmt}", "{n:.1f}/{total:.0f}")
"""A bar of one width, whatever is written beside it: 80 columns hold it with a label of some twenty letters. The
second one is for work that is told in parts of an item."""


_LONGEST_LABEL = 28


def progress(items: Iterable[T], *, total: int | None = None, label: str, unit: str) -> Iterable[T]:
    """Yield `items` while a bar on stderr shows count and time left."""
    with progress_bar(total, label=label, unit=unit) as bar:
        for item in items:
            yield item
            bar.update(1)


def progress_bar(total: float | None, *, label: str, unit: str, initial: int = 0, silent: bool = False) -> Any:
    """Return a tqdm bar, a context manager with `update(n)`, for work that does not come one item at a time."""
    from tqdm import tqdm  # a sixth of the time that `dped --help` would take

    return tqdm(
        total=total,
        initial=initial,
        desc=printable(shortened(label, _LONGEST_LABEL), sys.stderr),
        unit=unit,
        bar_format=None if total is None else _PART_BAR if isinstance(total, float) else _BAR,
        disable=silent or not sys.stderr.isatty(),
        dynamic_ncols=True,
    )


def note(text: str) -> None:
    """Tell the person at once, above a bar if there is one: a line on stderr."""
    from tqdm import tqdm

    tqdm.write(printable(f"dped: {text}", sys.stderr), file=sys.stderr)


def printable(text: str, stream: Any = None) -> str:
    """Return `text` with everything that would steer a terminal, or that `stream` cannot show, as an escape.

    Names of files may hold control characters, marks that turn the direction of writing, and bytes that are not UTF-8.
    """
    shown = _STEERING.sub(lambda found: _escaped(found.group()), text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

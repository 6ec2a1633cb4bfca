"""Text for a terminal of 80 columns: paragraphs that are broken, names that are cut."""

from __future__ import annotations

import textwrap

COLUMNS = 80
"""What every table fits, at any terminal and in a file."""


def wrapped(text: str, head: str = "") -> list[str]:
    """Return `text` behind `head` as lines, those after the first as far in as the first; words stay whole."""
    margin = " " * len(head)
    lines = textwrap.wrap(
        text, COLUMNS, initial_indent=head, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )
    return lines or [head.rstrip()]


def shortened(name: str, longest: int) -> str:
    """Return a name, or its end behind a mark where it is longer than `longest`: files differ at their ends."""
    return name if len(name) <= longest else "…" + name[-(longest - 1) :]

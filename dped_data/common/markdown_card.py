"""Cards: a README.md beside a dataset or a model, partly kept current by the program, otherwise a person's.

A card begins with metadata between two lines `---`, in YAML, as dataset and model hubs read it; text in Markdown
follows. In each of the two stands one part between marks that is written anew whenever the dataset or model changes.
What a person writes outside of the marks, such as the licence, stays. The end mark carries a digest of its part: one
that a person has edited is not written over, nor is a card without marks; the new card then appears beside it as
README.new.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dped_data.common.files import atomic_write_text
from dped_data.common.ownership import remove
from dped_data.common.progress import note
from dped_data.common.work_folder import ForeignFileError

CARD_NAME = "README.md"
NEW_CARD_NAME = "README.new.md"
LICENCE_LINES = ("license: unknown  # fill in: a licence's short name, such as cc-by-4.0 or mit",)
"""Metadata that every card begins with; for a person to complete."""

_PART = re.compile(r"^(# |<!-- )dped begin.*?\n(?P<content>.*?)^\1dped end (?P<digest>\w+)[^\n]*$", re.M | re.S)


@dataclass(frozen=True)
class Card:
    """What a new card says.

    Attributes:
        own_metadata: YAML lines that are a person's from then on.
        metadata: YAML lines that are kept current.
        title: the heading, a person's from then on.
        invitation: what the person might add below it.
        body: Markdown that is kept current.
    """

    own_metadata: Sequence[str]
    metadata: Sequence[str]
    title: str
    invitation: str
    body: str

    def text(self) -> str:
        """The whole card."""
        metadata, body = _marked_parts(self)
        own = "\n".join(self.own_metadata)
        return f"---\n{own}\n{metadata}\n---\n\n# {self.title}\n\n{self.invitation}\n\n{body}\n"


def write_card(folder: Path, card: Card) -> bool:
    """Write FOLDER/README.md, or bring its two marked parts up to date; the same facts give the same bytes.

    Returns:
        Whether the card is current. Where a person has edited a marked part or removed the marks it is left as it is,
        and the new one is written to FOLDER/README.new.md.
    """
    path, beside = folder / CARD_NAME, folder / NEW_CARD_NAME
    updated: str | None = card.text()
    if os.path.lexists(path):
        try:
            updated = None if path.is_symlink() else _updated(path.read_text(encoding="utf-8"), card)
        except (UnicodeDecodeError, OSError):
            updated = None
    if updated is not None:
        atomic_write_text(path, updated, proven=True)  # the marks are ours, and the text around them stays
        with suppress(ForeignFileError):
            remove(beside)
        return True
    try:
        atomic_write_text(beside, card.text())
    except ForeignFileError as error:
        note(f"{path} was not written by dped and stays as it is; the new card has no place ({error})")
    return False


def quoted(text: str) -> str:
    """A YAML string that holds any text."""
    return json.dumps(text, ensure_ascii=False)


def _marked_parts(card: Card) -> tuple[str, str]:
    lines = "".join(f"{line}\n" for line in card.metadata)
    body = f"{card.body.strip()}\n"
    return (
        f"# dped begin: written anew by the program, leave it as it is\n{lines}# dped end {_digest(lines)}",
        f"<!-- dped begin: written anew by the program, leave it as it is -->\n{body}<!-- dped end {_digest(body)} -->",
    )


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _updated(old: str, card: Card) -> str | None:
    """`old` with its marked parts replaced; None where they are not as the program left them."""
    parts = list(_PART.finditer(old))
    if [part[1] for part in parts] != ["# ", "<!-- "]:
        return None
    if any(_digest(part["content"]) != part["digest"] for part in parts):
        return None
    (first, second), (metadata, body) = parts, _marked_parts(card)
    return f"{old[: first.start()]}{metadata}{old[first.end() : second.start()]}{body}{old[second.end() :]}"

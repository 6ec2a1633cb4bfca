"""Commands that a message names for what comes next, as a person can paste them into a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path


def hint(command: str, *words: str | Path) -> str:
    """Return `dped COMMAND WORDS`, quoted where a shell asks for it."""
    return shlex.join(["dped", *command.split(), *map(str, words)])


def data_words(data: Path | str, flag: str = "--data") -> list[str]:
    """The words that tell a command where the datasets are; none for the folder it looks in by itself."""
    return [] if str(data) == "dataset" else [flag, str(data)]

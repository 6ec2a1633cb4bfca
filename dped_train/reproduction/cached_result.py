"""Results that outlive an interruption: JSON beside the key of everything they depend on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dped_data.common.files import atomic_write_text
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.common.ownership import keep_changed
from dped_data.common.typed_settings import digest_of

T = TypeVar("T")

FORMAT_VERSION = 1


def kept(path: Path, depends_on: Mapping[str, Any], make: Callable[[], T], kind: type[T]) -> T:
    """The result in `path` if it was made from the same facts, else `make()`, which is then written there.

    `kind` is the result's type, a dataclass or a dict: what is there but is no such result is made anew.
    """
    key = digest_of(depends_on, FORMAT_VERSION)
    try:
        document = read_json(path, MOST_LIST_BYTES)
        if document["key"] == key:
            return typed(kind, document["result"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, cut off, or made up: it is made anew
    path.parent.mkdir(parents=True, exist_ok=True)
    made = make()
    keep_changed(path)
    result = dataclasses.asdict(made) if dataclasses.is_dataclass(made) and not isinstance(made, type) else made
    atomic_write_text(path, json.dumps({"key": key, "result": result}, indent=1) + "\n")
    return made


def holds(path: Path, depends_on: Mapping[str, Any]) -> bool:
    """Whether a file holds a result that was made from these facts."""
    try:
        return bool(read_json(path, MOST_LIST_BYTES)["key"] == digest_of(depends_on, FORMAT_VERSION))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_kept_result(path: Path) -> bool:
    """Whether a file holds a result as `kept` writes it."""
    try:
        return {*read_json(path, MOST_LIST_BYTES)} == {"key", "result"}
    except (OSError, ValueError, TypeError):
        return False

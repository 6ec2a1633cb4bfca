"""Results that outlive an interruption: JSON beside the key of everything they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dped_data.files import atomic_write_text
from dped_data.settings_machinery import digest_of

FORMAT_VERSION = 1


def kept(path: Path, depends_on: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in `path` if it was made from the same facts, else `make()`, which is then written there."""
    key = digest_of(depends_on, FORMAT_VERSION)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["key"] == key:
            result: dict[str, Any] = document["result"]
            return result
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # not there, or cut off: it is made anew
    path.parent.mkdir(parents=True, exist_ok=True)
    result = make()
    atomic_write_text(path, json.dumps({"key": key, "result": result}, indent=1) + "\n")
    return result


def is_kept_result(path: Path) -> bool:
    """Whether a file holds a result as `kept` writes it."""
    try:
        return {*json.loads(path.read_text(encoding="utf-8"))} == {"key", "result"}
    except (OSError, ValueError, TypeError, RecursionError):
        return False

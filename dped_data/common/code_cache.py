"""Where compiled code is kept from one run to the next."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dped_data.common.progress import note

_VARIABLE = "NUMBA_CACHE_DIR"


@cache
def find_place() -> TemporaryDirectory[str] | None:
    """Name a temporary folder to the compiler where it would find no place: beside the program or in the home folder.

    Worker processes inherit it with the environment. It is new, since nobody else may put code there, and goes with
    this process. Returns the folder, None if none is needed or there can be none.
    """
    kept = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    if os.environ.get(_VARIABLE) or any(
        map(_is_writable, (Path(__file__).parent / "__pycache__", Path(kept) / "numba"))
    ):
        return None
    note(
        "compiled code cannot be kept, neither beside the program nor in the home folder: every run compiles it anew, "
        f"for a minute; name a folder of your own for it: {_VARIABLE}=DIR"
    )
    try:
        folder = TemporaryDirectory(prefix="dped-compiled-", ignore_cleanup_errors=True)
    except OSError:
        return None
    os.environ[_VARIABLE] = folder.name
    return folder


def _is_writable(folder: Path) -> bool:
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the latter where nobody knows the home folder
        return False
    return os.access(folder, os.W_OK | os.X_OK)

"""The cache on this machine of what lies in stores: one folder per address, all of it a work folder of ours."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from dped_data.common.files import atomic_write_text
from dped_data.common.work_folder import ForeignFileError, make_work_folder
from dped_data.errors import InputError

TAG_NAME = "CACHEDIR.TAG"
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# dped keeps copies of what lies in a store here, and replaces and deletes them as it needs.
# Keep nothing of your own in this folder; see https://bford.info/cachedir/ for what this file tells backup programs.
"""


def cache_folder(url: str, cache: Path | None = None) -> Path:
    """Return where what lies at `url` is kept: below `cache`, $DPED_CACHE, or the user's cache folder.

    The folder is made and marked; everything in a marked folder is ours.

    Raises:
        InputError: it cannot be written, or holds something and has no mark, or holds a link.
    """
    folder = _root(cache) / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            make_work_folder(folder, whole_folder=True)
        except ForeignFileError:
            raise ForeignFileError(
                f"{folder}: holds files and is not marked as a cache of dped's; if an earlier version made it, remove "
                "it, else let DPED_CACHE name another folder"
            ) from None
        _check_links(folder)
        if not (folder / TAG_NAME).exists():
            atomic_write_text(folder / TAG_NAME, _TAG)
    return folder


@contextmanager
def locked_cache(folder: Path, what: str) -> Iterator[None]:
    """Wait until no other process of this machine fetches `what` into the folder, and keep them waiting in turn."""
    with _told(folder), FileLock(folder / f"{what}.lock"):
        yield


def _check_links(folder: Path) -> None:
    """Raise ForeignFileError where something in the cache is a link: what lies behind it is not the cache's."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (path := Path(place, name)).is_symlink():
                raise ForeignFileError(
                    f"{path}: is a link, and what lies behind it is not dped's; remove the link (DPED_CACHE moves the "
                    "whole cache)"
                )


def _root(cache: Path | None) -> Path:
    given = cache or os.environ.get("DPED_CACHE")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(home or Path.home() / ".cache") / "dped"
    except RuntimeError:
        raise InputError(
            "no home folder to keep a cache in; let DPED_CACHE name a folder that can be written"
        ) from None


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: the cache cannot be used ({error.strerror or error}); "
            "let DPED_CACHE name a folder that can be written"
        ) from None

"""The one place that replaces, deletes and renames files: those that the program can prove to have written."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from dped_data.common.progress import note as tell
from dped_data.common.work_folder import (
    TEMPORARY_FOLDER,
    ForeignFileError,
    is_inside_work_folder,
    is_marked,
    is_of_the_dead,
    process_token,
    real_path,
)
from dped_data.common.written_record import Written, compact_record, is_ours, note, written_as

_numbers = count()
_tidied: set[Path] = set()
_ABANDONED_S = 7 * 86_400
"""Ours: when what another machine's process left half written is believed to be nobody's."""


def temporary_path(work: Path, suffix: str = "") -> Path:
    """Return a new name for a file or folder that is not whole yet, in a work folder; no other process has the same."""
    folder = work / TEMPORARY_FOLDER
    folder.mkdir(exist_ok=True)
    if work not in _tidied:  # one that no command holds, beside a single file
        _tidied.add(work)
        tidy(work)
    while True:
        free = folder / f"{process_token()}-{next(_numbers)}{suffix}"
        if not os.path.lexists(free):
            return free


@contextmanager
def temporary_folder(work: Path) -> Iterator[Path]:
    """Yield a new folder in a work folder; what is left of it afterwards goes."""
    folder = temporary_path(work)
    folder.mkdir()
    try:
        yield folder
    finally:
        if folder.exists():
            remove_in_work(folder)


def check_free(path: Path, *, by_size: bool = False) -> None:
    """Raise ForeignFileError unless `path` may be written: nothing is there, or what the program has written there."""
    if os.path.lexists(path) and not is_ours(path, by_size=by_size):
        raise _foreign(path)


def _foreign(path: Path) -> ForeignFileError:
    if path.is_symlink():
        return ForeignFileError(f"{path}: is a link, which is not written over; move it away, or choose another place")
    what = "was changed since dped wrote it" if written_as(path) else "exists and was not written by dped"
    return ForeignFileError(f"{path}: {what}; move it away, or choose another place")


def put(temporary: Path, path: Path, written: Written, *, proven: bool = False, durable: bool = True) -> None:
    """Give a finished file its name, in place of one that the program wrote before.

    Args:
        temporary: the file, on the same file system.
        path: its name.
        written: its length and sha256.
        proven: the caller knows that what is there is ours to replace, by its own marks (see markdown cards).
        durable: whether the record must survive a power cut.
    Raises:
        ForeignFileError: somebody else's file has the name.
    """
    if not proven:
        check_free(path)
    if path.is_dir() and not path.is_symlink():  # in a work folder it is ours, but not to be lost for a file
        raise ForeignFileError(f"{path}: is a folder, where a file is to be written; move it away")
    note(path, written, durable=durable)
    temporary.replace(path)


def remove(path: Path) -> None:
    """Delete a file that the program wrote, if it is there; ForeignFileError where it is somebody else's."""
    if not os.path.lexists(path):
        return
    if not is_ours(path):
        raise _foreign(path)
    _delete(path)


def _delete(path: Path) -> None:
    """The one function that deletes: a file, a link as a link, a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move(path: Path, to: Path, written: Written | None = None) -> None:
    """Rename a file that the program wrote to a name that is free; ForeignFileError where either is somebody else's.

    `written` says how it was written, for a file that comes out of a work folder, where nothing is recorded.
    """
    if path == to:
        return
    if not is_ours(path, by_size=True):  # nothing is lost by a rename
        raise _foreign(path)
    if os.path.lexists(to):
        raise _foreign(to)
    for entry in (written,) if written else written_as(path):
        note(to, entry)
    path.rename(to)


def keep_changed(path: Path) -> None:
    """Rename a file that was changed since the program wrote it, so that nothing is lost when it is written anew."""
    if os.path.lexists(path) and not is_ours(path):
        set_aside(path)


def set_aside(path: Path) -> None:
    """Rename a file, for what a person has added to it, so that it can be written anew."""
    for number in count(1):
        kept = path.with_name(f"{path.name}.kept-{number}")
        if not os.path.lexists(kept):
            path.rename(kept)
            tell(f"{path}: not as it was written; it is kept as {kept.name}, and a new one takes its place")
            return


def publish_folder(temporary: Path, folder: Path) -> None:
    """Give a finished folder its name, where nothing or an empty folder has it; OSError where something has."""
    temporary.rename(folder)


def remove_in_work(path: Path) -> None:
    """Delete a file or folder inside a work folder, links as links; whatever lies elsewhere is refused."""
    if not is_inside_work_folder(real_path(path)):
        raise _foreign(path)
    _delete(path)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder, unless it holds anything."""
    with suppress(OSError):
        folder.rmdir()


def remove_recorded(paths: Iterable[Path]) -> None:
    """Delete those of the files that are as the program wrote them, and the folders that become empty."""
    parents = set()
    for path in paths:
        if is_ours(path):
            _delete(path)
            parents.add(path.parent)
    for folder in sorted(parents, key=lambda parent: len(parent.parts), reverse=True):
        remove_if_empty(folder)


def remove_work_folder(work: Path) -> None:
    """Remove a marked work folder with all that is in it."""
    if is_marked(work):
        _delete(work)


def tidy(work: Path) -> None:
    """Remove what killed writers left in a work folder, and compact its record; several processes may do it at once."""
    for left in sorted((work / TEMPORARY_FOLDER).glob("*")):
        with suppress(FileNotFoundError):  # another process tidies, too
            if is_of_the_dead(left.name) or time.time() - left.lstat().st_mtime > _ABANDONED_S:
                remove_in_work(left)
    compact_record(work)


def check_names(folder: Path, patterns: Iterable[str]) -> None:
    """Raise ForeignFileError where a name that a command needs is taken by what the program has not written.

    Args:
        folder: the command's.
        patterns: names of files below it, with wildcards. One that ends in "/" is that of a folder, which must be a
            real one: what is deleted behind a link or a mount lies elsewhere.
    """
    for pattern in patterns:
        if pattern.endswith("/"):
            place = folder / pattern.rstrip("/")
            if place.is_symlink() or (os.path.lexists(place) and not place.is_dir()):
                raise _foreign(place)
            if os.path.ismount(place):
                raise ForeignFileError(f"{place}: another file system is mounted there; mount it at {folder} or above")
            continue
        for path in sorted(folder.glob(pattern)):
            check_free(path, by_size=True)

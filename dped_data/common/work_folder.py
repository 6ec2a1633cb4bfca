"""The hidden work folder of a folder that a command fills: its mark, which says who made it, and where it is.

All that is in a marked work folder is the program's own. For the files around it, it holds the record
(written_record.py).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from dped_data.errors import InputError

WORK_FOLDER = ".dped"
DATASET_WORK_FOLDER = ".build"
"""A dataset's, which holds the records of its units as well."""
MARK_NAME = "mark.json"
TEMPORARY_FOLDER = "tmp"
"""In a work folder: what is not whole yet."""
_RUN = secrets.token_hex(4)
"""Tells processes apart that have the same number, in one container after another."""
_inside: dict[Path, Path] = {}
"""Folder -> the work folder around it."""
_found: dict[Path, list[Path]] = {}
"""Folder -> the work folders that answer for the files in it, the nearest first, as far as they were looked for."""


class ForeignFileError(InputError):
    """A file or folder that the program has not written, or not as it is, stands where it would have to write."""


def is_marked(work: Path) -> bool:
    """Tell whether a folder is a work folder that this program has made."""
    return _mark(work) is not None


def _mark(work: Path) -> dict[str, object] | None:
    try:
        if work.is_symlink():
            return None
        table = json.loads((work / MARK_NAME).read_bytes()[:1000])
    except (OSError, ValueError, RecursionError):
        return None
    # A copy under another name, such as a person's backup, is no work folder.
    known = isinstance(table, dict) and all(table.get(key) == value for key, value in _mark_of(work).items())
    return table if known else None


def _mark_of(work: Path) -> dict[str, object]:
    return {"made by": "dped", "version": 1, "name": work.name}


def make_work_folder(work: Path, *, whole_folder: bool, known: bool = False) -> None:
    """Make and mark a work folder, for all files below the folder around it or for those directly in it.

    Args:
        work: the work folder to be.
        whole_folder: whether it answers for folders in the folder as well.
        known: it is there without a mark, and the caller has proof that the program made it.
    Raises:
        ForeignFileError: there is something of that name that the program has not made.
    """
    mark = _mark(work)
    if mark is not None and (mark.get("whole folder") or not whole_folder):
        return
    if mark is None and not known and (work.is_symlink() or (work.exists() and _holds_anything(work))):
        raise ForeignFileError(f"{work}: exists and was not made by dped; move it away, or choose another place")
    work.mkdir(exist_ok=True)
    text = json.dumps({**_mark_of(work), "whole folder": whole_folder})
    temporary = work / f"{MARK_NAME}-{process_token()}"
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(work / MARK_NAME)
    _found.clear()  # it may be nearer to some files than what was found before


def _holds_anything(work: Path) -> bool:
    """Whether a folder without a mark holds more than a killed or older run of ours may have left there."""
    if not work.is_dir():
        return True
    others = [file for file in work.iterdir() if not file.name.startswith(f"{MARK_NAME}-")]
    return not all(file.name == "lock" and file.is_file() and not file.stat().st_size for file in others)


def real_path(path: Path) -> Path:
    """The path without links above the file: what lies behind a link belongs to the folder that it leads to."""
    return Path(os.path.realpath(path.parent), path.name)


def find_work_folders(path: Path) -> list[Path]:
    """The work folders that answer for a file (as `real_path` has it), the nearest first.

    There are several where a command was given a folder inside another one's.
    """
    found = _found.get(path.parent)
    if not found or not all(map(is_marked, found)):
        found = [*_search_work_folders(path)]
        _found[path.parent] = found
    return found


def _search_work_folders(path: Path) -> Iterator[Path]:
    for folder in path.parents:
        if is_marked(folder):
            yield folder
        for name in (WORK_FOLDER, DATASET_WORK_FOLDER):
            mark = _mark(folder / name)
            if mark is not None and (mark.get("whole folder") or folder == path.parent):
                yield folder / name


def work_folder_of(path: Path) -> Path:
    """Return the work folder that answers for a file: of the nearest folder around it that a command fills, else one
    beside the file, which is made.

    Raises:
        ForeignFileError: the file would lie in another place than it seems, behind a link inside such a folder.
    """
    seeming, path = Path(os.path.abspath(path)), real_path(path)  # noqa: PTH100 - links stay in the first
    found = find_work_folders(path)
    if seeming != path:
        around = next(_search_work_folders(seeming), None)
        if around is not None and Path(os.path.realpath(around)) not in found:
            raise ForeignFileError(f"{seeming}: lies behind a link; move the link away, or choose another place")
    if found:
        return found[0]
    work = path.parent / WORK_FOLDER
    make_work_folder(work, whole_folder=False)
    return work


def is_inside_work_folder(path: Path) -> bool:
    """Tell whether a file (as `real_path` has it) lies in a work folder, at any depth: all that is in one is ours."""
    around = _inside.get(path.parent)
    if around is None or not is_marked(around):
        around = next((folder for folder in path.parents if is_marked(folder)), None)
        if around is None:
            return False
        _inside[path.parent] = around
    return True


def _host() -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in socket.gethostname())[:40]


def process_token() -> str:
    return f"{_host()}-{os.getpid()}-{_RUN}"


def is_of_the_dead(name: str) -> bool:
    """Whether a name that begins with a `process_token` is that of a process of this machine that has ended."""
    found = re.match(rf"{re.escape(_host())}-(\d+)-([0-9a-f]{{8}})", name)
    if found is None:
        return False
    if int(found[1]) == os.getpid():
        return found[2] != _RUN
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False

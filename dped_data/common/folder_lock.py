"""One command at a time in a folder: the lock, who holds it, and what must be free before a command begins."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dped_data.common.ownership import check_names, remove_if_empty, remove_work_folder, tidy
from dped_data.common.work_folder import (
    MARK_NAME,
    TEMPORARY_FOLDER,
    WORK_FOLDER,
    ForeignFileError,
    is_marked,
    make_work_folder,
)
from dped_data.common.written_record import RECORD_FOLDER, Written, note_adopted, recorded_files
from dped_data.errors import InputError

LOCK_NAME = "lock"
_HOLDER_NAME = "holder.json"
Adopt = Callable[[Path], Mapping[Path, Written] | None]


@contextmanager
def held(
    folder: Path,
    command: str,
    names: Sequence[str] = (),
    *,
    tables: Sequence[str] = (),
    work_name: str = WORK_FOLDER,
    adopt: Adopt | None = None,
    lock_name: str = LOCK_NAME,
) -> Iterator[Path]:
    """Hold a folder that a command fills: no other command writes there, and nothing of anybody else's is in the way.

    The lock is the system's, which releases it when the process dies. Yields the folder's work folder.

    Args:
        folder: made if it is missing; taken away again when nothing was written there.
        command: what the person called, for the words to whom comes second.
        names: patterns below the folder (as in `ownership.check_names`) that the command will write.
        tables: names that somebody may have changed in a folder of ours, where the command sees to it; elsewhere they
            must be free.
        work_name: the name of its work folder.
        adopt: for a folder without a mark: the files in it that a version before this one has recorded in its own way;
            None where it has not filled the folder.
        lock_name: of the lock, where several commands may fill one folder with different things.
    Raises:
        InputError: another command holds the folder, or it cannot be written. ForeignFileError: files of others are
            in the way.
    """
    work, is_new = folder / work_name, not folder.exists()
    is_unmarked, is_new_work = not is_marked(work), not os.path.lexists(work)
    adopted = adopt(folder) if adopt and not is_new and is_unmarked else None
    if is_unmarked:
        check_names(folder, [name for name in (*names, *tables) if adopted is None or name.endswith("/")])
    with _locked(folder, work, command, lock_name, adopted):
        check_names(folder, names)
        try:
            yield work
        finally:
            if is_new_work and not recorded_files(folder) and _holds_nothing_else(work, lock_name):
                remove_work_folder(work)
                if is_new:
                    remove_if_empty(folder)


@contextmanager
def _locked(
    folder: Path, work: Path, command: str, lock_name: str, adopted: Mapping[Path, Written] | None
) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if adopted is not None:  # before the mark, which says that the record is whole
            note_adopted(work, folder, adopted)
        make_work_folder(work, whole_folder=True, known=adopted is not None)
        lock = FileLock(work / lock_name, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: another command is writing here ({_holder(work, lock_name)}); wait for it to end, or choose "
            "another place"
        ) from None
    except ForeignFileError:
        raise
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); choose another place or change its permissions"
        ) from None
    try:
        tidy(work)
        _tell_holder(work, lock_name, command)
        yield
    finally:
        lock.release()


def _holds_nothing_else(work: Path, lock_name: str) -> bool:
    """Whether a work folder holds no more than what every held one does: nobody else uses it, and nothing is noted."""
    own = {MARK_NAME, lock_name, f"{lock_name}-{_HOLDER_NAME}", TEMPORARY_FOLDER, RECORD_FOLDER}
    return {path.name for path in work.iterdir()} <= own and not any((work / TEMPORARY_FOLDER).glob("*"))


def _tell_holder(work: Path, lock_name: str, command: str) -> None:
    facts = {
        "command": command,
        "process": os.getpid(),
        "machine": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    (work / f"{lock_name}-{_HOLDER_NAME}").write_text(json.dumps(facts) + "\n", encoding="utf-8")


def _holder(work: Path, lock_name: str) -> str:
    """Who holds a lock since when, in words."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        facts = json.loads((work / f"{lock_name}-{_HOLDER_NAME}").read_bytes()[:2000])
        return "{command}, process {process} on {machine}, since {since}".format_map(
            {key: str(value) for key, value in facts.items()}
        )
    return "unknown which"

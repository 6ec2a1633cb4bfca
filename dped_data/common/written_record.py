"""The record of what this program has written in a folder: a line for every file, in the folder's work folder.

A line has the file's length and sha256 and is written before the file gets its name. What has such a line and is still
as it says was written by this program. What has none, was changed since, or is a link is somebody else's.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from dped_data.common.work_folder import (
    find_work_folders,
    is_inside_work_folder,
    is_of_the_dead,
    process_token,
    real_path,
    work_folder_of,
)

RECORD_FOLDER = "record"
"""In a work folder: a file of lines of every process, and one of those that have ended."""
_ENDED_NAME = "ended.jsonl"
_READ_AT_ONCE = 2**20
_lock = threading.RLock()


@dataclass(frozen=True)
class Written:
    """A file as it was written: its length and sha256. One that `grows` is held against the record by its beginning."""

    bytes: int
    sha256: str
    grows: bool = False


@dataclass
class _Record:
    """The record of one work folder, as far as this process has read it."""

    files: dict[str, list[Written]] = field(default_factory=dict)
    read: dict[str, tuple[int, int]] = field(default_factory=dict)  # record file -> inode, bytes read

    def take(self, line: bytes) -> None:
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            row = json.loads(line)
            entry = Written(int(row["bytes"]), str(row["sha256"]), bool(row.get("grows", False)))
            known = self.files.setdefault(str(row["file"]), [])
            if entry not in known:
                known.append(entry)


_records: dict[Path, _Record] = {}


def note(path: Path, written: Written, *, durable: bool = True) -> None:
    """Add a file to the record of the folder it lies in; call before it gets its name.

    Raises:
        OSError: the line could not be written whole.
    """
    path = real_path(path)
    work = work_folder_of(path)
    name = recorded_name(work, path)
    if name is not None:
        _append(work, f"{process_token()}.jsonl", [_line(name, written)], durable)


def note_adopted(work: Path, folder: Path, files: Mapping[Path, Written]) -> None:
    """Begin the record of a folder without one; call before its work folder gets its mark."""
    work.mkdir(exist_ok=True)
    lines = [_line(path.relative_to(folder).as_posix(), written) for path, written in files.items()]
    _append(work, f"{process_token()}.jsonl", lines, durable=True)


def _line(name: str, written: Written) -> bytes:
    row = {"file": name, "bytes": written.bytes, "sha256": written.sha256}
    return json.dumps(row | ({"grows": True} if written.grows else {})).encode()


def _append(work: Path, part: str, lines: list[bytes], durable: bool) -> None:
    """Add lines to one file of a record, each on a line of its own whatever an earlier write has left."""
    folder = work / RECORD_FOLDER
    folder.mkdir(exist_ok=True)
    data = b"".join(b"\n" + line + b"\n" for line in lines)
    descriptor = os.open(folder / part, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / part))
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def recorded_name(work: Path, path: Path) -> str | None:
    """The name of a file (as `real_path` has it) in a record; None for one inside a work folder: it needs no line."""
    return None if is_inside_work_folder(path) else path.relative_to(work.parent).as_posix()


def _record_of(work: Path) -> _Record:
    """The record of a work folder, with what this and other processes have added since it was read last."""
    with _lock:
        while True:
            record = _records.setdefault(work, _Record())
            try:
                states = {entry.name: entry.stat() for entry in os.scandir(work / RECORD_FOLDER)}
                states = {name: state for name, state in states.items() if name.endswith(".jsonl")}
                if _has_lost(record, states):
                    record = _records[work] = _Record()
                for name, state in states.items():
                    _read_on(record, work / RECORD_FOLDER / name, state)
                return record
            except FileNotFoundError:  # another process has just gathered the record: look again
                del _records[work]
                if not (work / RECORD_FOLDER).is_dir():
                    return _Record()


def _has_lost(record: _Record, states: Mapping[str, os.stat_result]) -> bool:
    """Whether a file that was read is gone, another one, or shorter."""
    return any(
        name not in states or states[name].st_ino != inode or states[name].st_size < size
        for name, (inode, size) in record.read.items()
    )


def _read_on(record: _Record, path: Path, state: os.stat_result) -> None:
    known = record.read.get(path.name, (state.st_ino, 0))[1]
    if state.st_size <= known:
        return
    with path.open("rb") as file:
        file.seek(known)
        data = file.read(state.st_size - known)
    whole = data.rfind(b"\n") + 1
    for line in data[:whole].splitlines():
        record.take(line)
    record.read[path.name] = (state.st_ino, known + whole)


def written_as(path: Path) -> tuple[Written, ...]:
    """What the records say of a file's name: every state in which it was written here."""
    path = real_path(path)
    if is_inside_work_folder(path):
        return ()
    works = find_work_folders(path)
    return tuple(
        entry for work in works for entry in _record_of(work).files.get(path.relative_to(work.parent).as_posix(), ())
    )


def is_ours(path: Path, *, by_size: bool = False) -> bool:
    """Tell whether a file is as the program wrote it.

    Args:
        path: the file; a link is nobody's but its maker's.
        by_size: believe the length, for a first look that must not read gigabytes; never before something is lost.
    """
    path = real_path(path)
    if path.is_symlink() or not path.exists():
        return False
    if is_inside_work_folder(path):
        return True
    return path.is_file() and any(_is_as(path, entry, by_size) for entry in reversed(written_as(path)))


def _is_as(path: Path, entry: Written, by_size: bool) -> bool:
    size = path.stat().st_size
    if size != entry.bytes and not (entry.grows and size > entry.bytes):
        return False
    return (by_size and not entry.grows) or _sha256(path, entry.bytes) == entry.sha256


def _sha256(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (data := file.read(min(length, _READ_AT_ONCE))):
            digest.update(data)
            length -= len(data)
    return digest.hexdigest()


def compact_record(work: Path) -> None:
    """Gather in one file what processes that have ended have recorded, as far as it is still there."""
    folder = work / RECORD_FOLDER
    if not any(is_of_the_dead(part.name) for part in folder.glob("*.jsonl")):
        return
    try:
        with FileLock(folder / "lock", timeout=0):
            parts = [part for part in sorted(folder.glob("*.jsonl")) if is_of_the_dead(part.name)]
            lines = [
                _line(name, entry)
                for name, entries in sorted(_record_of(work).files.items())
                if (work.parent / name).is_file()
                for entry in entries
                if entry.grows or entry.bytes == (work.parent / name).stat().st_size
            ]
            temporary = folder / f"{process_token()}.new"
            temporary.write_bytes(b"".join(line + b"\n" for line in lines))
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(folder / _ENDED_NAME)
            for part in parts:
                part.unlink(missing_ok=True)
    except Timeout:  # another process is at it
        return


def recorded_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that the nearest record names and that are there, in order of their names."""
    folder = Path(os.path.realpath(folder))
    work = next(iter(find_work_folders(folder / "any")), None)
    names = sorted(_record_of(work).files) if work else []
    paths = (work.parent / name for name in names) if work else ()
    return [path for path in paths if path.is_relative_to(folder) and os.path.lexists(path)]

"""The record of what this program has written in a folder: a line for every file, in the folder's work folder (leaf).

A line has the file's length and sha256 and is written before the file gets its name. What has such a line and is still
as it says was written by this program. What has none, was changed since, or is a link is somebody else's.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dped_data.work_folder import (
    find_work_folder,
    is_inside_work_folder,
    is_of_the_dead,
    process_token,
    real_path,
    work_folder_of,
)

_RECORD = "written"
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


def note(path: Path, written: Written) -> None:
    """Add a file to the record of the folder it lies in; call before it gets its name."""
    path = real_path(path)
    work = work_folder_of(path)
    name = recorded_name(work, path)
    if name is None:
        return
    row = {"file": name, **asdict(written)}
    if not written.grows:
        del row["grows"]
    line = (json.dumps(row) + "\n").encode()
    descriptor = os.open(work / f"{_RECORD}-{process_token()}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def recorded_name(work: Path, path: Path) -> str | None:
    """The name of a file (as `real_path` has it) in a record; None for one inside a work folder: it needs no line."""
    return None if is_inside_work_folder(path) else path.relative_to(work.parent).as_posix()


def _record_of(work: Path) -> _Record:
    """The record of a work folder, with what this and other processes have added since it was read last."""
    with _lock:
        record = _records.setdefault(work, _Record())
        states = {}
        for file in sorted(work.glob(f"{_RECORD}*.jsonl")):
            with suppress(OSError):
                state = file.stat()
                states[file.name] = (state.st_ino, state.st_size)
        gone = any(
            name not in states or states[name][0] != inode or states[name][1] < size
            for name, (inode, size) in record.read.items()
        )
        if gone:
            record = _records[work] = _Record()
        for name, (inode, size) in states.items():
            known = record.read.get(name, (inode, 0))[1]
            if size > known:
                with (work / name).open("rb") as lines:
                    lines.seek(known)
                    data = lines.read(size - known)
                whole = data.rfind(b"\n") + 1
                for line in data[:whole].splitlines():
                    record.take(line)
                record.read[name] = (inode, known + whole)
        return record


def written_as(path: Path) -> tuple[Written, ...]:
    """What the record says of a file's name: every state in which it was written here, the newest last."""
    path = real_path(path)
    work = find_work_folder(path)
    name = recorded_name(work, path) if work else None
    return tuple(_record_of(work).files.get(name, ())) if work and name else ()


def is_ours(path: Path, *, by_size: bool = False) -> bool:
    """Tell whether a file is as the program wrote it.

    Args:
        path: the file; a link is nobody's but its maker's.
        by_size: believe the length, for a first look that must not read gigabytes; never before something is lost.
    """
    path = real_path(path)
    work = find_work_folder(path)
    if work is None or path.is_symlink() or not path.exists():
        return False
    if recorded_name(work, path) is None:
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
    """Gather in one file what processes that have ended have recorded, as far as it is still there.

    Call under the work folder's lock.
    """
    parts = [part for part in sorted(work.glob(f"{_RECORD}-*.jsonl")) if is_of_the_dead(part.name)]
    if not parts:
        return
    rows = [
        {"file": name, **{key: value for key, value in asdict(entry).items() if value is not False}}
        for name, entries in sorted(_record_of(work).files.items())
        if (work.parent / name).is_file()
        for entry in entries
        if entry.grows or entry.bytes == (work.parent / name).stat().st_size
    ]
    temporary = work / f"{_RECORD}.new"
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(work / f"{_RECORD}.jsonl")
    for part in parts:
        part.unlink(missing_ok=True)


def recorded_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that the record names and that are there, in order of their names."""
    folder = Path(os.path.realpath(folder))
    work = find_work_folder(folder / "any")
    names = sorted(_record_of(work).files) if work else []
    paths = (work.parent / name for name in names) if work else ()
    return [path for path in paths if path.is_relative_to(folder) and os.path.lexists(path)]

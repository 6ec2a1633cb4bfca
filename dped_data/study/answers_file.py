"""The file of answers as it lies beside a study: whose it is, whether all of it is there, read without writing."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

from dped_data.errors import InputError
from dped_data.study.study_file import ANSWERS_NAME

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS study (digest TEXT NOT NULL, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subjects (id TEXT PRIMARY KEY, started TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL REFERENCES subjects (id),
    place INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    scene TEXT NOT NULL,
    left_class TEXT NOT NULL,
    right_class TEXT NOT NULL,
    chosen_class TEXT NOT NULL,
    answered TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_of_subject ON answers (subject, place);
COMMIT;
"""
"""Whole or not at all, whenever the process dies. A file with other words than these in its schema is refused."""
NO_STUDY = ""
"""Digest of no study yet: one without answers was replaced."""
MOVE_AWAY = f"move {ANSWERS_NAME}* (all files of that name) away"
"""Never one of them alone: the newest answers stand in the one that ends in -wal until the server ends."""
_WAL, _JOURNAL = "-wal", "-journal"
_TIMEOUT_S = 20
_MOST_BYTES_OF_A_ROW = 2**20
"""Ours: a row is a few hundred bytes; one of a made-up file may claim a gigabyte."""
_READ_ONLY_DISK = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_Objects = dict[str, tuple[str, str]]


def check_files(path: Path) -> None:
    """Raise InputError where a link or no regular file has the name of the answers, or a part of them is missing."""
    sizes = {}
    for suffix in ("", _WAL, _JOURNAL, "-shm"):
        file = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            state = file.lstat()
            if not stat.S_ISREG(state.st_mode):
                raise InputError(f"{file}: is a link or no regular file; {MOVE_AWAY}, or put the files themselves here")
            sizes[suffix] = state.st_size
    # SQLite would throw away what has lost its database. An empty one with a journal is one whose making was ended.
    lost = (_WAL,) if "" in sizes else (_WAL, _JOURNAL)
    for suffix in lost:
        if sizes.get(suffix) and not sizes.get(""):
            raise InputError(
                f"{path}{suffix}: holds answers and its {path.name} is missing or empty; bring that back beside it, or "
                f"{MOVE_AWAY}"
            )


def is_empty(path: Path) -> bool:
    """Whether there is no file of answers, or one in which nothing has been made yet."""
    return not path.exists() or not path.stat().st_size


def file_identity(path: Path) -> tuple[int, int] | None:
    """What tells the file of a name from another one that takes its place; None where there is none."""
    with suppress(OSError):
        state = os.lstat(path)
        return state.st_dev, state.st_ino
    return None


def _limited(database: sqlite3.Connection) -> sqlite3.Connection:
    """Return a connection that takes no more from a made-up file than rows of ours are long, and any bytes as text."""
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES_OF_A_ROW)
    database.text_factory = lambda data: data.decode("utf-8", "replace")
    return database


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file of answers to read it, also on a disk that cannot be written; sqlite3.Error where it cannot be."""
    try:
        return _connect(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _READ_ONLY_DISK:
            raise
        for suffix in (_WAL, _JOURNAL):  # what is not in the file yet would be passed over
            if not is_empty(path.with_name(path.name + suffix)):
                raise InputError(
                    f"{path}{suffix}: holds answers that cannot be read where nothing can be written; copy the study's "
                    "folder to another disk"
                ) from None
        return _connect(path, "mode=ro&immutable=1")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{mode}"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_TIMEOUT_S, check_same_thread=False)
    try:
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except BaseException:
        database.close()
        raise
    return _limited(database)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open or make the file of answers; what is committed is on disk. Check it beforehand."""
    database = _limited(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_TIMEOUT_S))
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # an answer is on disk before it is acknowledged
        database.executescript(SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def check_schema(path: Path) -> None:
    """Raise InputError where a file of that name holds anything but our tables; nothing is written to it.

    The words of the schema are compared, since a trigger, a view, or a rule of a table or an index may lose answers.
    """
    if is_empty(path):
        return
    with closing(open_reader(path)) as database:
        found = _objects(database)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as ours:
        ours.executescript(SCHEMA)
        needed = _objects(ours)
        ours.execute("ANALYZE")  # tools that look at a database leave these figures in it
        allowed = _objects(ours)
    strange = sorted(str(name) for name in found if found[name] != allowed.get(name))
    missing = sorted(name for name, (kind, _) in needed.items() if kind == "table" and name not in found)
    if found and (strange or missing):
        what = f"{strange[0][:80]!r} is not ours" if strange else f"no table '{missing[0]}'"
        raise InputError(f"{path}: is not a file of answers ({what}); {MOVE_AWAY}, or choose another place")


def _objects(database: sqlite3.Connection) -> _Objects:
    rows = database.execute("SELECT name, type, sql FROM sqlite_master")
    return {name: (kind, " ".join(f"{sql}".split())) for name, kind, sql in rows}


def check_unanswered(folder: Path) -> None:
    """Raise InputError if a folder holds answers, or a file of that name that is no file of answers."""
    path = folder / ANSWERS_NAME
    check_files(path)
    try:
        check_schema(path)
        answers = 0 if is_empty(path) else _count(path)
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read ({error}); choose another --out") from None
    if answers:
        raise InputError(f"{folder}: holds {answers} answers, which a new study would lose; choose another --out")


def _count(path: Path) -> int:
    with closing(open_reader(path)) as database:
        if not _objects(database):
            return 0
        return int(database.execute("SELECT COUNT(*) FROM answers").fetchone()[0])


def forget_study(folder: Path) -> None:
    """Let a file without answers belong to the study that comes next. Call while the folder is held."""
    path = folder / ANSWERS_NAME
    if not is_empty(path):
        with closing(open_writer(path)) as database:
            database.execute("UPDATE study SET digest = ?", (NO_STUDY,))
            database.execute("DELETE FROM subjects")

"""Files that appear whole or not at all (leaf)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`, else remove it.

    The temporary name carries the process id, so that two processes never write the same file. An OSError names `path`.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def final_name(path: Path) -> str:
    """The name that a file of `atomic_path` gets when it is whole; that of any other file."""
    name = path.name
    return name.removeprefix(TEMPORARY_PREFIX).partition("-")[2] if name.startswith(TEMPORARY_PREFIX) else name


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file at once, for folders that become whole by other means; an OSError names it."""
    try:
        path.write_bytes(data)
    except OSError as error:
        error.filename = str(path)
        raise


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with the newlines it has, whole or not at all."""
    atomic_write_bytes(path, text.encode())


def remove_temporaries(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what killed writers of the files `names` (None: of any) left in `folder`. Call only while none works."""
    for leftover in sorted(folder.glob(f"{TEMPORARY_PREFIX}*")):
        if names is None or final_name(leftover) in names:
            leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; a no-op where the system cannot sync folders (Windows)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as lower-case hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def system_error(error: OSError | RuntimeError, path: Path) -> OSError | RuntimeError:
    """Return the system's reason why HDF5 could not write as an OSError that names `path`; else the error itself."""
    told = re.search(r"errno = (\d+)", str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    return OSError(number, os.strerror(number), str(path)) if number else error

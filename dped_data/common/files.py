"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from dped_data.common.ownership import put, remove_in_work, temporary_path
from dped_data.common.work_folder import work_folder_of
from dped_data.common.written_record import Written
from dped_data.errors import InputError


@contextmanager
def atomic_path(path: Path, *, durable: bool = True, proven: bool = False, grows: bool = False) -> Iterator[Path]:
    """Yield a temporary path; on success give the file its name `path`, which it has whole or not at all.

    What lies at `path` is replaced only if the program wrote it (ownership.py), and what is written now is recorded.
    The temporary file lies in the work folder that answers for `path`, under a name of its own for every process. An
    OSError names `path`.

    Args:
        path: of the file; its folder exists.
        durable: whether it must survive a power cut from now on; not needed for one of thousands of pictures.
        proven: as in `ownership.put`.
        grows: whether lines will be added to it in place, so that the record can speak of its beginning only.
    Raises:
        ForeignFileError: something at `path` is not ours to replace.
    """
    with pending_file(path, durable=durable, proven=proven, grows=grows) as pending:
        yield pending.temporary


@dataclass
class PendingFile:
    """A file on its way: where it is being written, and, once it has its name, what was recorded of it."""

    temporary: Path
    written: Written = field(default_factory=lambda: Written(0, ""))


@contextmanager
def pending_file(
    path: Path, *, durable: bool = True, proven: bool = False, grows: bool = False
) -> Iterator[PendingFile]:
    """`atomic_path` for those who want to know what was recorded of the file; no need to read it again for that."""
    temporary = None
    try:
        temporary = temporary_path(work_folder_of(path), path.suffix)
        pending = PendingFile(temporary)
        yield pending
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        pending.written = replace(written_state(temporary), grows=grows)
        put(temporary, path, pending.written, proven=proven, durable=durable)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise InputError(f"{path}: lies on another file system than the folder around it; mount it above") from None
        if not error.filename or Path(error.filename).is_relative_to(path.parent):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if temporary is not None and temporary.exists():
            with suppress(OSError):
                remove_in_work(temporary)


def written_state(path: Path) -> Written:
    """Return length and sha256 of a file."""
    return Written(path.stat().st_size, sha256_of_file(path))


def write_bytes(path: Path, data: bytes) -> None:
    """Write one of many files, whole or not at all, without waiting for the disk."""
    with atomic_path(path, durable=False) as temporary:
        temporary.write_bytes(data)


def atomic_write_bytes(path: Path, data: bytes, *, proven: bool = False, grows: bool = False) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    with atomic_path(path, proven=proven, grows=grows) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path, text: str, *, proven: bool = False, grows: bool = False) -> None:
    """Write `text` as UTF-8 with the newlines it has, whole or not at all."""
    atomic_write_bytes(path, text.encode(), proven=proven, grows=grows)


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


@contextmanager
def full_disk_told(output: Path) -> Iterator[None]:
    """Stop the run with one line where `output` cannot be written for want of space: that is no photo's failure."""
    try:
        yield
    except (InputError, OSError) as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise InputError(
            f"{output}: no space left on the disk; free some and run the same again: it goes on from here"
        ) from error

"""Reads photo files and remembers the state in which they were read (leaf)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dped_data.errors import PhotoError
from dped_data.photos import read_bytes
from dped_data.remote import RemoteFolder

NEVER_READ_NS = -1


class PhotoReader:
    """The files of one unit of work: their bytes, and how a later run can tell whether they are the same.

    Attributes:
        sha256: file -> sha256 of its bytes; "" for one that could not be read.
        mtime_ns: file -> time of its last change when it was read; NEVER_READ_NS for one that could not be read, so
            that a later run tries it as soon as it can be.
    """

    def __init__(self, root: Path | RemoteFolder) -> None:
        """Read files relative to `root`."""
        self.root = root
        self.sha256: dict[str, str] = {}
        self.mtime_ns: dict[str, int] = {}

    def read(self, file: str) -> bytes:
        """Return the bytes of a file; PhotoError if it cannot be read."""
        self.sha256[file], self.mtime_ns[file] = "", NEVER_READ_NS
        data, changed_ns = _remote(self.root, file) if isinstance(self.root, RemoteFolder) else _local(self.root / file)
        self.sha256[file], self.mtime_ns[file] = hashlib.sha256(data).hexdigest(), changed_ns
        return data


def _local(path: Path) -> tuple[bytes, int]:
    """Return a file's bytes and the time of its last change, taken first: a change during reading is noticed later."""
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError:
        changed_ns = NEVER_READ_NS
    return read_bytes(path), changed_ns


def _remote(folder: RemoteFolder, file: str) -> tuple[bytes, int]:
    try:
        changed_ns = folder.changed_ns(file)
        return folder.read(file), changed_ns
    except FileNotFoundError:
        raise PhotoError(file, "cannot be read (No such file or directory)") from None

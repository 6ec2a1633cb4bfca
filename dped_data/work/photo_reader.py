"""Reads photo files and remembers the state in which they were read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dped_data.common.remote_folder import RemoteFolder
from dped_data.errors import PhotoError
from dped_data.photos.files import MTIME, FileState, read_photo_file

NEVER_READ_NS = -1


class PhotoReader:
    """The files of one unit of work: their bytes, and how a later run can tell whether they are the same.

    Attributes:
        sha256: file -> sha256 of its bytes; "" for one that could not be read.
        mtime_ns: file -> time of its last change when it was read; NEVER_READ_NS for one that could not be read, so
            that a later run tries it as soon as it can be.
        state: file -> its state when it was read, for files of this machine that could be read.
    """

    def __init__(self, root: Path | RemoteFolder) -> None:
        """Read files relative to `root`."""
        self.root = root
        self.sha256: dict[str, str] = {}
        self.mtime_ns: dict[str, int] = {}
        self.state: dict[str, FileState] = {}

    def read(self, file: str) -> bytes:
        """Return the bytes of a file; PhotoError if it cannot be read."""
        self.sha256[file], self.mtime_ns[file] = "", NEVER_READ_NS
        if isinstance(self.root, RemoteFolder):
            data, changed_ns = _remote(self.root, file)
        else:
            data, self.state[file] = read_photo_file(self.root / file)
            changed_ns = self.state[file][MTIME]
        self.sha256[file], self.mtime_ns[file] = hashlib.sha256(data).hexdigest(), changed_ns
        return data


def _remote(folder: RemoteFolder, file: str) -> tuple[bytes, int]:
    try:
        changed_ns = folder.changed_ns(file)
        return folder.read(file), changed_ns
    except FileNotFoundError:
        raise PhotoError(file, "cannot be read (No such file or directory)") from None

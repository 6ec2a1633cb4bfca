"""Opening photo files that a person or anybody else put into a folder: regular files only, none too large."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path
from typing import TypeAlias

from dped_data.errors import PhotoError

LARGEST_FILE = 2**31
"""Ours, bytes: a photo is read whole; 250 megapixels of three times 16 bits are 1.5 GB."""
NOT_REGULAR = "not a regular file"

FileState: TypeAlias = tuple[int, ...]
MTIME = 1
"""Size, time of the last change of the content, inode, time of the last change of the inode (both nanoseconds): a file
that was replaced differs in one of them, even where its size and time were copied. MTIME is the second's place."""


def open_photo_file(path: Path) -> io.BufferedReader:
    """Open a file to read it; PhotoError when it cannot be, is no regular file or has more than LARGEST_FILE bytes.

    Pipes, sockets, devices and links to them are never waited for, and not opened if they are there beforehand.
    """
    try:
        _check_regular(path, path.stat())
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - Path.open takes no opener
    except (OSError, ValueError) as error:
        raise PhotoError(path.name, f"cannot be read ({_reason(error)})") from None
    try:
        _check_regular(path, os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def read_photo_file(path: Path) -> tuple[bytes, FileState]:
    """Return a photo's bytes and its state, taken first, so that a change during reading is noticed later."""
    with open_photo_file(path) as file:
        state = os.fstat(file.fileno())
        try:
            data = file.read(state.st_size) or b""  # no more than that: files of the system have no end
        except OSError as error:
            raise PhotoError(path.name, f"cannot be read ({_reason(error)})") from None
    return data, _state(state)


def read_bytes(path: Path) -> bytes:
    """Return a photo's bytes; PhotoError as `open_photo_file`."""
    return read_photo_file(path)[0]


def sha256_of_photo(path: Path) -> tuple[str, FileState]:
    """Return the sha256 of a photo's bytes, lower-case hexadecimal, and its state, taken first; PhotoError as above."""
    with open_photo_file(path) as file:
        state = os.fstat(file.fileno())
        try:
            return hashlib.file_digest(file, "sha256").hexdigest(), _state(state)
        except OSError as error:
            raise PhotoError(path.name, f"cannot be read ({_reason(error)})") from None


def file_state(path: Path) -> FileState:
    """Return the state of a file; OSError if there is none."""
    return _state(path.stat())


def _state(state: os.stat_result) -> FileState:
    return state.st_size, state.st_mtime_ns, state.st_ino % 2**63, state.st_ctime_ns


def _check_regular(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise PhotoError(path.name, NOT_REGULAR)
    if state.st_size > LARGEST_FILE:
        raise PhotoError(path.name, f"more than {LARGEST_FILE // 2**30} GiB")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has none, and no pipes in folders


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "no possible file name"

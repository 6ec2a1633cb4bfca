"""Open a shard of whatever origin: checked first, with one line for what the HDF5 library makes of damage."""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from dped_data.common.names import name_fault
from dped_data.dataset.made_by import making
from dped_data.dataset.shard_check import check_shard
from dped_data.errors import InputError

_REASON_SHOWN = 120

_HEAP = b"GCOL\x01\0\0\0"
_HEAD_BYTES = 2**16
"""Signature of a heap, and how much of a file is searched for it. Ours: shards of this program have it at 2,048."""


@contextmanager
def open_shard(path: Path, expected: tuple[int, int] | None = None) -> Iterator[h5py.File]:
    """Open a shard for reading and check that it is one; errors as in `opened_shard`, also while it is read."""
    with damage_told(path), opened_shard(path, expected) as file:
        yield file


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn what the HDF5 library raises for damaged content into an InputError; whatever others raise passes."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        if not _raised_by_hdf5(error):
            raise
        reason = " ".join(str(error).split())[:_REASON_SHOWN]
        raise InputError(f"{path}: damaged shard ({reason}); delete it, and {making(path)} makes it again") from None


def _raised_by_hdf5(error: BaseException) -> bool:
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1]).startswith("h5py")


def opened_shard(path: Path, expected: tuple[int, int] | None = None) -> h5py.File:
    """Return a shard, open for reading and checked; the caller closes it.

    Args:
        path: of the shard.
        expected: number and side of its patches as the manifest says; None where that is not known.
    Raises:
        InputError: missing, damaged, of another format version, not what is expected, or not as `check_shard` asks.
    """
    try:
        _check_heaps(path)
        file = h5py.File(path, "r")
    except FileNotFoundError:
        place = " ".join(str(path).split())  # a manifest of others may name anything
        raise InputError(f"{place}: shard is missing; {making(path)} makes what is missing") from None
    except (OSError, ValueError, RuntimeError):
        raise InputError(f"{path}: damaged shard; delete it, and {making(path)} makes it again") from None
    try:
        with damage_told(path):
            check_shard(file, path)
            if expected not in (None, file["phone"].shape[:2]):
                raise InputError(
                    f"{path}: holds patches {file['phone'].shape[:2]}, the manifest says {expected}; "
                    f"{making(path)} makes it again"
                )
    except BaseException:
        file.close()
        raise
    return file


def _check_heaps(path: Path) -> None:
    """Raise InputError where the HDF5 library would never come back: it steps over free space by its size, here 0.

    The texts of a shard's attributes lie in heaps near its beginning (HDF5 file format, section III.E). OSError where
    the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        at = head.find(_HEAP)
        while at >= 0:
            file.seek(at)
            heap = file.read(min(int.from_bytes(head[at + 8 : at + 16], "little"), _HEAD_BYTES))
            place = 16
            while place + 16 <= len(heap):
                index, _, _, size = struct.unpack_from("<HHIQ", heap, place)
                if index == 0 and size == 0:
                    raise InputError(f"{path}: damaged shard (a heap); delete it, and {making(path)} makes it again")
                place += size if index == 0 else 16 + (size + 7) // 8 * 8
            at = head.find(_HEAP, at + 1)


def unit_of_shard(path: Path) -> str | None:
    """Return the key of the unit that a shard holds; None where it cannot be read."""
    try:
        _check_heaps(path)
        with damage_told(path), h5py.File(path, "r") as file:
            unit = file.attrs.get("unit")
    except (OSError, InputError):
        return None
    return unit if name_fault(unit) is None else None


def captures_of_shard(path: Path) -> list[str]:
    """Return the ids of a shard's captures; none where it cannot be read."""
    try:
        with open_shard(path) as file:
            return [str(name) for name in file["captures"].asstr()[:]]
    except InputError:
        return []

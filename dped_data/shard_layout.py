"""What makes an HDF5 file a shard: its datasets, and the check before anything of it is believed (leaf)."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from dped_data.errors import InputError
from dped_data.settings import FORMAT_VERSION

PATCH_COLUMNS: Mapping[str, type] = {
    "phone": np.uint8,
    "dslr": np.uint8,
    "phone_xy": np.int32,
    "dslr_xy": np.float64,
    "shift_px": np.float32,
    "angle_deg": np.float32,
    "ncc": np.float32,
    "error_px": np.float32,
}
"""Datasets with one row per patch, besides `capture`; each is a field of records.Patches."""

_OPTIONAL = (
    *("phone_file", "dslr_file", "phone_sha256", "dslr_sha256"),
    *("phone_size_wh", "dslr_size_wh", "homography", "flat"),
)
"""Datasets that a shard of others may lack."""
_REASON_SHOWN = 120


@contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard for reading and check that it is one; errors as in `opened_shard`, also while it is read."""
    with damage_told(path), opened_shard(path) as file:
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
        raise InputError(f"{path}: damaged shard ({reason}); delete it and run dped build-dataset again") from None


def _raised_by_hdf5(error: BaseException) -> bool:
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1]).startswith("h5py")


def opened_shard(path: Path) -> h5py.File:
    """Return a shard, open for reading and checked; the caller closes it.

    Raises:
        InputError: missing, damaged, of another format version, incomplete, of inconsistent length, or referring to
            data in other files (external or virtual datasets, soft or external links), which is refused.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(
            f"{path}: shard is missing; run dped build-dataset again, it rebuilds what is missing"
        ) from None
    except OSError:
        raise InputError(f"{path}: damaged shard; delete it and run dped build-dataset again") from None
    try:
        with damage_told(path):
            check_shard(file, path)
    except BaseException:
        file.close()
        raise
    return file


def check_shard(file: h5py.File, path: Path) -> None:
    """Raise InputError unless `file` has the layout of a shard (see `open_shard`)."""
    if file.attrs.get("format") != "dped-shard":
        raise InputError(f"{path}: an HDF5 file, but not a dped shard")
    if file.attrs.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {file.attrs.get('format_version')}, this program reads version {FORMAT_VERSION}; "
            "build the dataset again"
        )
    found: dict[str, h5py.Dataset] = {}  # opened once each: these look-ups are what a check costs
    needed = (*PATCH_COLUMNS, "capture", "captures", "window_xy", "window_reason", "window_capture")
    there = {*file}
    for name in (*needed, *(name for name in _OPTIONAL if name in there)):
        link = file.get(name, getlink=True)
        dataset = file[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: damaged shard, dataset '{name}' is missing or a link")
        if dataset.external or dataset.is_virtual:
            raise InputError(f"{path}: dataset '{name}' refers to another file, which is refused")
        found[name] = dataset
    phone, dslr = found["phone"].shape, found["dslr"].shape
    rows, size = phone[0], phone[1:2]
    for name, dtype in PATCH_COLUMNS.items():
        if found[name].dtype != dtype or found[name].shape[0] != rows:
            raise InputError(f"{path}: damaged shard, '{name}' is {found[name].dtype} {found[name].shape}")
    if phone != (rows, *size, *size, 3) or dslr != phone:
        raise InputError(f"{path}: damaged shard, patches are {phone} and {dslr}")

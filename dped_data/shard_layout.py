"""What makes an HDF5 file a shard: its datasets, and the check before anything of it is believed (leaf)."""

from __future__ import annotations

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


@contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard for reading and check that it is one.

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
    with file:
        check_shard(file, path)
        yield file


def check_shard(file: h5py.File, path: Path) -> None:
    """Raise InputError unless `file` has the layout of a shard (see `open_shard`)."""
    if file.attrs.get("format") != "dped-shard":
        raise InputError(f"{path}: an HDF5 file, but not a dped shard")
    if file.attrs.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {file.attrs.get('format_version')}, this program reads version {FORMAT_VERSION}; "
            "build the dataset again"
        )
    for name in (*PATCH_COLUMNS, "capture", "captures", "window_xy", "window_reason", "window_capture"):
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
            raise InputError(f"{path}: damaged shard, dataset '{name}' is missing or a link")
        if file[name].external or file[name].is_virtual:
            raise InputError(f"{path}: dataset '{name}' refers to another file, which is refused")
    rows, size = file["phone"].shape[0], file["phone"].shape[1:2]
    for name, dtype in PATCH_COLUMNS.items():
        if file[name].dtype != dtype or file[name].shape[0] != rows:
            raise InputError(f"{path}: damaged shard, '{name}' is {file[name].dtype} {file[name].shape}")
    if file["phone"].shape != (rows, *size, *size, 3) or file["dslr"].shape != file["phone"].shape:
        raise InputError(f"{path}: damaged shard, patches are {file['phone'].shape} and {file['dslr'].shape}")

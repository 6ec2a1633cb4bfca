"""Read a dataset as the inspection needs it: captures.csv joined with the shards, pixels left on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.captures.records import SPLITS
from dped_data.dataset.capture_table import CaptureRow, read_captures
from dped_data.dataset.manifest import ShardEntry, read_manifest
from dped_data.dataset.places import CAPTURES_NAME
from dped_data.dataset.places import captures_folder as recorded_captures_folder
from dped_data.dataset.shards import open_shard
from dped_data.errors import InputError
from dped_data.inspection.records import Dataset, ListedCapture, StoredCapture


def open_dataset(folder: Path, captures_folder: Path | None) -> Dataset:
    """Read manifest, captures.csv and which captures the shards hold.

    Args:
        folder: the dataset of one phone (OUT/<phone>).
        captures_folder: where the photos lie; None looks where the dataset says and beside the dataset.
    Raises:
        InputError: no dataset there, or a part of it is missing or damaged.
    """
    manifest = read_manifest(folder)
    rows = {row.capture_id: row for row in read_captures(folder)} if (folder / CAPTURES_NAME).exists() else {}
    stored: dict[str, ListedCapture] = {}
    for split in SPLITS:
        for entry in manifest.splits[split].shards:
            for capture in _listed_captures(folder, entry, split, rows, manifest.patch_size):
                stored[capture.row.capture_id] = capture
    captures = [stored.get(name) or ListedCapture(row, 0, "", -1) for name, row in rows.items()]
    captures += [capture for name, capture in stored.items() if name not in rows]
    numbered = tuple(replace(capture, index=index) for index, capture in enumerate(captures))
    return Dataset(
        phone=manifest.phone,
        dslr=manifest.dslr,
        digest=manifest.digest,
        alignment=manifest.alignment,
        patch_size=manifest.patch_size,
        captures=numbered,
        captures_folder=find_captures_folder(folder, captures_folder),
        review=manifest.review,
    )


def _listed_captures(
    folder: Path, entry: ShardEntry, split: str, rows: dict[str, CaptureRow], patch_size: int
) -> Iterator[ListedCapture]:
    with open_shard(folder / entry.file, (entry.patches, patch_size)) as file:
        ids = [str(name) for name in file["captures"].asstr()[:]]
        capture_of, window_of = file["capture"][:], file["window_capture"][:]
        for number, name in enumerate(ids):
            counts = int((window_of == number).sum()), int((capture_of == number).sum())
            row = rows.get(name) or _row_without_csv(file, number, name, split, *counts)
            yield ListedCapture(row, 0, entry.file, number)


def stored_captures(file: h5py.File, captures: Sequence[ListedCapture]) -> Iterator[StoredCapture]:
    """Read what an open shard says of some of its captures."""
    columns = {name: file[name][:] for name in ("phone_xy", "shift_px", "ncc", "error_px")}
    capture_of, window_of = file["capture"][:], file["window_capture"][:]
    window_xy, window_reason = file["window_xy"][:], file["window_reason"][:]
    unknown = np.zeros((len(file["captures"]), 2), np.int32)
    phone_wh, dslr_wh = (_column(file, name, unknown) for name in ("phone_size_wh", "dslr_size_wh"))
    homographies = _column(file, "homography", np.full((len(unknown), 3, 3), np.nan))
    for listed in captures:
        mine, windows = np.flatnonzero(capture_of == listed.number), window_of == listed.number
        yield StoredCapture(
            listed=listed,
            rows=mine,
            **{key: values[mine] for key, values in columns.items()},
            window_xy=window_xy[windows],
            window_reason=window_reason[windows],
            phone_size_wh=(int(phone_wh[listed.number][0]), int(phone_wh[listed.number][1])),
            dslr_size_wh=(int(dslr_wh[listed.number][0]), int(dslr_wh[listed.number][1])),
            dslr_from_phone=homographies[listed.number],
        )


def _column(file: h5py.File, name: str, default: NDArray[Any]) -> NDArray[Any]:
    values: NDArray[Any] = file[name][:] if name in file else default
    return values


def _row_without_csv(file: h5py.File, number: int, name: str, split: str, windows: int, patches: int) -> CaptureRow:
    """A row for datasets without captures.csv, such as imported ones."""
    files = [str(file[key].asstr()[number]) if key in file else "" for key in ("phone_file", "dslr_file")]
    return CaptureRow(name, files[0], files[1], split, "kept", windows=windows, patches=patches)


def nothing_stored(listed: ListedCapture) -> StoredCapture:
    """A capture of which no shard knows."""
    return StoredCapture(
        listed=listed,
        rows=np.zeros(0, np.int64),
        phone_xy=np.zeros((0, 2), np.int32),
        shift_px=np.zeros((0, 2), np.float32),
        ncc=np.zeros(0, np.float32),
        error_px=np.zeros(0, np.float32),
        window_xy=np.zeros((0, 2), np.int32),
        window_reason=np.zeros(0, np.uint8),
        phone_size_wh=(0, 0),
        dslr_size_wh=(0, 0),
        dslr_from_phone=np.full((3, 3), np.nan),
    )


def find_captures_folder(folder: Path, given: Path | None) -> Path | None:
    """Return the folder that holds the photos, `given` or the one the build recorded; None when it is not at hand.

    Raises:
        InputError: `given` is no folder.
    """
    if given is None:
        return recorded_captures_folder(folder)
    if not given.is_dir():
        raise InputError(f"{given}: no such folder; pass the captures folder that the dataset was built from")
    return given

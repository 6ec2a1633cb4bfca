"""Read a dataset as the inspection needs it: captures.csv joined with the shards, pixels left on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.capture_table import CAPTURES_NAME, CaptureRow, read_captures
from dped_data.dataset_folder import captures_folder as recorded_captures_folder
from dped_data.errors import InputError
from dped_data.inspection.records import Dataset, StoredCapture
from dped_data.manifest import read_manifest
from dped_data.records import SPLITS
from dped_data.shards import open_shard


def open_dataset(folder: Path, captures_folder: Path | None) -> Dataset:
    """Read manifest, captures.csv and the shards' geometry.

    Args:
        folder: the dataset of one phone (OUT/<phone>).
        captures_folder: where the photos lie; None looks where the dataset says and beside the dataset.
    Raises:
        InputError: no dataset there, or a part of it is missing or damaged.
    """
    manifest = read_manifest(folder)
    rows = {row.capture_id: row for row in read_captures(folder)} if (folder / CAPTURES_NAME).exists() else {}
    stored: dict[str, StoredCapture] = {}
    for split in SPLITS:
        for entry in manifest.splits[split].shards:
            for capture in _stored_captures(folder, entry.file, split, rows):
                stored[capture.row.capture_id] = capture
    captures = [stored.get(name) or _nothing_stored(row) for name, row in rows.items()]
    captures += [capture for name, capture in stored.items() if name not in rows]
    numbered = tuple(_numbered(capture, index) for index, capture in enumerate(captures))
    return Dataset(
        phone=manifest.phone,
        dslr=manifest.dslr,
        digest=manifest.digest,
        alignment=manifest.alignment,
        patch_size=manifest.patch_size,
        captures=numbered,
        captures_folder=find_captures_folder(folder, captures_folder),
    )


def _stored_captures(folder: Path, shard: str, split: str, rows: dict[str, CaptureRow]) -> Iterator[StoredCapture]:
    path = folder / shard
    with open_shard(path) as file:
        ids = [str(name) for name in file["captures"].asstr()[:]]
        columns = {name: file[name][:] for name in ("phone_xy", "shift_px", "ncc", "error_px")}
        capture_of, window_of = file["capture"][:], file["window_capture"][:]
        window_xy, window_reason = file["window_xy"][:], file["window_reason"][:]
        unknown = np.zeros((len(ids), 2), np.int32)
        phone_wh, dslr_wh = (_column(file, name, unknown) for name in ("phone_size_wh", "dslr_size_wh"))
        homographies = _column(file, "homography", np.full((len(ids), 3, 3), np.nan))
        for number, name in enumerate(ids):
            mine, windows = np.flatnonzero(capture_of == number), window_of == number
            row = rows.get(name) or _row_without_csv(file, number, name, split, int(windows.sum()), len(mine))
            yield StoredCapture(
                row=row,
                index=0,
                shard=shard,
                rows=mine,
                **{key: values[mine] for key, values in columns.items()},
                window_xy=window_xy[windows],
                window_reason=window_reason[windows],
                phone_size_wh=(int(phone_wh[number][0]), int(phone_wh[number][1])),
                dslr_size_wh=(int(dslr_wh[number][0]), int(dslr_wh[number][1])),
                dslr_from_phone=homographies[number],
            )


def _column(file: h5py.File, name: str, default: NDArray[Any]) -> NDArray[Any]:
    values: NDArray[Any] = file[name][:] if name in file else default
    return values


def _row_without_csv(file: h5py.File, number: int, name: str, split: str, windows: int, patches: int) -> CaptureRow:
    """A row for datasets without captures.csv, such as imported ones."""
    files = [str(file[key].asstr()[number]) if key in file else "" for key in ("phone_file", "dslr_file")]
    return CaptureRow(name, files[0], files[1], split, "kept", windows=windows, patches=patches)


def _nothing_stored(row: CaptureRow) -> StoredCapture:
    return StoredCapture(
        row=row,
        index=0,
        shard="",
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


def _numbered(capture: StoredCapture, index: int) -> StoredCapture:
    return StoredCapture(**{**vars(capture), "index": index})


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

"""captures.csv and unpaired.csv: what became of every capture and of every photo without a partner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from dped_data.captures.records import SPLITS, Unpaired
from dped_data.common.csv_tables import Formatted, csv_text, read_table
from dped_data.common.files import atomic_write_text
from dped_data.common.foreign_files import read_limited
from dped_data.common.names import path_inside, shown
from dped_data.dataset.made_by import making
from dped_data.dataset.places import CAPTURES_NAME, UNPAIRED_NAME
from dped_data.errors import InputError

STATES = ("kept", "rejected", "failed")
_MOST_BYTES = 2**28
"""Ours: of captures.csv; a million captures."""
_MOST_COUNT, _MOST_FIGURE = 2**53, 1e15
"""Ours: what a count and a figure may be; far above any that is measured."""


@dataclass(frozen=True)
class CaptureRow:
    """One row of captures.csv; None stands for an empty cell.

    Attributes:
        status: "kept" (at least one patch), "rejected" (the photos are no usable pair) or "failed" (a photo could not
            be read, or the capture killed its worker twice: stage "worker").
        stage, reason, measured, limit: why, when not kept; measured was held against limit.
        keypoints, matches, inliers, residual_px, overlap: as in records.AlignedCapture.
        windows, patches: windows considered and patches kept.
        median_ncc: median correlation of the kept patches.
        flat_windows, flat_patches, soft_…, textured_…: windows considered and kept by the phone's contrast, as
            `records.CONTRAST_LIMITS` sort them.
        gain_r, gain_g, gain_b, phone_clipped, dslr_clipped: as in records.ToneNotes.
        seconds: time the capture took; the one column that differs between two builds of the same photos.
    """

    capture_id: str
    phone_file: str
    dslr_file: str
    split: str
    status: str
    stage: str | None = None
    reason: str | None = None
    measured: float | None = None
    limit: float | None = None
    keypoints: int | None = None
    matches: int | None = None
    inliers: int | None = None
    residual_px: float | None = None
    overlap: float | None = None
    windows: int | None = None
    patches: int = 0
    median_ncc: float | None = None
    flat_windows: int | None = None
    flat_patches: int | None = None
    soft_windows: int | None = None
    soft_patches: int | None = None
    textured_windows: int | None = None
    textured_patches: int | None = None
    gain_r: float | None = None
    gain_g: float | None = None
    gain_b: float | None = None
    phone_clipped: float | None = None
    dslr_clipped: float | None = None
    seconds: float | None = None


def write_captures(folder: Path, rows: Iterable[CaptureRow]) -> None:
    """Write FOLDER/captures.csv, whole or not at all."""
    names = [f.name for f in fields(CaptureRow)]
    atomic_write_text(folder / CAPTURES_NAME, csv_text(names, ([_cell(getattr(r, n)) for n in names] for r in rows)))


def write_unpaired(folder: Path, unpaired: Iterable[Unpaired]) -> None:
    """Write FOLDER/unpaired.csv: file, reason."""
    atomic_write_text(folder / UNPAIRED_NAME, csv_text(["file", "reason"], ([u.file, u.reason] for u in unpaired)))


def read_captures(folder: Path) -> list[CaptureRow]:
    """Read FOLDER/captures.csv, ignoring unknown columns; InputError when it is missing or damaged, with the line."""
    path = folder / CAPTURES_NAME
    types = get_type_hints(CaptureRow)
    rows: dict[str, CaptureRow] = {}
    try:
        table = read_table(read_limited(path, _MOST_BYTES).decode())
        if not {"capture_id", "status"} <= {*table.columns}:
            raise ValueError("line 1: no column capture_id or status")
        for line, cells in table.rows:
            try:
                row = CaptureRow(**{name: _parse(name, cells.get(name) or "", kind) for name, kind in types.items()})
                row = checked_row(row)
                if row.capture_id in rows:
                    raise ValueError(f"capture {shown(row.capture_id)} stands twice")
            except (ValueError, InputError) as error:
                raise ValueError(f"line {line}: {error}") from None
            rows[row.capture_id] = row
    except FileNotFoundError:
        raise InputError(f"{path}: missing; {making(path)} writes what is missing") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged table ({error}); {making(path)} writes it anew") from None
    return [*rows.values()]


def row_for_json(row: CaptureRow) -> dict[str, Any]:
    """Return a row as a table for JSON, which has no NaN: None where a figure is unknown."""
    return {name: _known(value) for name, value in vars(row).items()}


def checked_row(row: CaptureRow) -> CaptureRow:
    """Return a row of somebody's file; InputError or ValueError where it cannot be true."""
    path_inside(row.capture_id, "capture_id")
    for name in ("phone_file", "dslr_file"):
        if file := getattr(row, name):
            path_inside(file, name)
    if row.status not in STATES:
        raise ValueError(f"status {shown(row.status)} is not one of {', '.join(STATES)}")
    if row.split not in ("", *SPLITS):
        raise ValueError(f"split {shown(row.split)} is not one of {', '.join(SPLITS)}")
    for name, value in vars(row).items():
        if isinstance(value, int) and not 0 <= value <= _MOST_COUNT and name not in ("measured", "limit"):
            raise ValueError(f"{name} {value} is no count")
        if isinstance(value, float) and not abs(value) <= _MOST_FIGURE:
            raise ValueError(f"{name} {value:g} is beyond {_MOST_FIGURE:g}")
    return row


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> object:
    known = _known(value)
    return Formatted(f"{known:.6g}") if isinstance(known, float) else known


def _parse(name: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if text == "":
        return 0 if kind is int else None
    if kind not in (int, int | None, float | None):
        return text
    if text in ("nan", "inf", "-inf"):  # as earlier versions wrote what is unknown
        return None
    try:
        return float(text) if kind == (float | None) else int(text)
    except ValueError:
        raise ValueError(f"{name} {shown(text)} is not a number") from None

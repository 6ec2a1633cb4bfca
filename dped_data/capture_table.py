"""captures.csv and unpaired.csv: what became of every capture and of every photo without a partner (leaf)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from dped_data.errors import InputError
from dped_data.files import atomic_write_text
from dped_data.records import Unpaired

CAPTURES_NAME = "captures.csv"
UNPAIRED_NAME = "unpaired.csv"


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
    atomic_write_text(folder / CAPTURES_NAME, _csv(names, ([_cell(getattr(r, n)) for n in names] for r in rows)))


def write_unpaired(folder: Path, unpaired: Iterable[Unpaired]) -> None:
    """Write FOLDER/unpaired.csv: file, reason."""
    atomic_write_text(folder / UNPAIRED_NAME, _csv(["file", "reason"], ([u.file, u.reason] for u in unpaired)))


def read_captures(folder: Path) -> list[CaptureRow]:
    """Read FOLDER/captures.csv, ignoring unknown columns; InputError when it is missing or damaged."""
    path = folder / CAPTURES_NAME
    types = get_type_hints(CaptureRow)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                CaptureRow(**{name: _parse(row.get(name) or "", kind) for name, kind in types.items()})
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        raise InputError(f"{path}: missing; run dped build-dataset again, it writes what is missing") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: damaged table ({error}); run dped build-dataset again") from None


def row_from_json(table: Mapping[str, Any]) -> CaptureRow:
    """Return the row that `dataclasses.asdict` made the table from; TypeError if it has other fields."""
    return CaptureRow(**table)


def _csv(names: list[str], rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _parse(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if text == "":
        return 0 if kind is int else None
    if kind in (int, int | None):
        return int(text)
    return float(text) if kind == (float | None) else text

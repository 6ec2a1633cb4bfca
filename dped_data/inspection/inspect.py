"""Inspect a dataset: measure every capture, sum up, judge, and write what a person looks at."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.files import atomic_write_text
from dped_data.inspection.measure import measure_capture, patch_mosaic, read_preview
from dped_data.inspection.pictures import checkerboard, write_jpeg
from dped_data.inspection.ranking import rank_captures
from dped_data.inspection.records import CaptureFigures, Dataset, InspectReport, StoredCapture
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.source import open_dataset
from dped_data.inspection.summary import summarise
from dped_data.inspection.verdict import judge
from dped_data.parallel import run_parallel
from dped_data.progress import progress_bar
from dped_data.shards import open_shard

PREVIEW_PX = 256
_PICTURE_PX = 2048


def inspect_pairs(
    dataset: Path,
    phone: str,
    out: Path,
    settings: InspectSettings | None = None,
    *,
    captures: Path | None = None,
    worst: int = 10,
    jobs: int = -1,
) -> InspectReport:
    """Judge the dataset in DATASET/PHONE and write verdict.json and pictures of the worst captures to `out`.

    Args:
        dataset: folder that holds one dataset per phone.
        phone: name of the phone.
        out: folder of the report; made if missing.
        settings: how much is measured, and the limits.
        captures: folder of the photos; None looks where the dataset says. Without photos there are no capture times.
        worst: captures to make pictures of.
        jobs: processes; -1 for one per core.
    Raises:
        InputError: no dataset there, or a part of it is missing or damaged.
    """
    settings = settings or InspectSettings()
    opened = open_dataset(dataset / phone, captures)
    figures = measure_dataset(dataset / phone, opened, settings, jobs)
    summary = summarise(figures, opened.patch_size, settings)
    ranked = rank_captures(figures, summary, settings)
    verdict, checks = judge(summary, ranked, settings)
    report = InspectReport(
        dataset=str(dataset / phone),
        phone=opened.phone,
        dslr=opened.dslr,
        digest=opened.digest,
        verdict=verdict,
        checks=checks,
        summary=summary,
        captures=ranked,
    )
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / "verdict.json", json.dumps(as_json(report), indent=1) + "\n")
    by_index = {f.stored.index: f for f in figures}
    _write_worst(dataset / phone, [by_index[c.index] for c in ranked[:worst]], out)
    return report


def as_json(report: InspectReport) -> dict[str, Any]:
    """Return the report as plain dicts, lists and scalars; figures rounded to 5 digits, no NaN."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(report))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


def measure_dataset(folder: Path, dataset: Dataset, settings: InspectSettings, jobs: int) -> tuple[CaptureFigures, ...]:
    """Measure every capture; one shard is one unit of work. The result is in the dataset's order."""
    by_shard = sorted(dataset.captures, key=lambda c: (c.shard, c.index))
    units = [tuple(group) for _, group in groupby(by_shard, key=lambda c: c.shard)]
    if units and units[0][0].shard == "":  # nothing stored: no shard to read, so any number goes into one unit
        units[:1] = [units[0][k : k + 16] for k in range(0, len(units[0]), 16)]
    calls = [(folder, unit, dataset.captures_folder, settings.sample_patches) for unit in units]
    figures: list[CaptureFigures] = []
    with progress_bar(len(dataset.captures), label="inspecting", unit="capture") as bar:
        for part in run_parallel(measure_shard, calls, jobs):
            figures += part
            bar.update(len(part))
    return tuple(sorted(figures, key=lambda f: f.stored.index))


def measure_shard(
    folder: Path, captures: Sequence[StoredCapture], captures_folder: Path | None, sample_patches: int
) -> list[CaptureFigures]:
    """Measure the captures of one shard (all with the same `shard`)."""
    figures = []
    for stored in captures:
        preview, time_s = None, None
        if captures_folder is not None and stored.row.phone_file:
            preview, time_s = read_preview(captures_folder / stored.row.phone_file, PREVIEW_PX)
        phone, dslr = read_patches(folder, stored)
        figures.append(measure_capture(stored, phone, dslr, preview, time_s, sample_patches))
    return figures


def read_patches(folder: Path, stored: StoredCapture) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read all patches of one capture, each (N, S, S, 3) uint8."""
    if stored.shard == "" or len(stored.rows) == 0:
        empty = np.zeros((0, 1, 1, 3), np.uint8)
        return empty, empty
    with open_shard(folder / stored.shard) as file:
        return file["phone"][stored.rows], file["dslr"][stored.rows]


def _write_worst(folder: Path, figures: Sequence[CaptureFigures], out: Path) -> None:
    """Write one checkerboard per capture that has patches, named by rank and id, at the photo's size where it fits."""
    target = out / "worst"
    target.mkdir(exist_ok=True)
    for stale in target.glob("*.jpg"):
        stale.unlink()
    for rank, f in enumerate(figures, start=1):
        if f.look is None:
            continue
        phone, dslr = read_patches(folder, f.stored)
        views = [patch_mosaic(patches, f.stored, _PICTURE_PX) for patches in (phone, dslr)]
        board = checkerboard(views[0], views[1], max(8, phone.shape[1] // 4), f.look.phone_from_dslr)
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", f.stored.row.capture_id)[-80:]
        write_jpeg(target / f"{rank:02d}-{name}.jpg", board, 88)

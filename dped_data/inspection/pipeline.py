"""Inspect a dataset: measure every capture, sum up, judge, and write what a person looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.common.folder_lock import held
from dped_data.common.foreign_files import read_json, typed
from dped_data.common.ownership import remove
from dped_data.common.parallel import run_parallel
from dped_data.common.progress import progress_bar
from dped_data.dataset.shards import open_shard
from dped_data.errors import InputError, UsageError
from dped_data.inspection.capture_page import OVERVIEW_PX, Previews, write_capture
from dped_data.inspection.dataset_reader import nothing_stored, open_dataset, stored_captures
from dped_data.inspection.loose_pipeline import inspect_imported
from dped_data.inspection.measure import measure_capture
from dped_data.inspection.mosaics import judge_mosaics, measure_mosaics
from dped_data.inspection.page import (
    NAMES,
    PAGE_NAME,
    VERDICT_NAME,
    files_of_the_version_before,
    prepare_folder,
)
from dped_data.inspection.ranking import judge_captures, rank_captures
from dped_data.inspection.records import CaptureFigures, Dataset, ListedCapture, StoredCapture
from dped_data.inspection.report import InspectReport
from dped_data.inspection.report_files import judged_report, write_report
from dped_data.inspection.settings import MEASURING, InspectSettings
from dped_data.inspection.summary import summarise
from dped_data.inspection.verdict import judge
from dped_data.photos.preview import read_preview

_CAPTURES_PER_TASK = 16
_MOSTLY = 0.6
"""Share of the photo: where DSLR patches cover more of it, the photo itself is not decoded for the rest."""
_MOST_REPORT_BYTES = 2**29
"""Ours: of a verdict.json that is read again; 100,000 captures make some 150 MB."""


def inspect_pairs(
    dataset: Path,
    phone: str,
    out: Path,
    settings: InspectSettings | None = None,
    *,
    captures: Path | None = None,
    jobs: int = -1,
) -> InspectReport:
    """Judge the dataset in DATASET/PHONE and write verdict.json and the page (index.html) to `out`.

    Args:
        dataset: folder that holds one dataset per phone.
        phone: name of the phone.
        out: folder of the report; made if missing. The parts of an earlier report in it are replaced.
        settings: how much is measured, and the limits.
        captures: folder of the photos; None looks where the dataset says. Without photos there are no capture times,
            and the page shows the stored patches only.
        jobs: processes; -1 for one per core.
    Raises:
        InputError: no dataset there, or a part of it is missing or damaged.
    """
    settings = settings or InspectSettings()
    opened = open_dataset(dataset / phone, captures)
    if opened.alignment == "imported":
        return inspect_imported(dataset / phone, opened, out, settings, jobs)
    with held(out, "inspect-pairs", NAMES, adopt=files_of_the_version_before):
        prepare_folder(out)
        figures = measure_dataset(dataset / phone, opened, settings, jobs, out)
        summary = summarise(figures, opened.patch_size, settings)
        ranked = rank_captures(figures, summary, settings)
        more = judge_mosaics(measure_mosaics(dataset / phone, opened, settings), settings)
        judged = judge(summary, ranked, settings, more=more)
        report = judged_report(out, str(dataset / phone), opened, summary, ranked, judged, settings)
        write_report(out, report, opened, dataset)
    return report


def redraw_report(
    dataset: Path, phone: str, out: Path, settings: InspectSettings | None = None, *, captures: Path | None = None
) -> InspectReport:
    """Judge anew what `inspect_pairs` has measured, by other limits, and write verdict and page again.

    The captures' own pages stay as they are; nothing is measured but what the mosaics, where there are any, say.

    Args:
        dataset, phone, out, settings, captures: as in `inspect_pairs`.
    Raises:
        InputError: no report in `out`, or not of this dataset as it is now. UsageError: settings that ask for other
            measurements.
    """
    settings, opened = settings or InspectSettings(), open_dataset(dataset / phone, captures)
    with held(out, "inspect-pairs", NAMES, adopt=files_of_the_version_before):
        before = _read_report(out, opened.digest)
        asked = dataclasses.asdict(settings)
        others = [name for name in MEASURING if asked[name] != before.settings.get(name)]
        if asked["leak_correlation"] < before.settings.get("leak_correlation", 1.0):
            others.append("leak_correlation")  # less alike ones were not kept
        if before.kind != "captures":
            raise UsageError("--redraw is for reports on captures; inspect loose patches without it")
        if others:
            raise UsageError(f"--{others[0].replace('_', '-')} asks for other measurements; inspect without --redraw")
        leaks = tuple(leak for leak in before.summary.leaks if leak.correlation > settings.leak_correlation)
        summary = replace(before.summary, leaks=leaks)
        ranked = judge_captures(before.captures, summary, settings)
        more = judge_mosaics(measure_mosaics(dataset / phone, opened, settings), settings)
        judged = judge(summary, ranked, settings, more=more)
        report = judged_report(out, str(dataset / phone), opened, summary, ranked, judged, settings)
        remove(out / PAGE_NAME)
        write_report(out, report, opened, dataset)
    return report


def _read_report(out: Path, digest: str) -> InspectReport:
    path = out / VERDICT_NAME
    try:
        report = typed(InspectReport, read_json(path, _MOST_REPORT_BYTES))
    except FileNotFoundError:
        raise InputError(f"{path}: no report there to draw again; inspect without --redraw first") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a report of this version ({error}); inspect without --redraw") from None
    if report.digest != digest:
        raise InputError(f"{path}: the dataset was built anew since; inspect without --redraw")
    return report


def measure_dataset(
    folder: Path, dataset: Dataset, settings: InspectSettings, jobs: int, out: Path
) -> tuple[CaptureFigures, ...]:
    """Measure every capture and write its part of the page; the result is in the dataset's order."""
    by_shard = sorted(dataset.captures, key=lambda c: (c.shard, c.index))
    calls = []
    for _, group in groupby(by_shard, key=lambda c: c.shard):
        members = tuple(group)
        for start in range(0, len(members), _CAPTURES_PER_TASK):
            part = members[start : start + _CAPTURES_PER_TASK]
            calls.append((folder, part, dataset.captures_folder, settings, out))
    figures: list[CaptureFigures] = []
    with progress_bar(len(dataset.captures), label="inspecting", unit="capture") as bar:
        for part_figures in run_parallel(inspect_captures, calls, jobs):
            figures += [replace(f, listed=dataset.captures[f.listed.index]) for f in part_figures]  # no second copy
            bar.update(len(part_figures))
    return tuple(sorted(figures, key=lambda f: f.listed.index))


def inspect_captures(
    folder: Path, captures: Sequence[ListedCapture], captures_folder: Path | None, settings: InspectSettings, out: Path
) -> list[CaptureFigures]:
    """Measure some captures of one shard and write their pictures: the work of one process."""
    shard = captures[0].shard
    with open_shard(folder / shard) if shard else nullcontext() as file:
        figures = []
        for stored in stored_captures(file, captures) if file else map(nothing_stored, captures):
            phone, dslr = _read_patches(file, stored)
            previews, time_s = _read_previews(captures_folder, stored, phone.shape[1])
            measured = measure_capture(stored, phone, dslr, previews.phone, time_s, settings)
            write_capture(out, stored, measured, phone, dslr, previews)
            figures.append(measured)
    return figures


def _read_previews(
    captures_folder: Path | None, stored: StoredCapture, patch_size: int
) -> tuple[Previews, float | None]:
    row = stored.listed.row
    if captures_folder is None or not row.phone_file:
        return Previews(None, None, (0, 0)), None
    phone, time_s = read_preview(captures_folder / row.phone_file, OVERVIEW_PX)
    if phone is not None and _covered_share(stored, patch_size) > _MOSTLY:
        return Previews(phone, None, stored.dslr_size_wh), time_s
    dslr, _ = read_preview(captures_folder / row.dslr_file, OVERVIEW_PX)
    return Previews(phone, dslr, stored.dslr_size_wh), time_s


def _covered_share(stored: StoredCapture, patch_size: int) -> float:
    """Share of the phone photo that its patches cover, where they do not overlap; 0 where its size is unknown."""
    width, height = stored.phone_size_wh
    return len(stored.rows) * patch_size**2 / (width * height) if width * height else 0.0


def _read_patches(file: h5py.File | None, stored: StoredCapture) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read all patches of one capture, each (N, S, S, 3) uint8."""
    if file is None or len(stored.rows) == 0:
        empty = np.zeros((0, 1, 1, 3), np.uint8)
        return empty, empty
    rows = _rows(stored)
    return file["phone"][rows], file["dslr"][rows]


def _rows(stored: StoredCapture) -> slice | NDArray[np.int64]:
    """The capture's rows as a slice where they follow each other, which HDF5 reads at once."""
    first, last = int(stored.rows[0]), int(stored.rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(stored.rows) else stored.rows

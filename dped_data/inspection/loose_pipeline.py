"""Inspect any set of pairs as it is: loose patches as patches, whole photos as captures of which patches are cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from dped_data.common.csv_tables import Formatted, csv_text
from dped_data.common.files import atomic_write_text
from dped_data.common.folder_lock import held
from dped_data.common.parallel import run_parallel
from dped_data.common.progress import note as tell
from dped_data.common.progress import progress_bar
from dped_data.dataset.capture_table import CaptureRow
from dped_data.errors import PhotoError
from dped_data.inspection.capture_page import Previews, write_capture
from dped_data.inspection.loose import (
    LARGEST_PATCH_PX,
    MOST_LOOKED,
    MOST_PAGES,
    LoosePatches,
    PatchList,
    count_shares,
    joined,
    loose_capture,
    measure_loose,
    rank_loose,
    read_patches,
    summarise_loose,
)
from dped_data.inspection.measure import measure_capture
from dped_data.inspection.page import NAMES, TABLE_NAME, files_of_the_version_before, prepare_folder
from dped_data.inspection.pair_layouts import PairOfFiles, find_pairs, names_of_sides, read_pair
from dped_data.inspection.ranking import rank_captures
from dped_data.inspection.records import CaptureFigures, Dataset, ListedCapture, StoredCapture
from dped_data.inspection.remeasure import zero_shift_correlation
from dped_data.inspection.report import InspectReport, RankedCapture
from dped_data.inspection.report_files import judged_report, write_report
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.summary import summarise
from dped_data.inspection.verdict import judge, judge_loose

AS_FOUND = "as found"
"""The alignment of pairs that nobody of us aligned."""
PATCH_PX = 100
"""Side of the patches that are cut of photos, as in the paper."""
_CHUNK, _PHOTOS = 200, 4
_SIZES_TRIED = 9
_OF_BUILDS = ("predicted error", "coverage")
"""Checks of what a build alone has: predictions and windows."""


def inspect_set(
    phone: Path, dslr: Path | None, out: Path, settings: InspectSettings | None = None, *, jobs: int = -1
) -> InspectReport:
    """Judge pairs as they lie in two folders, or in one with a known layout (pair_layouts.py), and write the report.

    Args:
        phone, dslr: the two folders; the first alone has both halves below it.
        out: folder of the report; made if missing. The parts of an earlier report in it are replaced.
        settings: how much is measured, and the limits.
        jobs: processes; -1 for one per core.
    Raises:
        InputError: no pair there.
    """
    settings = settings or InspectSettings()
    pairs, alone = find_pairs(phone, dslr)
    names = names_of_sides(pairs)
    place = str(phone) if dslr is None else f"{phone} and {dslr}"
    if alone:
        tell(f"{place}: {alone:,} files have no partner and are left out")
    with held(out, "inspect-pairs", NAMES, adopt=files_of_the_version_before):
        prepare_folder(out)
        if _longest_side(pairs) > LARGEST_PATCH_PX:
            opened = Dataset(*names, "", AS_FOUND, PATCH_PX, (), None)
            return _inspect_photos(place, pairs, opened, out, settings, jobs)
        lists = [_listed(pairs[start : start + _CHUNK]) for start in range(0, len(pairs), _CHUNK)]
        opened = Dataset(*names, "", AS_FOUND, 0, (), None)
        return _inspect_patches(place, lists, opened, {}, out, settings, jobs)


def inspect_imported(folder: Path, opened: Dataset, out: Path, settings: InspectSettings, jobs: int) -> InspectReport:
    """Judge a dataset of patches that others cut, of which nobody knows where they lay."""
    shards: dict[str, list[ListedCapture]] = {}
    for capture in opened.captures:
        shards.setdefault(capture.shard, []).append(capture)
    failed = Counter(str(capture.row.reason) for capture in shards.pop("", []))
    lists: list[PatchList] = []
    for shard, captures in shards.items():
        for start in range(0, len(captures), _CHUNK):
            part = captures[start : start + _CHUNK]
            ids, splits = (tuple(c.row.capture_id for c in part), tuple(c.row.split for c in part))
            lists.append(PatchList(ids, splits, shard=folder / shard, rows=tuple(c.number for c in part)))
    with held(out, "inspect-pairs", NAMES, adopt=files_of_the_version_before):
        prepare_folder(out)
        return _inspect_patches(str(folder), lists, opened, dict(failed), out, settings, jobs)


def _longest_side(pairs: Sequence[PairOfFiles]) -> float:
    """Median of the longer sides of the first pairs that can be read; 0 where none can."""
    sides = []
    for pair in pairs[:_SIZES_TRIED]:
        try:
            sides.append(max(read_pair(pair)[0].shape[:2]))
        except PhotoError:
            continue
    return median(sides) if sides else 0


def _listed(pairs: Sequence[PairOfFiles]) -> PatchList:
    return PatchList(tuple(pair.pair_id for pair in pairs), tuple(pair.split for pair in pairs), tuple(pairs))


def _inspect_patches(
    place: str,
    lists: Sequence[PatchList],
    opened: Dataset,
    failed: dict[str, int],
    out: Path,
    settings: InspectSettings,
    jobs: int,
) -> InspectReport:
    reasons = Counter(failed)
    parts: list[LoosePatches] = []
    total = sum(len(part.ids) for part in lists)
    calls = [(part, settings, 1 + total // MOST_LOOKED) for part in lists]
    with progress_bar(total, label="inspecting", unit="patch") as bar:
        for measured, unread in run_parallel(measure_loose, calls, jobs):
            parts.append(measured)
            reasons.update(unread)
            bar.update(len(measured.read))
    loose = joined(parts)
    every = PatchList(
        tuple(name for part in lists for name in part.ids),
        tuple(split for part in lists for split in part.splits),
        tuple(pair for part in lists for pair in part.files),
    )
    summary = summarise_loose(every, loose, dict(reasons), settings)
    if failed:
        lost = summary.captures_by_status.get("failed", 0) + sum(failed.values())
        summary = replace(summary, captures_by_status={**summary.captures_by_status, "failed": lost})
    ranked = rank_loose(every, loose, summary, settings, MOST_PAGES)
    judged = judge_loose(summary, count_shares(every, loose, ranked, settings), settings)
    side = _write_pages(out, lists, every, ranked, settings)
    _write_table(out, every, loose)
    opened = replace(opened, patch_size=opened.patch_size or side, captures_folder=None)
    report = judged_report(out, place, opened, summary, ranked, judged, settings, kind="patches")
    write_report(out, report, opened, Path(place))
    return report


def _write_pages(
    out: Path, lists: Sequence[PatchList], every: PatchList, ranked: Sequence[RankedCapture], settings: InspectSettings
) -> int:
    """Write the pages of the worst patches; return the side of the worst one."""
    number = {name: k for k, name in enumerate(every.ids)}
    starts = np.cumsum([0, *(len(part.ids) for part in lists)])
    side = 0
    for capture in ranked:
        k = number[capture.capture_id]
        where = int(np.searchsorted(starts, k, side="right")) - 1
        pair = read_patches(lists[where].part([k - int(starts[where])]))[0]
        if isinstance(pair, str):  # gone since
            continue
        phone, dslr = pair[0][None], pair[1][None]
        stored = loose_capture(capture.capture_id, phone, capture.index, capture.split)
        figures = measure_capture(stored, phone, dslr, None, None, settings)
        write_capture(out, stored, figures, phone, dslr, Previews(None, None, (0, 0)))
        side = side or phone.shape[1]
    return side


def _write_table(out: Path, patches: PatchList, loose: LoosePatches) -> None:
    """Write a row of every patch, for whoever wants to sort them out."""
    s = loose.sample
    columns: dict[str, NDArray[np.generic]] = {
        "read": loose.read.astype(int),
        "ncc": loose.ncc,
        "measured": s.measured.astype(int),
        "shift_x_px": np.where(s.measured, s.shift_px[:, 0], np.nan),
        "shift_y_px": np.where(s.measured, s.shift_px[:, 1], np.nan),
        "matched": s.matched.astype(int),
        "foreign_cells": s.foreign,
        "scale": s.scale,
        "sharpness": s.sharpness,
        "phone_clipped": loose.clipped[:, 0],
        "dslr_clipped": loose.clipped[:, 1],
        "size_ratio": loose.size_ratio,
    }
    rows = (
        [patches.ids[k], patches.splits[k], *(_cell(values[k]) for values in columns.values())]
        for k in range(len(patches.ids))
    )
    atomic_write_text(out / TABLE_NAME, csv_text(["pair_id", "split", *columns], rows))


def _cell(value: np.generic) -> Formatted:
    if isinstance(value, np.floating):
        return Formatted(f"{value:.4g}" if np.isfinite(value) else "")
    return Formatted(value)


def _inspect_photos(
    place: str, pairs: Sequence[PairOfFiles], opened: Dataset, out: Path, settings: InspectSettings, jobs: int
) -> InspectReport:
    calls = [(pairs[k : k + _PHOTOS], k, settings, out) for k in range(0, len(pairs), _PHOTOS)]
    figures: list[CaptureFigures] = []
    with progress_bar(len(pairs), label="inspecting", unit="pair") as bar:
        for part in run_parallel(inspect_photos, calls, jobs):
            figures += part
            bar.update(len(part))
    summary = summarise(figures, PATCH_PX, settings)
    ranked = rank_captures(figures, summary, settings)
    judged = judge(summary, ranked, settings, without=_OF_BUILDS)
    report = judged_report(out, place, opened, summary, ranked, judged, settings)
    write_report(out, report, opened, Path(place))
    return report


def inspect_photos(
    pairs: Sequence[PairOfFiles], first: int, settings: InspectSettings, out: Path
) -> list[CaptureFigures]:
    """Measure some pairs of photos and write their pages: the work of one process."""
    result = []
    for index, pair in enumerate(pairs, first):
        row = CaptureRow(pair.pair_id, pair.phone.name, pair.dslr.name, pair.split, "kept")
        try:
            stored, phone, dslr = _cut(row, index, *read_pair(pair)[:2])
        except PhotoError as error:
            row = replace(row, status="failed", stage="read", reason=error.fault)
            none = np.zeros((0, PATCH_PX, PATCH_PX, 3), np.uint8)
            stored, phone, dslr = _at(row, index, none, np.zeros((0, 2), np.int32), (0, 0)), none, none
        figures = measure_capture(stored, phone, dslr, None, None, settings)
        write_capture(out, stored, figures, phone, dslr, Previews(None, None, (0, 0)))
        result.append(figures)
    return result


def _cut(
    row: CaptureRow, index: int, phone: NDArray[np.uint8], dslr: NDArray[np.uint8]
) -> tuple[StoredCapture, NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut both photos of a pair, (h, w, 3) each, into patches at the same places."""
    height, width = phone.shape[:2]
    corners = [
        (x, y) for y in range(0, height - PATCH_PX + 1, PATCH_PX) for x in range(0, width - PATCH_PX + 1, PATCH_PX)
    ]
    if not corners:
        raise PhotoError(row.phone_file, f"{width}x{height} pixels, less than a patch of {PATCH_PX}")
    cuts = [np.stack([photo[y : y + PATCH_PX, x : x + PATCH_PX] for x, y in corners]) for photo in (phone, dslr)]
    stored = _at(replace(row, patches=len(corners)), index, cuts[0], np.array(corners, np.int32), (width, height))
    ncc = np.nan_to_num(zero_shift_correlation(*cuts)).astype(np.float32)
    return replace(stored, ncc=ncc), cuts[0], cuts[1]


def _at(
    row: CaptureRow, index: int, phone: NDArray[np.uint8], phone_xy: NDArray[np.int32], size: tuple[int, int]
) -> StoredCapture:
    stored = loose_capture(row.capture_id, phone, index, row.split)
    listed = ListedCapture(row, index, "", -1)
    return replace(stored, listed=listed, phone_xy=phone_xy, phone_size_wh=size, dslr_size_wh=size)

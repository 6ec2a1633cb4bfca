"""Score a dataset that was built from a simulated rig against the exact geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.records import SPLITS
from dped_data.common.names import shown
from dped_data.common.parallel import run_parallel
from dped_data.common.patch_nodes import NODES, node_grid
from dped_data.common.progress import progress
from dped_data.dataset.capture_table import CaptureRow, read_captures
from dped_data.dataset.manifest import Manifest, find_dataset, read_manifest
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError
from dped_data.photos.reading import read_photo
from dped_data.simulation.patch_errors import measure_windows, patch_errors
from dped_data.simulation.truth import CAPTURES_FOLDER, Truth, read_truths

FALSE_ACCEPT_PX = 5.0
"""The paper's own bound on the misalignment of its pairs (section 2): a patch beyond it was accepted in error."""
USEFUL_PX = 1.0
CALIBRATION_BINS = 5


@dataclass(frozen=True)
class CalibrationBin:
    """Patches of similar predicted error: the range of `error_px`, and the root mean squares of what was predicted
    and of what is true, phone pixels."""

    least_px: float
    most_px: float
    patches: int
    predicted_rms_px: float
    true_rms_px: float


@dataclass(frozen=True)
class Score:
    """How good a dataset's patches are. All errors in phone pixels, per patch as in measure.PatchErrors.

    Attributes:
        captures: captures of the dataset that the rig knows (its phone photo with its own DSLR photo).
        captures_kept: those of them with at least one patch.
        captures_mismatched: captures that pair photos of different scenes, by mistake or on purpose.
        kept: patches of the known captures.
        useful: patches of the known captures within 1 px.
        overlap_windows: windows of the dataset's grid and patch size that lie wholly inside both photos, over the
            known captures, rejected ones included; so a view wider than the DSLR's does not count against the builder.
        oracle_windows: those that a builder with the exact map would keep: one surface, visible in both photos, and
            NCC > 0.9 when sampled through the exact map.
        useful_yield: useful / oracle_windows. It may pass 1, since a window that hides a small piece of another
            surface can be within 1 px.
        kept_share: kept / overlap_windows.
        median_px, p95_px, p99_px, max_px: quantiles of the patches' error over the known captures.
        worst_node_px: the largest error of any node of any patch.
        within_half, within_1, within_5: share of these patches with an error up to 0.5, 1 and 5 px.
        false_accepts: patches with an error above 5 px, and all patches of mismatched captures.
        straddling: patches of the known captures that show more than one surface, or one the DSLR photo does not show.
        calibration: patches in five equal groups by `error_px`.
    """

    captures: int
    captures_kept: int
    captures_mismatched: int
    kept: int
    useful: int
    overlap_windows: int
    oracle_windows: int
    useful_yield: float | None
    kept_share: float | None
    median_px: float | None
    p95_px: float | None
    p99_px: float | None
    max_px: float | None
    worst_node_px: float | None
    within_half: float | None
    within_1: float | None
    within_5: float | None
    false_accepts: int
    straddling: int
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class CaptureScore:
    """What one known capture contributes: an entry per patch (errors, prediction) and its counts of windows."""

    rms_px: NDArray[np.float64]
    worst_px: NDArray[np.float64]
    one_surface: NDArray[np.bool_]
    predicted_px: NDArray[np.float64]
    overlap_windows: int
    oracle_windows: int


@dataclass(frozen=True)
class CapturePatches:
    """The stored patches of one capture: corners (N, 2), geometry (N, 5, 5, 2), predicted error (N,), and the corner of
    one window of its grid, None where unknown."""

    phone_xy: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    dslr_xy: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 5, 5, 2)))
    error_px: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    origin_xy: tuple[int, int] | None = None


def score_dataset(dataset: Path, rig_dir: Path, phone: str | None = None, *, jobs: int = -1) -> Score:
    """Compare every patch of a dataset with the exact map of the simulated rig it was built from.

    Args:
        dataset: folder of the dataset, either OUT/<phone> itself or OUT.
        rig_dir: what `simulate_rig` wrote; its photos are read to find the windows an exact map would keep.
        phone: the phone of OUT to score; None takes the rig's.
        jobs: captures measured at the same time; -1 means one per core.
    Raises:
        InputError: no dataset, no simulated rig, or a dataset without geometry or of another rig.
    """
    truths = {truth.phone_file: truth for truth in read_truths(rig_dir)}
    folder = find_dataset(dataset, phone or next(iter(truths)).split("/")[0])
    manifest = read_manifest(folder)
    rows = read_captures(folder)
    unknown = [row.phone_file for row in rows if row.phone_file not in truths]
    if unknown:
        raise InputError(
            f"{folder}: capture {unknown[0]} is not part of the rig {rig_dir}; pass its own rig with --rig"
        )
    patches = {row.capture_id: found for row, found in _stored_patches(folder, manifest, rows)}
    matched = [row for row in rows if truths[row.phone_file].dslr_file == row.dslr_file]
    own = {row.capture_id for row in matched}
    stride = int(manifest.settings.get("patches", {}).get("stride", 0)) or manifest.patch_size
    calls = [
        (truths[row.phone_file], rig_dir, patches.get(row.capture_id, CapturePatches()), stride, manifest.patch_size)
        for row in matched
    ]
    results = run_parallel(score_capture, calls, jobs)
    scores = list(progress(results, total=len(calls), label="scoring", unit="capture"))
    foreign = [len(found.error_px) for capture_id, found in patches.items() if capture_id not in own]
    return combine(scores, mismatched=len(rows) - len(matched), mismatched_patches=sum(foreign))


def _stored_patches(
    folder: Path, manifest: Manifest, rows: list[CaptureRow]
) -> Iterator[tuple[CaptureRow, CapturePatches]]:
    """Yield the patches of every capture that is stored in a shard."""
    by_id = {row.capture_id: row for row in rows}
    for split in SPLITS:
        store = PatchStore(folder, split)
        for entry in store.shards:
            with store.opened(entry) as file:
                capture, window_capture = file["capture"][:], file["window_capture"][:]
                columns = {name: file[name][:] for name in ("phone_xy", "dslr_xy", "error_px", "window_xy")}
                names = [str(name) for name in file["captures"].asstr()[:]]
            if not np.isfinite(columns["dslr_xy"]).all():
                raise InputError(f"{folder / entry.file}: patches without geometry (imported ones) cannot be scored")
            if unknown := sorted({*names} - by_id.keys()):
                raise InputError(
                    f"{folder / entry.file}: capture {shown(unknown[0])} has no row; build the dataset again"
                )
            for i, name in enumerate(names):
                own = capture == i
                corners = columns["window_xy"][window_capture == i]
                origin = (int(corners[0, 0]), int(corners[0, 1])) if len(corners) else None
                yield (
                    by_id[name],
                    CapturePatches(
                        columns["phone_xy"][own].astype(np.float64),
                        columns["dslr_xy"][own],
                        columns["error_px"][own].astype(np.float64),
                        origin,
                    ),
                )


def score_capture(truth: Truth, rig_dir: Path, patches: CapturePatches, stride: int, size: int) -> CaptureScore:
    """Measure the patches of one capture and count the windows of its grid."""
    photos = [read_photo(rig_dir / CAPTURES_FOLDER / file) for file in (truth.phone_file, truth.dslr_file)]
    windows = measure_windows(truth.geometry, photos[0], photos[1], patches.origin_xy, stride, size)
    phone_nodes = patches.phone_xy[:, None] + node_grid(size).reshape(-1, 2)
    errors = patch_errors(truth.geometry, phone_nodes, patches.dslr_xy.reshape(-1, NODES * NODES, 2))
    return CaptureScore(
        errors.rms_px,
        errors.worst_px,
        errors.one_surface,
        patches.error_px,
        overlap_windows=len(windows.xy),
        oracle_windows=int(windows.oracle.sum()),
    )


def combine(scores: list[CaptureScore], *, mismatched: int = 0, mismatched_patches: int = 0) -> Score:
    """Add up the captures of a dataset."""
    rms = _joined([s.rms_px for s in scores])
    predicted = _joined([s.predicted_px for s in scores])
    useful = int((rms <= USEFUL_PX).sum())
    overlap, oracle = sum(s.overlap_windows for s in scores), sum(s.oracle_windows for s in scores)
    quantiles = np.quantile(rms, [0.5, 0.95, 0.99, 1.0]).tolist() if len(rms) else [None] * 4
    within = [float((rms <= limit).mean()) if len(rms) else None for limit in (0.5, 1.0, 5.0)]
    return Score(
        captures=len(scores),
        captures_kept=sum(len(s.rms_px) > 0 for s in scores),
        captures_mismatched=mismatched,
        kept=len(rms),
        useful=useful,
        overlap_windows=overlap,
        oracle_windows=oracle,
        useful_yield=useful / oracle if oracle else None,
        kept_share=len(rms) / overlap if overlap else None,
        median_px=quantiles[0],
        p95_px=quantiles[1],
        p99_px=quantiles[2],
        max_px=quantiles[3],
        worst_node_px=max((float(s.worst_px.max()) for s in scores if len(s.worst_px)), default=None),
        within_half=within[0],
        within_1=within[1],
        within_5=within[2],
        false_accepts=int((rms > FALSE_ACCEPT_PX).sum()) + mismatched_patches,
        straddling=int(sum((~s.one_surface).sum() for s in scores)),
        calibration=_calibration(rms, predicted),
    )


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _calibration(rms: NDArray[np.float64], predicted: NDArray[np.float64]) -> tuple[CalibrationBin, ...]:
    """Group the patches by predicted error into five groups of equal size; none if predictions are missing."""
    if len(predicted) < CALIBRATION_BINS or len(predicted) != len(rms):
        return ()
    order = np.argsort(predicted, kind="stable")
    return tuple(
        CalibrationBin(
            least_px=float(predicted[group[0]]),
            most_px=float(predicted[group[-1]]),
            patches=len(group),
            predicted_rms_px=float(np.sqrt((predicted[group] ** 2).mean())),
            true_rms_px=float(np.sqrt((rms[group] ** 2).mean())),
        )
        for group in np.array_split(order, CALIBRATION_BINS)
    )


def score_table(score: Score) -> str:
    """Return the score as text for a terminal."""
    lines = [
        f"captures          {score.captures_kept} of {score.captures} with patches"
        + (f", {score.captures_mismatched} mismatched" if score.captures_mismatched else ""),
        f"patches           {score.kept}, {_percent(score.kept_share)} of the {score.overlap_windows} windows "
        "inside both photos",
        f"within 1 px       {score.useful}, {_percent(score.useful_yield)} of the {score.oracle_windows} "
        "an exact map would keep",
        f"error, phone px   median {_px(score.median_px)}, 95 % {_px(score.p95_px)}, 99 % {_px(score.p99_px)}, "
        f"worst {_px(score.max_px)}",
        f"share within      0.5 px {_percent(score.within_half)}, 1 px {_percent(score.within_1)}, "
        f"5 px {_percent(score.within_5)}",
        f"false accepts     {score.false_accepts} (error above {FALSE_ACCEPT_PX:g} px, or a mismatched capture)",
        f"straddling        {score.straddling} patches show more than one surface",
    ]
    if score.calibration:
        lines.append("predicted error   least to most   patches  predicted RMS  true RMS  true/predicted")
        lines += [_calibration_line(b) for b in score.calibration]
    return "\n".join(lines)


def _calibration_line(b: CalibrationBin) -> str:
    ratio = b.true_rms_px / b.predicted_rms_px if b.predicted_rms_px > 0 else float("inf")
    return (
        f"                  {b.least_px:.3f} to {b.most_px:.3f} {b.patches:9d} {b.predicted_rms_px:14.3f} "
        f"{b.true_rms_px:9.3f} {ratio:15.2f}"
    )


def _px(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"

"""Measure an enhancer, photos enhanced elsewhere, or untouched phone patches against the DSLR patches of a split."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.errors import UsageError
from dped_data.files import atomic_path, atomic_write_text
from dped_data.photos import write_photo
from dped_data.progress import progress
from dped_data.records import Split
from dped_data.shards import PatchStore
from dped_train.bootstrap import CONFIDENCE, Figure, bootstrap
from dped_train.data import dataset_folder, open_pairs
from dped_train.distributed import chosen_device
from dped_train.enhancer_file import load_enhancer
from dped_train.external_photos import ExternalPhotos
from dped_train.metrics import ms_ssim, psnr, ssim
from dped_train.photo_tensors import bytes_from_photos, photos_from_bytes
from dped_train.pictures import comparison_sheet

AT_ONCE = 20
METRICS = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}
LARGEST_PSNR = 100.0  # dB; ours: patches without any difference would make every mean infinite
WORST_ROWS = 8

Patches = NDArray[np.uint8]
Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class MetricReport:
    """One metric: over all patches, over captures (each counting once), of the untouched phone, and the gain on it."""

    metric: str
    patches: Figure
    captures: Figure
    phone: Figure
    gain: Figure


@dataclass(frozen=True)
class EvaluationReport:
    """What `evaluate` finds.

    Attributes:
        subject: the model's file, the folder of photos, or "untouched phone".
        dataset, split: what it was measured on; `patches` and `captures` count what is in it.
        metrics: PSNR in dB, SSIM (scikit-image's) and MS-SSIM (the authors'), of 8-bit patches.
        worst: the patches with the lowest PSNR, worst first.
    """

    subject: str
    dataset: Path
    split: str
    patches: int
    captures: int
    metrics: tuple[MetricReport, ...]
    worst: tuple[str, ...]


def evaluate(
    data: Path,
    phone: str | None,
    *,
    model: Path | None = None,
    external: Path | None = None,
    split: Split = "test",
    csv_file: Path | None = None,
    picture: Path | None = None,
    device: str = "auto",
) -> EvaluationReport:
    """Compare enhanced phone patches with their DSLR patches.

    Args:
        data, phone: folder of datasets, and which of them; None where there is only one.
        model: an enhancer to run on the phone patches.
        external: instead, a folder of whole phone photos enhanced elsewhere, of unchanged size, named like the
            captures (suffix aside); the patches are cut from them. Neither: the phone patches as they are.
        csv_file: where to write a row for each patch; rows for each capture go beside it, into *-captures.csv.
        picture: where to write the worst patches, phone | enhanced | DSLR.
    Raises:
        InputError: no such dataset, split, model or photo. UsageError: both a model and a folder.
    """
    if model is not None and external is not None:
        raise UsageError("--model and --external exclude each other; give one of them, or --identity")
    store = open_pairs(dataset_folder(data, phone), split)
    enhance = _enhancer(store, model, external, chosen_device(device))
    captures = np.array(store.capture_ids())
    ours, untouched = _score(store, enhance)
    worst = np.argsort(ours["psnr"], kind="stable")[:WORST_ROWS]
    if csv_file is not None:
        _write_tables(csv_file, store, captures, ours, untouched)
    if picture is not None:
        phone_patches, dslr = store.read(worst)
        with atomic_path(picture) as temporary:
            write_photo(temporary, comparison_sheet([phone_patches, enhance(worst, phone_patches), dslr], scale=2))
    return EvaluationReport(
        subject=str(model or external or "untouched phone"),
        dataset=store.folder,
        split=split,
        patches=len(store),
        captures=len(np.unique(captures)),
        metrics=_summary(captures, ours, untouched),
        worst=tuple(store.patch_id(int(index)) for index in worst),
    )


def evaluation_text(report: EvaluationReport) -> str:
    """The report as a table for people."""
    lines = [
        f"{report.subject} on {report.split} of {report.dataset}: {report.patches} patches, {report.captures} captures",
        f"{'':8} {'per patch':>26} {'per capture':>26} {'untouched phone':>26} {'gain per patch':>26}",
    ]
    for row in report.metrics:
        digits = 2 if row.metric == "psnr" else 4
        cells = [
            f"{f.mean:.{digits}f} [{f.low:.{digits}f}, {f.high:.{digits}f}]"
            for f in (row.patches, row.captures, row.phone, row.gain)
        ]
        lines.append(f"{row.metric:8} " + " ".join(f"{cell:>26}" for cell in cells))
    lines.append(f"[…] holds the mean with {CONFIDENCE:.0%} confidence (captures resampled); psnr in dB")
    return "\n".join([*lines, "worst patches:", *(f"  {name}" for name in report.worst)])


def _enhancer(
    store: PatchStore, model: Path | None, external: Path | None, device: torch.device
) -> Callable[[NDArray[np.int64], Patches], Patches]:
    """Return the function that gives the enhanced patches for rows of the store and their phone patches."""
    if model is not None:
        network = load_enhancer(model, device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def enhance(rows: NDArray[np.int64], phone: Patches) -> Patches:
            with torch.no_grad():
                return bytes_from_photos(network(photos_from_bytes(phone, device)))

        return enhance
    if external is not None:
        cuts = ExternalPhotos(external, store)
        return lambda rows, phone: cuts.patches(rows)
    return lambda rows, phone: phone


def _score(store: PatchStore, enhance: Callable[[NDArray[np.int64], Patches], Patches]) -> tuple[Scores, Scores]:
    """The metrics of the enhanced and of the untouched patches, (len(store),) each."""
    ours, untouched = ({name: np.empty(len(store)) for name in METRICS} for _ in range(2))
    starts = range(0, len(store), AT_ONCE)
    for start in progress(starts, total=len(starts), label="evaluate", unit="batch"):
        rows = np.arange(start, min(start + AT_ONCE, len(store)))
        phone, dslr = store.read(rows)
        truth = photos_from_bytes(dslr, torch.device("cpu"))
        for scores, photos in ((ours, enhance(rows, phone)), (untouched, phone)):
            made = photos_from_bytes(photos, torch.device("cpu"))
            for name, metric in METRICS.items():
                scores[name][rows] = metric(made, truth).clamp(max=LARGEST_PSNR).numpy()
    return ours, untouched


def _summary(captures: NDArray[np.str_], ours: Scores, untouched: Scores) -> tuple[MetricReport, ...]:
    _, group = np.unique(captures, return_inverse=True)
    return tuple(
        MetricReport(
            metric=name,
            patches=bootstrap(ours[name], group),
            captures=bootstrap(ours[name], group, equal=True),
            phone=bootstrap(untouched[name], group),
            gain=bootstrap(ours[name] - untouched[name], group),
        )
        for name in METRICS
    )


def _write_tables(path: Path, store: PatchStore, captures: NDArray[np.str_], ours: Scores, untouched: Scores) -> None:
    columns = {**ours, **{f"phone_{name}": values for name, values in untouched.items()}}
    corners_xy = store.column("phone_xy")
    patches = [
        {"capture_id": capture, "x": x, "y": y, **{name: f"{values[row]:.6g}" for name, values in columns.items()}}
        for row, (capture, (x, y)) in enumerate(zip(captures, corners_xy, strict=True))
    ]
    names, group = np.unique(captures, return_inverse=True)
    counts = np.bincount(group)
    means = {name: np.bincount(group, values) / counts for name, values in columns.items()}
    by_capture = [
        {"capture_id": capture, "patches": counts[row], **{name: f"{m[row]:.6g}" for name, m in means.items()}}
        for row, capture in enumerate(names)
    ]
    _write_csv(path, patches)
    _write_csv(path.with_name(f"{path.stem}-captures.csv"), by_capture)


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(path, text.getvalue())

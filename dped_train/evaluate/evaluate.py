"""Measure an enhancer, photos enhanced elsewhere, or untouched phone patches against the DSLR patches of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dped_data.captures.records import Split
from dped_data.common.csv_tables import Formatted, csv_text
from dped_data.common.files import atomic_write_text
from dped_data.common.ownership import check_free
from dped_data.common.progress import progress
from dped_data.common.spread_rows import spread_rows
from dped_data.common.terminal_lines import wrapped
from dped_data.dataset.manifest import find_dataset
from dped_data.dataset.store import PatchStore
from dped_data.errors import UsageError
from dped_data.photos.writing import write_photo
from dped_train.data import Mosaics, open_pairs
from dped_train.devices import choose_products, chosen_device
from dped_train.evaluate.automatic_levels import AdjustedPatches
from dped_train.evaluate.bootstrap import CONFIDENCE, Figure, bootstrap, bootstrap_pooled_psnr, figure_lines
from dped_train.evaluate.comparison_sheet import phone_enhanced_dslr
from dped_train.evaluate.external_photos import ExternalPhotos
from dped_train.evaluate.limitations import LimitationReport, limitation_columns, limitation_reports, limitations_text
from dped_train.evaluate.lpips import load_lpips
from dped_train.evaluate.metrics import ms_ssim, psnr, psnr_y, ssim, ssim_gaussian, ssim_y
from dped_train.networks.file import MODEL_NAME, load_enhancer, sees_mosaics
from dped_train.photo_tensors import bytes_from_photos, photos_from_bytes

Metric = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Two (N, 3, H, W) batches in [0, 1], and which of their pixels count (N, H, W), to (N,)."""

AT_ONCE = 20
METRICS: dict[str, Metric] = {
    "psnr": psnr,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "ssim_gaussian": ssim_gaussian,
    "psnr_y": psnr_y,
    "ssim_y": ssim_y,
}
POOLED = "psnr_pooled"
"""The PSNR of the mean of all patches' squared errors; all others are means over patches."""
DEFINITIONS = (
    "psnr: mean over patches; psnr_pooled: of the patches' mean error; ssim: windows of 7x7 (scikit-image); ms_ssim: "
    "the authors' code; ssim_gaussian: windows of 11x11 (BasicSR); _y: of the luma alone; the paper names none"
)
LARGEST_PSNR = 100.0  # dB; ours: patches without any difference would make every mean infinite
WORST_ROWS = 8
BASELINE = "automatic global adjustment"

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
        subject: the model's file, the folder of photos, "automatic global adjustment" or "untouched phone".
        dataset, split: what it was measured on; `patches` and `captures` count what is in it.
        metrics: PSNR in dB, SSIM (scikit-image's), MS-SSIM (the authors'), SSIM with a Gaussian window, PSNR and that
            SSIM of the luma (all three as the BasicSR family has them), where asked for LPIPS (lower is better), pooled
            PSNR; of 8-bit patches.
        limitations: section 4.4's, see `dped_train.evaluate.limitations`.
        worst: the patches with the lowest PSNR, worst first.
    """

    subject: str
    dataset: Path
    split: str
    patches: int
    captures: int
    metrics: tuple[MetricReport, ...]
    limitations: tuple[LimitationReport, ...]
    worst: tuple[str, ...]


def evaluate(
    data: Path,
    phone: str | None,
    *,
    model: Path | None = None,
    external: Path | None = None,
    baseline: bool = False,
    split: Split = "test",
    most_patches: int = 0,
    lpips: Path | None = None,
    vgg: Path | None = None,
    csv_file: Path | None = None,
    picture: Path | None = None,
    device: str = "auto",
    called: str | None = None,
) -> EvaluationReport:
    """Compare enhanced phone patches with their DSLR patches.

    Args:
        data, phone: folder of datasets, and which of them; None where there is only one.
        model: an enhancer to run on the phone patches.
        external: instead, a folder of whole phone photos enhanced elsewhere, of unchanged size, named like the
            captures (suffix aside); the patches are cut from them.
        baseline: instead, the automatic adjustment of `evaluate.automatic_levels`. None of the three: the phone
            patches as they are.
        most_patches: measure only so many, spread evenly over the split; 0: all.
        lpips, vgg: weights of LPIPS and of its VGG-16, see `load_lpips`; without the first it is not measured.
        csv_file: where to write a row for each patch; rows for each capture go beside it, into *-captures.csv.
        picture: where to write the worst patches, phone | enhanced | DSLR.
        called: what the progress bar calls it; None: as its file or run.
    Raises:
        InputError: no such dataset, split, model or photo. UsageError: more than one of the three. ForeignFileError:
            somebody else's file is where one is to be written.
    """
    if (model is not None) + (external is not None) + baseline > 1:
        raise UsageError("--model, --external and --baseline exclude each other; give one of them, or --identity")
    outputs = [path for path in (csv_file, csv_file and _table_of_captures(csv_file), picture) if path]
    for path in outputs:
        check_free(path)
    store = open_pairs(find_dataset(data, phone), split)
    enhance = AdjustedPatches(store).patches if baseline else _enhancer(store, model, external, chosen_device(device))
    rows = spread_rows(len(store), most_patches)
    captures = np.array(store.capture_ids())[rows]
    metrics = METRICS | ({"lpips": load_lpips(lpips, vgg)} if lpips is not None else {})
    ours, untouched, flaws = _score(store, rows, enhance, metrics, called or _name(model, external, baseline))
    worst = rows[np.argsort(ours["psnr"], kind="stable")[:WORST_ROWS]]
    if csv_file is not None:
        _write_tables(csv_file, store.column("phone_xy")[rows], captures, ours, untouched, flaws)
    if picture is not None:
        phone_patches, dslr = store.read(worst)
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_photo(picture, phone_enhanced_dslr(phone_patches, enhance(worst, phone_patches), dslr, scale=2))
    return EvaluationReport(
        subject=BASELINE if baseline else str(model or external or "untouched phone"),
        dataset=store.folder,
        split=split,
        patches=len(rows),
        captures=len(np.unique(captures)),
        metrics=_summary(captures, ours, untouched),
        limitations=limitation_reports(flaws, np.unique(captures, return_inverse=True)[1]),
        worst=tuple(store.patch_id(int(index)) for index in worst),
    )


def evaluation_text(report: EvaluationReport) -> str:
    """The report as a table for people."""
    lines = [
        f"{report.subject} on {report.split} of {report.dataset}: {report.patches} patches, {report.captures} captures",
        f"{'':12}{'per patch':>17}{'per capture':>17}{'untouched phone':>17}{'gain per patch':>17}",
    ]
    for row in report.metrics:
        digits = 2 if row.metric.startswith("psnr") else 4
        lines += figure_lines(row.metric, (row.patches, row.captures, row.phone, row.gain), [digits] * 4, 12, [17] * 4)
    less = ", lpips: less is closer" * ("lpips" in {row.metric for row in report.metrics})
    lines += wrapped(f"[…] holds the mean with {CONFIDENCE:.0%} confidence (captures resampled); psnr in dB{less}")
    lines += wrapped(DEFINITIONS)
    return "\n".join(
        [*lines, *limitations_text(report.limitations), "worst patches:", *(f"  {name}" for name in report.worst)]
    )


def _enhancer(
    store: PatchStore, model: Path | None, external: Path | None, device: torch.device
) -> Callable[[NDArray[np.int64], Patches], Patches]:
    """Return the function that gives the enhanced patches for rows of the store and their phone patches."""
    if model is not None:
        choose_products("fp32")
        network = load_enhancer(model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        mosaics = Mosaics(store) if sees_mosaics(network) else None

        def enhance(rows: NDArray[np.int64], phone: Patches) -> Patches:
            with torch.no_grad():
                seen = phone if mosaics is None else mosaics.read(rows)
                return bytes_from_photos(network(photos_from_bytes(seen, device)))

        return enhance
    if external is not None:
        cuts = ExternalPhotos(external, store)
        return lambda rows, phone: cuts.patches(rows)
    return lambda rows, phone: phone


def _name(model: Path | None, external: Path | None, baseline: bool) -> str:
    """What is evaluated, in a word: the run's folder, the file, or the folder of photos."""
    if model is not None:
        return model.resolve().parent.name if model.name.endswith(MODEL_NAME) else model.stem
    return external.name if external is not None else "adjustment" if baseline else "phone"


def _score(
    store: PatchStore,
    rows: NDArray[np.int64],
    enhance: Callable[[NDArray[np.int64], Patches], Patches],
    metrics: Mapping[str, Metric],
    called: str,
) -> tuple[Scores, Scores, Scores]:
    """The metrics of the enhanced and of the untouched patches, and the limitations, (len(rows),) each."""
    flaws: list[Scores] = []
    ours, untouched = ({name: np.empty(len(rows)) for name in metrics} for _ in range(2))
    starts = range(0, len(rows), AT_ONCE)
    for start in progress(starts, total=len(starts), label=f"evaluate {called}", unit="batch"):
        places = slice(start, start + AT_ONCE)
        phone, dslr = store.read(rows[places])
        truth = photos_from_bytes(dslr, torch.device("cpu"))
        enhanced = enhance(rows[places], phone)
        mask = store.read_valid(rows[places]) if store.masked else None
        valid = None if mask is None else torch.from_numpy(mask)
        flaws.append(limitation_columns(enhanced, phone, dslr, mask))
        for scores, photos in ((ours, enhanced), (untouched, phone)):
            made = photos_from_bytes(photos, torch.device("cpu"))
            for name, metric in metrics.items():
                scores[name][places] = metric(made, truth, valid).clamp(max=LARGEST_PSNR).numpy()
    return ours, untouched, {name: np.concatenate([part[name] for part in flaws]) for name in flaws[0]}


def _summary(captures: NDArray[np.str_], ours: Scores, untouched: Scores) -> tuple[MetricReport, ...]:
    _, group = np.unique(captures, return_inverse=True)
    means = tuple(
        MetricReport(
            metric=name,
            patches=bootstrap(ours[name], group),
            captures=bootstrap(ours[name], group, equal=True),
            phone=bootstrap(untouched[name], group),
            gain=bootstrap(ours[name] - untouched[name], group),
        )
        for name in ours
    )
    mine, its = (10 ** (-scores["psnr"] / 10) for scores in (ours, untouched))
    pooled = MetricReport(
        metric=POOLED,
        patches=bootstrap_pooled_psnr(mine, group),
        captures=bootstrap_pooled_psnr(mine, group, equal=True),
        phone=bootstrap_pooled_psnr(its, group),
        gain=bootstrap_pooled_psnr(mine, group, against=its),
    )
    return (*means, pooled)


def _write_tables(
    path: Path,
    corners_xy: NDArray[np.int32],
    captures: NDArray[np.str_],
    ours: Scores,
    untouched: Scores,
    flaws: Scores,
) -> None:
    columns = {**ours, **{f"phone_{name}": values for name, values in untouched.items()}, **flaws}
    patches = [
        {
            "capture_id": str(capture),
            "x": int(x),
            "y": int(y),
            **{name: _cell(values[row]) for name, values in columns.items()},
        }
        for row, (capture, (x, y)) in enumerate(zip(captures, corners_xy, strict=True))
    ]
    names, group = np.unique(captures, return_inverse=True)
    counts = np.bincount(group)
    means = {name: _means(values, group) for name, values in columns.items()}
    by_capture = [
        {"capture_id": str(capture), "patches": int(counts[row]), **{name: _cell(m[row]) for name, m in means.items()}}
        for row, capture in enumerate(names)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(path, patches)
    _write_csv(_table_of_captures(path), by_capture)


def _table_of_captures(path: Path) -> Path:
    return path.with_name(f"{path.stem}-captures.csv")


def _means(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of each group's values that are known; NaN where none is."""
    known = np.isfinite(values)
    sums, counts = (np.bincount(group[known], w, group.max() + 1) for w in (values[known], None))
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def _cell(value: float) -> Formatted:
    return Formatted(f"{value:.6g}" if np.isfinite(value) else "")


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    atomic_write_text(path, csv_text([*rows[0]], ([*row.values()] for row in rows)))

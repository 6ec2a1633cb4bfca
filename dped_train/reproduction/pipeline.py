"""The order of a reproduction: `dped reproduce methods | ablation | shift-loss | figures | all`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from dped_data.captures.records import Split
from dped_data.common.files import atomic_write_text, written_state
from dped_data.common.folder_lock import held
from dped_data.common.progress import note
from dped_data.common.spread_rows import spread_rows
from dped_data.common.written_record import Written
from dped_data.dataset.manifest import find_dataset
from dped_train.data import open_pairs
from dped_train.reproduction.cached_result import is_kept_result, kept
from dped_train.reproduction.candidates import Candidate, added_row, methods, without_content
from dped_train.reproduction.candidates import losses as losses_of_table_3
from dped_train.reproduction.expected import WORTH_TIMING, expected_text, expected_trainings
from dped_train.reproduction.figures import figures
from dped_train.reproduction.measure import Bench, dataset_facts
from dped_train.reproduction.report import PageFacts, page
from dped_train.reproduction.settings import ReproduceSettings
from dped_train.reproduction.shift_loss import (
    ShiftLosses,
    shift_losses,
    shift_text,
    write_shift_csv,
    write_shift_plot,
)
from dped_train.reproduction.tables import Table, possible, table_2, table_3, table_text, write_table

What = Literal["methods", "ablation", "shift-loss", "figures", "all"]
_NAMES = (
    *("results/", "runs/", "figures/", "figure-06.csv", "figure-06.svg", "report.html"),
    *(f"{what}.html" for what in ("methods", "ablation", "shift-loss", "figures")),
    *("figures/figure-*.png", "figures/scene-*.jpg"),
    *(f"table-{number}.{kind}" for number in (2, 3) for kind in ("csv", "tex")),
)
_RESULTS = ("results/*.json", "runs/*/done.json", "figures/figures.json")
"""What is made anew where it is not as it was written; then it is kept beside."""
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class ReproductionReport:
    """What a reproduction found.

    Attributes:
        folder: of everything it wrote. page: the report, one HTML file that needs no other.
        methods, ablation: tables 2 and 3; None where they were not asked for.
        shift_loss: figure 6; the same.
        pictures: the other figures' files.
        seconds: what this call took; what an earlier one had done is not in it.
    """

    folder: Path
    page: Path
    methods: Table | None
    ablation: Table | None
    shift_loss: ShiftLosses | None
    pictures: tuple[Path, ...]
    seconds: float


def reproduce(
    what: What,
    data: Path,
    phone: str | None,
    out: Path,
    settings: ReproduceSettings,
    rows: Sequence[str] = (),
) -> ReproductionReport:
    """Repeat the paper's experiments on a dataset; results go below OUT/<phone>.

    A step that an earlier call has done with the same settings and data is not done again; a training that was
    interrupted goes on from its newest checkpoint.

    Args:
        what: one part, or all.
        data, phone: folder of datasets, and which of them; None where there is only one.
        out: folder of reproductions.
        settings: the budget.
        rows: further rows of table 2, NAME=FILE (a model) or NAME=DIR (enhanced photos, as in `dped evaluate`).
    Raises:
        InputError: no usable dataset, VGG file or row; a run of other settings in the same folder.
        UsageError: a row that is neither; settings that do not fit the dataset.
    """
    start = perf_counter()
    dataset = find_dataset(data, phone)
    bench = Bench(dataset, out / dataset.name, settings)
    bench.test()
    added = tuple(added_row(row) for row in rows)
    with held(bench.out, "reproduce", _NAMES, tables=_RESULTS, adopt=_files_of_the_version_before):
        _say_how_long(what, bench, added)
        losses = _shift_losses(bench) if what in ("shift-loss", "all") else None
        second = table_2(bench, added) if what in ("methods", "figures", "all") else None
        third = table_3(bench) if what in ("ablation", "all") else None
        drawn = None
        if second is not None and what in ("figures", "all"):
            known = {c.name: c for c in (*methods(settings, added), without_content(settings))}
            drawn = figures(bench, [(known[row.name], row) for row in second.rows], (third or second).rows)
        for table in (second, third):
            if table is not None:
                write_table(table, bench.out)
        place = bench.out / ("report.html" if what == "all" else f"{what}.html")
        facts = PageFacts(
            what=what, bench=bench, manifest=bench.test().manifest, rows=tuple(rows), seconds=perf_counter() - start
        )
        atomic_write_text(place, page(facts, second, third, losses, drawn))
    return ReproductionReport(
        folder=bench.out,
        page=place,
        methods=second,
        ablation=third,
        shift_loss=losses,
        pictures=drawn.files() if drawn else (),
        seconds=perf_counter() - start,
    )


def _say_how_long(what: What, bench: Bench, added: tuple[Candidate, ...]) -> None:
    """Tell the person what the trainings will take, before the first of them begins."""
    settings = bench.settings
    if settings.steps < WORTH_TIMING:
        return
    asked = [*methods(settings, added)] if what in ("methods", "figures", "all") else []
    asked += losses_of_table_3(settings) if what in ("ablation", "all") else []
    if asked and (expected := expected_trainings(bench, possible(asked, settings)[0])):
        note(expected_text(expected))


def _files_of_the_version_before(out: Path) -> dict[Path, Written] | None:
    """The files of a reproduction that a version without a record made: results under keys prove it."""
    if not any(map(is_kept_result, out.glob("results/*.json"))):
        return None
    known = [path for name in (*_NAMES, *_RESULTS) if not name.endswith("/") for path in out.glob(name)]
    return {path: written_state(path) for path in known}


def reproduction_text(report: ReproductionReport) -> str:
    """The report for people at a terminal."""
    parts = [table_text(table) for table in (report.methods, report.ablation) if table is not None]
    if report.shift_loss is not None:
        parts.append(shift_text(report.shift_loss))
    parts.append(f"{report.page}: the report ({report.seconds:.0f} s)")
    return "\n\n".join(parts)


def _shift_losses(bench: Bench) -> ShiftLosses:
    """Figure 6 over DSLR patches of all splits; as CSV and SVG in the folder."""
    settings = bench.settings

    def make() -> ShiftLosses:
        stores = [open_pairs(bench.dataset, split) for split in SPLITS if _has_patches(bench, split)]
        total = sum(len(store) for store in stores)
        shares = [max(1, round(settings.shift_patches * len(store) / total)) for store in stores]
        photos = np.concatenate(
            [store.read(spread_rows(len(store), share))[1] for store, share in zip(stores, shares, strict=True)]
        )
        return shift_losses(photos, settings.largest_shift_px, settings.seed)

    chosen = [settings.shift_patches, settings.largest_shift_px, settings.seed]
    facts = {"dataset": dataset_facts(bench), "settings": chosen}
    losses = kept(bench.out / "results" / "figure-06.json", facts, make, ShiftLosses)
    write_shift_csv(bench.out / "figure-06.csv", losses)
    write_shift_plot(bench.out / "figure-06.svg", losses)
    return losses


def _has_patches(bench: Bench, split: Split) -> bool:
    return bench.test().manifest.splits[split].patches > 0

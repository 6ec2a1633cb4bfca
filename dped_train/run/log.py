"""What a training run writes for people: settings.json, metrics.csv, TensorBoard scalars and pictures."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from dped_data.common.csv_tables import read_table
from dped_data.common.files import atomic_write_text, written_state
from dped_data.common.foreign_files import read_limited
from dped_data.common.ownership import keep_changed, set_aside
from dped_data.common.typed_settings import settings_toml
from dped_data.common.written_record import note
from dped_data.errors import InputError
from dped_data.photos.writing import write_photo
from dped_train.losses import LOSSES, TOTAL
from dped_train.settings import TrainSettings

COLUMNS = (
    "step",
    *LOSSES,
    TOTAL,
    "gradient_norm",
    "discriminator",
    "accuracy",
    "seconds",
    "waited_s",
    "val_psnr",
    "val_ms_ssim",
    "learning_rate",
    "discriminator_rate",
    "mean_accuracy",
    "texture_share",
    "val_cast",
    "val_border",
)
"""Columns of metrics.csv. The losses are unweighted but for `total`; those of a validation are empty elsewhere. A run
of a version that had fewer goes on, its rows with empty cells for the new ones."""
TAGS = {
    **{name: f"loss/{name}" for name in (*LOSSES, TOTAL, "discriminator")},
    "seconds": "time/step_s",
    "waited_s": "time/waiting_for_data_s",
    "accuracy": "metric/discriminator_accuracy",
}
"""What TensorBoard calls a column; all others are metric/COLUMN."""
SETTINGS_NAME, CONFIG_NAME, METRICS_NAME = "settings.json", "config.toml", "metrics.csv"
PICTURES, TENSORBOARD = "pictures", "tensorboard"
TABLES = (SETTINGS_NAME, CONFIG_NAME, METRICS_NAME)
"""What is written anew when a run goes on; one that a person has changed is kept beside it."""

_CONFIG_TITLE = "What this run was asked for. Another one like it: dped train --config config.toml"
_STEP = re.compile(r"[0-9]{1,15}")
_MOST_BYTES, _MOST_SECONDS = 2**29, 1e9
"""Ours: of metrics.csv, some four million steps; of one step."""


class RunRecord:
    """The readable files of one run, continued after `step` when the run is resumed."""

    def __init__(self, folder: Path, step: int, facts: Mapping[str, Any], settings: TrainSettings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PICTURES).mkdir(exist_ok=True)
        keep_changed(folder / SETTINGS_NAME)
        atomic_write_text(folder / SETTINGS_NAME, json.dumps(facts, indent=1, sort_keys=True) + "\n")
        keep_changed(folder / CONFIG_NAME)
        atomic_write_text(folder / CONFIG_NAME, settings_toml(settings, _CONFIG_TITLE))
        self.folder = folder
        kept = _rows_until(folder / METRICS_NAME, step)
        if _has_notes(folder / METRICS_NAME):
            set_aside(folder / METRICS_NAME)
        keep_changed(folder / METRICS_NAME)
        atomic_write_text(folder / METRICS_NAME, "\n".join([",".join(COLUMNS), *kept]) + "\n", grows=True)
        self._file = (folder / METRICS_NAME).open("a", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        self._events = folder / TENSORBOARD
        self._earlier_events = {*self._events.glob("*")}
        self._tensorboard = SummaryWriter(str(self._events), purge_step=step + 1)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one row to metrics.csv and its figures to TensorBoard; `step` counts the steps done."""
        self._rows.writerow({"step": step, **{name: f"{value:.6g}" for name, value in figures.items()}})
        self._file.flush()
        for name, value in figures.items():
            self._tensorboard.add_scalar(TAGS.get(name, f"metric/{name}"), value, step)

    def add_picture(self, step: int, sheet: NDArray[np.uint8]) -> None:
        """Keep a validation picture (H, W, 3) as pictures/step-NNNNNNN.png and in TensorBoard."""
        path = self.folder / PICTURES / f"step-{step:07d}.png"
        write_photo(path, sheet)
        self._tensorboard.add_image("phone | enhanced | DSLR", sheet, step, dataformats="HWC")
        self._tensorboard.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still in memory."""
        self._file.close()
        self._tensorboard.close()
        for path in sorted({*self._events.iterdir()} - self._earlier_events):
            note(path, written_state(path))


def _rows_until(path: Path, step: int) -> list[str]:
    """The rows of an earlier metrics.csv up to `step`: what a killed run wrote beyond its checkpoint goes."""
    lines = _lines_of(path)
    columns = _columns(lines)
    rows = [row.strip().split(",") for row in lines[1:] if _is_row(row.strip(), len(columns))]
    cells = (dict(zip(columns, row, strict=True)) for row in rows if int(row[0]) <= step)
    return [",".join(by_name.get(name, "") for name in COLUMNS) for by_name in cells]


def _columns(lines: list[str]) -> tuple[str, ...]:
    """The columns of a table by its head, where they are some of ours, `step` first; all of ours otherwise."""
    head = tuple(lines[0].strip().split(",")) if lines else ()
    ours = head[:1] == COLUMNS[:1] and len({*head}) == len(head) and {*head} <= {*COLUMNS}
    return head if ours else COLUMNS


def _is_row(line: str, columns: int) -> bool:
    cells = line.split(",")
    return len(cells) == columns and _STEP.fullmatch(cells[0]) is not None


def _has_notes(path: Path) -> bool:
    """Whether metrics.csv has lines that are no rows; the last one, which a kill may have cut off, does not count."""
    lines = _lines_of(path)
    return any(not _is_row(line.strip(), len(_columns(lines))) for line in lines[1:] if line.endswith("\n"))


def _lines_of(path: Path) -> list[str]:
    return _text_of(path).splitlines(keepends=True) if path.exists() else []


def recorded_seconds(run: Path) -> float:
    """The time of all training steps of a run by its metrics.csv; InputError where it is missing or damaged."""
    path = run / METRICS_NAME
    try:
        return sum(_seconds(cells.get("seconds"), line) for line, cells in read_table(_text_of(path)).rows)
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); remove {run} to train again") from None


def _seconds(cell: str | None, line: int) -> float:
    value = float(cell or "nan")
    if not 0 <= value < _MOST_SECONDS:
        raise ValueError(f"line {line}: {value} seconds")
    return value


def _text_of(path: Path) -> str:
    try:
        return read_limited(path, _MOST_BYTES).decode("ascii")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); move it away, it is begun anew") from None

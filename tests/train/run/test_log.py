"""metrics.csv continues where the checkpoint stands, whatever a killed run left behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dped_data.photos.reading import read_photo
from dped_train.run.log import COLUMNS, RunRecord
from dped_train.settings import TrainSettings


def test_rows_beyond_the_checkpoint_and_torn_rows_go(tmp_path: Path) -> None:
    with RunRecord(tmp_path, 0, {"settings": {"seed": 1}}, TrainSettings()) as record:
        for step in (1, 2, 3, 4):
            record.add(step, {"total": step / 3, "seconds": 0.5})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,1,")
    with RunRecord(tmp_path, 2, {"settings": {"seed": 1}}, TrainSettings()) as record:
        record.add(3, {"total": 9.0, "val_psnr": 21.5})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    last = dict(zip(COLUMNS, lines[-1].split(","), strict=True))
    assert (last["total"], last["val_psnr"], last["seconds"]) == ("9", "21.5", "")
    assert json.loads((tmp_path / "settings.json").read_text()) == {"settings": {"seed": 1}}


def test_a_table_of_fewer_columns_goes_on(tmp_path: Path) -> None:
    before = [",".join(COLUMNS[:14]), f"1,{'0.5,' * 12}20", "2" + "," * 13, "a note"]
    (tmp_path / "metrics.csv").write_text("\n".join(before[:3]) + "\n")
    with RunRecord(tmp_path, 2, {}, TrainSettings()) as record:
        record.add(3, {"learning_rate": 0.25})
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert rows[1][:14] == before[1].split(",") and not any(rows[1][14:])
    assert dict(zip(COLUMNS, rows[3], strict=True))["learning_rate"] == "0.25"


def test_a_table_without_a_loss_in_the_middle_goes_on(tmp_path: Path) -> None:
    before = [name for name in COLUMNS if name not in ("tv", "val_border")]
    cells = {name: str(place) for place, name in enumerate(before, start=1)}
    (tmp_path / "metrics.csv").write_text(",".join(before) + "\n" + ",".join(cells.values()) + "\n")
    with RunRecord(tmp_path, 2, {}, TrainSettings()) as record:
        record.add(2, {"tv": 0.25})
    with (tmp_path / "metrics.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == cells | {"tv": "", "val_border": ""}
    assert (second["step"], second["tv"], second["mse"]) == ("2", "0.25", "")


def test_tensorboard_has_groups(tmp_path: Path) -> None:
    with RunRecord(tmp_path, 0, {}, TrainSettings()) as record:
        record.add(1, dict.fromkeys(COLUMNS[1:], 0.5))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags = events.Tags()["scalars"]
    assert len(tags) == len(COLUMNS) - 1 and {tag.partition("/")[0] for tag in tags} == {"loss", "metric", "time"}
    assert {"loss/total", "time/step_s", "metric/learning_rate", "metric/val_psnr"} <= {*tags}
    assert events.Scalars("loss/texture")[0].value == 0.5


def test_pictures_are_kept(tmp_path: Path) -> None:
    sheet = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    with RunRecord(tmp_path, 0, {}, TrainSettings()) as record:
        record.add_picture(40, sheet)
    np.testing.assert_array_equal(read_photo(tmp_path / "pictures" / "step-0000040.png"), sheet)
    assert list((tmp_path / "tensorboard").glob("events*"))

"""metrics.csv continues where the checkpoint stands, whatever a killed run left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dped_data.photos.reading import read_photo
from dped_train.run.log import COLUMNS, RunRecord


def test_rows_beyond_the_checkpoint_and_torn_rows_go(tmp_path: Path) -> None:
    with RunRecord(tmp_path, 0, {"settings": {"seed": 1}}) as record:
        for step in (1, 2, 3, 4):
            record.add(step, {"total": step / 3, "seconds": 0.5})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,1,")
    with RunRecord(tmp_path, 2, {"settings": {"seed": 1}}) as record:
        record.add(3, {"total": 9.0, "val_psnr": 21.5})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    last = dict(zip(COLUMNS, lines[-1].split(","), strict=True))
    assert (last["total"], last["val_psnr"], last["seconds"]) == ("9", "21.5", "")
    assert json.loads((tmp_path / "settings.json").read_text()) == {"settings": {"seed": 1}}


def test_pictures_are_kept(tmp_path: Path) -> None:
    sheet = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    with RunRecord(tmp_path, 0, {}) as record:
        record.add_picture(40, sheet)
    np.testing.assert_array_equal(read_photo(tmp_path / "pictures" / "step-0000040.png"), sheet)
    assert list((tmp_path / "tensorboard").glob("events*"))

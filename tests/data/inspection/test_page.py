"""The report's folder holds what the page needs, replaces an older report, and touches nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_dataset import PHONE, make_dataset

from dped_data.align.records import WINDOW_REASONS
from dped_data.common.work_folder import _host
from dped_data.inspection import page as page_module
from dped_data.inspection.capture_page import FILES, _worst_first
from dped_data.inspection.dataset_reader import open_dataset
from dped_data.inspection.page import write_page
from dped_data.inspection.pipeline import inspect_pairs
from dped_data.inspection.records import PatchSample
from dped_data.inspection.report_files import as_json


def script_data(path: Path) -> dict:  # type: ignore[type-arg]
    """The JSON inside a data file: the last argument of its one call."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def test_page_and_its_parts(tmp_path: Path) -> None:
    make_dataset(tmp_path / "dataset", count=3, rejected=1, photos=tmp_path / "captures")
    (tmp_path / "captures" / "canon" / "c001.png").write_bytes(b"damaged since")
    report = inspect_pairs(tmp_path / "dataset", PHONE, tmp_path / "report", captures=tmp_path / "captures", jobs=1)
    page = tmp_path / "report"
    html = (page / "index.html").read_text(encoding="utf-8")
    for part in ("assets/page.css", "assets/plot.umd.min.js", "data/report.js"):
        assert part in html
        assert (page / part).is_file()
    for asset in [line.split('"')[1] for line in html.splitlines() if line.startswith("<script src=")]:
        assert (page / asset).is_file()
    assert "http" not in html.replace("http-equiv", "")
    document = script_data(page / "data" / "report.js")
    assert document["photos"] == "../captures"
    assert [c["capture_id"] for c in document["captures"]] == [c.capture_id for c in report.captures]
    for capture in report.captures:
        folder = page / "pairs" / f"{capture.index:05d}"
        present = {path.name for path in folder.iterdir()}
        assert present == ({*FILES} if capture.status == "kept" else {"data.js"})
    data = script_data(page / "pairs" / "00000" / "data.js")
    assert len(data["windows"]) == 3 * 20
    assert data["size"] == [500, 400]
    assert data["region"][2:] == [500, 400]


def test_the_page_knows_every_reason_for_which_a_window_is_dropped() -> None:
    charts = (Path(page_module.__file__).parent / "assets" / "charts.js").read_text(encoding="utf-8")
    for table, value in (("REASONS", '"#'), ("MEANING", '"')):
        body = charts.split(f"const {table} = {{")[1].split("}")[0]
        assert re.findall(rf"(\w+): {value}", body) == list(WINDOW_REASONS)


def test_worst_are_those_that_match_nowhere_then_two_contents_then_the_shift() -> None:
    count = 5
    sample = PatchSample(
        position=np.arange(10, 10 + count),
        phone_xy=np.zeros((count, 2), np.int32),
        error_px=np.zeros(count, np.float32),
        before_px=np.zeros((count, 2), np.float32),
        shift_px=np.array([[0.1, 0], [3, 0], [0, 0.2], [0.3, 0], [9, 0]], np.float32),
        deviation_px=np.full(count, 0.01, np.float32),
        correlation=np.array([0.9, 0.9, 0.9, 0.2, 0.9], np.float32),
        measured=np.array([True, True, True, True, False]),
        matched=np.array([True, True, True, False, True]),
        contrast=np.full(count, 20, np.float32),
        looked=np.ones(count, bool),
        told=np.ones(count, bool),
        foreign=np.array([0, 0, 2, 0, 0], np.int32),
        scale=np.zeros(count, np.float32),
        sharpness=np.ones(count, np.float32),
    )
    assert _worst_first(sample).tolist() == [13, 12, 11, 10, 14]


def test_second_report_replaces_the_first_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "report"
    inspect_pairs(make_dataset(tmp_path / "many", count=3), PHONE, out, jobs=1)
    (out / "review.csv").write_text("time,capture_id,verdict,note\n")
    (out / "pairs" / "00002" / "mine.txt").write_text("not the report's")
    inspect_pairs(make_dataset(tmp_path / "few", count=1), PHONE, out, jobs=1)
    assert sorted(path.name for path in (out / "pairs").iterdir()) == ["00000", "00002"]
    assert [path.name for path in (out / "pairs" / "00002").iterdir()] == ["mine.txt"]
    assert (out / "review.csv").exists()


def test_what_killed_writers_left_is_removed_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "report"
    dataset = make_dataset(tmp_path / "dataset", count=1)
    inspect_pairs(dataset, PHONE, out, jobs=1)
    half = out / f".dped/tmp/{_host()}-{ended_process()}-00000000-3.js"
    mine = [out / ".tmp-7-mine.html", out / "assets/mine.js", out / "assets/.tmp-8-core.js"]
    for path in (half, *mine):
        path.write_text("half")
    inspect_pairs(dataset, PHONE, out, jobs=1)
    assert not half.exists() and all(path.read_text() == "half" for path in mine)


def ended_process() -> int:
    """The number of a process that has just ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_report_that_is_broken_off_leaves_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report"
    dataset = make_dataset(tmp_path / "dataset", count=1)
    inspect_pairs(dataset, PHONE, out, jobs=1)

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dped_data.inspection.pipeline.summarise", break_off)
    with pytest.raises(KeyboardInterrupt):
        inspect_pairs(dataset, PHONE, out, jobs=1)
    assert not (out / "index.html").exists()


def test_names_from_photos_cannot_become_markup(tmp_path: Path) -> None:
    """Capture ids are file names, which may hold anything; the page gets them as JSON and never as HTML."""
    folder = make_dataset(tmp_path / "dataset", count=1)
    report = inspect_pairs(folder, PHONE, tmp_path / "report", jobs=1)
    name = "</script><img src=x onerror=alert(1)>"
    hostile = replace(report, captures=(replace(report.captures[0], capture_id=name),))
    page = write_page(tmp_path / "hostile", as_json(hostile), open_dataset(folder / PHONE, None))
    assert name not in page.read_text(encoding="utf-8")
    assert script_data(page.parent / "data" / "report.js")["captures"][0]["capture_id"] == name

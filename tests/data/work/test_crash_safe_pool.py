"""Workers die and the run goes on: what they did is done again, what kills them twice is set aside."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from deadly_work import (
    DEADLY,
    HUNGRY,
    STUCK,
    die_before_the_second_try,
    die_between_captures,
    refused_between_captures,
    work,
)
from small_rig import write_rig

import dped_data.build
from dped_data import build_dataset
from dped_data.build import BuildReport
from dped_data.common.work_folder import make_work_folder
from dped_data.dataset.capture_table import read_captures
from dped_data.dataset.places import WORK_FOLDER, all_shards, crash_log_name
from dped_data.errors import InputError
from dped_data.settings import load_build_settings
from dped_data.work.crash_log import UnitWatch, read_watch
from dped_data.work.crash_safe_pool import run_units


def run(folder: Path, units: dict[str, tuple[str, ...]], jobs: int, limit_s: float = 0) -> dict[str, str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    make_work_folder(folder / WORK_FOLDER, whole_folder=True)
    calls = {key: (folder, key, captures, limit_s) for key, captures in units.items()}
    done = dict(run_units(work, calls, folder, jobs))
    assert done.keys() == units.keys()
    assert not list((folder / WORK_FOLDER).glob("*.log"))
    return {name: text for outcome in done.values() for name, text in outcome.items()}


def no_executor(count: int) -> None:
    return None


REFUSED = "memory was refused, twice"
KILLED, TOO_LONG = "its worker process was killed, twice", "took longer than 0.5 s, twice"


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_kills_its_worker_twice_is_set_aside_and_nothing_else(tmp_path: Path, jobs: int) -> None:
    units = {"a": ("1", "deadly2", "3"), "b": ("4", "once5"), "c": ("6", "deadly7", "deadly8"), "d": ("9",)}
    outcome = run(tmp_path / "work", units, jobs)
    assert outcome == {name: KILLED if name.startswith(DEADLY) else "done" for part in units.values() for name in part}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stuck_capture_is_ended_at_the_limit(tmp_path: Path, jobs: int) -> None:
    units = {"a": ("1", "stuck2"), "b": ("3", "4"), "c": ("5",)}
    outcome = run(tmp_path / "work", units, jobs, limit_s=0.5)
    assert outcome == {name: TOO_LONG if name.startswith(STUCK) else "done" for part in units.values() for name in part}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_refused_memory_twice_is_set_aside_and_the_rest_is_done(tmp_path: Path, jobs: int) -> None:
    units = {"a": ("1", "hungry2", "3"), "b": ("4", "unlucky5"), "c": ("6", "hungry7", "hungry8"), "d": ("9",)}
    outcome = run(tmp_path / "work", units, jobs)
    assert outcome == {n: REFUSED if n.startswith(HUNGRY) else "done" for part in units.values() for n in part}


def test_without_worker_processes_memory_that_is_refused_costs_the_capture_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where there is no shared memory, the work is done in this process."""
    monkeypatch.setattr("dped_data.common.worker_pool._executor", no_executor)
    assert run(tmp_path / "work", {"a": ("1", "hungry2"), "b": ("3",)}, 2) == {
        "1": "done",
        "hungry2": REFUSED,
        "3": "done",
    }
    assert 'a worker process was refused memory; captures at work: "hungry2"' in capfd.readouterr().err


def test_memory_refused_between_captures_lets_the_rest_finish(tmp_path: Path) -> None:
    done = []
    with pytest.raises(InputError, match="killed again and again, most likely for want of memory"):
        done.extend(run_units(refused_between_captures, {"b": ("b",), "a": ("a",)}, tmp_path, 1))
    assert done == ["a"]


def test_the_person_is_told_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "work", {"a": ("deadly",)}, 1)
    lines = capfd.readouterr().err.splitlines()
    told = 'dped: a worker process was killed; captures at work: "deadly"; they are tried again, the rest goes on'
    assert lines.count(told) == 2


def test_workers_that_die_without_a_capture_end_the_run_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"killed again and again.*same command again.*--jobs"):
        list(run_units(die_between_captures, {"a": (), "b": ()}, tmp_path, 2))


def test_an_old_death_does_not_explain_new_ones(tmp_path: Path) -> None:
    make_work_folder(tmp_path / WORK_FOLDER, whole_folder=True)
    with pytest.raises(InputError, match="killed again and again"):
        list(run_units(die_before_the_second_try, {"a": (tmp_path, "a")}, tmp_path, 1))


def test_a_bug_in_a_worker_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="NoneType"):
        list(run_units(work, {"a": (tmp_path, "a", None)}, tmp_path, 1))


def test_the_log_tells_what_a_worker_was_at(tmp_path: Path) -> None:
    make_work_folder(tmp_path / WORK_FOLDER, whole_folder=True)
    path = tmp_path / crash_log_name("k")
    path.write_text('begin "a"\nend\nbegin "b"\nTimeout (0:00:01)!\nThread 0x01\nbegin "b"\nbegin "c\\nend"\n')
    log = read_watch(path)
    assert (log.deaths, log.dead) == ({'"b"': 2, '"c\\nend"': 1}, '"c\\nend"')
    watch = UnitWatch(tmp_path, "k", 3)
    assert watch.reason_against("b") == KILLED  # its last death was not the limit's
    assert watch.reason_against("a") is watch.reason_against("c\nend") is None


align_capture = dped_data.build.align_capture


def deadly_align_capture(photos: Any, capture: Any, *rest: Any) -> Any:
    """align_capture, of which a worker dies at capture 002."""
    if capture.capture_id == "002":
        os.kill(os.getpid(), signal.SIGKILL)
    return align_capture(photos, capture, *rest)


def content(report: BuildReport) -> dict[str, bytes]:
    files = [report.folder / "dataset.json", *all_shards(report.folder)]
    rows = [row.__dict__ | {"seconds": None} for row in read_captures(report.folder)]
    return {path.name: path.read_bytes() for path in files} | {"captures.csv": json.dumps(rows).encode()}


def test_a_build_sets_a_poison_pair_aside_and_tries_it_again_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures, toml = write_rig(tmp_path, 5)
    settings = load_build_settings(toml, {"patch_size": 64, "captures_per_shard": 2})
    good = build_dataset(captures, tmp_path / "good", "pocket", settings, jobs=1)
    monkeypatch.setattr("dped_data.build.align_capture", deadly_align_capture)
    built = [build_dataset(captures, tmp_path / f"{jobs}", "pocket", settings, jobs=jobs) for jobs in (1, 2)]
    assert content(built[0]) == content(built[1])
    row = next(row for row in built[0].rows if row.capture_id == "002")
    assert (row.status, row.stage, row.reason, row.patches) == ("failed", "worker", KILLED, 0)
    assert built[0].manifest.rejections == {f"worker: {KILLED}": 1}
    assert [row.status for row in built[0].rows].count("kept") == 4
    monkeypatch.undo()
    assert content(build_dataset(captures, tmp_path / "1", "pocket", settings, jobs=1)) == content(built[0])
    again = build_dataset(captures, tmp_path / "1", "pocket", settings, jobs=1, retry_failed=True)
    assert content(again) == content(good)

"""Builds and imports survive what happens to them: afterwards the same command ends in the same bytes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import trial_of
from fault_client import ROOT, Job, Tally, Trial, sample, visible
from fault_jobs import Bench, build_jobs, build_words

from dped_data.work.crash_log import read_watch

DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def jobs(bench: Bench) -> dict[str, Job]:
    return build_jobs(bench)


@pytest.fixture
def trial(request: pytest.FixtureRequest, bench: Bench, jobs: dict[str, Job], tally: Tally) -> Trial:
    return trial_of(bench, jobs[request.param], tally)


both = pytest.mark.parametrize("trial", ["build", "import"], indirect=True)
build_only = pytest.mark.parametrize("trial", ["build"], indirect=True)


@both
def test_killed_at_a_point(trial: Trial) -> None:
    for at in sample(trial, 20):
        plan, out = {"kind": "kill", "at": at}, trial.fresh()
        assert trial.disturb(out, plan).status == -signal.SIGKILL
        trial.finish(out, plan)


@both
def test_killed_again_and_again_until_it_is_done(trial: Trial) -> None:
    """Each run gets a little further; the clock is turned back before every one."""
    out, plan = trial.fresh(), {"kind": "kill", "at": 0}
    for run in range(100):
        plan["at"] = 12 + 3 * run
        if trial.disturb(out, plan).status == trial.status:
            break
        tomorrow = time.time_ns() + DAY_NS  # what was written lies in the future now
        for path in out.rglob("*"):
            os.utime(path, ns=(tomorrow, tomorrow))
    assert run >= 2
    trial.tally.survived["kill"] += run
    trial.finish(out, plan)


@both
def test_interrupted_at_a_point(trial: Trial) -> None:
    for at in sample(trial, 5):
        plan, out = {"kind": "interrupt", "at": at}, trial.fresh()
        outcome = trial.disturb(out, plan)
        assert outcome.status == 130 and outcome.text.strip().endswith("run the same command again to go on")
        trial.finish(out, plan)


@both
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_nothing_can_be_written_from_a_point_on(trial: Trial, code: int) -> None:
    for at in sample(trial, 6, code):
        plan, out = {"kind": "full", "at": at, "errno": code}, trial.fresh()
        outcome = trial.disturb(out, plan)
        told = outcome.status == 1 and os.strerror(code) in outcome.text
        assert told or visible(out) == trial.expected, outcome.text  # the last point is a precaution
        trial.finish(out, plan)


@both
def test_one_write_fails(trial: Trial) -> None:
    for at in sample(trial, 5):
        plan, out = {"kind": "error", "at": at, "errno": errno.ENOSPC}, trial.fresh()
        outcome = trial.disturb(out, plan)
        assert outcome.status == 1 or visible(out) == trial.expected  # it may fail where nothing depends on it
        trial.finish(out, plan)


@both
def test_files_cannot_grow_beyond_a_limit(trial: Trial) -> None:
    """The system refuses the bytes themselves, in HDF5's library as in Python."""
    largest = max(len(data) for data in trial.expected.values())
    for limit in (1000, 3000, largest // 4, largest - 1):
        plan, out = {"kind": "limit", "bytes": limit}, trial.fresh()
        outcome = trial.disturb(out, plan)
        assert outcome.status == 1 and "File too large" in outcome.text
        trial.finish(out, plan)


@build_only
@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_photo_that_cannot_be_read_is_a_row_and_the_next_run_reads_it(trial: Trial, bench: Bench, code: int) -> None:
    for camera in ("pocket", "slr"):
        plan = {"kind": "unreadable", "file": str(bench.captures / camera / "002.jpg"), "errno": code}
        out = trial.fresh()
        outcome = bench.server.run(trial.job.words(out), out, plan)
        trial.tally.injected["unreadable"] += 1
        assert outcome.status == 0 and f"cannot be read ({os.strerror(code)})" in outcome.text
        trial.finish(out, plan)


def disturbed_photos(bench: Bench, tally: Tally, plan: dict[str, Any]) -> None:
    """Build while the plan does something to capture 002, then again; compare with one that saw it between two runs."""
    captures, out, calm = (bench.folder / name for name in ("changing", "changing-out", "changing-calm"))
    for folder in (captures, out, calm):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bench.captures, captures)
    words, calm_words = (build_words(captures, bench.toml, folder) for folder in (out, calm))
    assert bench.server.run(calm_words, calm).status == 0
    bench.server.run(words, out, plan)
    tally.injected[plan["kind"]] += 1
    assert bench.server.run(words, out).status == 0
    assert bench.server.run(calm_words, calm).status == 0
    built, expected = visible(out), visible(calm)
    assert built == expected, plan
    tally.survived[plan["kind"]] += 1
    tally.bytes_compared += sum(map(len, built.values()))


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("camera", ["pocket", "slr"])
def test_a_photo_that_vanishes_is_missing_from_the_next_run(bench: Bench, tally: Tally, camera: str, at: int) -> None:
    moved = bench.folder / "moved.jpg"
    plan = {"kind": "vanish", "file": str(bench.folder / f"changing/{camera}/002.jpg"), "to": str(moved), "at": at}
    disturbed_photos(bench, tally, plan)


@pytest.mark.parametrize("other", ["same size, older", "another size"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_photo_that_changes_while_it_is_used_is_built_in(bench: Bench, tally: Tally, at: int, other: str) -> None:
    photo, by = bench.captures / "pocket/002.jpg", bench.folder / "by.jpg"
    data = photo.read_bytes()
    if other == "another size":
        by.write_bytes((bench.captures / "pocket/003.jpg").read_bytes())
    else:  # another time of capture
        by.write_bytes(re.sub(rb"(\d{4}:\d\d:\d\d \d\d:\d\d:)\d\d", rb"\g<1>59", data))
        assert by.read_bytes() != data and len(by.read_bytes()) == len(data)
        os.utime(by, ns=(10**18, photo.stat().st_mtime_ns - DAY_NS))
    plan = {"kind": "replace", "file": str(bench.folder / "changing/pocket/002.jpg"), "by": str(by), "at": at}
    disturbed_photos(bench, tally, plan)


@both
def test_an_output_that_may_not_be_written_to(trial: Trial, bench: Bench) -> None:
    out = trial.fresh()
    out.chmod(0o555)
    plan = {"kind": "read-only"}
    outcome = trial.disturb(out, plan, nobody=True)
    assert outcome.status == 1 and "cannot be written (Permission denied)" in outcome.text
    out.chmod(0o755)
    trial.finish(out, plan)


@build_only
def test_real_workers_are_killed(trial: Trial, bench: Bench) -> None:
    """As the out-of-memory killer would: any worker, at any time, while the command goes on."""
    out = trial.fresh()
    command = [sys.executable, "-m", "cli", *trial.job.words(out), "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=bench.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    killed = 0
    while process.poll() is None:
        logs = [read_watch(path) for path in out.glob("*/.build/*.log")]
        at_work = [log for log in logs if log.dead]
        workers = _children(process.pid, "LokyProcess")
        if killed < 2 and at_work and workers and max(log.deaths.total() for log in logs) == 1:  # nobody's second death
            os.kill(workers[killed % len(workers)], signal.SIGKILL)
            killed += 1
            trial.tally.injected["worker killed"] += 1
            time.sleep(0.5)
        time.sleep(0.002)
    assert process.stderr is not None
    told = process.stderr.read()
    assert process.returncode == 0 and killed and told.count("dped: a worker process was killed") >= 1, told
    assert "Traceback" not in told
    assert visible(out) == trial.expected
    trial.tally.survived["worker killed"] += killed
    trial.tally.bytes_compared += sum(map(len, visible(out).values()))


def _children(parent: int, name: str) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == parent and name in status.with_name("cmdline").read_text():
                found.append(int(status.parent.name))
        except OSError:
            continue
    return sorted(found)

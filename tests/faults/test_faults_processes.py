"""Commands with real worker processes: Ctrl-C reaches them all, or the parent dies; nobody works on for nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import trial_of
from fault_client import ROOT, Job, Tally, visible
from fault_jobs import Bench, build_words

LINE = "dped: interrupted; run the same command again"
LIMIT_S = 300  # only ends what hangs
GONE_S = 30  # a worker looks five times a second; a busy machine takes longer


@dataclass
class Session:
    """A command in a session and process group of its own, as in a terminal."""

    process: subprocess.Popen[str]

    def members(self) -> list[str]:
        """The command lines of the processes that live in it."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rsplit(")", 1)[1].split()
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found.append(status.with_name("cmdline").read_text())
            except (OSError, IndexError):
                continue
        return found

    def workers(self) -> int:
        """Processes beside the command itself that work; loky's and multiprocessing's trackers do not."""
        return sum("LokyProcess" in line or "spawn_main" in line for line in self.members())

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait for a moment of the command."""
        until = time.monotonic() + LIMIT_S
        while not reached():
            assert self.process.poll() is None and time.monotonic() < until, self.process.communicate()
            time.sleep(0.005)

    def wait_until_empty(self) -> None:
        """Wait until nobody lives in it any more."""
        until = time.monotonic() + GONE_S
        while members := self.members():
            assert time.monotonic() < until, members
            time.sleep(0.02)


def start(words: list[str], folder: Path) -> Session:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return Session(
        subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests may run where it is ignored
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )


def during_imports(session: Session, out: Path) -> bool:
    return "multiarray" in Path(f"/proc/{session.process.pid}/maps").read_text()


def workers_start(session: Session, out: Path) -> bool:
    return session.workers() > 0


def work_begins(session: Session, out: Path) -> bool:
    return session.workers() > 0 and any(out.glob("*/.build/*.log"))  # an earlier run may have left one


def a_unit_is_done(session: Session, out: Path) -> bool:
    return session.workers() > 0 and any(out.glob("*/.build/" + "?" * 64 + ".json"))


MOMENTS: dict[str, Callable[[Session, Path], bool]] = {
    "imports": during_imports,
    "workers start": workers_start,
    "work begins": work_begins,
    "a unit is done": a_unit_is_done,
}


def interrupt(words: list[str], out: Path, bench: Bench, moment: str, times: int = 1) -> None:
    """Send Ctrl-C to the whole group at a moment of the command, and see how it ends."""
    session = start(words, bench.folder)
    session.wait_until(lambda: MOMENTS[moment](session, out))
    for _ in range(times):
        os.killpg(session.process.pid, signal.SIGINT)
    _, told = session.process.communicate(timeout=LIMIT_S)
    then = "; it begins anew" if words[0] in ("export-dped", "inspect-pairs") else " to go on"
    lines = {f"{LINE}{then}\n", *([f"{LINE}\n"] if moment == "imports" else [])}  # the command's own, or the program's
    assert session.process.returncode == 130 and told in lines, (moment, told)
    session.wait_until_empty()


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_build_is_interrupted_at_any_moment(bench: Bench, tally: Tally, backend: str) -> None:
    if backend == "dask":
        pytest.importorskip("distributed", reason="needs the extra dped[dask]")
    trial = trial_of(bench, Job("build", build_words(bench.captures, bench.toml, "OUT")), tally)
    out = trial.fresh()
    words = [*trial.job.words(out), "--jobs", "2", "--backend", backend]
    for moment in MOMENTS:
        interrupt(words, out, bench, moment)
        trial.check_nothing_half(out, moment)
        tally.injected["interrupt of all processes"] += 1
    interrupt(words, trial.fresh(), bench, "work begins", times=2)
    tally.injected["interrupt of all processes"] += 1
    trial.finish(out, {"kind": "interrupt of all processes"})
    tally.survived["interrupt of all processes"] = tally.injected["interrupt of all processes"]
    assert visible(out) == trial.expected


def use_words(bench: Bench, out: Path) -> dict[str, list[str]]:
    """Commands with two workers that take seconds."""
    scenes = ["--photos", str(bench.captures / "slr"), "--scale", "0.3", "--count", "20"]
    return {
        "export": ["export-dped", "--data", str(bench.data), "--out", str(out), "--jobs", "2"],
        "inspect": ["inspect-pairs", "--data", str(bench.data), "--out", str(out), "--jobs", "2"],
        "simulate": ["simulate-rig", *scenes, "--out", str(out), "--jobs", "2"],
    }


@pytest.mark.parametrize("name", ["export", "inspect", "simulate"])
def test_other_commands_are_interrupted(bench: Bench, tally: Tally, tmp_path: Path, name: str) -> None:
    for moment in ("imports", "workers start"):
        interrupt(use_words(bench, tmp_path / "out")[name], tmp_path / "out", bench, moment)
        tally.injected["interrupt of all processes"] += 1
        tally.survived["interrupt of all processes"] += 1


@pytest.mark.parametrize("name", ["export", "inspect", "simulate", "dask build"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_workers_end_with_their_parent(
    bench: Bench, tally: Tally, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    if name == "dask build":
        pytest.importorskip("distributed", reason="needs the extra dped[dask]")
    build = [*build_words(bench.captures, bench.toml, tmp_path / "out"), "--jobs", "2", "--backend", "dask"]
    session = start({**use_words(bench, tmp_path / "out"), "dask build": build}[name], bench.folder)
    moment = "work begins" if name == "dask build" else "workers start"
    session.wait_until(lambda: MOMENTS[moment](session, tmp_path / "out"))
    session.process.send_signal(number)
    tally.injected["parent ended"] += 1
    session.wait_until_empty()
    _, told = session.process.communicate(timeout=LIMIT_S)
    assert (session.process.returncode, told) == (-number, "")
    tally.survived["parent ended"] += 1

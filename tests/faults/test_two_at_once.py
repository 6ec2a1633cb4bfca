"""A second command in the folder of one that is at work: it is refused with who is there, or both end whole."""

from __future__ import annotations

import time

import pytest
from conftest import trial_of
from fault_client import Job, Tally, Trial, sample, visible
from fault_jobs import ALL_NAMES, Bench, all_jobs

LIMIT_S = 300
_HELD_FROM = 8
"""Points before a command holds its folder and has said so: folders, mark, lock, holder."""


@pytest.fixture(scope="module")
def jobs(bench: Bench) -> dict[str, Job]:
    return all_jobs(bench)


@pytest.fixture(params=ALL_NAMES)
def trial(request: pytest.FixtureRequest, bench: Bench, jobs: dict[str, Job], tally: Tally) -> Trial:
    return trial_of(bench, jobs[request.param], tally)


def test_two_at_once(trial: Trial, bench: Bench) -> None:
    gate = bench.folder / "gate"
    for at in _moments(trial):
        out = trial.fresh()
        plan = {"kind": "pause", "at": at, "until": str(gate)}
        first = bench.server.start(trial.job.words(out), out, plan)
        waiting_until = time.monotonic() + LIMIT_S
        while bench.server.reached() != at:
            assert time.monotonic() < waiting_until, f"the first command stopped at point {bench.server.reached()}"
            time.sleep(0.01)
        second = bench.server.run(trial.job.words(out), out)
        trial.tally.injected["two at once"] += 1
        if trial.job.holds:
            told = f"another command is writing here ({trial.job.command[0]}"
            assert second.status == 1 and told in second.text and "since 20" in second.text, second.text
        else:
            assert second.status == trial.status, second.text
        gate.touch()
        assert bench.server.wait(first) == trial.status
        gate.unlink()
        found = visible(out)
        assert found.keys() == trial.expected.keys()
        assert {n: d for n, d in found.items() if _is_fixed(n)} == {
            n: d for n, d in trial.expected.items() if _is_fixed(n)
        }
        trial.tally.survived["two at once"] += 1


def _moments(trial: Trial) -> list[int]:
    """Points of the first command at which it holds its folder: not the first ones, nor the very last."""
    middle, late = trial.points // 2, trial.points * 3 // 4
    return sorted({max(point, _HELD_FROM) for point in (*sample(trial, 4)[1:-1], middle, late)})[-3:]


def _is_fixed(name: str) -> bool:
    """Whether a file's bytes are the same in every run: not those of a page that tells how long it took."""
    return not name.endswith((".html", ".pt2"))

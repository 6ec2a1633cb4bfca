"""Exports, reports, training runs and enhanced photos survive what happens to them, like builds."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from conftest import trial_of
from fault_client import Job, Tally, Trial, sample, visible
from fault_jobs import Bench, all_jobs, use_jobs

KILLS = {"export": 8, "inspect": 5, "train": 4, "enhance": 5}
OTHER_KILLS = {"simulate": 4, "study create": 4, "study report": 3}


@pytest.fixture(scope="module")
def jobs(bench: Bench) -> dict[str, Job]:
    return use_jobs(bench)


@pytest.fixture(params=["export", "inspect", "train", "enhance"])
def trial(request: pytest.FixtureRequest, bench: Bench, jobs: dict[str, Job], tally: Tally) -> Trial:
    return trial_of(bench, jobs[request.param], tally)


def test_killed_at_a_point(trial: Trial) -> None:
    for at in sample(trial, KILLS[trial.job.name]):
        plan, out = {"kind": "kill", "at": at}, trial.fresh()
        assert trial.disturb(out, plan).status == -signal.SIGKILL
        trial.finish(out, plan)


@pytest.mark.parametrize("name", OTHER_KILLS)
def test_rigs_and_studies_killed_at_a_point(name: str, bench: Bench, tally: Tally) -> None:
    trial = trial_of(bench, all_jobs(bench)[name], tally)
    for at in sample(trial, OTHER_KILLS[name]):
        plan, out = {"kind": "kill", "at": at}, trial.fresh()
        assert trial.disturb(out, plan).status == -signal.SIGKILL
        trial.finish(out, plan)


def test_interrupted_at_a_point(trial: Trial) -> None:
    for at in sample(trial, 2):
        plan, out = {"kind": "interrupt", "at": at}, trial.fresh()
        outcome = trial.disturb(out, plan)
        then = " to go on" if trial.job.name in ("train", "enhance") else "; it begins anew"
        assert outcome.status == 130 and outcome.text.strip().endswith(f"run the same command again{then}")
        trial.finish(out, plan)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
def test_nothing_can_be_written_from_a_point_on(trial: Trial, code: int) -> None:
    for at in sample(trial, 2, code):
        plan, out = {"kind": "full", "at": at, "errno": code}, trial.fresh()
        outcome = trial.disturb(out, plan)
        told = outcome.status == 1 and os.strerror(code).split(" left")[0].lower() in outcome.text.lower()
        assert told or visible(out) == trial.expected, outcome.text  # the last point is a precaution
        trial.finish(out, plan)


def test_files_cannot_grow_beyond_a_limit(trial: Trial) -> None:
    largest = max(len(data) for data in trial.expected.values())
    for limit in (2000, largest * 3 // 4):
        plan, out = {"kind": "limit", "bytes": limit}, trial.fresh()
        outcome = trial.disturb(out, plan)
        assert outcome.status == 1 and "File too large" in outcome.text
        trial.finish(out, plan)


def test_an_output_that_may_not_be_written_to(trial: Trial) -> None:
    out = trial.fresh()
    out.chmod(0o555)
    plan = {"kind": "read-only"}
    outcome = trial.disturb(out, plan, nobody=True)
    assert outcome.status == 1 and "Permission denied" in outcome.text
    out.chmod(0o755)
    trial.finish(out, plan)
    assert visible(out)

"""The fault server and what it works on, made once for all tests of a process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from fault_client import Job, Tally, Trial
from fault_jobs import Bench, opened_bench

_trials: dict[str, Trial] = {}


def trial_of(bench: Bench, job: Job, tally: Tally) -> Trial:
    """The trial of a job, whose undisturbed run is made once; `tally` counts from now on."""
    trial = _trials.get(job.name) or _trials.setdefault(job.name, Trial(bench.server, job, bench.folder))
    trial.tally = tally
    return trial


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """One bench for all tests of this process."""
    with opened_bench() as made:
        yield made


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """Counts what a test does, for the summary at the end of the session."""
    counts = Tally()
    yield counts
    record_property("faults", json.dumps(counts.facts()))

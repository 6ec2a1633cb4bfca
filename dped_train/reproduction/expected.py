"""How long the trainings of a reproduction will take on this machine: two steps of each are timed before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from dped_train.data import open_pairs
from dped_train.devices import chosen_device
from dped_train.reproduction.cached_result import holds
from dped_train.reproduction.candidates import Candidate
from dped_train.reproduction.measure import Bench, training_of
from dped_train.run.checkpoint import CHECKPOINTS, list_checkpoints, load_checkpoint
from dped_train.run.distributed import Process
from dped_train.settings import TrainSettings
from dped_train.train import Run

WORTH_TIMING = 200
"""Ours: steps; of fewer, two timed ones would be more than 1 %."""


@dataclass(frozen=True)
class Expected:
    """What is left of one training: its candidate's name, the steps, and the hours they will take."""

    name: str
    steps: int
    hours: float


def expected_trainings(bench: Bench, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
    """Time two steps of every training that is not done; the first one, which compiles and reads, does not count."""
    found = []
    for name, training in {c.name: c.training for c in candidates if c.training is not None}.items():
        left = _steps_left(bench, name, training)
        if left >= WORTH_TIMING:
            found.append(Expected(name, left, left * _seconds_of_a_step(bench, training) / 3600))
    return tuple(found)


def expected_text(expected: Sequence[Expected]) -> str:
    """One line for people."""
    hours = sum(training.hours for training in expected)
    each = ", ".join(f"{training.name} {_duration(training.hours)}" for training in expected)
    return (
        f"{len(expected)} trainings of up to {max(training.steps for training in expected):,} steps will take about "
        f"{_duration(hours)} on this machine ({each}; two steps of each were timed); the same command goes on after an "
        "interruption"
    )


def _steps_left(bench: Bench, name: str, training: TrainSettings) -> int:
    place = training_of(bench, name, training)
    if place.model.is_file() and holds(place.done, place.facts):
        return 0
    checkpoints = list_checkpoints(place.run / CHECKPOINTS)
    return training.steps - (load_checkpoint(checkpoints[-1]).step if checkpoints else 0)


def _seconds_of_a_step(bench: Bench, training: TrainSettings) -> float:
    process = Process(0, 1, chosen_device(training.device))
    run = Run(training, open_pairs(bench.dataset, "train"), process, bench.out)
    duration = 0.0
    for _, read in zip(range(2), run.batches(0), strict=False):
        start = perf_counter()
        run.step(read)
        duration = perf_counter() - start
    return duration


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"

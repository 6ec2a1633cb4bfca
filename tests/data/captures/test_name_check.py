"""Fleets of random shoots: names of cameras that count alike are seen through, right names are left alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from camera_clocks import RHYTHMS, Shoot, moments, shoot

from dped_data.captures.name_check import CameraTimes, NameCheck, check_names

SEEDS = 14


def shoots(name: str) -> Iterator[tuple[np.random.Generator, Shoot]]:
    """Shoots of all rhythms; each camera keeps all its photos."""
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, len(name)])
        true_s = moments(rng, int(rng.integers(30, 100)), RHYTHMS[seed % len(RHYTHMS)])
        fine = bool(seed % 3), bool(seed % 2)
        yield rng, shoot(rng, true_s, offset_s=rng.uniform(-4000, 4000), drift=rng.normal(0, 3e-5), subseconds=fine)


def check(shots: Shoot, phone: np.ndarray, dslr: np.ndarray, pairs: list[tuple[int, int]]) -> NameCheck:
    """Check pairs of the photos that are left of a shoot: indices of the captures in its time stamps."""
    cameras = (
        CameraTimes(times[kept], step)
        for times, kept, step in ((shots.phone_s, phone, shots.stamp_s[0]), (shots.dslr_s, dslr, shots.stamp_s[1]))
    )
    return check_names(*cameras, pairs, 2.0)


@pytest.mark.parametrize("missed", ["first", "middle", "any"])
def test_counted_names_are_not_believed(missed: str) -> None:
    """Both cameras count from 1; the phone misses its first shot, one in the middle, or each some."""
    believed = wrong = 0
    for rng, shots in shoots(missed):
        count = len(shots.true_s)
        phone, dslr = np.arange(count), np.arange(count)
        if missed == "any":
            phone, dslr = (kept[rng.random(count) > 0.04] for kept in (phone, dslr))
        else:
            phone = np.delete(phone, 0 if missed == "first" else int(rng.integers(count // 4, 3 * count // 4)))
        pairs = [(i, i) for i in range(min(len(phone), len(dslr)))]
        found = check(shots, phone, dslr, pairs)
        false = [i for i, _ in pairs if phone[i] != dslr[i]]
        wrong += len(false)
        if found.finding in ("agree", "unknown"):
            believed += len({*false} - {*found.wrong})
    assert wrong > 250
    assert believed <= 0.01 * wrong


@pytest.mark.parametrize("clock", ["steady", "reset", "an hour on", "one odd date"])
def test_right_names_are_believed_whatever_a_clock_does(clock: str) -> None:
    for _, shots in shoots(clock):
        count, half = len(shots.true_s), len(shots.true_s) // 2
        if clock == "reset":
            shots.phone_s[half:] -= 7.5e8
        elif clock == "an hour on":
            shots.phone_s[half:] += 3600
        elif clock == "one odd date":
            shots.phone_s[half] -= 7.5e8
        everything = np.arange(count)
        found = check(shots, everything, everything, [(i, i) for i in range(count)])
        assert (found.finding, found.wrong) == ("agree", ())
        order = np.argsort(found.time_s)
        assert np.array_equal(order, everything) or clock == "an hour on"


def test_times_of_one_camera_alone_judge_nothing() -> None:
    times = CameraTimes(np.arange(5.0), 1.0)
    found = check_names(times, CameraTimes(np.full(5, np.nan), 1.0), [(i, i) for i in range(5)], 2.0)
    assert (found.finding, found.judged) == ("unknown", 0)
    assert np.array_equal(found.time_s, times.time_s)

"""Pairing by time: known clocks and pairs are simulated and recovered; not one wrong pair is allowed."""

from __future__ import annotations

import time
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from camera_clocks import RHYTHMS, Shoot, burst_moments, moments, shoot

from dped_data.captures.clock_fit import ClockUnknown, _binomial_tail, far_apart, match_clocks
from dped_data.captures.shot_pairs import Partners, pair_shots

LIMIT_S = 2.0


def pair(shots: Shoot) -> Partners:
    return pair_shots(shots.phone_s, shots.dslr_s, shots.stamp_s, LIMIT_S)


def found_pairs(shots: Shoot, partners: Partners) -> list[tuple[int, int]]:
    """Return the captures that were paired: (capture of the phone photo, capture of the DSLR photo)."""
    rows = np.flatnonzero(partners.dslr_of_phone >= 0)
    return [(int(shots.phone[i]), int(shots.dslr[partners.dslr_of_phone[i]])) for i in rows]


def random_shoot(seed: int) -> Shoot:
    rng = np.random.default_rng(seed)
    count = int(np.exp(rng.uniform(np.log(15), np.log(400))))
    offsets = [3637.0, -7200.4, rng.uniform(-5 * 86400, 5 * 86400), rng.uniform(-3, 3)]
    return shoot(
        rng,
        moments(rng, count, str(rng.choice(RHYTHMS))),
        offset_s=float(rng.choice(offsets)),
        drift=float(rng.choice([0.0, rng.uniform(-1, 1) / 3600, rng.uniform(-1e-5, 1e-5)])),
        jitter_s=float(rng.choice([0.02, 0.1, 0.25])),
        lost=float(rng.choice([0.0, 0.02, 0.1, 0.25])),
        subseconds=(bool(rng.integers(2)), bool(rng.integers(2))),
    )


@pytest.mark.parametrize("block", range(10))
def test_no_wrong_pair_in_two_hundred_random_shoots(block: int) -> None:
    unknown = paired = possible = 0
    for seed in range(20 * block, 20 * block + 20):
        shots = random_shoot(seed)
        try:
            partners = pair(shots)
        except ClockUnknown:
            unknown += 1
            continue
        pairs = found_pairs(shots, partners)
        assert [p for p in pairs if p[0] != p[1]] == [], f"seed {seed}"
        paired += len(pairs)
        possible += len(shots.both)
        fit = partners.match.fit
        middle = float(shots.true_s.mean())
        if len(pairs) >= 60:
            offset = fit.offset_s + fit.drift * (middle - fit.reference_s)
            assert abs(offset - shots.offset_s) < (0.15 if shots.stamp_s == (0.0, 0.0) else 0.75), f"seed {seed}"
    assert unknown <= 4  # few shots, fast or with many lost: refused, not guessed
    assert paired >= 0.95 * possible


@pytest.mark.parametrize("subseconds", [(True, True), (False, False), (True, False)])
def test_the_fit_is_recovered(subseconds: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(7)
    shots = shoot(rng, moments(rng, 900, "steady"), offset_s=3637.0, drift=0.5 / 3600, lost=0.05, subseconds=subseconds)
    partners = pair(shots)
    fit = partners.match.fit
    assert fit.drift == pytest.approx(shots.drift, abs=1e-6)
    cut = 0.5 * (subseconds[0] - subseconds[1])  # a stamp cut to whole seconds is half a second early on average
    at_middle = fit.offset_s + fit.drift * (shots.true_s.mean() - fit.reference_s)
    assert at_middle == pytest.approx(shots.offset_s - cut, abs=0.05)
    assert fit.residual_s < 0.6
    assert fit.pairs == np.count_nonzero(partners.dslr_of_phone >= 0)
    pairs = found_pairs(shots, partners)
    assert all(a == b for a, b in pairs)
    assert len(pairs) >= 0.99 * len(shots.both)


def test_the_order_of_the_photos_does_not_matter() -> None:
    rng = np.random.default_rng(11)
    shots = shoot(rng, moments(rng, 80, "bunched"), offset_s=-86400.0, lost=0.1)
    phone_order, dslr_order = rng.permutation(len(shots.phone_s)), rng.permutation(len(shots.dslr_s))
    shuffled = pair_shots(shots.phone_s[phone_order], shots.dslr_s[dslr_order], shots.stamp_s, LIMIT_S)
    straight = pair(shots).dslr_of_phone
    for row, phone_row in enumerate(phone_order):
        partner = shuffled.dslr_of_phone[row]
        assert (dslr_order[partner] if partner >= 0 else -1) == straight[phone_row]


def test_six_thousand_shots_over_weeks_take_seconds() -> None:
    rng = np.random.default_rng(5)
    shots = shoot(
        rng, moments(rng, 6000, "steady"), offset_s=3637.0, drift=1 / 3600, lost=0.05, subseconds=(False, False)
    )
    start = time.process_time()
    pairs = found_pairs(shots, pair(shots))
    assert time.process_time() - start < 60  # about 6 s on a quiet machine
    assert all(a == b for a, b in pairs)
    assert len(pairs) > 0.99 * len(shots.both)


def test_bursts_are_paired_shot_by_shot_when_the_stamps_are_fine() -> None:
    rng = np.random.default_rng(2)
    shots = shoot(rng, burst_moments(rng, 120), offset_s=61.3, jitter_s=0.02, subseconds=(True, True))
    assert {p for p, _ in found_pairs(shots, pair(shots))} == shots.both


def test_bursts_are_ambiguous_when_the_stamps_are_coarse() -> None:
    rng = np.random.default_rng(4)
    true_s = burst_moments(rng, 150)
    shots = shoot(rng, true_s, offset_s=61.3, jitter_s=0.02, subseconds=(False, False))
    partners = pair(shots)
    pairs = found_pairs(shots, partners)
    gaps = np.diff(true_s, prepend=-np.inf, append=np.inf)
    single = {i for i in range(len(true_s)) if min(gaps[i], gaps[i + 1]) > 3}
    assert all(a == b for a, b in pairs)
    assert {a for a, _ in pairs} >= single
    assert np.all(partners.phone_candidates[partners.dslr_of_phone < 0] >= 1)


@pytest.mark.parametrize("lost_ends", [False, True])
def test_regular_intervals_are_refused(lost_ends: bool) -> None:
    """Moved by one interval, the shots agree as well: nobody can tell which camera lost its first shot."""
    phone_s = 1.5e9 + 10.0 * np.arange(60)
    dslr_s = phone_s + 3637.0
    with pytest.raises(ClockUnknown, match="regular intervals"):
        pair_shots(phone_s[1:] if lost_ends else phone_s, dslr_s[:-1] if lost_ends else dslr_s, (1.0, 1.0), LIMIT_S)


def test_regular_intervals_with_pauses_are_told_apart() -> None:
    rng = np.random.default_rng(9)
    gaps = np.where(rng.random(200) < 0.25, rng.uniform(30, 300, 200), 10.0)
    shots = shoot(rng, 1.5e9 + np.cumsum(gaps), offset_s=3637.0, jitter_s=0.02, lost=0.05, subseconds=(False, False))
    pairs = found_pairs(shots, pair(shots))
    assert {a for a, _ in pairs} == shots.both
    assert all(a == b for a, b in pairs)


def test_cameras_that_never_shot_together_are_refused() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        phone_s, dslr_s = moments(rng, int(rng.integers(4, 150)), "bunched"), moments(rng, 60, "steady")
        with pytest.raises(ClockUnknown):
            pair_shots(phone_s, np.floor(dslr_s), (0.0, 1.0), LIMIT_S)


def test_too_few_shots_are_refused() -> None:
    with pytest.raises(ClockUnknown, match="only 3 photos of one camera have a capture time, at least 4"):
        match_clocks(np.arange(3.0), np.arange(50.0) ** 2, (1.0, 1.0), LIMIT_S)


def test_one_long_burst_is_refused() -> None:
    burst = 1.5e9 + 0.2 * np.arange(40)
    with pytest.raises(ClockUnknown):
        match_clocks(np.floor(burst), np.floor(burst + 50), (1.0, 1.0), LIMIT_S)


def test_a_dozen_shots_are_enough() -> None:
    rng = np.random.default_rng(1)
    shots = shoot(rng, moments(rng, 12, "steady"), offset_s=3637.0, subseconds=(False, False))
    assert found_pairs(shots, pair(shots)) == [(i, i) for i in range(12)]


def test_a_stretch_after_the_clock_was_set_is_left_unpaired() -> None:
    rng = np.random.default_rng(6)
    shots = shoot(rng, moments(rng, 400, "steady"), offset_s=10.0, jitter_s=0.02)
    moved = shots.dslr_s + np.where(shots.dslr >= 300, 7.0, 0.0)
    partners = pair_shots(shots.phone_s, moved, shots.stamp_s, LIMIT_S)
    pairs = found_pairs(shots, partners)
    assert all(a == b for a, b in pairs)
    assert len({a for a, _ in pairs} & {*range(300)}) > 290


@pytest.mark.parametrize("moment", [-6.2e10, 0.0, 9.5e8, 1.45e9, 2.5e11])
@pytest.mark.parametrize("camera", [0, 1])
def test_a_shot_of_a_reset_clock_is_left_out_at_once(camera: int, moment: float) -> None:
    rng = np.random.default_rng(3)
    shots = shoot(rng, moments(rng, 40, "steady"), offset_s=3637.0, lost=0.0)
    times = [shots.phone_s, shots.dslr_s]
    times[camera] = np.append(times[camera], moment)
    started = time.process_time()
    partners = pair_shots(times[0], times[1], shots.stamp_s, LIMIT_S)
    assert time.process_time() - started < 5
    assert [(a, b) for a, b in enumerate(partners.dslr_of_phone[:40]) if b >= 0] == [
        (a, b) for a, b in enumerate(pair(shots).dslr_of_phone) if b >= 0
    ]
    assert np.all(partners.dslr_of_phone[40:] == -1)
    assert np.flatnonzero(far_apart(times[camera])).tolist() == [40]


def test_many_shots_of_a_reset_clock_end_the_search_too() -> None:
    rng = np.random.default_rng(3)
    shots = shoot(rng, moments(rng, 40, "steady"), offset_s=3637.0, lost=0.0)
    moved = shots.dslr_s.copy()
    moved[:12] += 9e8 - moved[0]
    started = time.process_time()
    partners = pair_shots(shots.phone_s, moved, shots.stamp_s, LIMIT_S)
    assert time.process_time() - started < 20
    assert not far_apart(moved).any()
    assert np.all(partners.dslr_of_phone[:12] == -1)
    assert np.array_equal(partners.dslr_of_phone[14:], np.arange(14, 40))


def test_shoots_years_apart_are_both_looked_at() -> None:
    rng = np.random.default_rng(3)
    first, second = 1.5e9 + 60 * np.arange(40), 1.6e9 + 60 * np.arange(10)
    assert not far_apart(np.concatenate([first, second])).any()
    assert far_apart(rng.permutation(np.concatenate([first, second[:3]]))).sum() == 3
    assert not far_apart(1e9 * np.arange(5)).any()


@pytest.mark.parametrize("probability", [1e-6, 0.02, 0.3, 0.9])
@pytest.mark.parametrize("trials", [5, 60, 999])
def test_the_binomial_tail_is_the_sum_of_its_terms(trials: int, probability: float) -> None:
    yes, whole = probability.as_integer_ratio()
    for successes in {1, 3, trials // 3, trials}:
        terms = (comb(trials, k) * yes**k * (whole - yes) ** (trials - k) for k in range(successes, trials + 1))
        exact = float(Fraction(sum(terms), whole**trials))
        assert _binomial_tail(successes, trials, probability) == pytest.approx(exact, rel=1e-12, abs=0)
    assert _binomial_tail(0, trials, probability) == 1.0
    assert _binomial_tail(2, trials, 1.0) == 1.0

"""Simulated shoots with two cameras whose clocks disagree, for the tests of pairing by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Shoot:
    """What two cameras wrote of one series of captures.

    Attributes:
        true_s: (n,) when the captures were taken, by the phone's clock.
        phone, dslr: captures whose photo each camera kept, ascending.
        phone_s, dslr_s: their time stamps.
        stamp_s: step of the time stamps: 1 for whole seconds, 0 for sub-seconds.
        offset_s, drift: the DSLR's lead at the mean of `true_s`, and what it gains per second.
    """

    true_s: Times
    phone: NDArray[np.int64]
    dslr: NDArray[np.int64]
    phone_s: Times
    dslr_s: Times
    stamp_s: tuple[float, float]
    offset_s: float
    drift: float

    @property
    def both(self) -> set[int]:
        """Captures that both cameras kept."""
        return {*self.phone.tolist()} & {*self.dslr.tolist()}


RHYTHMS = ("steady", "bunched", "slow", "fast")


def moments(rng: np.random.Generator, count: int, rhythm: str) -> Times:
    """Return capture times: sessions of 5-80 shots, minutes to days apart."""
    gaps = {
        "steady": rng.uniform(4, 40, count),
        "bunched": 2.5 + rng.exponential(12, count),
        "slow": rng.uniform(30, 300, count),
        "fast": rng.uniform(3.5, 7, count),
    }[rhythm]
    start = 0
    while (start := start + int(rng.integers(5, 80))) < count:
        gaps[start] += rng.choice([300.0, 3600.0, 86400 * rng.uniform(0.5, 3)], p=[0.5, 0.3, 0.2])
    return np.asarray(1.5e9 + rng.uniform(0, 1) + np.cumsum(gaps))


def burst_moments(rng: np.random.Generator, bursts: int) -> Times:
    """Return bursts of 1-5 shots, 0.6-0.9 s apart, 8-40 s between bursts."""
    gaps: list[float] = []
    for _ in range(bursts):
        gaps += [rng.uniform(8, 40), *rng.uniform(0.6, 0.9, rng.integers(0, 5))]
    return np.asarray(1.5e9 + np.cumsum(gaps))


def shoot(
    rng: np.random.Generator,
    true_s: Times,
    *,
    offset_s: float,
    drift: float = 0.0,
    jitter_s: float = 0.05,
    lost: float = 0.0,
    subseconds: tuple[bool, bool] = (True, True),
) -> Shoot:
    """Return what the cameras write: each loses a share of the shots, shutters jitter, clocks differ."""
    phone, dslr = (np.flatnonzero(rng.random(len(true_s)) >= lost) for _ in range(2))
    dslr_true = true_s + offset_s + drift * (true_s - true_s.mean()) + rng.normal(0, jitter_s, len(true_s))
    stamps = [true_s[phone], dslr_true[dslr]]
    phone_s, dslr_s = (t if fine else np.floor(t) for t, fine in zip(stamps, subseconds, strict=True))
    step = (0.0 if subseconds[0] else 1.0, 0.0 if subseconds[1] else 1.0)
    return Shoot(true_s, phone, dslr, phone_s, dslr_s, step, offset_s, drift)

"""How two cameras' clocks relate, found from their capture times alone.

The line dslr = phone + offset + drift * (phone - reference) is found in three steps:

1. Anchor: in a short stretch of the camera with fewer shots, count for every (drift, offset) how many shots it puts on
   a shot of the other camera; the most frequent time differences are the candidates.
2. Growth: fit lines to the pairs of the best candidates, double the stretch, search again inside each line's own
   uncertainty, until every shot is covered (clock_lines.py).
3. Proof: the line counts only if clearly more shots agree with it than with any other offset, and more than chance
   explains. Shots at regular intervals fail here: moved by one interval they agree as well.

Shots closer together than the clocks can tell apart count once ("events"), so that bursts are no evidence.
The paper names no method (its cameras were triggered together); every constant here is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.clock_lines import Line, Times, all_differences, best_line, fit_line, pairs_near, window_counts
from dped_data.captures.records import ClockFit
from dped_data.common.spread_rows import spread_rows

TRIGGER_S = (0.3, 1.0)
"""How far apart the two shutters of one capture may fire while that is not yet measured: tried in this order."""
MIN_PAIRS = 4
CHANCE = 0.01
"""Most accidental offsets expected to bring as many shots together."""
NEIGHBOURHOOD_S = 300.0
_APART_S = 366 * 86400.0
_FEW = 0.1
"""Shots more than a year away from a camera's others, and fewer than a tenth of them, come from a clock that was reset.
They tell nothing of how the clocks relate, and the drifts to be tried for them grow with their distance."""
_LEAST_JITTER_S = 0.12
_ROUNDING_Q90 = {0.0: 0.0, 0.5: 0.45, 1.0: 0.68}
"""What rounding alone makes of the 90 % quantile of the residuals: none, one, both stamps cut to whole seconds."""


@dataclass(eq=False)
class ClockUnknown(Exception):  # noqa: N818 - a finding that the caller turns into advice
    """The capture times do not tell how the clocks relate; `reason` says why, as a clause without a full stop."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class ClockMatch:
    """The clocks' relation, and how near two shots must be to be one capture.

    Attributes:
        fit: the relation, DSLR time from phone time.
        tolerance_s: largest residual of a pair, seconds.
        core_s: residual that four in five pairs stay below, seconds.
    """

    fit: ClockFit
    tolerance_s: float
    core_s: float


def match_clocks(phone_s: Times, dslr_s: Times, stamp_s: tuple[float, float], max_residual_s: float) -> ClockMatch:
    """Find the relation of two clocks from the times of their shots.

    Args:
        phone_s, dslr_s: (n,) and (m,) capture times in seconds, in any order.
        stamp_s: step of the phone's and of the DSLR's time stamps: 1 without sub-seconds, else 0.
        max_residual_s: upper limit of the tolerance.
    Raises:
        ClockUnknown: fewer than MIN_PAIRS shots on a side, no offset that stands out, or several that do.
    """
    phone_s, dslr_s = (times[~far_apart(times)] for times in (phone_s, dslr_s))
    fewest = min(len(phone_s), len(dslr_s))
    if fewest < MIN_PAIRS:
        raise ClockUnknown(f"only {fewest} photos of one camera have a capture time, at least {MIN_PAIRS} are needed")
    swapped = len(phone_s) > len(dslr_s)
    a, b = (np.sort(t).astype(np.float64) for t in ((dslr_s, phone_s) if swapped else (phone_s, dslr_s)))
    rounding = sum(stamp_s) / 2  # two stamps cut to whole seconds are off by less than 1 s together
    for trigger in TRIGGER_S:
        try:
            line, tolerance, core = _proven_line(
                a, b, rounding, min(rounding + trigger, max_residual_s), max_residual_s
            )
        except ClockUnknown as unknown:
            if trigger == TRIGGER_S[-1]:
                raise
            first = unknown
            continue
        return ClockMatch(_clock_fit(line, swapped), tolerance, core)
    raise first


def far_apart(times: Times) -> NDArray[np.bool_]:
    """Mark the few shots that lie more than a year from all others of a camera: (n,), for times in any order."""
    apart = np.zeros(len(times), bool)
    if many := clock_settings(times):
        apart[:] = True
        apart[np.concatenate(many)] = False
    return apart


def clock_settings(times: Times) -> list[NDArray[np.int64]]:
    """Return the indices of shots with no more than a year between them, the largest group first, without small ones.

    One camera alone that has several such groups had its clock reset.
    """
    order = np.argsort(times, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(times[order]) > _APART_S) + 1)
    least = max(MIN_PAIRS, _FEW * len(times))
    if max(map(len, groups)) < MIN_PAIRS:
        return []
    return sorted((group for group in groups[::-1] if len(group) >= least), key=len, reverse=True)


def _proven_line(a: Times, b: Times, rounding: float, tolerance: float, limit: float) -> tuple[Line, float, float]:
    """Return the line from `a` to `b`, its tolerance and its core; ClockUnknown if it cannot be proven."""
    events_a, events_b = (events(t, tolerance) for t in (a, b))
    line = best_line(events_a, events_b, tolerance) if min(len(events_a), len(events_b)) >= MIN_PAIRS else None
    if line is None:
        raise ClockUnknown(f"fewer than {MIN_PAIRS} shots of one camera lie apart from one another")
    line, tolerance = _settle(line, a, b, rounding, tolerance, limit)
    return line, tolerance, _prove(line, events_a, events_b, tolerance)


def own_and_rival(differences: Times, core: float, tolerance: float) -> tuple[int, int, float]:
    """Count the ascending differences in the core around 0 and in the fullest window elsewhere; third: where."""
    own = int(np.count_nonzero(np.abs(differences) <= core))
    counts = window_counts(differences, 2 * core)
    counts[np.abs(differences + core) <= 2 * tolerance] = 0
    rival = int(np.argmax(counts))
    return own, int(counts[rival]), float(differences[rival] + core)


def stands_out(own: int, other: int) -> bool:
    """Tell whether `own` agreeing shots prove an offset when `other` shots agree with the best other one."""
    return own - other >= min(max(3.0, 0.5 * own), max(12.0, 0.1 * own))


def _clock_fit(line: Line, swapped: bool) -> ClockFit:
    """Express the line as DSLR time from phone time."""
    if not swapped:
        return ClockFit(line.offset, line.drift, line.reference, line.residual, line.pairs)
    reference = line.reference + line.offset  # on the phone's clock
    return ClockFit(-line.offset, 1 / (1 + line.drift) - 1, reference, line.residual, line.pairs)


def events(times: Times, tolerance: float) -> Times:
    """Keep the first shot of each chain of shots that follow one another within 1.2 tolerances."""
    return times[np.diff(times, prepend=-np.inf) > 1.2 * tolerance]


def _settle(line: Line, a: Times, b: Times, rounding: float, tolerance: float, limit: float) -> tuple[Line, float]:
    """Fit the line to all lone shots (bursts left out), and set the tolerance to what their residuals show."""
    for _ in range(5):
        lone_a, lone_b = (_lone(t, 2 * tolerance) for t in (a, b))
        if min(len(lone_a), len(lone_b)) < 2:
            break
        line = fit_line(line, lone_a, lone_b, tolerance)
        _, residuals = pairs_near(line, lone_a, lone_b, tolerance)
        if len(residuals):
            excess = float(np.quantile(np.abs(residuals), 0.9)) - _ROUNDING_Q90[rounding]
            tolerance = min(rounding + max(_LEAST_JITTER_S, (2.5 + 8 / len(residuals)) * excess), limit)
    return line, tolerance


def _lone(times: Times, apart: float) -> Times:
    """Return the shots that have no other within `apart` on either side."""
    gaps = np.diff(times, prepend=-np.inf, append=np.inf)
    return times[np.minimum(gaps[:-1], gaps[1:]) > apart]


def _prove(line: Line, a: Times, b: Times, tolerance: float) -> float:
    """Return the core of the line's residuals; ClockUnknown unless it stands out against other offsets and chance."""
    sample = a[spread_rows(len(a), 1000)]
    differences = np.sort(all_differences(line.map(sample), b, np.inf))
    near = np.abs(differences[np.abs(differences) <= tolerance])
    if len(near) < MIN_PAIRS:
        raise ClockUnknown(
            f"only {len(near)} shots of the two cameras agree on one offset, at least {MIN_PAIRS} are needed"
        )
    core = float(np.quantile(near, 0.8)) + 0.02  # narrower than the tolerance: chance fills a wide window sooner
    own, other, shift = own_and_rival(differences, core, tolerance)
    if not stands_out(own, other):
        raise ClockUnknown(
            f"{own} shots agree with one offset between the clocks, but {other} do when it is moved by "
            f"{abs(shift):.1f} s (shots at regular intervals, or too few of them)"
        )
    around = np.count_nonzero(np.abs(differences) <= NEIGHBOURHOOD_S) - len(near)
    share = min(1.0, (1 + around) / len(sample) * core / NEIGHBOURHOOD_S)
    if len(sample) * len(b) * _binomial_tail(own - 1, len(sample) - 1, share) > CHANCE:
        raise ClockUnknown(f"only {own} of {len(sample)} shots agree on one offset, which chance explains as well")
    return core


def _binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Return the probability of at least `successes` in `trials`, for a probability above 0.

    It is the regularised incomplete beta function, which scipy.stats.binom.sf calls too; scipy.stats itself takes five
    times as long to load, and a dry run would wait for it.
    """
    from scipy.special import betainc  # not needed, and not loaded, where captures are paired by name

    if probability >= 1 or successes <= 0:
        return 1.0
    return float(betainc(successes, trials - successes + 1, probability))

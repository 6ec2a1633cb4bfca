"""Whether capture times agree with pairs by name: two cameras that count alike give one name to two scenes.

Right names leave nearly constant differences between the two clocks, in stretches if a clock was set meanwhile.
Where they do not, the times themselves are asked (shot_pairs.py); they may prove another pairing, or nothing.
Constants are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.clock_fit import MIN_PAIRS, ClockUnknown, far_apart
from dped_data.captures.clock_lines import MAX_DRIFT, Times
from dped_data.captures.shot_pairs import pair_shots

Finding = Literal["agree", "unknown", "other", "contradict"]

_TRIGGER_S = 1.0
"""How much later one shutter may fire than the other, from one capture to the next."""
_AGREEING = 0.9
_PROVEN = 0.8
_COINCIDENCE_S = 120.0
_ODD_CLOCK_S = 1800.0
"""A photo whose time lies this far from all shots of the other camera is no neighbour of theirs: its clock is odd."""
_SHIFTS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
_CLIP_S = 10.0
_NEIGHBOURS_S = 600.0
_FEWEST_SHIFTED = 12


@dataclass(frozen=True)
class CameraTimes:
    """The capture times of one camera's photos: (n,) seconds, NaN where not stated, and the step of its time stamps."""

    time_s: Times
    step_s: float


@dataclass(frozen=True)
class NameCheck:
    """What the times say of n pairs by name.

    Attributes:
        finding: `agree`; `unknown`, the times are missing or too irregular to tell; `other`, they prove another pairing
            for nearly all shots; `contradict`, the names are wrong, and the times do not prove what is right.
        wrong: pairs whose names the times contradict although they agree with the others; only if these `agree`.
        time_s: (n,) when the captures were taken, by the phone's clock; NaN where unknown. Where a clock was odd, this
            is told by the other camera's.
        odd: pairs of which that is so.
        agreeing, judged: of all pairs with two times, how many agree.
    """

    finding: Finding
    time_s: Times
    wrong: tuple[int, ...] = ()
    odd: tuple[int, ...] = ()
    agreeing: int = 0
    judged: int = 0


def check_names(
    phone: CameraTimes, dslr: CameraTimes, pairs: Sequence[tuple[int, int]], max_residual_s: float
) -> NameCheck:
    """Hold pairs by name against the capture times of all photos.

    Args:
        phone, dslr: the times of all photos of the two cameras.
        pairs: indices of the photos with equal names.
        max_residual_s: as for `pair_shots`.
    """
    index = np.array(pairs, np.int64).reshape(-1, 2)
    phone_s, dslr_s = phone.time_s[index[:, 0]], dslr.time_s[index[:, 1]]
    judged = np.flatnonzero(np.isfinite(phone_s) & np.isfinite(dslr_s))
    if len(judged) < MIN_PAIRS:
        return NameCheck("unknown", _without_far(phone_s))
    near = phone.step_s + dslr.step_s + _TRIGGER_S
    stretches = _stretches(phone_s[judged], dslr_s[judged], near)
    agreeing = int(np.count_nonzero(stretches >= 0))
    if (
        agreeing < _AGREEING * len(judged)
        or _fits_better_moved(phone_s[judged], dslr_s[judged], dslr.time_s)
        or _are_taken_for_neighbours(phone_s[judged], dslr_s[judged], dslr.time_s, stretches, near)
    ):
        return _asking_the_times(phone, dslr, index, judged, max_residual_s)
    outside, odd = _outside(phone, dslr, phone_s[judged], dslr_s[judged], stretches, near)
    main = stretches == np.argmax(np.bincount(stretches[stretches >= 0]))
    lead = float(np.median((dslr_s - phone_s)[judged][main]))
    odd |= (stretches >= 0) & (
        np.abs((dslr_s - phone_s)[judged] - lead)
        > _ODD_CLOCK_S + MAX_DRIFT * np.abs(phone_s[judged] - phone_s[judged][main].mean())
    )
    times = phone_s.copy()
    times[judged] = np.where(
        odd, _nearer(phone_s[judged], dslr_s[judged] - lead, phone_s[judged][main]), phone_s[judged]
    )
    wrong = tuple(judged[outside & ~odd].tolist())
    return NameCheck("agree", _without_far(times), wrong, tuple(judged[odd].tolist()), agreeing, len(judged))


def _stretches(phone_s: Times, dslr_s: Times, tolerance: float) -> NDArray[np.int64]:
    """Number the stretches of at least MIN_PAIRS shots, in the order of time, over which the clocks' difference holds.

    -1 for pairs in none. The order is that of the phone's times, or of the DSLR's where that leaves fewer pairs out: a
    clock that was set back mixes up the order of its own times.
    """
    best = np.full(len(phone_s), -1)
    for times in (phone_s, dslr_s):
        order = np.lexsort((phone_s, times))
        ends = np.abs(np.diff((dslr_s - phone_s)[order])) > tolerance + MAX_DRIFT * np.minimum(
            np.abs(np.diff(phone_s[order])), np.abs(np.diff(dslr_s[order]))
        )
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.cumsum(np.concatenate([[0], ends]))
        numbers[np.bincount(numbers)[numbers] < MIN_PAIRS] = -1
        if np.count_nonzero(numbers >= 0) > np.count_nonzero(best >= 0):
            best = numbers
    return best


def _are_taken_for_neighbours(
    phone_s: Times, dslr_s: Times, all_dslr_s: Times, stretches: NDArray[np.int64], near: float
) -> bool:
    """Tell whether half the shots of a stretch meet other shots by the clocks of the longest one, minutes away at most.

    That is what a shot that one camera missed makes of the names that follow. A clock that was set does it rarely.
    """
    main = np.flatnonzero(stretches == np.argmax(np.bincount(stretches[stretches >= 0])))
    lead = (dslr_s - phone_s)[main][np.argmin(np.abs(phone_s[:, None] - phone_s[main]), axis=1)]
    rest = np.abs(dslr_s - phone_s - lead)
    ordered = np.sort(all_dslr_s[np.isfinite(all_dslr_s)])
    meets = np.searchsorted(ordered, phone_s + lead + near, "right") > np.searchsorted(ordered, phone_s + lead - near)
    taken = meets & (rest > near) & (rest <= _NEIGHBOURS_S)
    counts = np.bincount(stretches[stretches >= 0])
    return bool(
        np.any(2 * np.bincount(stretches[taken & (stretches >= 0)], minlength=len(counts)) >= np.maximum(counts, 1))
    )


def _outside(
    phone: CameraTimes, dslr: CameraTimes, phone_s: Times, dslr_s: Times, stretches: NDArray[np.int64], near: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pairs differ from the nearest stretch, and of which of these a clock was odd: far from all shots."""
    inside = np.flatnonzero(stretches >= 0)
    nearest = inside[np.argmin(np.abs(dslr_s[:, None] - dslr_s[inside]), axis=1)]
    lead = (dslr_s - phone_s)[nearest]
    reach = near + MAX_DRIFT * np.abs(dslr_s - dslr_s[nearest])
    outside = (stretches < 0) & (np.abs(dslr_s - phone_s - lead) > reach)
    return outside, outside & (_is_far(phone_s + lead, dslr.time_s) | _is_far(dslr_s - lead, phone.time_s))


def _fits_better_moved(phone_s: Times, dslr_s: Times, all_dslr_s: Times) -> bool:
    """Tell whether the differences hold much better when each phone shot gets a DSLR shot before or after its own."""
    if len(phone_s) < _FEWEST_SHIFTED:
        return False
    ordered = np.sort(all_dslr_s[np.isfinite(all_dslr_s)])
    order = np.argsort(phone_s, kind="stable")
    own = np.searchsorted(ordered, dslr_s[order])
    as_named = _unevenness(phone_s[order], ordered[own])
    moved = []
    for shift in _SHIFTS:
        there = (own + shift >= 0) & (own + shift < len(ordered))
        if np.count_nonzero(there) >= max(_FEWEST_SHIFTED, _PROVEN * len(own)):
            moved.append(_unevenness(phone_s[order][there], ordered[own[there] + shift]))
    clearly = float(np.exp(0.3 + 6 / len(own) ** 0.5))
    return bool(moved) and as_named > 0.1 and min(moved) * clearly < as_named


def _unevenness(phone_s: Times, dslr_s: Times) -> float:
    """Return the mean square change of the clocks' difference from one shot to the next, clipped, s^2."""
    return float(np.mean(np.clip(np.diff(dslr_s - phone_s), -_CLIP_S, _CLIP_S) ** 2))


def _asking_the_times(
    phone: CameraTimes, dslr: CameraTimes, index: NDArray[np.int64], judged: NDArray[np.int64], max_residual_s: float
) -> NameCheck:
    """Ask the times of all photos what they prove, where the names leave no constant difference."""
    there = [np.flatnonzero(np.isfinite(camera.time_s)) for camera in (phone, dslr)]
    phone_s, dslr_s = phone.time_s[there[0]], dslr.time_s[there[1]]
    named_s = phone.time_s[index[:, 0]], dslr.time_s[index[:, 1]]
    times = _without_far(named_s[0])
    try:
        partners = pair_shots(phone_s, dslr_s, (phone.step_s, dslr.step_s), max_residual_s)
    except ClockUnknown:
        named = [times[judged] for times in named_s]
        differences = named[1] - named[0]
        spread = float(np.median(np.abs(differences - np.median(differences))))
        is_wrong = spread > _COINCIDENCE_S + MAX_DRIFT * float(np.ptp(named[0]))
        is_wrong |= _fits_better_moved(named[0], named[1], dslr.time_s)
        return NameCheck("contradict" if is_wrong else "unknown", times, judged=len(judged))
    paired = np.flatnonzero(partners.dslr_of_phone >= 0)
    by_time = dict(zip(there[0][paired].tolist(), there[1][partners.dslr_of_phone[paired]].tolist(), strict=True))
    of_phone = np.array([by_time.get(i, -1) for i in index[:, 0].tolist()])
    of_dslr = np.isin(index[:, 1], [*by_time.values()])
    same = int(np.count_nonzero(of_phone == index[:, 1]))
    wrong = np.flatnonzero((of_phone != index[:, 1]) & ((of_phone >= 0) | of_dslr))
    if same and same >= _AGREEING * (same + len(wrong)):
        return NameCheck("agree", times, tuple(wrong.tolist()), (), same, len(judged))
    few = min(len(phone.time_s), len(dslr.time_s))
    return NameCheck("other" if len(by_time) >= _PROVEN * few else "contradict", times, (), (), same, len(judged))


def _is_far(at: Times, others: Times) -> NDArray[np.bool_]:
    """Tell which times lie far from all of the other camera's."""
    ordered = np.sort(others[np.isfinite(others)])
    near = np.searchsorted(ordered, at + _ODD_CLOCK_S, "right") - np.searchsorted(ordered, at - _ODD_CLOCK_S, "left")
    return near == 0


def _nearer(one: Times, other: Times, main: Times) -> Times:
    """Return for each pair of times the one that lies nearer to the times `main`."""
    low, high = main.min(), main.max()
    away = [np.maximum(low - times, times - high) for times in (one, other)]
    return np.where(away[0] <= away[1], one, other)


def _without_far(times: Times) -> Times:
    """Return the times without the few that lie more than a year from all others."""
    known = np.flatnonzero(np.isfinite(times))
    left = times.copy()
    if len(known):
        left[known[far_apart(times[known])]] = np.nan
    return left

"""Which shots of two cameras belong together, told by their capture times alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.clock_fit import (
    MIN_PAIRS,
    NEIGHBOURHOOD_S,
    ClockMatch,
    events,
    match_clocks,
    own_and_rival,
    stands_out,
)
from dped_data.captures.clock_lines import TYPICAL_DRIFT, Times, all_differences
from dped_data.captures.records import ClockFit

_GUARD = 1.25
_STRETCH = 30
_STRETCH_GAP_S = 900.0


@dataclass(frozen=True)
class Partners:
    """The sure pairs of n phone shots and m DSLR shots, and the clocks' relation they obey.

    Attributes:
        match: the relation, fitted to the sure pairs.
        dslr_of_phone: (n,) index of the DSLR shot, -1 where there is no sure one.
        phone_candidates: (n,) DSLR shots that each phone shot could belong to.
        dslr_candidates: (m,) phone shots that each DSLR shot could belong to.
        doubtful: (n,) phone shots in a stretch for which the offset is not proven.
        reach_s: how near a candidate is at most, seconds.
    """

    match: ClockMatch
    dslr_of_phone: NDArray[np.int64]
    phone_candidates: NDArray[np.int64]
    dslr_candidates: NDArray[np.int64]
    doubtful: NDArray[np.bool_]
    reach_s: float


def pair_shots(phone_s: Times, dslr_s: Times, stamp_s: tuple[float, float], max_residual_s: float) -> Partners:
    """Estimate the clocks' relation and pair the shots that can belong to one partner only.

    Two shots pair when they lie within the tolerance and each is the other's only candidate, that is, no second one
    lies within 1.25 tolerances. So if both shots of a capture exist, neither can be paired with another shot. What no
    time stamp can tell: of two captures closer together than the tolerance, one camera lost the first shot and the
    other camera the second.

    Args:
        phone_s, dslr_s: (n,) and (m,) capture times in seconds, in any order.
        stamp_s: step of the phone's and of the DSLR's time stamps: 1 without sub-seconds, else 0.
        max_residual_s: upper limit of the tolerance.
    Raises:
        ClockUnknown: the times do not tell how the clocks relate.
    """
    match = match_clocks(phone_s, dslr_s, stamp_s, max_residual_s)
    partners = _partners(phone_s, dslr_s, match)
    for _ in range(3):
        fit = _fit_to_pairs(phone_s, dslr_s, partners)
        again = _partners(phone_s, dslr_s, replace(match, fit=fit))
        settled = np.array_equal(again.dslr_of_phone, partners.dslr_of_phone)
        partners = again
        if settled:
            break
    return partners


def _mapped(phone_s: Times, fit: ClockFit) -> Times:
    return np.asarray(phone_s + fit.offset_s + fit.drift * (phone_s - fit.reference_s))


def _partners(phone_s: Times, dslr_s: Times, match: ClockMatch) -> Partners:
    mapped = _mapped(phone_s, match.fit)
    reach = _GUARD * match.tolerance_s
    order = np.argsort(dslr_s, kind="stable")
    first = np.searchsorted(dslr_s[order], mapped - reach, "left")
    candidates = np.searchsorted(dslr_s[order], mapped + reach, "right") - first
    ordered = np.sort(mapped)
    rivals = np.searchsorted(ordered, dslr_s + reach, "right") - np.searchsorted(ordered, dslr_s - reach, "left")
    nearest = order[np.minimum(first, len(dslr_s) - 1)]
    residuals = dslr_s[nearest] - mapped
    sure = (candidates == 1) & (rivals[nearest] == 1) & (np.abs(residuals) <= match.tolerance_s)
    doubtful = _doubtful(mapped, dslr_s, mapped[sure], residuals[sure], match)
    return Partners(match, np.where(sure & ~doubtful, nearest, -1), candidates, rivals, doubtful, reach)


def _fit_to_pairs(phone_s: Times, dslr_s: Times, partners: Partners) -> ClockFit:
    """Refit the clocks' relation by least squares to the sure pairs only."""
    fit = partners.match.fit
    paired = partners.dslr_of_phone >= 0
    if np.count_nonzero(paired) < MIN_PAIRS:
        return fit
    at = phone_s[paired]
    residuals = dslr_s[partners.dslr_of_phone[paired]] - _mapped(at, fit)
    line = _RestLine.through(at, residuals, fit.drift)
    left = residuals - line.at(at)
    return ClockFit(
        offset_s=fit.offset_s + fit.drift * (line.centre - fit.reference_s) + line.mean,
        drift=fit.drift + line.slope,
        reference_s=line.centre,
        residual_s=float(np.median(np.abs(left))),
        pairs=len(at),
    )


@dataclass(frozen=True)
class _RestLine:
    """A line through residuals: mean at `centre`, slope, and their standard deviations."""

    centre: float
    mean: float
    slope: float
    mean_sd: float
    slope_sd: float

    @staticmethod
    def through(at: Times, residuals: Times, drift: float) -> _RestLine:
        """Fit by least squares; a weak prior keeps drift + slope near zero."""
        scale = max(float(residuals.std()), 0.02)
        centre, prior = float(at.mean()), (scale / TYPICAL_DRIFT) ** 2
        spread = float(np.sum((at - centre) ** 2)) + prior
        slope = (float(np.sum((at - centre) * residuals)) - drift * prior) / spread
        return _RestLine(centre, float(residuals.mean()), slope, scale / len(at) ** 0.5, scale / spread**0.5)

    def at(self, times: Times) -> Times:
        return np.asarray(self.mean + self.slope * (times - self.centre))

    def uncertainty(self, times: Times) -> Times:
        return np.asarray(4 * (self.mean_sd + self.slope_sd * np.abs(times - self.centre)))


def _doubtful(mapped: Times, dslr_s: Times, paired: Times, residuals: Times, match: ClockMatch) -> NDArray[np.bool_]:
    """Mark the phone shots in stretches (shots without a long gap, 30 at most) for which the offset is not proven."""
    phone, dslr = (events(np.sort(t), match.tolerance_s) for t in (mapped, dslr_s))
    doubtful = np.zeros(len(mapped), bool)
    for stretch in _stretches(phone):
        low, high = stretch[0] - match.tolerance_s, stretch[-1] + match.tolerance_s
        others = (paired < low) | (paired > high)
        if not _proven(stretch, dslr, paired[others], residuals[others], match):
            doubtful |= (mapped >= low) & (mapped <= high)
    return doubtful


def _stretches(times: Times) -> list[Times]:
    sessions = np.split(times, np.flatnonzero(np.diff(times) > _STRETCH_GAP_S) + 1)
    return [part for session in sessions for part in np.array_split(session, -(-len(session) // _STRETCH))]


def _proven(stretch: Times, dslr: Times, paired: Times, residuals: Times, match: ClockMatch) -> bool:
    """Tell whether the line holds for a stretch, judged with the line through all other pairs.

    If that line is certain of the stretch, and agrees, the stretch may only not fit another offset much better (a clock
    that was set meanwhile). If it is uncertain (a few shots days away), the stretch must prove its own offset against
    every other one that the rest allows.
    """
    reach, certain = NEIGHBOURHOOD_S, False
    if len(paired) >= 2:
        rest = _RestLine.through(paired, residuals, match.fit.drift)
        ends = stretch[[0, -1]]
        certain = max(rest.uncertainty(ends).max(), np.abs(rest.at(ends)).max()) <= match.tolerance_s
        allowed = float((np.abs(rest.at(ends)) + rest.uncertainty(ends)).max()) + 2 * match.tolerance_s
        reach = reach if certain else min(reach, allowed)
    differences = np.sort(all_differences(stretch, dslr, reach))
    if not len(differences):
        return False
    own, other, _ = own_and_rival(differences, match.core_s, match.tolerance_s)
    if certain:
        return other < own + max(3, 0.2 * own)
    return (own >= MIN_PAIRS and stands_out(own, other)) or (own >= 2 and other == 0 and reach < NEIGHBOURHOOD_S)

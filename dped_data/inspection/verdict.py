"""Turn figures into answers: one check per question, each with its evidence, its limits and the captures concerned.

A check passes only on evidence: enough of what there is was measured. Else it is unknown. A fault that was found is a
finding whatever it rests on, so warn and fail stand with any evidence; the counts beside them say how much there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dped_data.inspection.loose import Share, Shares
from dped_data.inspection.report import Check, RankedCapture, Status, Summary
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.summary import FIELD_COLUMNS, FIELD_ROWS, MIN_CAPTURES, MIN_TIMED

ESSENTIAL = ("patches", "remaining shift", "shifted captures", "matching content")
"""Without an answer to these nothing is known of the pairs, and the verdict is unknown too. The others ask about the
shooting or the builder, and small sets leave some of them open: ten captures are needed to see a drift."""
_ORDER: dict[Status, int] = {"pass": 0, "unknown": 1, "warn": 2, "fail": 3}


def judge(
    summary: Summary,
    captures: Sequence[RankedCapture],
    settings: InspectSettings,
    without: Sequence[str] = (),
    more: Sequence[Check] = (),
) -> tuple[Status, tuple[Check, ...]]:
    """Return the verdict and all checks but those `without`, which ask for what such pairs never have; then `more`.

    The verdict fails if any check does; else it is unknown if an essential check is, else the worst of those that know.
    """
    checks: tuple[Check, ...] = (
        _patches(summary, captures),
        _kept(summary, captures, settings),
        _accuracy(summary, settings),
        _shifted(captures, settings),
        _matching(captures, settings),
        _foreign(captures, settings),
        _scale(summary, settings),
        _systematic(summary, captures, settings),
        _field(summary, settings),
        _drift(summary, captures, settings),
        _calibration(summary, settings),
        _leaks(summary, captures, settings),
        _clipped(captures, settings),
        _sharpness(captures, settings),
        _outliers(captures),
        _coverage(summary, captures, settings),
    )
    checks = (*(check for check in checks if check.name not in without), *more)
    return _verdict(checks), checks


def judge_loose(summary: Summary, shares: Shares, settings: InspectSettings) -> tuple[Status, tuple[Check, ...]]:
    """Return the verdict on loose patches and its checks: shares of patches, nothing that captures are needed for."""
    found = sum(summary.captures_by_status.values())
    checks = (
        Check(
            "patches", "pass" if shares.there else "fail", shares.there, None, None, "", _listed(summary), found, found
        ),
        _accuracy(summary, settings),
        _share(
            "matching content", shares.matching, shares.there, "find no match in their partner at any shift", settings
        ),
        _share("foreign content", shares.foreign, shares.looked, "hold a part that shows something else", settings),
        _scale(summary, settings),
        _shared(summary, settings),
        _repeated(summary, settings),
        _share("exposure", shares.exposure, shares.there, "are burnt out or black over a large part", settings),
        _share("sharpness", shares.sharpness, shares.looked, "are less sharp than the phone's by far", settings),
        _share(
            "look", shares.look, shares.there, "differ from the others in the cameras' relative brightness", settings
        ),
    )
    return _verdict(checks), checks


def _listed(summary: Summary) -> str:
    counts = summary.patches_by_split
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    failed = summary.captures_by_status.get("failed", 0)
    return f"{sum(counts.values()):,} patches ({listed}){f', {failed:,} could not be read' if failed else ''}"


def _share(name: str, share: Share, of: int, what: str, settings: InspectSettings) -> Check:
    limits = (settings.share_warn, settings.share_fail)
    if share.share is None:
        return Check(name, "unknown", None, *limits, "", f"none of {of:,} patches can tell", 0, of)
    text = f"{share.bad:,} of {share.told:,} patches {what} ({share.share:.1%})"
    status = grade(share.share, *limits)
    check = Check(name, status, share.share, *limits, "", text, share.told, of, share.ids)
    return _told(check, settings.least_patches, settings.least_share)


def _shared(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.systematic_warn_px, settings.systematic_fail_px)
    count = summary.shift_px.count if summary.shift_px else 0
    if summary.systematic_px is None:
        text = f"none of {summary.sampled:,} patches can be measured"
        return Check("systematic shift", "unknown", None, *limits, "px", text, 0, summary.sampled)
    x, y = summary.systematic_px
    length = float((x**2 + y**2) ** 0.5)
    status = grade(length, *limits) if length > 3 * summary.systematic_deviation_px else "pass"
    text = f"shared by all patches: ({x:+.2f}, {y:+.2f}) px; the rest {summary.random_px or 0.0:.2f} px in the median"
    check = Check("systematic shift", status, length, *limits, "px", text, count, summary.sampled)
    return _told(check, settings.least_patches, settings.least_share)


def _repeated(summary: Summary, settings: InspectSettings) -> Check:
    count, limit = summary.sampled, settings.repeated_correlation
    if count == 0:
        return Check("split leakage", "unknown", None, None, limit, "", "there are no patches", 0, 0)
    if sum(patches > 0 for patches in summary.patches_by_split.values()) == 1:
        text = "there is one split only, so that nothing can leak"
        return Check("split leakage", "pass", 0.0, None, limit, "", text, count, count)
    ids = tuple(dict.fromkeys(name for leak in summary.leaks for name in (leak.first, leak.second)))
    text = f"{len(summary.leaks):,} pairs of patches in two splits are the same" if ids else "no patch is in two splits"
    status: Status = "fail" if ids else "pass"
    return Check("split leakage", status, summary.leak_correlation, None, limit, "", text, count, count, ids)


def _verdict(checks: Sequence[Check]) -> Status:
    told: list[Status] = [c.status for c in checks if c.status != "unknown"]
    known = max(told, key=_ORDER.__getitem__)
    if known != "fail" and any(c.status == "unknown" for c in checks if c.name in ESSENTIAL):
        return "unknown"
    return known


def weakest_check(checks: Sequence[Check]) -> Check:
    """The check that the verdict hangs on: of the worst status; among equals the one that rests on the least share.

    An essential check that is unknown comes right after those that fail.
    """

    def weakness(check: Check) -> tuple[int, float]:
        lost = check.status == "unknown" and check.name in ESSENTIAL
        return (2 * _ORDER["warn"] + 1 if lost else 2 * _ORDER[check.status]), -check.share

    return max(checks, key=weakness)


def _told(check: Check, least: int, share: float) -> Check:
    """The check as it may stand: a pass on fewer measurements, or on a smaller share of them, becomes unknown."""
    if check.status != "pass" or (check.measured is not None and check.count >= least and check.share >= share):
        return check
    needed = f"at least {least} and {share:.0%} are needed to pass" if share else f"at least {least} are needed"
    return replace(check, status="unknown", text=f"{check.text}; {check.count} of {check.of} measured, {needed}")


def grade(measured: float, warn: float, fail: float) -> Status:
    """Return the status of a figure that should be small."""
    if measured > fail:
        return "fail"
    return "warn" if measured > warn else "pass"


def _of_worst(
    name: str,
    values: Sequence[float],
    limits: tuple[float, float],
    unit: str,
    text: str,
    ids: tuple[str, ...],
    captures: Sequence[RankedCapture],
    settings: InspectSettings,
    *,
    falling: bool = False,
) -> Check:
    """A check on the worst of the captures that could be measured; `falling`: on figures that should be large."""
    worst, sign = (min(values, default=None), -1) if falling else (max(values, default=None), 1)
    status: Status = "pass" if worst is None else grade(sign * worst, sign * limits[0], sign * limits[1])
    evidence = (len(values), len(_stored(captures)))
    return _told(Check(name, status, worst, *limits, unit, text, *evidence, ids), 1, settings.least_share)


def _flagged(captures: Sequence[RankedCapture], *flags: str) -> tuple[str, ...]:
    return tuple(c.capture_id for c in captures if not {*flags}.isdisjoint(c.flags))


def _many(ids: Sequence[str], one: str, many: str) -> str:
    return f"1 capture {one}" if len(ids) == 1 else f"{len(ids) or 'no'} captures {many}"


def _stored(captures: Sequence[RankedCapture]) -> list[RankedCapture]:
    """The captures that have patches."""
    return [c for c in captures if c.patches]


def _patches(summary: Summary, captures: Sequence[RankedCapture]) -> Check:
    counts = summary.patches_by_split
    total = sum(counts.values())
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    # Patches are missing where captures were kept; a set too small to spare any for testing is no fault.
    empty = [
        n for n, count in counts.items() if count == 0 and any(c.split == n and c.status == "kept" for c in captures)
    ]
    status: Status = "fail" if total == 0 or empty or counts.get("train") == 0 else "pass"
    return Check("patches", status, total, None, None, "", f"{total:,} patches ({listed})", total, total)


def _kept(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    total = sum(summary.captures_by_status.values())
    limit = settings.kept_warn
    if not total:
        return Check("kept captures", "unknown", None, limit, None, "", "there are no captures", 0, 0)
    kept = summary.captures_by_status.get("kept", 0)
    lost = tuple(c.capture_id for c in captures if c.status != "kept")
    text = f"{kept} of {total} captures kept"
    if summary.reasons:
        reason, count = next(iter(summary.reasons.items()))
        text += f"; most others: {reason} ({count})"
    status: Status = "warn" if kept / total < limit else "pass"
    return Check("kept captures", status, kept / total, limit, None, "", text, total, total, lost)


def _accuracy(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.ce90_warn_px, settings.ce90_fail_px)
    if summary.ce90_px is None or summary.shift_px is None:
        text = (
            f"none of {summary.sampled:,} patches has the texture to be re-measured that well; a larger "
            "--max-deviation-px accepts less sharp ones"
        )
        return Check("remaining shift", "unknown", None, *limits, "px", text, 0, summary.sampled)
    count = summary.shift_px.count
    text = (
        f"90 % of the {count:,} re-measured patches lie within {summary.ce90_px:.2f} px (median "
        f"{summary.shift_px.p50:.2f} px); {summary.measurable:.0%} of the {summary.sampled:,} sampled have the texture "
        "to tell"
    )
    status = grade(summary.ce90_px, *limits)
    check = Check("remaining shift", status, summary.ce90_px, *limits, "px", text, count, summary.sampled)
    return _told(check, settings.least_patches, settings.least_share)


def _shifted(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    lengths = [c.own_shift_px for c in captures if c.own_shift_px is not None]
    ids = _flagged(captures, "shifted")
    text = _many(ids, "is shifted as a whole", "are shifted as a whole")
    text += f", the worst by {max(lengths):.2f} px" if ids and lengths and max(lengths) else ""
    limits = (settings.capture_warn_px, settings.capture_fail_px)
    return _of_worst("shifted captures", lengths, limits, "px", text, ids, captures, settings)


def _matching(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    shares = [c.match_share for c in captures if c.match_share is not None]
    ids = _flagged(captures, "no match")
    text = _many(ids, "shows", "show") + " another scene or place than the partner photo"
    limits = (settings.match_warn, settings.match_fail)
    return _of_worst("matching content", shares, limits, "", text, ids, captures, settings, falling=True)


def _foreign(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    shares = [c.foreign_share for c in captures if c.foreign_share is not None]
    ids = _flagged(captures, "two contents")
    text = _many(ids, "holds", "hold") + " patches of which a part shows something else, or another depth"
    limits = (settings.foreign_warn, settings.foreign_fail)
    return _of_worst("foreign content", shares, limits, "", text, ids, captures, settings)


def _scale(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.scale_warn, settings.scale_fail)
    evidence = (summary.scaled, summary.looked)
    if summary.scale is None:
        return Check("scale", "unknown", None, *limits, "", "no patch has the texture to tell", *evidence)
    text = f"the DSLR patches show their content at {1 + summary.scale:.4f} times the phone patches' size"
    check = Check("scale", grade(abs(summary.scale), *limits), abs(summary.scale), *limits, "", text, *evidence)
    return _told(check, settings.least_patches, settings.least_share)


def _systematic(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    limits = (settings.systematic_warn_px, settings.systematic_fail_px)
    evidence = (sum(c.shift_px is not None for c in captures), len(_stored(captures)))
    if summary.systematic_px is None:
        text = f"{evidence[0]} of {evidence[1]} captures can be measured, {MIN_CAPTURES} are needed to tell"
        return Check("systematic shift", "unknown", None, *limits, "px", text, *evidence)
    x, y = summary.systematic_px
    length = (x**2 + y**2) ** 0.5
    significant = length > 3 * summary.systematic_deviation_px
    status = grade(length, *limits) if significant else "pass"
    random = summary.random_px or 0.0
    text = f"shared by all captures: ({x:+.2f}, {y:+.2f}) px; random part {random:.2f} px in the median"
    if status != "pass":
        text = f"SYSTEMATIC, {text}: a fault of the rig or of the lens model, not of single photos"
    check = Check("systematic shift", status, length, *limits, "px", text, *evidence)
    return _told(check, MIN_CAPTURES, settings.least_share)


def _field(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.field_warn_px, settings.field_fail_px)
    evidence = (len(summary.field), FIELD_COLUMNS * FIELD_ROWS)
    if not summary.field:
        text = f"no region of the photo holds enough measured patches of {MIN_CAPTURES} captures"
        return Check("residual field", "unknown", None, *limits, "px", text, *evidence)
    status = grade(summary.field_px, *limits)
    text = f"regions of the photo differ by {summary.field_px:.2f} px from the shared shift"
    if status != "pass":
        text += ": the lens model does not fit"
    check = Check("residual field", status, summary.field_px, *limits, "px", text, *evidence)
    return _told(check, 1, settings.least_share)


def _drift(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    limits = (settings.drift_warn_px, settings.drift_fail_px)
    timed = sum(c.shift_px is not None and c.time_s is not None for c in captures)
    evidence = (timed, len(_stored(captures)))
    if summary.drift_px is None:
        text = f"{timed} of {evidence[1]} captures have a time and a shift, {MIN_TIMED} at different times are needed"
        return Check("drift", "unknown", None, *limits, "px", text, *evidence)
    text = f"the shift changes by {summary.drift_px:.2f} px from the first to the last capture"
    check = Check("drift", grade(summary.drift_px, *limits), summary.drift_px, *limits, "px", text, *evidence)
    return _told(check, MIN_TIMED, settings.least_share)


def _calibration(summary: Summary, settings: InspectSettings) -> Check:
    limit = settings.calibration_warn
    evidence = (summary.predicted, summary.sampled)
    if summary.calibration is None:
        text = "no measured patch has a predicted error to compare"
        return Check("predicted error", "unknown", None, limit, None, "x", text, *evidence)
    text = f"re-measured shifts are {summary.calibration:.1f} times what the builder's prediction explains"
    status: Status = "warn" if summary.calibration > limit else "pass"
    check = Check("predicted error", status, summary.calibration, limit, None, "x", text, *evidence)
    return _told(check, settings.least_patches, settings.least_share)


def _leaks(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    ids = tuple(dict.fromkeys(name for leak in summary.leaks for name in (leak.first, leak.second)))
    kept, limit = [c for c in captures if c.status == "kept"], settings.leak_correlation
    evidence = (sum(c.pictured for c in kept), len(kept))
    measured = summary.leak_correlation if evidence[0] else None
    if kept and len({c.split for c in kept}) == 1:
        text = "there is one split only, so that nothing can leak"
        return Check("split leakage", "pass", 0.0, None, limit, "", text, len(kept), len(kept))
    if not ids:
        text = "no scene appears in more than one split"
        return _told(Check("split leakage", "pass", measured, None, limit, "", text, *evidence), 1, 1.0)
    worst = summary.leaks[0]
    text = f"{len(summary.leaks)} pairs of near-duplicates across splits, first {worst.first} and {worst.second}"
    return Check("split leakage", "fail", worst.correlation, None, limit, "", text, *evidence, ids)


def _clipped(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    shares = [max(c.clipped) for c in captures if c.clipped is not None]
    ids = _flagged(captures, "clipped")
    text = _many(ids, "is", "are") + " burnt out or black over a large part"
    limits = (settings.clipped_warn, settings.clipped_fail)
    return _of_worst("exposure", shares, limits, "", text, ids, captures, settings)


def _sharpness(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    found = [c.sharpness for c in captures if c.sharpness is not None]
    ids = _flagged(captures, "blurred")
    text = _many(ids, "has", "have") + " a DSLR photo that is less sharp than the phone's"
    limits = (settings.sharpness_warn, settings.sharpness_fail)
    return _of_worst("sharpness", found, limits, "", text, ids, captures, settings, falling=True)


def _outliers(captures: Sequence[RankedCapture]) -> Check:
    evidence = (sum(c.brightness is not None for c in captures), len(_stored(captures)))
    if evidence[0] < MIN_CAPTURES:
        text = f"{evidence[0]} of {evidence[1]} captures can be compared, {MIN_CAPTURES} are needed to tell"
        return Check("look", "unknown", None, None, None, "", text, *evidence)
    ids = _flagged(captures, "brightness", "colour")
    text = _many(ids, "differs", "differ") + " from the others in the cameras' relative brightness or colour"
    return Check("look", "warn" if ids else "pass", len(ids), None, None, "", text, *evidence, ids)


def _coverage(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    windows, limit = sum(summary.windows_by_reason.values()), settings.coverage_warn
    if windows == 0:
        return Check("coverage", "unknown", None, limit, None, "", "the dataset holds no windows", 0, 0)
    share = summary.windows_by_reason["kept"] / windows
    ids = _flagged(captures, "coverage")
    status: Status = "warn" if share < limit else "pass"
    return Check("coverage", status, share, limit, None, "", f"{share:.0%} of the windows kept", windows, windows, ids)

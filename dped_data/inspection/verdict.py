"""Turn figures into answers: one check per question, each with its limits and the captures concerned."""

from __future__ import annotations

from collections.abc import Sequence

from dped_data.inspection.report import Check, RankedCapture, Status, Summary
from dped_data.inspection.settings import InspectSettings

_ORDER: dict[Status, int] = {"pass": 0, "warn": 1, "fail": 2}


def judge(
    summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings
) -> tuple[Status, tuple[Check, ...]]:
    """Return the verdict, which is the worst status of any check, and all checks."""
    checks = (
        _patches(summary, captures),
        _kept(summary, captures, settings),
        _accuracy(summary, settings),
        _shifted(captures, settings),
        _matching(captures, settings),
        _systematic(summary, settings),
        _field(summary, settings),
        _drift(summary, settings),
        _calibration(summary, settings),
        _leaks(summary, settings),
        _clipped(captures, settings),
        _outliers(captures),
        _coverage(summary, captures, settings),
    )
    return max((check.status for check in checks), key=_ORDER.__getitem__), checks


def _grade(measured: float, warn: float, fail: float) -> Status:
    """Status of a figure that should be small."""
    if measured > fail:
        return "fail"
    return "warn" if measured > warn else "pass"


def _flagged(captures: Sequence[RankedCapture], *flags: str) -> tuple[str, ...]:
    return tuple(c.capture_id for c in captures if not {*flags}.isdisjoint(c.flags))


def _many(ids: Sequence[str], one: str, many: str) -> str:
    return f"1 capture {one}" if len(ids) == 1 else f"{len(ids) or 'no'} captures {many}"


def _patches(summary: Summary, captures: Sequence[RankedCapture]) -> Check:
    counts = summary.patches_by_split
    total = sum(counts.values())
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    # Patches are missing where captures were kept; a set too small to spare any for testing is no fault.
    empty = [
        n for n, count in counts.items() if count == 0 and any(c.split == n and c.status == "kept" for c in captures)
    ]
    status: Status = "fail" if total == 0 or empty or counts.get("train") == 0 else "pass"
    return Check("patches", status, total, None, None, "", f"{total:,} patches ({listed})")


def _kept(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    total = sum(summary.captures_by_status.values())
    kept = summary.captures_by_status.get("kept", 0)
    share = kept / total if total else 0.0
    lost = tuple(c.capture_id for c in captures if c.status != "kept")
    text = f"{kept} of {total} captures kept"
    if summary.reasons:
        reason, count = next(iter(summary.reasons.items()))
        text += f"; most others: {reason} ({count})"
    return Check(
        "kept captures",
        "warn" if share < settings.kept_warn else "pass",
        share,
        settings.kept_warn,
        None,
        "",
        text,
        lost,
    )


def _accuracy(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.ce90_warn_px, settings.ce90_fail_px)
    if summary.ce90_px is None or summary.shift_px is None:
        text = (
            "no patch has the texture to be re-measured that well; a larger --max-deviation-px accepts less sharp ones"
        )
        return Check("remaining shift", "warn", None, *limits, "px", text)
    text = (
        f"90 % of the re-measured patches lie within {summary.ce90_px:.2f} px (median {summary.shift_px.p50:.2f} px, "
        f"{summary.shift_px.count} patches, {summary.measurable:.0%} of the sample has the texture to tell)"
    )
    return Check("remaining shift", _grade(summary.ce90_px, *limits), summary.ce90_px, *limits, "px", text)


def _shifted(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    limits = (settings.capture_warn_px, settings.capture_fail_px)
    lengths = [c.own_shift_px for c in captures if c.own_shift_px is not None]
    worst = max(lengths, default=None)
    ids = _flagged(captures, "shifted")
    text = _many(ids, "is shifted as a whole", "are shifted as a whole") + (
        f", the worst by {worst:.2f} px" if ids and worst else ""
    )
    status: Status = "pass" if worst is None else _grade(worst, *limits)
    return Check("shifted captures", status, worst, *limits, "px", text, ids)


def _matching(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    limits = (settings.match_warn, settings.match_fail)
    shares = [c.match_share for c in captures if c.match_share is not None]
    worst = min(shares, default=None)
    ids = _flagged(captures, "no match")
    text = _many(ids, "shows", "show") + " another scene or place than the partner photo"
    status: Status = "pass" if worst is None else _grade(-worst, -limits[0], -limits[1])
    return Check("matching content", status, worst, *limits, "", text, ids)


def _systematic(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.systematic_warn_px, settings.systematic_fail_px)
    if summary.systematic_px is None:
        return Check("systematic shift", "pass", None, *limits, "px", "too few captures to tell (5 are needed)")
    x, y = summary.systematic_px
    length = (x**2 + y**2) ** 0.5
    significant = length > 3 * summary.systematic_deviation_px
    status = _grade(length, *limits) if significant else "pass"
    random = summary.random_px or 0.0
    text = f"shared by all captures: ({x:+.2f}, {y:+.2f}) px; random part {random:.2f} px in the median"
    if status != "pass":
        text = f"SYSTEMATIC, {text}: a fault of the rig or of the lens model, not of single photos"
    return Check("systematic shift", status, length, *limits, "px", text)


def _field(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.field_warn_px, settings.field_fail_px)
    if not summary.field:
        return Check("residual field", "pass", None, *limits, "px", "too few captures to tell (5 are needed)")
    status = _grade(summary.field_px, *limits)
    text = f"regions of the photo differ by {summary.field_px:.2f} px from the shared shift"
    if status != "pass":
        text += ": the lens model does not fit"
    return Check("residual field", status, summary.field_px, *limits, "px", text)


def _drift(summary: Summary, settings: InspectSettings) -> Check:
    limits = (settings.drift_warn_px, settings.drift_fail_px)
    if summary.drift_px is None:
        return Check("drift", "pass", None, *limits, "px", "not measured (needs 10 captures with capture times)")
    text = f"the shift changes by {summary.drift_px:.2f} px from the first to the last capture"
    return Check("drift", _grade(summary.drift_px, *limits), summary.drift_px, *limits, "px", text)


def _calibration(summary: Summary, settings: InspectSettings) -> Check:
    limit = settings.calibration_warn
    if summary.calibration is None:
        return Check(
            "predicted error", "pass", None, limit, None, "x", "the dataset holds no predicted errors to compare"
        )
    text = f"re-measured shifts are {summary.calibration:.1f} times what the builder's prediction explains"
    status: Status = "warn" if summary.calibration > limit else "pass"
    return Check("predicted error", status, summary.calibration, limit, None, "x", text)


def _leaks(summary: Summary, settings: InspectSettings) -> Check:
    ids = tuple(dict.fromkeys(name for leak in summary.leaks for name in (leak.first, leak.second)))
    if not ids:
        text = "no scene appears in more than one split"
        return Check("split leakage", "pass", None, None, settings.leak_correlation, "", text)
    worst = summary.leaks[0]
    text = f"{len(summary.leaks)} pairs of near-duplicates across splits, first {worst.first} and {worst.second}"
    return Check("split leakage", "fail", worst.correlation, None, settings.leak_correlation, "", text, ids)


def _clipped(captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    limits = (settings.clipped_warn, settings.clipped_fail)
    worst = max((max(c.clipped) for c in captures if c.clipped is not None), default=None)
    ids = _flagged(captures, "clipped")
    text = _many(ids, "is", "are") + " burnt out or black over a large part"
    return Check("exposure", "pass" if worst is None else _grade(worst, *limits), worst, *limits, "", text, ids)


def _outliers(captures: Sequence[RankedCapture]) -> Check:
    ids = _flagged(captures, "brightness", "colour")
    text = _many(ids, "differs", "differ") + " from the others in the cameras' relative brightness or colour"
    return Check("look", "warn" if ids else "pass", len(ids), None, None, "", text, ids)


def _coverage(summary: Summary, captures: Sequence[RankedCapture], settings: InspectSettings) -> Check:
    windows = sum(summary.windows_by_reason.values())
    if windows == 0:
        return Check("coverage", "pass", None, settings.coverage_warn, None, "", "the dataset holds no windows")
    share = summary.windows_by_reason["kept"] / windows
    ids = _flagged(captures, "coverage")
    status: Status = "warn" if share < settings.coverage_warn else "pass"
    return Check("coverage", status, share, settings.coverage_warn, None, "", f"{share:.0%} of the windows kept", ids)

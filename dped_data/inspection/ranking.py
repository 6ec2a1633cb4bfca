"""Rank captures, worst first, by how far each is beyond the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dped_data.inspection.records import CaptureFigures
from dped_data.inspection.report import RankedCapture, Summary
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.summary import capture_shift
from dped_data.photos.colour import LUMA

_FAILED, _REJECTED = 0.95, 0.9
"""Severity of captures without patches: they harm nothing, so they come after every kept capture that fails (1 and
more), and before those that pass, since a person may want to know why."""
_CONTRAST = 4.0
_LEAST_PATCHES = 3
"""Fewer patches that tell give a capture no share and no median."""
_LEAST_SPREAD = 0.03
"""Floor of the robust deviation of log brightness and log colour ratios: scenes that agree better than 3 % make no
outlier of one that differs by little."""


@dataclass(frozen=True)
class _Scores:
    """How far a capture is beyond each limit (1: at the limit that fails), with the flag that names it."""

    shifted: float
    unmatched: float
    clipped: float
    foreign: float
    blurred: float
    brightness: float
    colour: float
    sparse: float


def rank_captures(
    figures: Sequence[CaptureFigures], summary: Summary, settings: InspectSettings
) -> tuple[RankedCapture, ...]:
    """Return every capture with its figures and flags, most severe first, then by id."""
    brightness, colour = _look_outliers(figures)
    told = [_told(f, summary, float(brightness[k]), float(colour[k])) for k, f in enumerate(figures)]
    return judge_captures(told, summary, settings)


def judge_captures(
    captures: Sequence[RankedCapture], summary: Summary, settings: InspectSettings
) -> tuple[RankedCapture, ...]:
    """Return captures with the flags and the order that these limits give them; nothing is measured for it."""
    leaking = {name for leak in summary.leaks for name in (leak.first, leak.second)}
    judged = [_judged(c, settings, c.capture_id in leaking) for c in captures]
    return tuple(sorted(judged, key=lambda c: (-c.severity, c.capture_id)))


def _judged(c: RankedCapture, settings: InspectSettings, leaking: bool) -> RankedCapture:
    scores = _Scores(
        shifted=(c.own_shift_px or 0.0) / settings.capture_fail_px if settings.capture_fail_px else 0.0,
        unmatched=(
            (1 - c.match_share) / (1 - settings.match_fail)
            if c.match_share is not None and settings.match_fail < 1
            else 0.0
        ),
        clipped=max(c.clipped or (0.0,)) / settings.clipped_fail if settings.clipped_fail else 0.0,
        foreign=(c.foreign_share or 0.0) / settings.foreign_fail if settings.foreign_fail else 0.0,
        blurred=_blur(c.sharpness, settings),
        brightness=c.brightness_off / (2 * settings.outlier_warn),
        colour=c.colour_off / (2 * settings.outlier_warn),
        sparse=float(c.status == "kept" and c.coverage < settings.coverage_warn and c.stored_windows > 0),
    )
    flags = _flags(scores, c, settings) + (("leak",) if leaking else ())
    return replace(
        c,
        severity=0.0 if c.decided else _severity(c.status, scores, leaking),  # a person knows already
        flags=flags if c.status == "kept" else (c.status,),
    )


def _told(f: CaptureFigures, summary: Summary, brightness: float, colour: float) -> RankedCapture:
    row, sample, look, windows = f.listed.row, f.sample, f.look, sum(f.windows)
    shift = capture_shift(f)
    lengths = np.hypot(*sample.shift_px[sample.measured].T) if sample is not None else np.zeros(0)
    return RankedCapture(
        capture_id=row.capture_id,
        index=f.listed.index,
        split=row.split,
        status=row.status,
        reason=f"{row.stage}: {row.reason}" if row.reason else "",
        measured=row.measured,
        limit=row.limit,
        phone_file=row.phone_file,
        dslr_file=row.dslr_file,
        time_s=f.time_s,
        windows=row.windows or windows,
        patches=len(f.ncc),
        stored_windows=windows,
        coverage=len(f.ncc) / windows if windows else 0.0,
        ncc_p50=_median(f.ncc),
        error_p50_px=_median(f.error_px),
        shift_px=shift,
        own_shift_px=_own_shift(shift, summary),
        shift_length_px=_median(lengths),
        shift_p90_px=float(np.quantile(lengths, 0.9)) if len(lengths) else None,
        match_share=_match_share(f),
        foreign_share=_foreign_share(f),
        sharpness=_sharpness(f),
        brightness=(float(look.phone_rgb @ LUMA), float(look.dslr_rgb @ LUMA)) if look else None,
        brightness_off=brightness,
        colour_off=colour,
        clipped=(look.phone_clipped, look.dslr_clipped) if look else None,
        decided=row.stage == "review",
        severity=0.0,
        flags=(),
        pictured=f.view is not None,
    )


def _severity(status: str, scores: _Scores, leaking: bool) -> float:
    if status == "failed":
        return _FAILED
    if status == "rejected":
        return _REJECTED
    harms = (scores.shifted, scores.unmatched, scores.clipped, scores.foreign, scores.blurred)
    worst = max(*harms, scores.brightness, scores.colour)
    return max(worst, 1.0 if leaking else 0.0, 0.3 * scores.sparse)


def _blur(sharpness: float | None, settings: InspectSettings) -> float:
    """1 at the limit that fails, 0 for DSLR patches as sharp as the phone's."""
    if sharpness is None or settings.sharpness_fail >= 1:
        return 0.0
    return max(0.0, (1 - sharpness) / (1 - settings.sharpness_fail))


def _flags(scores: _Scores, c: RankedCapture, settings: InspectSettings) -> tuple[str, ...]:
    own, match, clipped = c.own_shift_px, c.match_share, c.clipped
    raised = {
        "shifted": own is not None and own > settings.capture_warn_px,
        "no match": match is not None and match < settings.match_warn,
        "clipped": clipped is not None and max(clipped) > settings.clipped_warn,
        "two contents": c.foreign_share is not None and c.foreign_share > settings.foreign_warn,
        "blurred": c.sharpness is not None and c.sharpness < settings.sharpness_warn,
        "brightness": scores.brightness > 0.5,
        "colour": scores.colour > 0.5,
        "coverage": scores.sparse > 0,
    }
    return tuple(name for name, up in raised.items() if up)


def _own_shift(shift: tuple[float, float] | None, summary: Summary) -> float | None:
    """Length of a capture's shift beyond what all captures share."""
    if shift is None:
        return None
    x, y = summary.systematic_px or (0.0, 0.0)
    return float(np.hypot(shift[0] - x, shift[1] - y))


def _match_share(f: CaptureFigures) -> float | None:
    """Share of the sampled patches with contrast that correlate with their partner at some shift."""
    if f.sample is None:
        return None
    contrast = f.sample.contrast >= _CONTRAST
    if contrast.sum() < _LEAST_PATCHES:
        return None
    return float(f.sample.matched[contrast].mean())


def _foreign_share(f: CaptureFigures) -> float | None:
    """Share of the patches looked at cell by cell that hold a cell of something else."""
    if f.sample is None or f.sample.told.sum() < _LEAST_PATCHES:
        return None
    return float((f.sample.foreign[f.sample.told] > 0).mean())


def _sharpness(f: CaptureFigures) -> float | None:
    """Median of the DSLR patches' fine detail over the phone's."""
    if f.sample is None or np.isfinite(f.sample.sharpness).sum() < _LEAST_PATCHES:
        return None
    return float(np.nanmedian(f.sample.sharpness))


def _median(values: NDArray[np.floating]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def _look_outliers(figures: Sequence[CaptureFigures]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Robust deviations of each capture from all others: of the cameras' brightness and of their colour ratios."""
    brightness, colour = np.zeros(len(figures)), np.zeros(len(figures))
    where = [k for k, f in enumerate(figures) if f.look is not None]
    if len(where) < 5:
        return brightness, colour
    looks = [look for f in figures if (look := f.look) is not None]
    ratio = np.log(np.stack([look.dslr_rgb + 1 for look in looks]) / np.stack([look.phone_rgb + 1 for look in looks]))
    brightness[where] = _robust_deviations(ratio @ LUMA)
    hue = ratio[:, [0, 2]] - ratio[:, [1]]
    colour[where] = np.maximum(_robust_deviations(hue[:, 0]), _robust_deviations(hue[:, 1]))
    return brightness, colour


def _robust_deviations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    off = np.abs(values - np.median(values))
    result: NDArray[np.float64] = off / max(1.4826 * float(np.median(off)), _LEAST_SPREAD)
    return result

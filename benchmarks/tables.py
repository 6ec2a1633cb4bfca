"""The benchmark's figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from measurements import Crossed, Result

from dped_data.align.records import CONTRAST_CLASSES
from dped_data.simulation.score import CalibrationBin

_COLUMNS = (
    *("family", "builder", "patches", "useful", "oracle", "useful yield", "kept of overlap"),
    *("median px", "p95", "p99", "max", "within 0.5", "within 1", "within 5", "false", "straddling"),
    *("s/pair", "mean", "x naive", "x decode", "peak MB", "same"),
)


def result_table(results: Sequence[Result]) -> str:
    """One row per family and builder; errors in phone pixels."""
    naive_s = {r.family: r.pair_s for r in results if r.builder == "naive"}
    return _markdown(_COLUMNS, [_row(r, naive_s.get(r.family)) for r in results])


def _row(r: Result, naive_s: float | None) -> list[str]:
    s = r.score
    return [
        r.family,
        r.builder,
        str(s.kept),
        str(s.useful),
        str(s.oracle_windows),
        *(_percent(share) for share in (s.useful_yield, s.kept_share)),
        *(_px(error) for error in (s.median_px, s.p95_px, s.p99_px, s.max_px)),
        *(_percent(share) for share in (s.within_half, s.within_1, s.within_5)),
        str(s.false_accepts),
        str(s.straddling),
        f"{r.pair_s:.2f}",
        f"{r.mean_pair_s:.2f}",
        "-" if naive_s is None else f"{naive_s / r.pair_s:.1f}",
        f"{r.process_s / r.decode_s:.1f}",
        "-" if r.peak_mb is None else f"{r.peak_mb:.0f}",
        {None: "-", True: "yes", False: "NO"}[r.identical],
    ]


def calibration_table(results: Sequence[Result]) -> str:
    """Per family, in five groups of patches by predicted error: predicted RMS -> true RMS (their ratio)."""
    groups = [f"group {i + 1}" for i in range(5)]
    rows = [
        [r.family, *(f"{b.predicted_rms_px:.3f} -> {b.true_rms_px:.3f} ({_ratio(b)})" for b in r.score.calibration)]
        for r in results
        if r.score.calibration
    ]
    return _markdown(("predicted -> true RMS px", *groups), rows)


def contrast_table(results: Sequence[Result]) -> str:
    """Per family and class of contrast: windows kept, of those considered (all that lie in both photos)."""
    rows = [
        [r.family, *(f"{r.kept_by_contrast[k]} of {r.windows_by_contrast[k]}" for k in CONTRAST_CLASSES)]
        for r in results
        if r.windows_by_contrast
    ]
    return _markdown(("windows kept by contrast", *CONTRAST_CLASSES), rows)


def crossed_table(crossed: Sequence[Crossed]) -> str:
    """What the builders made of captures whose photos show different scenes."""
    rows = [[c.builder, str(c.captures), str(c.accepted), str(c.patches)] for c in crossed]
    return _markdown(("builder", "crossed captures", "accepted", "patches accepted"), rows)


def _ratio(b: CalibrationBin) -> str:
    return f"{b.true_rms_px / b.predicted_rms_px:.2f}" if b.predicted_rms_px > 0 else "-"


def _px(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(len(line[i]) for line in (header, *rows)) if rows else len(header[i]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)

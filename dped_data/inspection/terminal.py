"""The report as text: checks, figures with sparkline histograms, and the worst captures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dped_data.common.terminal_lines import COLUMNS, shortened, wrapped
from dped_data.inspection.report import Histogram, InspectReport, Quantiles, RankedCapture

_BLOCKS = " ▁▂▃▄▅▆▇█"
_BARS = 16
_LONGEST_NAME = 24


def terminal_text(report: InspectReport, worst: int = 10) -> str:
    """Return the report as lines of 80 characters, but for long paths, with `worst` captures at its end."""
    s = report.summary
    lines = [
        f"{report.dataset}: {report.phone} with {report.dslr}   verdict: {report.verdict.upper()}",
        *_weakest(report),
        "",
        *_facts(
            [
                ("captures", _counts(s.captures_by_status)),
                ("patches", _counts(s.patches_by_split)),
                ("windows", _shares(s.windows_by_reason)),
                ("contrast", _shares(s.contrast)),
            ]
        ),
        *(f"{'':11}{count:6d}  {reason}" for reason, count in list(s.reasons.items())[:8]),
        "",
        f"{'':22}{'p10':>8}{'p50':>8}{'p90':>8}{'p99':>8}",
        *_quantile_line("correlation, as stored", s.ncc, s.histograms.get("ncc")),
        *_quantile_line("predicted error, px", s.error_px, s.histograms.get("error_px")),
        *_quantile_line("shift re-measured, px", s.shift_px, s.histograms.get("shift_px")),
        "",
        *_checks(report),
        "",
        *_worst(report.captures[:worst]),
    ]
    if report.page:
        lines += ["", f"report: {report.page}"]
    return "\n".join(lines)


def sparkline(histogram: Histogram, columns: int = _BARS) -> str:
    """Return a histogram as block characters; bins are joined to fit, and none that holds something is blank."""
    per = max(1, -(-len(histogram.counts) // columns))
    joined = [sum(histogram.counts[k : k + per]) for k in range(0, len(histogram.counts), per)]
    top = max(max(joined), 1)
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // top)] for count in joined)


def _facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [line for name, text in pairs if text for line in wrapped(text, f"{name:11}")]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _shares(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{count / total:.1%} {name}" for name, count in counts.items() if count) if total else ""


def _quantile_line(name: str, q: Quantiles | None, histogram: Histogram | None) -> list[str]:
    if q is None or histogram is None:
        return [f"{name:22}{'not in this dataset':>32}"]
    figures = "".join(f"{value:8.3f}" for value in (q.p10, q.p50, q.p90, q.p99))
    return [f"{name:22}{figures} {histogram.low:<3g} {sparkline(histogram)} {histogram.high:g}"]


def _weakest(report: InspectReport) -> list[str]:
    check = next((c for c in report.checks if c.name == report.weakest), None)
    if check is None:
        return []
    return [f"weakest: {check.name} ({check.status}, {check.count:,} of {check.of:,} measured)"]


def _checks(report: InspectReport) -> list[str]:
    lines: list[str] = []
    for check in report.checks:
        head = f"{check.status.upper():7} {check.name:18} "
        lines += wrapped(check.text, head)
    return lines


def _worst(captures: Sequence[RankedCapture]) -> list[str]:
    if not captures:
        return []
    names = [shortened(c.capture_id, _LONGEST_NAME) for c in captures]
    width = max(12, *map(len, names))
    head = (
        f"{'worst first':{width}}  {'split':5} {'status':8} {'patches':>7} {'ncc':>6} {'error':>6} {'shift':>6}  what"
    )
    lines = [head]
    for name, c in zip(names, captures, strict=True):
        figures = "".join(f" {_number(value):>6}" for value in (c.ncc_p50, c.error_p50_px, c.shift_length_px))
        what = ", ".join(c.flags) if c.status == "kept" else c.reason
        row = f"{name:{width}}  {c.split:5} {c.status:8} {c.patches:7d}{figures}"
        if len(row) + 2 + len(what) <= COLUMNS:
            lines.append(f"{row}  {what}".rstrip())
        else:
            lines += [row, *wrapped(what, f"{'':{width}}  ")]
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

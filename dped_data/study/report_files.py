"""A study's report as text, as a page, as tables for CSV and LaTeX, and as the bars of the paper's Figure 10."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path

from dped_data.common.csv_tables import csv_text
from dped_data.common.files import atomic_write_bytes, atomic_write_text
from dped_data.common.folder_lock import held
from dped_data.common.latex_tables import latex_table
from dped_data.study.bars import draw_bars
from dped_data.study.page import study_page
from dped_data.study.records import Question
from dped_data.study.report import LEAST_SUBJECTS, Comparison, Interval, SceneCount, StudyReport

PAGE_NAME = "index.html"
_SET = ("comparisons", "classes", "scenes")
"""Tables that papers print, hence for LaTeX too."""


def write_report(report: StudyReport, out: Path, folder: Path | None = None) -> Path:
    """Write the page (index.html), the tables, bars.png and bars.svg; return `out`.

    Tables are comparisons, classes, scenes, subjects and answers as .csv, the first three as .tex as well.

    Args:
        report: what the answers say.
        out: folder of the report.
        folder: the study's folder, for the photos of the scenes; without it the page shows none.
    """
    tables, bars = list(_tables(report)), [f"bars.{suffix}" for suffix in ("png", "svg")]
    names = (PAGE_NAME, *(f"{name}.csv" for name, _, _ in tables), *(f"{name}.tex" for name in _SET), *bars)
    with held(out, "study report", names):
        for name, header, rows in tables:
            atomic_write_text(out / f"{name}.csv", csv_text(header, rows))
            if name in _SET:
                atomic_write_text(out / f"{name}.tex", latex_table([h.replace("_", " ") for h in header], rows))
        atomic_write_text(out / PAGE_NAME, study_page(report, folder))
        for name in bars:
            atomic_write_bytes(out / name, draw_bars(report, name.rpartition(".")[2]))
    return out


def report_text(report: StudyReport) -> str:
    """Return the report as the command prints it."""
    lines = [report.title] if report.title else []
    lines += [_who_answered(report), ""]
    groups = list(dict.fromkeys(comparison.group for comparison in report.comparisons))
    width = max(len(_versus(comparison)) for comparison in report.comparisons)
    for group in groups:
        lines.append(f"{group:<{width + 2}}  first preferred    95 % interval   over subjects      p  answers")
        lines += [_line(entry, width) for entry in report.comparisons if entry.group == group]
        parts = [entry for entry in report.classes if entry.group == group and entry.of_all]
        shares = ", ".join(f"{entry.class_name} {entry.of_all.share:.1%}" for entry in parts if entry.of_all)
        lines += [f"  chosen over all comparisons: {shares or 'no answers'}", ""]
    left = report.left
    lines.append(f"left photo chosen: {left.share:.1%} ({left.low:.1%} to {left.high:.1%}); sides were balanced")
    return "\n".join(lines)


def _who_answered(report: StudyReport) -> str:
    complete = sum(entry.answered == report.questions for entry in report.subjects)
    part = [entry for entry in report.subjects if 0 < entry.answered < report.questions]
    idle = len(report.subjects) - complete - len(part)
    text = f"{len(report.subjects)} subjects, {report.questions} questions each: {complete} complete"
    if part:
        given = ", ".join(str(entry.answered) for entry in part)
        text += f", {len(part)} incomplete ({given} answers; {'left out' if report.complete_only else 'counted'})"
    if idle:
        text += f", {idle} without an answer"
    changed = sum(entry.changed for entry in report.subjects if entry.is_counted)
    return f"{text}; {len(report.answers)} answers count, {changed} of them changed by going back"


def _versus(comparison: Comparison) -> str:
    return f"{comparison.first} : {comparison.second}"


def _line(entry: Comparison, width: int) -> str:
    if entry.preference is None or entry.p_value is None:
        return f"  {_versus(entry):<{width}}  no answers"
    found = entry.preference
    interval = f"{found.low:.1%} to {found.high:.1%}"
    over = entry.by_subject
    by_subject = f"{over.low:.1%} to {over.high:.1%}" if over else f"under {LEAST_SUBJECTS}"
    p_value = "<0.001" if entry.p_value < 0.001 else f"{entry.p_value:.3f}"
    share = f"{_versus(entry):<{width}}  {found.share:15.1%}"
    return f"  {share}  {interval:>15}  {by_subject:>14} {p_value:>6}  {entry.answers:7d}"


def _tables(report: StudyReport) -> Iterator[tuple[str, list[str], list[list[object]]]]:
    """Name, header and rows of every CSV file."""
    header = ["group", "first", "second", "subjects", "answers", "first_chosen", "share", "low", "high"]
    header += ["low_over_subjects", "high_over_subjects", "p_value"]
    rows: list[list[object]] = []
    for c in report.comparisons:
        p_value = "" if c.p_value is None else f"{c.p_value:.6g}"
        row = [c.group, c.first, c.second, c.subjects, c.answers, c.first_chosen]
        rows.append([*row, *_cells(c.preference), *_cells(c.by_subject)[1:], p_value])
    yield "comparisons", header, rows
    header = ["group", "class", "shown", "chosen", "share_of_all", "low", "high"]
    header += ["share_when_shown", "low_when_shown", "high_when_shown"]
    shares = [
        [c.group, c.class_name, c.shown, c.chosen, *_cells(c.of_all), *_cells(c.when_shown)] for c in report.classes
    ]
    yield "classes", header, shares
    scenes: list[list[object]] = [list(astuple(scene)) for scene in report.scenes]
    yield "scenes", [field.name for field in fields(SceneCount)], scenes
    subjects = [[s.subject, s.answered, report.questions, s.changed, s.is_counted] for s in report.subjects]
    yield "subjects", ["subject", "answered", "questions", "changed", "is_counted"], subjects
    answers = [[a.subject, *astuple(a.question), a.left, a.chosen, a.time, a.given] for a in report.answers]
    names = [field.name for field in fields(Question)]
    yield "answers", ["subject", *names, "left", "chosen", "time", "times_given"], answers


def _cells(found: Interval | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    return f"{found.share:.4f}", f"{found.low:.4f}", f"{found.high:.4f}"

"""The bars of the paper's Figure 10: one chart per group, one bar per comparison, a last bar over all of them."""

from __future__ import annotations

import io
import math
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from dped_data.study.report import Comparison, StudyReport

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c8c8c")
"""Okabe and Ito's palette, which colour-blind readers can tell apart; repeated beyond eight classes."""
_LIGHT = frozenset(("#e69f00", "#56b4e9", "#f0e442", "#cc79a7"))
"""Those that carry dark text."""
_COLUMNS = 2
_ROOM = 0.1
"""Share of a bar below which a part has no room for its figure."""
_INK = "#222222"


def draw_bars(report: StudyReport, file_format: str) -> bytes:
    """Return the chart as png or svg.

    Every bar is 100 % of the answers to its comparison, divided among the classes; the whisker is the 95 % Wilson
    interval of where they meet. The last bar is the share of all answers of the group that each class got.
    """
    groups = list(dict.fromkeys(comparison.group for comparison in report.comparisons))
    names = list(dict.fromkeys(entry.class_name for entry in report.classes))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    columns = min(_COLUMNS, len(groups))
    bars = max(sum(entry.group == group for entry in report.comparisons) for group in groups) + 1
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(6.4 * columns, (0.62 * bars + 1.1) * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, group in zip(axes, groups, strict=False):
        _draw_group(axis, report, group, colours)
    for axis in axes[len(groups) :]:
        axis.set_axis_off()
    marks = [mpl.patches.Patch(color=colours[name], label=name) for name in names]
    figure.legend(handles=marks, loc="outside upper center", ncols=min(len(names), 4 * columns), frameon=False)
    target = io.BytesIO()
    # Without the date and with a fixed salt, the same answers give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "dped", "svg.fonttype": "none"}):
        figure.savefig(target, format=file_format, dpi=150, metadata={"Date": None} if file_format == "svg" else None)
    return target.getvalue()


def _draw_group(axis: Any, report: StudyReport, group: str, colours: dict[str, str]) -> None:
    comparisons = [entry for entry in report.comparisons if entry.group == group]
    overall = len(comparisons)
    for row, entry in enumerate(comparisons):
        if entry.preference is None:
            axis.text(50, row, "no answers", ha="center", va="center", color=_INK)
            continue
        found = entry.preference
        _draw_bar(axis, row, [(entry.first, found.share), (entry.second, 1 - found.share)], colours)
        axis.errorbar(
            100 * found.share,
            row,
            xerr=[[100 * (found.share - found.low)], [100 * (found.high - found.share)]],
            color=_INK,
            capsize=4,
            linewidth=1.4,
        )
        axis.text(102, row, _note(entry), va="center", fontsize=8.5, color=_INK)
    parts = [
        (entry.class_name, entry.of_all.share) for entry in report.classes if entry.group == group and entry.of_all
    ]
    _draw_bar(axis, overall + 0.25, parts, colours)
    axis.plot([50, 50], [-0.5, overall - 0.5], color=_INK, linewidth=0.9, linestyle=":")
    axis.set_yticks([*range(overall), overall + 0.25], [*(f"{c.first} | {c.second}" for c in comparisons), "all"])
    axis.set_ylim(overall + 0.75, -0.6)
    axis.set_xlim(0, 128)
    axis.set_xticks(range(0, 101, 25), [f"{tick} %" for tick in range(0, 101, 25)])
    axis.set_title(group, loc="left", fontweight="bold", fontsize=11)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _draw_bar(axis: Any, row: float, parts: list[tuple[str, float]], colours: dict[str, str]) -> None:
    start = 0.0
    for name, share in parts:
        axis.barh(row, 100 * share, left=start, height=0.62, color=colours[name])
        if share >= _ROOM + (0.08 if len(parts) == 2 else 0):  # a bar of two parts has a whisker where they meet
            ink = _INK if colours[name] in _LIGHT else "white"
            edge = start + (2 if start == 0 else 100 * share - 2)
            side = "left" if start == 0 else "right"
            axis.text(edge, row, f"{share:.0%}", ha=side, va="center", fontsize=9, color=ink, fontweight="bold")
        start += 100 * share


def _note(entry: Comparison) -> str:
    assert entry.p_value is not None, "a comparison with answers has a test"
    p_value = "p < 0.001" if entry.p_value < 0.001 else f"p = {entry.p_value:.3f}"
    return f"{p_value}, n = {entry.answers}"

"""Tables for LaTeX, as papers set them: booktabs rules, text to the left, figures to the right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def latex_table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    r"""Return a tabular to \input (needs \usepackage{booktabs}); columns whose first cell is text stand to the left."""
    lines = [[_cell(cell) for cell in row] for row in rows]
    sides = "".join("r" if _is_figure(cell) else "l" for cell in (lines[0] if lines else header))
    body = [" & ".join(line) + r" \\" for line in lines]
    head = " & ".join(map(_cell, header)) + r" \\"
    return "\n".join(
        [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""]
    )


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return re.sub(r"[\\~^&%$#_{}]", lambda found: _SPECIAL[found[0]], text).replace("\n", " ")


def _is_figure(text: str) -> bool:
    return not text or bool(re.fullmatch(r"[-–]|[-+<]?[\d.]+(e[-+]\d+)?(\\%)?( \[.*\])?", text))

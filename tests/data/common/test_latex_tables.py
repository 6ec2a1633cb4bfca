"""Tables for LaTeX: what means something to TeX is escaped, figures stand to the right."""

from __future__ import annotations

from dped_data.common.latex_tables import latex_table


def test_a_table_is_as_papers_set_it() -> None:
    rows = [["50% & more_of it", 3, "22.10 [21.9, 22.3]", "1.2e-05"], ["b{x}\\y~^#$", None, "–", "<0.001"]]
    assert latex_table(["", "n", "PSNR, dB", "p"], rows).splitlines() == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r" & n & PSNR, dB & p \\",
        r"\midrule",
        r"50\% \& more\_of it & 3 & 22.10 [21.9, 22.3] & 1.2e-05 \\",
        r"b\{x\}\textbackslash{}y\textasciitilde{}\textasciicircum{}\#\$ &  & – & <0.001 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_name_that_begins_with_a_figure_is_text() -> None:
    assert latex_table(["scene"], [["2017 walk"]]).startswith(r"\begin{tabular}{l}")
    assert latex_table(["scene"], []).startswith(r"\begin{tabular}{l}")

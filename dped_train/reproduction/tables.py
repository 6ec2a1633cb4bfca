"""Tables 2 and 3: the rows measured here beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dped_data.common.csv_tables import Formatted, csv_text
from dped_data.common.files import atomic_write_text
from dped_data.common.latex_tables import latex_table
from dped_data.common.terminal_lines import shortened, wrapped
from dped_train.evaluate.bootstrap import Figure, figure_lines
from dped_train.reproduction.candidates import Candidate, losses, methods, needs_vgg, vgg_missing, without_content
from dped_train.reproduction.measure import Bench, Row, measured
from dped_train.reproduction.published import PHONES, TABLE_2, TABLE_3, Published
from dped_train.reproduction.settings import ReproduceSettings

PAPER_PAIRS = 20_000 * 50
SMALL_SHARE = 0.5  # ours: with less than this share of them, an outcome is told to be one of a small budget


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: what it repeats.
        phone: whose column of the paper's table stands beside it; "" where the phone is none of the paper's.
        rows: in the paper's order.
        published: the paper's rows by name.
        notes: what was left out and why, and how the outcome differs from the paper's, for people.
    """

    title: str
    phone: str
    rows: tuple[Row, ...]
    published: Mapping[str, Mapping[str, Published]]
    notes: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of its files without the ending, such as table-2."""
        return self.title.partition(":")[0].lower().replace(" ", "-")

    def beside(self, row: Row) -> Published | None:
        """The paper's figures for a row of this phone, None where it has none."""
        return self.published.get(row.published, {}).get(self.phone)


def table_2(bench: Bench, added: tuple[Candidate, ...]) -> Table:
    """Train and measure the methods of table 2."""
    candidates, notes = possible(methods(bench.settings, added), bench.settings)
    rows = tuple(measured(bench, candidate) for candidate in candidates)
    return Table("Table 2: methods", _phone(bench), rows, TABLE_2, notes)


def table_3(bench: Bench) -> Table:
    """Train and measure the loss combinations of table 3, and say which is best in SSIM and why."""
    candidates, notes = possible(losses(bench.settings), bench.settings)
    rows = tuple(measured(bench, candidate) for candidate in candidates)
    return Table("Table 3: losses", _phone(bench), rows, TABLE_3, (*notes, *ssim_verdict(rows, bench.settings)))


def ssim_verdict(rows: Sequence[Row], settings: ReproduceSettings) -> tuple[str, ...]:
    """Which combination is best in SSIM, and the reasons where it is not the paper's."""
    best = max(rows, key=lambda row: row.ssim.mean)
    ours = next((row for row in rows if row.published == "Color + Content + Texture"), None)
    if ours is None:
        return (f"Best in SSIM: {best.label}, {_text(best.ssim, 4)}. DPED's combination could not be trained.",)
    if best is ours:
        return (f"DPED's combination is best in SSIM, as in the paper: {_text(ours.ssim, 4)}.",)
    sure = best.ssim.low > ours.ssim.high
    return (
        f"Best in SSIM: {best.label}, {_text(best.ssim, 4)}; DPED's combination: {_text(ours.ssim, 4)}; the intervals "
        f"{'do not overlap' if sure else 'overlap, so the order may be chance'}.",
        *_reasons(best, settings),
    )


def _reasons(best: Row, settings: ReproduceSettings) -> tuple[str, ...]:
    """Why another combination than DPED's may be ahead: what the budget and what the paper's own table tell."""
    share = settings.steps * settings.batch_size / PAPER_PAIRS
    reasons = []
    if share < SMALL_SHARE:
        reasons.append(
            f"Why at this budget: {settings.steps} steps of {settings.batch_size} pairs are {share:.2%} of the pairs "
            "that the paper's training sees. In so few steps there is hardly more to learn than the target's colours, "
            "while the discriminator does not know yet what texture is and the total variation smooths what nothing "
            "sharpens."
        )
    if best.published.startswith("MSE"):
        reasons.append(
            "The squared error's gradient points straight at the target, and SSIM rewards that. The paper's own table "
            "has MSE ahead of DPED's combination on the Sony (0.9453 against 0.9437) and close to it on the iPhone "
            "(0.9198 against 0.9201)."
        )
    return tuple(reasons)


def write_table(table: Table, folder: Path) -> None:
    """Write the table as CSV (every figure with its interval) and for LaTeX (as papers print it) into a folder."""
    header = ["method", "psnr_db", "psnr_low", "psnr_high", "ssim", "ssim_low", "ssim_high", "ms_ssim"]
    header += ["paper_psnr_db", "paper_ssim", "patches", "train_seconds"]
    rows, printed = [], []
    for row in table.rows:
        beside = table.beside(row)
        paper = (f"{beside.psnr:.2f}", f"{beside.ssim:.4f}") if beside else ("", "")
        psnr = [Formatted(f"{value:.4f}") for value in (row.psnr.mean, row.psnr.low, row.psnr.high)]
        ssim = [Formatted(f"{value:.5f}") for value in (row.ssim.mean, row.ssim.low, row.ssim.high)]
        ms_ssim = Formatted(f"{row.ms_ssim.mean:.5f}")
        rows.append([row.label, *psnr, *ssim, ms_ssim, *paper, row.patches, round(row.train_seconds, 1)])
        printed.append([row.label, _text(row.psnr, 2), _text(row.ssim, 4), f"{row.ms_ssim.mean:.4f}", *paper])
    atomic_write_text(folder / f"{table.file}.csv", csv_text(header, rows))
    paper_of = f"paper, {table.phone}" if table.phone else "paper"
    names = ["", "PSNR, dB", "SSIM", "MS-SSIM", f"{paper_of}: PSNR", f"{paper_of}: SSIM"]
    atomic_write_text(folder / f"{table.file}.tex", latex_table(names, printed))


def table_text(table: Table) -> str:
    """The table for people at a terminal."""
    whose = f"the paper, {table.phone}" if table.phone else "the paper has no such phone"
    lines = [f"{table.title}; on the right {whose}"]
    lines.append(f"{'':26}{'PSNR, dB':>15}{'SSIM':>17}{'MS-SSIM':>8}{'PSNR':>7}{'SSIM':>7}")
    for row in table.rows:
        beside = table.beside(row)
        paper = f"{beside.psnr:.2f} {beside.ssim:.4f}" if beside else "-"
        first, *rest = figure_lines(shortened(row.label, 26), (row.psnr, row.ssim), (2, 4), 26, (15, 17))
        lines += [f"{first}{row.ms_ssim.mean:8.4f}{paper:>14}", *rest]
    return "\n".join([*lines, *(line for note in table.notes for line in wrapped(note, "  "))])


def possible(candidates: Sequence[Candidate], settings: ReproduceSettings) -> tuple[list[Candidate], tuple[str, ...]]:
    """The candidates that can be trained here, and a note on those that cannot."""
    reason = vgg_missing(settings) if any(needs_vgg(c) for c in candidates) else ""
    if not reason:
        return list(candidates), ()
    without = [c for c in candidates if needs_vgg(c)]
    kept = [c for c in candidates if not needs_vgg(c)]
    note = f"Left out, as their content loss needs VGG weights: {'; '.join(c.label for c in without)} ({reason})"
    return [*kept, without_content(settings)], (note,)


def _phone(bench: Bench) -> str:
    name = bench.dataset.name.lower()
    return next((phone for phone in PHONES if phone in name), "")


def _text(figure: Figure, digits: int) -> str:
    return f"{figure.mean:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"

"""The report of a reproduction: one HTML file that holds every table, picture and command, ready to print."""

from __future__ import annotations

import base64
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from shlex import quote

import torch

from dped_data.common.typed_settings import setting_fields
from dped_data.dataset.manifest import Manifest
from dped_train.evaluate.bootstrap import CONFIDENCE, Figure
from dped_train.evaluate.limitations import LimitationReport
from dped_train.reproduction.candidates import Candidate, losses, methods
from dped_train.reproduction.elsewhere import elsewhere
from dped_train.reproduction.figures import Figures
from dped_train.reproduction.measure import Bench, Row
from dped_train.reproduction.settings import ReproduceSettings
from dped_train.reproduction.shift_loss import ShiftLosses, shift_text
from dped_train.reproduction.style import CSS
from dped_train.reproduction.tables import PAPER_PAIRS, SMALL_SHARE, Table
from dped_train.settings import TrainSettings

OURS = ("Ours", "Color + Content + Texture")


@dataclass(frozen=True)
class PageFacts:
    """What the report says of itself: the part asked for, the bench, the dataset's manifest, added rows, the time."""

    what: str
    bench: Bench
    manifest: Manifest
    rows: tuple[str, ...]
    seconds: float


def page(
    facts: PageFacts, second: Table | None, third: Table | None, shifts: ShiftLosses | None, figures: Figures | None
) -> str:
    """The whole page; parts that are None are left out."""
    parts = [_head(facts)]
    if second is not None:
        parts += [_table("table-2", second), _limitations(second)]
    if third is not None:
        parts.append(_table("table-3", third))
    if figures is not None:
        parts.append(_picture("figure-5", "Figure 5: what the colour loss sees", figures.blurred, _FIGURE_5))
    if shifts is not None:
        parts.append(_shifts(facts.bench, shifts))
    if figures is not None:
        parts += [
            _scenes(figures),
            _picture("figure-12", "Figure 12: typical artefacts", figures.artefacts, _FIGURE_12),
            _picture("figure-19", "Figure 19: the four losses", figures.losses, _FIGURE_19),
        ]
    parts += [_elsewhere(facts), _commands(facts)]
    title = f"DPED's experiments on {facts.bench.dataset.name}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


_FIGURE_5 = "Fragments of the phone's and the DSLR's photo, as they are and after the blur of the colour loss."
_FIGURE_12 = (
    "The test patches on which the enhancer deviates most: by colour (CIEDE2000 against the DSLR), by contrast "
    "(against the DSLR), by noise in flat regions (against the phone). Rows in this order; one is missing where no "
    "patch shows it."
)
_PATCHES_ONLY = "On patches: the photos of this dataset are not where they were, or it was imported as patches."
_FIGURE_19 = "The same test patches under each loss (each method, where the losses were not compared)."


def _head(facts: PageFacts) -> str:
    bench, manifest, settings = facts.bench, facts.manifest, facts.bench.settings
    share = settings.steps * settings.batch_size / PAPER_PAIRS
    patches = ", ".join(f"{name} {s.patches:,} of {s.captures} captures" for name, s in manifest.splits.items())
    budget = (
        f"{settings.steps:,} steps of {settings.batch_size} pairs each"
        f"{f', cropped to {settings.crop_px} px' if settings.crop_px else ''}: {share:.2%} of the pairs that the "
        "paper's training sees"
    )
    small = (
        "<p><strong>A small budget.</strong> It shows that every experiment runs and what it looks like; which method "
        "wins after so few steps says little about which wins in the end.</p>"
        if share < SMALL_SHARE
        else ""
    )
    return (
        f"<h1>The experiments of the DPED paper on {escape(bench.dataset.name)}</h1>"
        f'<p class="quiet">Dataset {escape(manifest.phone)} and {escape(manifest.dslr)}, patches of '
        f"{manifest.patch_size} px, {escape(manifest.alignment)}: {escape(patches)}. Budget of every "
        f"method: {budget}.</p>"
        f"{small}"
        '<p class="quiet">The paper: Ignatov et al., DSLR-Quality Photos on Mobile Devices with Deep Convolutional '
        "Networks, ICCV 2017. Its figures stand beside ours for orientation: they were measured on other photos, and "
        "its “SSIM” is probably the multi-scale one, so look at MS-SSIM too.</p>"
    )


def _table(anchor: str, table: Table) -> str:
    best = {name: max(getattr(row, name).mean for row in table.rows) for name in ("psnr", "ssim", "ms_ssim")}
    whose = f"the paper, {table.phone}" if table.phone else "the paper (no such phone)"
    body = []
    for row in table.rows:
        beside = table.beside(row)
        cells = [_cell(row, name, best[name]) for name in ("psnr", "ssim", "ms_ssim")]
        paper = [f"{beside.psnr:.2f}", f"{beside.ssim:.4f}"] if beside else ["–", "–"]
        cells += [f'<td class="n">{text}</td>' for text in (*paper, _time(row.train_seconds))]
        mark = ' class="ours"' if row.published in OURS else ""
        body.append(f"<tr{mark}><td>{escape(row.label)}</td>{''.join(cells)}</tr>")
    heads = ("PSNR, dB", "SSIM", "MS-SSIM", f"{whose}: PSNR", "SSIM", "training")
    return (
        f'<h2 id="{anchor}">{escape(table.title)}</h2><div class="wide"><table><tr><th></th>'
        + "".join(f'<th class="n">{escape(head)}</th>' for head in heads)
        + f"</tr>{''.join(body)}</table></div>"
        + f'<p class="quiet">{table.rows[0].patches} test patches. […] holds the mean with {CONFIDENCE:.0%} '
        "confidence; whole captures were resampled.</p>" + "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    )


def _cell(row: Row, name: str, best: float) -> str:
    figure: Figure = getattr(row, name)
    digits = 2 if name == "psnr" else 4
    interval = "" if name == "ms_ssim" else f"<br><small>{figure.low:.{digits}f} – {figure.high:.{digits}f}</small>"
    return f'<td class="n{" best" if figure.mean == best else ""}">{figure.mean:.{digits}f}{interval}</td>'


def _limitations(table: Table) -> str:
    heads = ("colour against DSLR", "against phone", "contrast against DSLR", "noise against phone", "against DSLR")
    body = []
    for row in table.rows:
        colour, contrast, noise = row.limitations
        figures = (
            colour.against_dslr,
            colour.against_phone,
            contrast.against_dslr,
            noise.against_phone,
            noise.against_dslr,
        )
        cells = "".join(f'<td class="n">{"–" if f is None else f"{f.mean:.2f}"}</td>' for f in figures)
        body.append(f"<tr><td>{escape(row.label)}</td>{cells}</tr>")
    return (
        '<h2 id="limitations">Section 4.4: limitations</h2><div class="wide"><table><tr><th></th>'
        + "".join(f'<th class="n">{head}</th>' for head in heads)
        + f"</tr>{''.join(body)}</table></div>"
        + "<p>Colour: mean CIEDE2000 after a blur, lower is nearer. Contrast: spread of lightness as a ratio. Noise: "
        f"standard deviation in flat regions as a ratio ({_counted(table.rows[0].limitations)}). 1 is unchanged.</p>"
    )


def _counted(limitations: tuple[LimitationReport, ...]) -> str:
    return f"{limitations[2].patches} patches have flat regions"


def _shifts(bench: Bench, shifts: ShiftLosses) -> str:
    svg = (bench.out / "figure-06.svg").read_text(encoding="utf-8")
    return (
        '<h2 id="figure-6">Figure 6: squared error and colour loss against shift</h2>'
        f"<figure>{svg[svg.index('<svg') :]}</figure><p>{escape(shift_text(shifts))}</p>"
    )


def _scenes(figures: Figures) -> str:
    if not figures.scenes:
        return _picture("figure-8", "Figures 8, 9 and 13 to 18: all methods", figures.methods, _PATCHES_ONLY)
    first, *_ = figures.scenes
    pairs = [item for scene in figures.scenes for item in scene if item[0] in ("phone", figures.ours)]
    return (
        '<h2 id="figure-8">Figure 8: one photo, all methods</h2>'
        + _grid(first, "grid")
        + '<h2 id="figure-9">Figures 9 and 13 to 18: original and enhanced</h2>'
        + _grid(pairs, "grid two")
        + '<p class="quiet">Parts of test photos. All methods of all of them are in the folder figures/ beside this '
        "page.</p>"
    )


def _grid(pictures: Iterable[tuple[str, Path]], kind: str) -> str:
    cells = (
        f'<figure><img src="{_embedded(path)}" alt="{escape(label)}"><figcaption>{escape(label)}</figcaption></figure>'
        for label, path in pictures
    )
    return f'<div class="{kind}">{"".join(cells)}</div>'


def _picture(anchor: str, title: str, path: Path, text: str) -> str:
    return (
        f'<h2 id="{anchor}">{escape(title)}</h2><figure><img src="{_embedded(path)}" alt="{escape(title)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def _embedded(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _elsewhere(facts: PageFacts) -> str:
    rows = "".join(
        f"<tr><td>{escape(what)}</td><td>{escape(where)}</td></tr>" for what, where in elsewhere(facts.manifest)
    )
    return f'<h2 id="others">The other tables and figures</h2><table>{rows}</table>'


def _commands(facts: PageFacts) -> str:
    settings = facts.bench.settings
    candidates = (*methods(settings, ()), *losses(settings)[1:])
    lines = [reproduce_command(facts), "", "# each method by itself:"]
    lines += [train_command(facts.bench, c) for c in candidates if c.training is not None]
    versions = f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}"
    return (
        '<h2 id="commands">Commands and settings</h2>'
        f"<pre>{escape(chr(10).join(lines))}</pre>"
        f'<p class="quiet">{escape(versions)}, threads: {torch.get_num_threads()}; this call took '
        f"{facts.seconds:.0f} s (what an earlier one had done is not in it).</p>"
    )


def reproduce_command(facts: PageFacts) -> str:
    """The command that repeats this report, every setting that is not its default spelled out."""
    dataset, out = facts.bench.dataset, facts.bench.out
    flags = _flags(facts.bench.settings, ReproduceSettings())
    rows = "".join(f" --row {quote(row)}" for row in facts.rows)
    where = f"--data {quote(str(dataset.parent))} --phone {quote(dataset.name)} --out {quote(str(out.parent))}"
    return f"dped reproduce {facts.what} {where}{flags}{rows}"


def train_command(bench: Bench, candidate: Candidate) -> str:
    """The `dped train` command of one candidate."""
    assert candidate.training is not None
    data, runs = quote(str(bench.dataset.parent)), quote(str(bench.out / "runs" / candidate.name))
    where = f"--data {data} --phone {quote(bench.dataset.name)} --out {runs}"
    return f"dped train {where}{_flags(candidate.training, TrainSettings())}"


def _flags(settings: ReproduceSettings | TrainSettings, default: ReproduceSettings | TrainSettings) -> str:
    changed = [f for f in setting_fields(type(settings)) if getattr(settings, f.name) != getattr(default, f.name)]
    return "".join(f" --{f.name.replace('_', '-')} {quote(str(getattr(settings, f.name)))}" for f in changed)


def _time(seconds: float) -> str:
    if not seconds:
        return "–"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"

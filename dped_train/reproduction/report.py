"""The report of a reproduction: one HTML file that holds every table, picture and command, ready to print."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from jinja2 import Template
from markupsafe import Markup

from dped_data.common.hints import hint
from dped_data.common.printed_page import embedded, page_templates
from dped_data.common.typed_settings import setting_fields
from dped_data.dataset.manifest import Manifest
from dped_train.evaluate.bootstrap import CONFIDENCE
from dped_train.reproduction.candidates import Candidate, losses, methods
from dped_train.reproduction.elsewhere import elsewhere
from dped_train.reproduction.figures import Figures
from dped_train.reproduction.measure import Bench
from dped_train.reproduction.settings import ReproduceSettings
from dped_train.reproduction.shift_loss import ShiftLosses, shift_text
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
    bench, settings = facts.bench, facts.bench.settings
    return _template().render(
        dataset=bench.dataset.name,
        manifest=facts.manifest,
        settings=settings,
        share=settings.steps * settings.batch_size / PAPER_PAIRS,
        small_share=SMALL_SHARE,
        ours=OURS,
        confidence=f"{CONFIDENCE:.0%}",
        second=second,
        third=third,
        figures=figures,
        pairs=_pairs(figures) if figures is not None else (),
        shifts=shift_text(shifts) if shifts is not None else None,
        shift_curve=_drawing(bench.out / "figure-06.svg") if shifts is not None else None,
        elsewhere=elsewhere(facts.manifest),
        commands=_commands(facts),
        versions=(
            f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
            f"threads: {torch.get_num_threads()}"
        ),
        seconds=facts.seconds,
    )


def _template() -> Template:
    environment = page_templates("dped_train.reproduction", "assets")
    environment.filters |= {"embedded": _embedded, "digits": _digits, "duration": _time}
    return environment.get_template("report.html")


def _pairs(figures: Figures) -> list[tuple[str, Path]]:
    """The original and our version of every scene."""
    return [item for scene in figures.scenes for item in scene if item[0] in ("phone", figures.ours)]


def _embedded(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return embedded(path.read_bytes(), kind)


def _drawing(path: Path) -> Markup:
    """An SVG file of our own, without its XML head."""
    svg = path.read_text(encoding="utf-8")
    return Markup(svg[svg.index("<svg") :])  # noqa: S704  drawn by matplotlib, which escapes what is written into it


def _digits(value: float, count: int) -> str:
    return f"{value:.{count}f}"


def _commands(facts: PageFacts) -> list[str]:
    settings = facts.bench.settings
    candidates = (*methods(settings, ()), *losses(settings)[1:])
    own = [train_command(facts.bench, c) for c in candidates if c.training is not None]
    return [reproduce_command(facts), "", "# each method by itself:", *own]


def reproduce_command(facts: PageFacts) -> str:
    """The command that repeats this report, every setting that is not its default spelled out."""
    dataset, out = facts.bench.dataset, facts.bench.out
    where = ("--data", dataset.parent, "--phone", dataset.name, "--out", out.parent)
    rows = [word for row in facts.rows for word in ("--row", row)]
    return hint("reproduce", facts.what, *where, *_flags(facts.bench.settings, ReproduceSettings()), *rows)


def train_command(bench: Bench, candidate: Candidate) -> str:
    """The `dped train` command of one candidate."""
    assert candidate.training is not None
    runs = bench.out / "runs" / candidate.name
    where = ("--data", bench.dataset.parent, "--phone", bench.dataset.name, "--out", runs)
    return hint("train", *where, *_flags(candidate.training, TrainSettings()))


def _flags(settings: ReproduceSettings | TrainSettings, default: ReproduceSettings | TrainSettings) -> list[str]:
    words = []
    for field in setting_fields(type(settings)):
        value, name = getattr(settings, field.name), field.name.replace("_", "-")
        if value != getattr(default, field.name):
            words += [f"--{'' if value else 'no-'}{name}"] if field.type is bool else [f"--{name}", str(value)]
    return words


def _time(seconds: float) -> str:
    if not seconds:
        return "–"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"

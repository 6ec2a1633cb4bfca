"""Who takes part: the methods of table 2, the losses of table 3, and rows that a person adds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dped_data.common.names import plain_name
from dped_data.errors import InputError, UsageError
from dped_train.networks.file import MODEL_NAME, find_model
from dped_train.networks.vgg import load_vgg
from dped_train.reproduction.settings import ReproduceSettings
from dped_train.settings import TrainSettings


@dataclass(frozen=True)
class Candidate:
    """One row of a table: exactly one of `training`, `model`, `external` and `baseline`, or none for the phone itself.

    Attributes:
        name: of its folder; label: as people read it.
        published: the row of the paper's table it stands beside; "" for none.
        training: how it is trained here.
        model, external: an enhancer's file, or a folder of enhanced photos.
        baseline: the automatic global adjustment.
    """

    name: str
    label: str
    published: str = ""
    training: TrainSettings | None = None
    model: Path | None = None
    external: Path | None = None
    baseline: bool = False


DPED = "dped"
_ROW = "must be NAME=FILE (a model; also a run's folder or a model's name) or NAME=DIR (enhanced photos), and be there"
PHONE = Candidate("phone", "untouched phone")


def methods(settings: ReproduceSettings, added: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The rows of table 2; a method that needs VGG is among them, see `left_out`."""
    base = settings.training()
    return (
        PHONE,
        Candidate("global", "automatic global adjustment (in the place of APE)", "APE", baseline=True),
        Candidate("srcnn", "Dong et al. (SRCNN)", "Dong et al.", replace(base, method="srcnn", tv_weight=-1.0)),
        Candidate("johnson", "Johnson et al.", "Johnson et al.", replace(base, method="johnson", tv_weight=-1.0)),
        _ours(settings, "DPED", "Ours"),
        *added,
    )


def losses(settings: ReproduceSettings) -> tuple[Candidate, ...]:
    """The rows of table 3; the total variation stays in all of them, as section 3.1 has it in every total."""
    base = settings.training()
    squared = 0.1 if settings.recipe == "paper" else 0.5  # the weight of the colour loss, whose place it takes
    return (
        _ours(settings, "colour + content + texture (DPED)", "Color + Content + Texture"),
        Candidate("content-texture", "content + texture", "Content + Texture", replace(base, colour_weight=0.0)),
        Candidate(
            "mse-texture",
            "MSE + texture",
            "MSE + Texture",
            replace(base, colour_weight=0.0, content_weight=0.0, mse_weight=squared),
        ),
        Candidate(
            "mse",
            "MSE",
            "MSE",
            replace(base, colour_weight=0.0, content_weight=0.0, texture_weight=0.0, mse_weight=squared),
        ),
    )


def without_content(settings: ReproduceSettings) -> Candidate:
    """What can be trained in the place of DPED where there are no VGG weights."""
    training = replace(settings.training(), content_weight=0.0)
    return Candidate("dped-no-content", "DPED without its content loss (no VGG weights)", "", training)


def needs_vgg(candidate: Candidate) -> bool:
    """Whether the candidate's training looks at VGG features."""
    training = candidate.training
    return training is not None and training.method != "srcnn" and training.content_weight != 0


def vgg_missing(settings: ReproduceSettings) -> str:
    """Why there are no VGG weights, "" where there are; InputError where a file was named and is of no use."""
    try:
        load_vgg(settings.vgg or None)
    except InputError as error:
        if settings.vgg:
            raise
        return str(error)
    return ""


def added_row(text: str) -> Candidate:
    """Read `NAME=PATH`: a model as `find_model` knows it, or a folder of enhanced photos; UsageError where neither."""
    name, equals, path = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--row {text}: {_ROW}")
    safe = "".join(c if c.isalnum() else "-" for c in name.lower())
    plain_name(f"row-{safe}.safetensors", "--row", UsageError)
    place = Path(path)
    if place.is_dir() and not (place / MODEL_NAME).is_file():
        return Candidate(f"row-{safe}", name, external=place)
    try:
        return Candidate(f"row-{safe}", name, model=find_model(path))
    except InputError as error:
        raise UsageError(f"--row {text}: {_ROW}: {error}") from None


def _ours(settings: ReproduceSettings, label: str, published: str) -> Candidate:
    return Candidate(DPED, label, published, settings.training())

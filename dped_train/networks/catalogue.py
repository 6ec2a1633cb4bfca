"""Which models and which weights of others there are here: `dped models`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dped_data.common.hints import hint
from dped_data.errors import InputError
from dped_train.networks.file import MODELS, RUNS, enhancer_metadata, known_models
from dped_train.networks.weights import ALL_WEIGHTS


@dataclass(frozen=True)
class KnownModel:
    """An enhancer that has a name here: the name, the file, and what the file says of itself, or what is wrong."""

    name: str
    file: Path
    about: str


@dataclass(frozen=True)
class KnownWeights:
    """Weights of others: name, use, the place in torch's cache, whether they are there, and what fetches them."""

    name: str
    use: str
    file: Path
    there: bool
    fetch: str


@dataclass(frozen=True)
class Catalogue:
    """What there is."""

    models: tuple[KnownModel, ...]
    weights: tuple[KnownWeights, ...]


def catalogue(models: Path = MODELS, runs: Path = RUNS) -> Catalogue:
    """List the models in `models` and `runs`, by name, and the weights in torch's cache."""
    known = tuple(KnownModel(name, file, _about(file)) for name, file in sorted(known_models(models, runs).items()))
    weights = tuple(
        KnownWeights(w.name, w.use, w.path, w.path.is_file(), hint("models", "--fetch", w.fetched_with))
        for w in ALL_WEIGHTS.values()
    )
    return Catalogue(known, weights)


def catalogue_text(found: Catalogue) -> str:
    """The catalogue for people; a line each, with what to do for what is missing."""
    lines = [f"Models in {MODELS}/ and {RUNS}/:"]
    width = max((len(model.name) for model in found.models), default=0)
    for model in found.models:
        lines += [f"  {model.name:{width}}  {model.file}", f"  {'':{width}}  {model.about}"]
    if not found.models:
        importing = hint("import-checkpoint", "PREFIX", "--out", MODELS / "NAME.safetensors")
        lines.append(f"  none yet; `{hint('train')}` and\n  `{importing}` make them")
    lines.append("Weights of others:")
    for weights in found.weights:
        place = str(weights.file) if weights.there else f"not there: {weights.fetch}"
        lines += [f"  {weights.name:5}  {weights.use}", f"  {'':5}  {place}"]
    return "\n".join(lines)


def _about(file: Path) -> str:
    try:
        facts = enhancer_metadata(file)
    except InputError as error:
        return str(error).removeprefix(f"{file}: ")
    told = [facts["architecture"], f"{facts['normalisation']} normalisation"]
    told += [
        f"{word}{facts[key]}" for key, word in (("recipe", ""), ("phone", "phone "), ("step", "step ")) if key in facts
    ]
    return ", ".join(told)

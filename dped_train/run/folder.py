"""The folder of a training run: its checkpoints, its enhancer, and whether a run may go on in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dped_data.common.files import written_state
from dped_data.common.folder_lock import held
from dped_data.common.foreign_files import read_json, typed
from dped_data.common.typed_settings import changed_settings, recorded_settings, settings_dict
from dped_data.common.written_record import Written
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_train.networks.compared import PhotoNetwork
from dped_train.networks.dped import Enhancer
from dped_train.networks.file import (
    MODEL_NAME,
    MODELS,
    enhancer_metadata,
    find_model,
    kind_of,
    load_enhancer,
    save_enhancer,
)
from dped_train.run.checkpoint import (
    CHECKPOINT_FILES,
    CHECKPOINTS,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from dped_train.run.log import METRICS_NAME, PICTURES, SETTINGS_NAME, TABLES, TENSORBOARD
from dped_train.run.methods import new_network, recipe_of
from dped_train.run.model_card import write_model_card
from dped_train.run.state import TrainingState
from dped_train.settings import FREE_ON_RESUME, STARTS, TrainSettings

BEST_MODEL_NAME = f"best-{MODEL_NAME}"
_NAMES = (MODEL_NAME, BEST_MODEL_NAME, f"{CHECKPOINTS}/", f"{PICTURES}/", f"{TENSORBOARD}/", f"{PICTURES}/step-*.png")
_SEEN_TO = (*TABLES, f"{CHECKPOINTS}/{CHECKPOINT_FILES}")
"""What may not be as it was written: a table is kept then, and reading a checkpoint says what is wrong with it."""
_OTHER_PLACE = "choose another --out"
_MOST_SETTINGS = 2**20
"""Ours: bytes of settings.json; it takes a few thousand."""


@contextmanager
def held_run(folder: Path, leads: bool) -> Iterator[None]:
    """Hold the folder of a run, by the one process that writes there; errors as in `folder_lock.held`."""
    if not leads:
        yield
        return
    with held(folder, "train", _NAMES, tables=_SEEN_TO, adopt=_files_of_the_version_before):
        yield


def _files_of_the_version_before(folder: Path) -> dict[Path, Written] | None:
    """The files of a run that a version without a record made: its checkpoint or its enhancer proves it."""
    checkpoints = list_checkpoints(folder / CHECKPOINTS)
    try:
        if checkpoints:
            load_checkpoint(checkpoints[-1])
        else:
            enhancer_metadata(folder / MODEL_NAME)
    except InputError:
        return None
    known = [path for name in (*_NAMES, *_SEEN_TO) if not name.endswith("/") for path in folder.glob(name)]
    states = {path: written_state(path) for path in known}
    return {path: replace(state, grows=path.name == METRICS_NAME) for path, state in states.items()}


def run_facts(settings: TrainSettings, store: PatchStore) -> dict[str, Any]:
    """What a run is made from, as plain JSON values: settings, and the digest of the dataset's settings and shards."""
    shards = [[entry.file, entry.sha256] for entry in store.shards]
    digest = hashlib.sha256(json.dumps([store.digest, shards]).encode()).hexdigest()
    return {"settings": settings_dict(settings), "dataset": {"digest": digest, "phone": store.manifest.phone}}


@dataclass(frozen=True)
class EarlierDataset:
    """A dataset that a run was trained on before it went on with another: digest, pairs, the run's last step on it."""

    digest: str
    pairs: int
    until_step: int


@dataclass(frozen=True)
class Origin:
    """Where a run's weights come from besides its settings and its dataset.

    Attributes:
        start_sha256: of the weights of the model it started from; "" where it started from none.
        earlier: the datasets it was trained on before, oldest first.
    """

    start_sha256: str = ""
    earlier: tuple[EarlierDataset, ...] = ()


@dataclass(frozen=True)
class Beginning:
    """Where a call of `train` begins: a checkpoint, or a model to start from, or neither.

    Attributes:
        step: steps done.
        origin: of the run.
    """

    step: int
    origin: Origin
    checkpoint: Checkpoint | None = None
    source: Path | None = None
    model: PhotoNetwork | None = None

    def enter(self, state: TrainingState) -> None:
        """Bring a new state there."""
        if self.checkpoint is not None and self.source is not None:
            state.unpack(self.checkpoint, self.source)
        elif self.model is not None:
            state.start_from(self.model)


def settings_of_run(folder: Path) -> TrainSettings | None:
    """The settings that a run was trained with, from its newest checkpoint, else from its settings.json; None without.

    Raises:
        InputError: they cannot be read.
    """
    found = list_checkpoints(folder / CHECKPOINTS)
    source = found[-1] if found else folder / SETTINGS_NAME
    try:
        if found:
            table = load_checkpoint(source).facts.get("settings")
        elif source.is_file():
            table = read_json(source, _MOST_SETTINGS).get("settings")
        else:
            return None
        return recorded_settings(TrainSettings, typed(dict[str, Any], table), str(source))
    except (ValueError, AttributeError, UsageError) as error:
        raise InputError(f"{source}: its settings are not those of a training run ({error}); {_OTHER_PLACE}") from None


def beginning_of_run(
    folder: Path, settings: TrainSettings, store: PatchStore, *, resume: bool, data_changed: bool
) -> Beginning:
    """Look for a run in `folder` that these settings and this dataset go on with, before anything costly is loaded.

    Args:
        folder: of the run.
        settings: what is asked for now; those in `FREE_ON_RESUME` may differ from the run's.
        store: the training patches.
        resume: the person said that this run is meant; decides which way out an error names.
        data_changed: go on although the dataset has changed since.

    Raises:
        InputError: a run of other settings or another dataset is there; a damaged checkpoint; no such model to start
            from, or one of another architecture.
    """
    found = list_checkpoints(folder / CHECKPOINTS)
    if not found:
        return _first_steps(settings)
    newest = found[-1]
    cure = "resume with its own, or choose another --out"
    checkpoint = load_checkpoint(newest)
    facts = run_facts(settings, store)
    try:
        before = typed(dict[str, dict[str, Any]], {name: checkpoint.facts.get(name) for name in facts})
        origin = typed(Origin, checkpoint.facts.get("origin", {}))
    except ValueError as error:
        raise InputError(f"{newest}: its facts are not those of a training run ({error}); {cure}") from None
    old, new = ({k: v for k, v in f["settings"].items() if k not in FREE_ON_RESUME} for f in (before, facts))
    if changed := changed_settings(old, new):
        there = (
            f"{newest}: was trained with" if resume else f"{folder}: a run is there already, up to {newest.name}, with"
        )
        way = cure if resume else f"go on with its own by --resume, or {_OTHER_PLACE}"
        raise InputError(f"{there} other settings ({'; '.join(changed)}); {way}")
    if before["dataset"].get("digest") != facts["dataset"]["digest"]:
        origin = _with_earlier_dataset(origin, before, checkpoint.step, newest, store, data_changed)
    if checkpoint.step > settings.steps:
        raise InputError(f"{newest}: has {checkpoint.step} steps, --steps asks for {settings.steps}; ask for more")
    return Beginning(checkpoint.step, origin, checkpoint, newest)


def _with_earlier_dataset(
    origin: Origin, before: Mapping[str, Any], step: int, newest: Path, store: PatchStore, data_changed: bool
) -> Origin:
    """The origin with the dataset before; InputError unless the run may go on with another."""
    phone, digest = before["dataset"].get("phone"), before["dataset"].get("digest")
    pairs, size = (before["dataset"].get(name) for name in ("pairs", "patch_size"))
    if not data_changed:
        raise InputError(
            f"{newest}: was trained on another dataset than {store.folder}; if this one has grown since, go on with "
            f"--data-changed, else {_OTHER_PLACE}"
        )
    if phone != store.manifest.phone or size not in (None, store.patch_size):
        raise InputError(
            f"{newest}: was trained on patches of {phone}, {size or '?'} px wide, {store.folder} has those of "
            f"{store.manifest.phone}, {store.patch_size} px; {_OTHER_PLACE}"
        )
    earlier = EarlierDataset(str(digest), pairs if isinstance(pairs, int) else 0, step)
    return replace(origin, earlier=(*origin.earlier, earlier))


def _first_steps(settings: TrainSettings) -> Beginning:
    """The beginning of a new run, with the model it starts from where one is named."""
    if settings.start in STARTS:
        return Beginning(0, Origin())
    file = find_model(settings.start, MODELS)
    model = load_enhancer(file)
    wanted = new_network(settings.method, recipe_of(settings), settings.padding, settings.input)
    have, need = (kind_of(network) for network in (model, wanted))
    if have != need:
        raise InputError(
            f"{file}: is a {have[0]} with normalisation {have[1]}, this training needs a {need[0]} with {need[1]}; "
            "choose another --start, --method or --recipe"
        )
    if isinstance(model, Enhancer) and model.input != settings.input:
        raise InputError(f"{file}: was trained with --input {model.input}, not {settings.input}; give its own")
    if isinstance(model, Enhancer) and model.padding != settings.padding:
        raise InputError(f"{file}: was trained with --padding {model.padding}, not {settings.padding}; give its own")
    return Beginning(0, Origin(start_sha256=enhancer_metadata(file)["sha256"]), model=model)


def save_run(
    folder: Path,
    state: TrainingState,
    step: int,
    settings: TrainSettings,
    store: PatchStore,
    figures: Mapping[str, float],
    phone_psnr: float | None,
    origin: Origin,
    health: Sequence[str],
) -> None:
    """Write the enhancer after `step` steps and its card, then a checkpoint, and remove checkpoints no longer kept.

    The checkpoint comes last: a run that ends before it does the step again, and so never keeps an older enhancer.
    `figures` holds the validation where there is one, and `phone_psnr` that of the untouched phone patches, dB;
    `health` is what the card says of the training.
    """
    facts = run_facts(settings, store)
    save_model(folder, state, step, settings, facts)
    write_model_card(
        folder,
        settings,
        store,
        step,
        figures,
        phone_psnr,
        facts["dataset"]["digest"],
        origin_lines(origin, settings),
        health,
    )
    # pairs and size of the patches: to tell of this dataset when the run goes on with another one
    known = {**facts["dataset"], "pairs": len(store), "patch_size": store.patch_size}
    own = {"origin": dataclasses.asdict(origin)} if origin != Origin() else {}
    save_checkpoint(folder / CHECKPOINTS, state.pack(step, {**facts, "dataset": known, **own}))
    prune_checkpoints_of(folder, settings, state)


def save_model(
    folder: Path, state: TrainingState, step: int, settings: TrainSettings, facts: Mapping[str, Any]
) -> None:
    """Write the enhancer after `step` steps, also as the best one where it is."""
    about = {
        "step": str(step),
        "method": settings.method,
        "recipe": settings.recipe,
        "dataset": facts["dataset"]["digest"],
        "phone": facts["dataset"]["phone"],
    }
    save_enhancer(state.mean, folder / MODEL_NAME, about)
    if state.best_step == step:
        save_enhancer(state.mean, folder / BEST_MODEL_NAME, about)


def origin_lines(origin: Origin, settings: TrainSettings) -> tuple[str, ...]:
    """What a card says of where the weights come from."""
    lines = [
        f"Until step {entry.until_step:,} trained on the dataset as it was then"
        f"{f', {entry.pairs:,} pairs' if entry.pairs else ''}, with shards `{entry.digest}`."
        for entry in origin.earlier
    ]
    if origin.start_sha256:
        name = Path(settings.start).name
        lines.insert(0, f"Started from the model `{name}`, sha256 of its weights `{origin.start_sha256}`.")
    return tuple(lines)


def prune_checkpoints_of(folder: Path, settings: TrainSettings, state: TrainingState) -> None:
    """Remove the checkpoints of a run that its settings do not keep."""
    prune_checkpoints(folder / CHECKPOINTS, settings.keep_checkpoints, state.best_step)


def last_checkpoint_text(folder: Path) -> str:
    """Name the last good checkpoint for a message."""
    found = list_checkpoints(folder / CHECKPOINTS)
    return f"the last good checkpoint is {found[-1]}" if found else "no checkpoint was written yet"

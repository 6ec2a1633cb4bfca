"""The folder of a training run: its checkpoints, its enhancer, and whether a run may go on in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dped_data.common.files import written_state
from dped_data.common.folder_lock import held
from dped_data.common.foreign_files import typed
from dped_data.common.typed_settings import changed_settings, settings_dict
from dped_data.common.written_record import Written
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError
from dped_train.networks.file import MODEL_NAME, enhancer_metadata, save_enhancer
from dped_train.run.checkpoint import (
    CHECKPOINT_FILES,
    CHECKPOINTS,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from dped_train.run.log import METRICS_NAME, PICTURES, TABLES, TENSORBOARD
from dped_train.run.model_card import write_model_card
from dped_train.run.state import TrainingState
from dped_train.settings import FREE_ON_RESUME, TrainSettings

BEST_MODEL_NAME = f"best-{MODEL_NAME}"
_NAMES = (MODEL_NAME, BEST_MODEL_NAME, f"{CHECKPOINTS}/", f"{PICTURES}/", f"{TENSORBOARD}/", f"{PICTURES}/step-*.png")
_SEEN_TO = (*TABLES, f"{CHECKPOINTS}/{CHECKPOINT_FILES}")
"""What may not be as it was written: a table is kept then, and reading a checkpoint says what is wrong with it."""


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


def resume_or_begin(
    folder: Path, state: TrainingState, settings: TrainSettings, store: PatchStore, resume: bool
) -> int:
    """Bring `state` to the newest checkpoint if `resume` is asked for; return the number of steps done.

    Raises:
        InputError: a run is there and `resume` is not asked for; the checkpoint is damaged or of another run.
    """
    found = list_checkpoints(folder / CHECKPOINTS)
    if not found:
        return 0
    newest, cure = found[-1], "resume with its own, or choose another --out"
    if not resume:
        raise InputError(
            f"{folder}: a run is there already, up to {newest.name}; go on with --resume, or choose another --out"
        )
    checkpoint = load_checkpoint(newest)
    facts = run_facts(settings, store)
    try:
        before = typed(dict[str, dict[str, Any]], {name: checkpoint.facts.get(name) for name in facts})
    except ValueError as error:
        raise InputError(f"{newest}: its facts are not those of a training run ({error}); {cure}") from None
    if before["dataset"].get("digest") != facts["dataset"]["digest"]:
        raise InputError(f"{newest}: was trained on another dataset than {store.folder}; {cure}")
    old, new = ({k: v for k, v in f["settings"].items() if k not in FREE_ON_RESUME} for f in (before, facts))
    if changed := changed_settings(old, new):
        raise InputError(f"{newest}: was trained with other settings ({'; '.join(changed)}); {cure}")
    if checkpoint.step > settings.steps:
        raise InputError(f"{newest}: has {checkpoint.step} steps, --steps asks for {settings.steps}; ask for more")
    state.unpack(checkpoint, newest)
    prune_checkpoints(folder / CHECKPOINTS, settings.keep_checkpoints, state.best_step)  # ended before it came to that
    return checkpoint.step


def save_run(
    folder: Path,
    state: TrainingState,
    step: int,
    settings: TrainSettings,
    store: PatchStore,
    figures: Mapping[str, float],
    phone_psnr: float | None,
) -> None:
    """Write the enhancer after `step` steps and its card, then a checkpoint, and remove checkpoints no longer kept.

    The checkpoint comes last: a run that ends before it does the step again, and so never keeps an older enhancer.
    `figures` holds the validation where there is one, and `phone_psnr` that of the untouched phone patches, dB.
    """
    facts = run_facts(settings, store)
    about = {
        "step": str(step),
        "method": settings.method,
        "recipe": settings.recipe,
        "dataset": facts["dataset"]["digest"],
    }
    save_enhancer(state.mean, folder / MODEL_NAME, {**about, "phone": facts["dataset"]["phone"]})
    if state.best_step == step:
        save_enhancer(state.mean, folder / BEST_MODEL_NAME, {**about, "phone": facts["dataset"]["phone"]})
    write_model_card(folder, settings, store, step, figures, phone_psnr, facts["dataset"]["digest"])
    checkpoints = folder / CHECKPOINTS
    save_checkpoint(checkpoints, state.pack(step, facts))
    prune_checkpoints(checkpoints, settings.keep_checkpoints, state.best_step)


def last_checkpoint_text(folder: Path) -> str:
    """Name the last good checkpoint for a message."""
    found = list_checkpoints(folder / CHECKPOINTS)
    return f"the last good checkpoint is {found[-1]}" if found else "no checkpoint was written yet"

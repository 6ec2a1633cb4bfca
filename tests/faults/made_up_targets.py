"""Targets whose containers are sound and whose content is made up, read by the functions behind the commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz_targets import ALLOWED, Target, read_dataset, write_dataset
from made_up import edited, made_up_shards, mutate_cells, mutate_json, mutate_shard, odd_shards

from dped_data.dataset.shards import read_shard, write_shard
from dped_data.inspection.pipeline import inspect_pairs
from dped_data.inspection.verify import verify_dataset
from dped_data.plan import splits_on_disk
from dped_data.released.exporting import export_dped
from dped_data.simulation.description import DESCRIPTION_NAME, _asked_before
from dped_data.simulation.geometry import draw_geometry
from dped_data.simulation.optics import draw_phone
from dped_data.simulation.settings import SimulationSettings
from dped_data.simulation.truth import Truth, read_truths, truth_path, write_truth
from dped_train.data import PatchPairs, open_pairs
from dped_train.evaluate.evaluate import evaluate
from dped_train.reproduction.cached_result import kept
from dped_train.reproduction.shift_loss import ShiftLosses
from dped_train.run.folder import run_facts
from dped_train.run.log import RunRecord, _rows_until, recorded_seconds
from dped_train.settings import TrainSettings

PHONE_WH, DSLR_WH = (64, 48), (90, 60)


def made_up_targets(folder: Path, targets: list[Target]) -> list[Target]:
    """The targets below `folder`; `targets` are those with random damage, whose examples are used again."""
    known = {target.name: target for target in targets}
    again = (
        ("made-up manifest", "manifest", mutate_json),
        ("made-up table", "table", mutate_cells),
        ("made-up record", "record", mutate_json),
        ("made-up settings", "settings", mutate_json),
        ("made-up study", "study", mutate_json),
        ("made-up review", "review", mutate_cells),
        ("made-up captures", "captures", mutate_cells),
        ("made-up checkpoint", "forged checkpoint", _mutate_facts),
        ("made-up enhancer", "enhancer", _mutate_head),
    )
    found = []
    for name, of, mutate in again:
        target = known[of]
        if (folder / of).is_dir():
            shutil.copytree(folder / of, folder / name)
        found.append(Target(name, target.file, target.examples, target.read, mutate))
    return [*found, *_shards(folder), *_simulation(folder), *_runs(folder)]


def _inspect(place: Path) -> object:
    shutil.rmtree(place / "report", ignore_errors=True)
    return inspect_pairs(place.parent, place.name, place / "report", jobs=1)


def _train(place: Path) -> object:
    store = open_pairs(place, "train")
    pairs = PatchPairs(store, batch_size=4, seed=0, flips=True)
    batch = pairs.read(0, 0)
    return pairs.patch_ids(batch.indices), json.dumps(run_facts(TrainSettings(), store))


def _export(place: Path) -> object:
    shutil.rmtree(place / "exported", ignore_errors=True)
    return export_dped(place, None, place / "exported", "folders", jobs=1)


def _review(place: Path) -> object:
    splits_on_disk(place)
    captures, attributes = read_shard(place / "train/00000.h5")
    write_shard(place / "copy.h5", captures[:1], {**attributes, "unit": "x"})
    return read_shard(place / "copy.h5")


def _evaluate(place: Path) -> object:
    return evaluate(place, None, split="train", csv_file=place / "scores.csv", device="cpu")


def _verify(place: Path) -> object:
    return verify_dataset(place.parent, place.name, jobs=1)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "inspect-pairs": _inspect,
    "inspect-pairs --verify": _verify,
    "train": _train,
    "evaluate": _evaluate,
    "export-dped": _export,
    "build-dataset --review": _review,
    "PatchStore": read_dataset,
}
"""The library functions that read a dataset, by the command that calls them."""


def read_by_commands(place: Path) -> object:
    """Read a dataset by all of them; the first refusal is raised when all have read."""
    faults = []
    for reader in COMMANDS.values():
        try:
            reader(place)
        except ALLOWED as error:
            faults.append(error)
    if faults:
        raise faults[0]
    return None


def _shards(folder: Path) -> list[Target]:
    targets = []
    for name in ("made-up shard", "odd shard", "structured shard"):
        write_dataset(folder / name, {"train"})  # the damage is there
    sound = (folder / "odd shard/train/00000.h5").read_bytes()
    lists = (("made-up shard", made_up_shards()), ("odd shard", odd_shards()))
    for name, edits in lists:
        examples = tuple(edited(sound, edit) for edit in edits.values())
        targets.append(Target(name, "train/00000.h5", examples, read_by_commands, _as_it_is, in_order=True))
    return [*targets, Target("structured shard", "train/00000.h5", (sound,), read_by_commands, mutate_shard)]


def _as_it_is(data: bytes, rng: Random) -> bytes:
    return data


def _simulation(folder: Path) -> list[Target]:
    place, asked = folder / "make-rig", {"seed": 1, "photos": ["a.jpg"], "settings": {"parallax": 1.5}}
    (place / "truth").mkdir(parents=True)
    rng = np.random.default_rng(0)
    geometry = draw_geometry(rng, PHONE_WH, DSLR_WH, SimulationSettings())
    truth = Truth("sony/1.jpg", "canon/1.jpg", ("a.jpg",), 1.5, geometry, draw_phone(rng, 6000))
    write_truth(place, truth)
    example = truth_path(place, truth.phone_file).read_bytes()
    description = json.dumps({"asked": asked}).encode()

    def render(place: Path) -> object:
        return _asked_before(place)

    return [
        Target("truth", "truth/1.json", (example,), read_truths, mutate_json),
        Target("simulation", DESCRIPTION_NAME, (description,), render, mutate_json),
    ]


def _runs(folder: Path) -> list[Target]:
    with RunRecord(folder / "make-run", 0, {"settings": {"seed": 1}}, TrainSettings()) as record:
        for step in (1, 2, 3):
            record.add(step, {"total": step / 3, "seconds": 0.5})
    metrics = (folder / "make-run/metrics.csv").read_bytes()
    losses = ShiftLosses((0, 1), (0.0, 1.0), (0.0, 0.5), (0.0, 0.4), 3)
    kept(folder / "kept.json", {"model": "1"}, lambda: losses, ShiftLosses)

    def read_metrics(place: Path) -> object:
        _rows_until(place / "metrics.csv", 2)
        return recorded_seconds(place)

    def read_kept(place: Path) -> object:
        found = kept(place / "kept.json", {"model": "1"}, lambda: losses, ShiftLosses)
        return [f"{shift + 1} {mse:.3f}" for shift, mse in zip(found.shift_px, found.mse, strict=False)]

    return [
        Target("metrics", "metrics.csv", (metrics,), read_metrics, mutate_cells),
        Target("kept results", "kept.json", ((folder / "kept.json").read_bytes(),), read_kept, mutate_json),
    ]


def _with_head(data: bytes, change: Callable[[dict[str, Any]], bytes]) -> bytes:
    size = int.from_bytes(data[:8], "little")
    head = change(json.loads(data[8 : 8 + size]))
    return len(head).to_bytes(8, "little") + head + data[8 + size :]


def _mutate_head(data: bytes, rng: Random) -> bytes:
    return _with_head(data, lambda head: mutate_json(json.dumps(head).encode(), rng))


def _mutate_facts(data: bytes, rng: Random) -> bytes:
    def change(head: dict[str, Any]) -> bytes:
        head["__metadata__"]["facts"] = mutate_json(head["__metadata__"]["facts"].encode(), rng).decode()
        return json.dumps(head).encode()

    return _with_head(data, change) if rng.random() < 0.7 else _mutate_head(data, rng)

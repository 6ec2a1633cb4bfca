"""What the version before settings could be added has written is used by this one, and by one with added settings.

make.py says what the archive holds and how it was made.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import make
import numpy as np
import pytest
from safetensors.torch import load_file

import dped_data.settings
from dped_data import PatchStore, build_dataset
from dped_data.build import BuildReport
from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import setting, settings_dict
from dped_data.dataset.manifest import read_manifest, write_manifest
from dped_data.errors import InputError
from dped_data.inspection import inspect_pairs, verify_dataset
from dped_data.settings import BuildSettings, PatchSettings, RawSettings, load_build_settings
from dped_train.run.asked import asked_settings
from dped_train.settings import TrainSettings
from dped_train.train import train

PATCHES = 23
DIGEST = "3ebb162597a0dd0dc2d77002a0e1a117c21de5ccbe563f82c29742787eed74d4"
FLAGS = {"patch_size": 32, "stride": 90, "captures_per_shard": 1, "test_captures": 0, "val_share": 0.0}
AS_BEFORE = {
    **FLAGS,
    "max_foreign": 1.0,
    "max_clipped": 1.0,
    "min_sharpness": 0.0,
    "max_light_ev": 100.0,
    "raw_brightness": "auto",
}
"""The values of settings added since at which a build does what it did then."""

TRAIN = {
    "method": "srcnn",
    "steps": 2,
    "batch_size": 2,
    "seed": 7,
    "texture_weight": 0.0,
    "device": "cpu",
    "precision": "fp32",
}
TRAIN_AS_BEFORE = {
    **TRAIN,
    "balance": False,
    "discriminator_rate": 0.0,
    "halves": False,
    "discriminator_start": "random",
}


@dataclass(frozen=True)
class GrownPatches(PatchSettings):
    """One more setting in a section that was there."""

    min_contrast: float = setting(0.0, "keep patches with more contrast than this")


@dataclass(frozen=True)
class Tone:
    """A section that was not there."""

    match_tone: bool = setting(False, "give the DSLR patches the phone's tones")


@dataclass(frozen=True)
class GrownBuild(BuildSettings):
    """The settings of a build in a version to come."""

    patches: GrownPatches = field(default_factory=GrownPatches)
    tone: Tone = field(default_factory=Tone)
    retries: int = setting(0, "how often a window is tried again")


@dataclass(frozen=True)
class GrownTrain(TrainSettings):
    """The settings of a run in a version to come."""

    dropout: float = setting(0.0, "share of the features left out in a step")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with tarfile.open(Path(make.__file__).with_name("format_1.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture(params=["this version", "one with added settings"])
def grown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the settings of a build are those of a version to come."""
    if request.param == "this version":
        return False
    monkeypatch.setattr(dped_data.settings, "BuildSettings", GrownBuild)
    return True


def build(place: Path, change: Callable[[BuildSettings], BuildSettings] = lambda settings: settings) -> BuildReport:
    settings = change(load_build_settings(place / "rig.toml", AS_BEFORE))
    return build_dataset(place / "captures", place / "dataset", "pocket", settings, jobs=1)


def add_capture(place: Path) -> None:
    for photo in sorted((place / "later").rglob("*.jpg")):
        photo.rename(place / "captures" / photo.relative_to(place / "later"))


def files_below(folder: Path, pattern: str) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in sorted(folder.glob(pattern))}


def test_what_the_earlier_version_recorded_is_what_was_frozen(place: Path) -> None:
    recorded = {**read_manifest(place / "dataset" / "pocket").settings}
    assert {camera["name"] for camera in recorded.pop("rig")["cameras"]} == {"pocket", "slr"}
    sections = {name: table for name, table in recorded.items() if isinstance(table, dict)}
    flat = {name: value for name, value in recorded.items() if name not in sections}
    flat |= {f"{section}.{name}": value for section, table in sections.items() for name, value in table.items()}
    first = BuildSettings.frozen_defaults.first
    assert {*flat} == {*first}
    assert {key.split(".")[1]: value for key, value in flat.items() if value != first[key]} == FLAGS
    run = json.loads((place / "runs" / "pocket" / "settings.json").read_text())["settings"]
    first = TrainSettings.frozen_defaults.first
    assert {*run} == {*first}
    assert {key: value for key, value in run.items() if value != first[key]} == TRAIN


def test_windows_that_were_never_asked_for_foreign_content_are_not_mixed_with_those_that_were(place: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"other settings \(patches.max_foreign: not recorded -> 0.2\); .* built as with --max-foreign 1\), --ov",
    ):
        build(
            place,
            lambda settings: replace(settings, patches=replace(settings.patches, max_foreign=0.2, max_clipped=1.0)),
        )


def test_raw_photos_that_were_stretched_are_not_mixed_with_those_that_are_not(place: Path) -> None:
    with pytest.raises(InputError, match=r"raw: not recorded -> .*fixed.* built as with --raw-brightness auto"):
        build(place, lambda settings: replace(settings, raw=RawSettings()))


def test_its_patches_are_read(place: Path) -> None:
    store = PatchStore(place / "dataset" / "pocket", "train")
    phone, dslr = store.read(range(len(store)))
    assert (len(store), store.digest) == (PATCHES, DIGEST)
    assert phone.shape == dslr.shape == (PATCHES, 32, 32, 3) and np.std(phone) > 10
    settings = settings_dict(load_build_settings(place / "rig.toml", AS_BEFORE))
    assert store.settings_json() == json.dumps(settings, sort_keys=True)


@pytest.mark.usefixtures("grown")
def test_building_it_again_changes_no_byte(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = place / "dataset" / "pocket"
    before, files = read_manifest(folder), files_below(folder, "*/*.h5") | files_below(folder, ".build/settings.json")
    text, keys = (folder / "dataset.json").read_bytes(), {*files_below(folder, ".build/*.json")}
    report = build(place)
    assert report.reused == 2
    assert report.manifest.digest == DIGEST
    assert files_below(folder, "*/*.h5") | files_below(folder, ".build/settings.json") == files
    assert {*files_below(folder, ".build/*.json")} >= keys
    again = tmp_path_factory.mktemp("again")  # the libraries may be others here
    assert {*report.manifest.photo_sizes} == {"pocket", "slr"}
    write_manifest(again, replace(report.manifest, versions=before.versions, photo_sizes={}))  # stated since then
    assert (again / "dataset.json").read_bytes() == text


@pytest.mark.usefixtures("grown")
def test_it_is_extended_without_aligning_again(place: Path) -> None:
    folder = place / "dataset" / "pocket"
    shards = files_below(folder, "train/*.h5")
    add_capture(place)
    report = build(place)
    assert (report.reused, report.manifest.totals["captures"]) == (2, 3)
    assert report.manifest.totals["patches"] > PATCHES
    now = files_below(folder, "train/*.h5")
    assert len(now) == 3 and {name: now[name] for name in shards} == shards
    assert {row.digest for row in (report.manifest, PatchStore(folder, "train"))} == {DIGEST}
    assert verify_dataset(place / "dataset", "pocket", jobs=1).faults == ()


@pytest.mark.usefixtures("grown")
def test_it_is_verified(place: Path) -> None:
    report = verify_dataset(place / "dataset", "pocket", jobs=1)
    assert (report.faults, report.phone_patches, report.dslr_patches) == ((), PATCHES, PATCHES)


@pytest.mark.usefixtures("grown")
def test_it_is_inspected(place: Path) -> None:
    report = inspect_pairs(place / "dataset", "pocket", place / "report", jobs=1)
    assert report.digest == DIGEST and sum(capture.patches for capture in report.captures) == PATCHES
    assert (place / "report" / "verdict.json").is_file()


@pytest.mark.parametrize("kind", [TrainSettings, GrownTrain])
def test_its_run_is_resumed(place: Path, kind: type[TrainSettings]) -> None:
    before = load_file(place / "runs" / "pocket" / "enhancer.safetensors")
    report = train(place / "dataset", "pocket", place / "runs", kind(**{**TRAIN_AS_BEFORE, "steps": 4}), resume=True)
    assert (report.first_step, report.steps) == (2, 4)
    steps = [line.split(",")[0] for line in (report.folder / "metrics.csv").read_text().splitlines()]
    assert steps == ["step", "1", "2", "3", "4"]
    after = load_file(report.model)
    assert before.keys() == after.keys() and any((before[name] != after[name]).any() for name in before)
    assert "dropout" not in (report.folder / "settings.json").read_text()


def test_its_run_goes_on_by_its_own_settings(place: Path) -> None:
    data, runs = place / "dataset", place / "runs"
    with pytest.raises(
        InputError, match=r"\(balance: not recorded -> true; .*discriminator_rate: .*\); go on .* --resume"
    ):
        train(data, "pocket", runs, TrainSettings(**{**TRAIN, "steps": 4}))
    own = asked_settings(data, "pocket", runs, None, {"steps": 3}, resume=True)
    assert own == TrainSettings(**{**TRAIN_AS_BEFORE, "steps": 3})
    assert train(data, "pocket", runs, own, resume=True).first_step == 2


def test_other_values_of_added_settings_and_changed_defaults_are_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"other settings \(patches.min_ncc: 0.9 -> 0.8\)"):
        build(place, lambda settings: replace(settings, patches=replace(settings.patches, min_ncc=0.8)))
    with pytest.raises(InputError, match=r"other settings \(dropout: not recorded -> 0.5\)"):
        train(place / "dataset", "pocket", place / "runs", GrownTrain(**TRAIN_AS_BEFORE, dropout=0.5), resume=True)
    monkeypatch.setattr(dped_data.settings, "BuildSettings", GrownBuild)
    told = r"other settings \(patches.min_contrast: not recorded -> 2.0; retries: not recorded -> 1\)"
    with pytest.raises(InputError, match=told):
        build(
            place,
            lambda settings: replace(settings, patches=replace(settings.patches, min_contrast=2.0), retries=1),
        )


def test_added_settings_of_other_values_are_kept_with_the_dataset(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dped_data.settings, "BuildSettings", GrownBuild)
    (place / "dataset").rename(place / "old")
    report = build(place, lambda settings: replace(settings, retries=1))
    assert report.manifest.digest != DIGEST and report.manifest.settings["retries"] == 1
    monkeypatch.undo()  # as this version, which does not know them
    assert verify_dataset(place / "dataset", "pocket", jobs=1).faults == ()
    assert len(PatchStore(place / "dataset" / "pocket", "train")) == report.manifest.totals["patches"] > 20
    with pytest.raises(InputError, match=r"other settings \(retries: 1 -> not recorded\)"):
        build(place)

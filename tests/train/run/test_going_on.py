"""Which run a command goes on with, what it may change, and from which model or dataset a run goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from make_shards import make_dataset

import dped_train.train
from dped_data.common.typed_settings import load_settings, read_toml, settings_dict
from dped_data.errors import InputError, UsageError
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.file import enhancer_metadata, load_enhancer, save_enhancer
from dped_train.run.asked import asked_settings
from dped_train.settings import TrainSettings
from dped_train.train import train

FLAGS = {
    "steps": 2,
    "batch_size": 2,
    "content_weight": 0.0,
    "seed": 3,
    "device": "cpu",
    "precision": "fp32",
    "warmup": 0,
}
SMALL = load_settings(TrainSettings(), {}, "", {**FLAGS, "checkpoint_every": 2})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", train=6, val=2, test=0).parent


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two steps; copy it before you go on with it."""
    out = tmp_path_factory.mktemp("runs")
    train(data, None, out, SMALL)
    return out


@pytest.fixture
def out(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs, tmp_path / "runs"))


def no_vgg(*_: object, **__: object) -> None:
    raise AssertionError("VGG is asked for")


def test_the_same_command_goes_on_and_another_is_refused_before_vgg_is_loaded(
    data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dped_train.train, "load_vgg", no_vgg)
    same = asked_settings(data, None, out, None, {**FLAGS, "steps": 3}, resume=False)
    report = train(data, None, out, same)
    assert (report.first_step, report.steps) == (2, 3)
    assert train(data, None, out, same).first_step == 3  # finished: nothing is done again
    forgot = asked_settings(data, None, out, None, {**FLAGS, "content_weight": None}, resume=False)
    with pytest.raises(
        InputError, match=r"already, up to step-0000003.*\(content_weight: 0.0 -> -1.0\); go on .*--resume"
    ):
        train(data, None, out, forgot)


def test_resume_takes_the_runs_own_settings(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dped_train.train, "load_vgg", no_vgg)
    more = {"steps": 4, "chunk": 1, "checkpoint_every": 3}
    settings = asked_settings(data, None, out, None, more, resume=True)
    assert settings == replace(SMALL, steps=4, chunk=1, checkpoint_every=3)
    assert train(data, None, out, settings, resume=True).first_step == 2
    other = asked_settings(data, None, out, None, {"learning_rate": 0.1}, resume=True)
    with pytest.raises(InputError, match=r"other settings \(learning_rate: 0.0005 -> 0.1\); resume with its own"):
        train(data, None, out, other, resume=True)
    shutil.rmtree(out / "toy" / "checkpoints")  # stopped before the first: settings.json is all there is
    assert asked_settings(data, None, out, None, {}, resume=True) == settings
    (out / "toy" / "settings.json").write_text('{"settings": {"seeds": 3}}')
    with pytest.raises(InputError, match=r"settings.json: its settings are not those .*did you mean 'seed'"):
        asked_settings(data, None, out, None, {}, resume=True)
    assert asked_settings(data, None, out / "none", None, {}, resume=True) == TrainSettings()


def test_every_run_writes_a_file_that_asks_for_the_same(data: Path, out: Path, tmp_path: Path) -> None:
    config = out / "toy" / "config.toml"
    assert asked_settings(data, None, tmp_path / "new", config, {}, resume=False) == SMALL
    assert asked_settings(data, None, tmp_path / "new", config, {"seed": 9}, resume=False).seed == 9
    written, known = read_toml(config), settings_dict(SMALL)
    assert {key: written.get(key, value) for key, value in known.items()} == known
    odd = replace(SMALL, vgg='C:\\a "b"\té\x7f.npz', learning_rate=1e-07)
    train_like = tmp_path / "odd.toml"
    train_like.write_text(config.read_text() + "sed = 1\n")
    with pytest.raises(UsageError, match=r"odd.toml: unknown setting 'sed'; did you mean 'seed'"):
        asked_settings(data, None, tmp_path / "new", train_like, {}, resume=False)
    from dped_data.common.typed_settings import settings_toml

    train_like.write_text(settings_toml(odd, "odd"))
    assert asked_settings(data, None, tmp_path / "new", train_like, {}, resume=False) == odd


def test_a_model_is_fine_tuned(data: Path, tmp_path: Path) -> None:
    model = Enhancer("instance")
    initialise(model, 11)
    save_enhancer(model, tmp_path / "given.safetensors", {"recipe": "released"})
    settings = replace(SMALL, start=str(tmp_path / "given.safetensors"), steps=1, learning_rate=0.0)
    report = train(data, None, tmp_path / "runs", settings)
    found, given = load_enhancer(report.model).state_dict(), model.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in found.items())
    (tmp_path / "given.safetensors").unlink()  # the run needs it no more
    report = train(data, None, tmp_path / "runs", replace(settings, steps=2))
    card = (report.folder / "README.md").read_text()
    assert "Started from the model `given.safetensors`, sha256 of its weights `" in card and str(tmp_path) not in card
    again = train(data, None, tmp_path / "tuned", replace(SMALL, start=str(report.folder)))
    assert not torch.equal(load_enhancer(again.model).tail.weight, found["tail.weight"])
    with pytest.raises(
        InputError, match=r"dped-enhancer with normalisation instance, this training needs .* batch; choose"
    ):
        train(data, None, tmp_path / "paper", replace(SMALL, start=str(report.folder), recipe="paper"))
    with pytest.raises(InputError, match=r"was trained with --padding zeros, not reflect; give its own"):
        train(data, None, tmp_path / "padded", replace(SMALL, start=str(report.folder), padding="reflect"))
    with pytest.raises(InputError, match=r"identiy: neither a model file.*nor the name of one"):
        train(data, None, tmp_path / "typo", replace(SMALL, start="identiy"))


def test_a_run_goes_on_with_a_dataset_that_has_grown_when_asked_to(data: Path, out: Path, tmp_path: Path) -> None:
    grown = make_dataset(tmp_path / "grown" / "toy", train=9, val=2, test=0).parent
    settings = replace(SMALL, steps=3)
    with pytest.raises(
        InputError, match=r"another dataset than .*toy; if this one has grown since, go on with --data-ch"
    ):
        train(grown, None, out, settings)
    report = train(grown, None, out, settings, data_changed=True)
    assert report.first_step == 2
    card = (report.folder / "README.md").read_text()
    assert "9 pairs of 32x32" in card
    assert "- Until step 2 trained on the dataset as it was then, 6 pairs, with shards `" in card
    report = train(grown, None, out, replace(settings, steps=4))  # it is the run's own now
    assert report.first_step == 3 and "Until step 2 trained" in (report.folder / "README.md").read_text()
    wider = make_dataset(tmp_path / "wider" / "toy", train=6, val=2, test=0, size=40).parent
    with pytest.raises(InputError, match=r"patches of toy, 32 px wide, .* has those of toy, 40 px"):
        train(wider, None, out, replace(settings, steps=5), data_changed=True)


def test_a_deleted_enhancer_is_written_again(data: Path, out: Path) -> None:
    model = out / "toy" / "enhancer.safetensors"
    before = enhancer_metadata(model)
    model.unlink()
    train(data, "toy", out, SMALL)
    assert enhancer_metadata(model) == before  # with the sha256 of the weights
    load_enhancer(model)

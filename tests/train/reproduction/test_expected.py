"""How long the trainings will take is said before the first one begins."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from make_shards import make_dataset

from dped_train.reproduction import expected, pipeline, reproduce, tables
from dped_train.reproduction.candidates import Candidate
from dped_train.reproduction.expected import Expected, expected_text, expected_trainings
from dped_train.reproduction.measure import Bench, measured
from dped_train.reproduction.settings import ReproduceSettings

SETTINGS = ReproduceSettings(steps=1000, batch_size=2, crop_px=16, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", train=4, val=0, test=4).parent


def test_what_is_left_is_timed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(data / "toy", tmp_path, SETTINGS)
    training = replace(SETTINGS.training(), method="srcnn", steps=4, checkpoint_every=2)
    srcnn = Candidate("srcnn", "SRCNN", training=training)
    monkeypatch.setattr(expected, "WORTH_TIMING", 1)
    ticks = count()
    monkeypatch.setattr(expected, "perf_counter", lambda: 9 * next(ticks) ** 2)  # the second step takes 45 s
    assert expected_trainings(bench, [srcnn, Candidate("phone", "phone"), srcnn]) == (Expected("srcnn", 4, 0.05),)
    assert not (tmp_path / "runs").exists()
    measured(bench, replace(srcnn, training=replace(training, steps=2)))
    more = replace(srcnn, training=replace(training, steps=3))
    assert [training.steps for training in expected_trainings(bench, [more])] == [1]
    measured(bench, more)
    assert expected_trainings(bench, [more]) == ()
    monkeypatch.undo()
    assert expected_trainings(bench, [srcnn]) == ()  # of so few steps two are not worth timing


def test_the_line_for_people() -> None:
    text = expected_text([Expected("srcnn", 20_000, 1.5), Expected("dped", 12_000, 0.25)])
    assert text.startswith(
        "2 trainings of up to 20,000 steps will take about 1.8 h on this machine (srcnn 1.5 h, dped 15 min;"
    )


def test_it_is_said_before_anything_is_trained(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class BegunError(Exception):
        """The first table was asked for."""

    def begun(*_: object) -> None:
        raise BegunError

    monkeypatch.setattr(tables, "vgg_missing", lambda settings: "none at hand")
    monkeypatch.setattr(pipeline, "table_2", begun)
    with pytest.raises(BegunError):
        reproduce("methods", data, None, tmp_path, SETTINGS)
    assert "dped: 2 trainings of up to 1,000 steps will take about" in capsys.readouterr().err

"""What a training says of its health, its rates over the steps, and the balance of its losses."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset

from dped_data.dataset.store import PatchStore
from dped_data.errors import UsageError
from dped_train.data import PatchPairs
from dped_train.losses import RELEASED, texture_loss
from dped_train.run.checkpoint import load_checkpoint
from dped_train.run.health import border_levels, cast_levels, findings, health_lines
from dped_train.run.methods import learning_rates, recipe_of
from dped_train.settings import TrainSettings, resolved
from dped_train.train import train

DSLR = np.full((3, 20, 20, 3), 100, np.uint8)
SMALL = TrainSettings(steps=4, batch_size=4, content_weight=0.0, device="cpu", precision="fp32", recipe="paper")


def test_a_cast_is_a_difference_between_the_channels() -> None:
    assert cast_levels(DSLR + 10, DSLR) == 0
    assert cast_levels(DSLR + np.array([0, 1, 11], np.uint8), DSLR) == pytest.approx(11)


def test_a_frame_is_a_difference_of_the_border_to_the_middle() -> None:
    framed = DSLR.copy()
    framed[:, 4:-4, 4:-4] += 5
    assert border_levels(framed, DSLR) == pytest.approx(-5)
    assert border_levels(framed, framed) == border_levels(DSLR + 3, DSLR) == 0


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("mean_accuracy", 0.5, "right in 50% over 200 steps, at least 55%"),
        ("mean_accuracy", 0.99, "right in 99% over 200 steps, at most 98%"),
        ("texture_share", 0.01, "has 1.0% of the losses' gradients"),
        ("val_cast", 10.0, "colour cast of 10.0 levels"),
        ("val_border", -5.0, "frame of -5.0 levels"),
    ],
)
def test_each_fault_is_found_alone(figure: str, value: float, words: str) -> None:
    healthy = {"mean_accuracy": 0.75, "texture_share": 0.3, "val_cast": 1.0, "val_border": 0.5, "val_psnr": 20.0}
    assert findings(healthy, 200) == {} and len(health_lines(healthy, 200)) == 4
    (found,) = findings(healthy | {figure: value}, 200).items()
    assert found[0] == figure and words in found[1]
    assert health_lines(healthy | {figure: value}, 200)[4:] == [f"Warning: {found[1]}."]
    assert findings({"mean_accuracy": 0.5}, 10) == {}  # too few to tell


def test_a_run_logs_says_and_writes_it_down_and_is_not_moved_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_dataset(tmp_path / "data" / "toy", train=8, val=2, test=0).parent
    often, once = (
        train(data, None, tmp_path / str(every), replace(SMALL, checkpoint_every=every)).folder for every in (1, 4)
    )
    name = "checkpoints/step-0000004.safetensors"
    tensors = [load_checkpoint(folder / name).tensors for folder in (often, once)]
    assert all(torch.equal(value, tensors[1][key]) for key, value in tensors[0].items())
    with (once / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["texture_share"]) for row in rows] == [False, False, False, True]
    accuracies = [float(row["accuracy"]) for row in rows]
    assert float(rows[3]["mean_accuracy"]) == pytest.approx(np.mean(accuracies), rel=1e-4)
    assert 0 < float(rows[3]["texture_share"]) < 1 and float(rows[3]["val_cast"]) > 2
    card = (once / "README.md").read_text()
    assert "## Health of the training" in card and "Warning: validation patches have a colour cast of" in card
    assert "dped: step 4: validation patches have a colour cast of" in capsys.readouterr().err


def test_the_released_recipe_keeps_its_balance_in_small_batches() -> None:
    logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    weights = {size: recipe_of(TrainSettings(batch_size=size)).texture_weight for size in (4, 50)}
    assert weights[50] == RELEASED.texture_weight
    few = weights[4] * torch.stack([texture_loss(part, "softmax") for part in logits[:48].split(4)]).mean()
    assert few.item() == pytest.approx(texture_loss(logits[:48], "softmax").item() * 50 / 48, rel=1e-5)
    assert recipe_of(TrainSettings(batch_size=4, balance=False)).texture_weight == 1
    assert recipe_of(TrainSettings(batch_size=4, recipe="paper")).texture_weight == 0.4


def test_schedules() -> None:
    def rates(**changed: object) -> list[float]:
        settings = replace(TrainSettings(steps=20, warmup=0, learning_rate=1.0), **changed)  # type: ignore[arg-type]
        return [learning_rates(settings, "instance", step).enhancer for step in (0, 9, 10, 15, 18, 19)]

    assert rates() == [1.0] * 6
    assert rates(schedule="steps") == [1, 1, 0.5, 0.25, 0.125, 0.125]
    cosine = rates(schedule="cosine")
    assert cosine[0] == 1 and cosine[2] == pytest.approx(0.5) and 0 < cosine[-1] < 0.01
    assert rates(schedule="cosine", warmup=10)[:2] == pytest.approx([0.1, cosine[1]])


def test_the_discriminator_has_a_rate_of_its_own() -> None:
    settings = TrainSettings(warmup=0)
    for changed, normalisation, wanted in (
        ({}, "instance", 1e-4),
        ({}, "batch", 5e-4),
        ({"discriminator_rate": 0.0}, "instance", 5e-4),
        ({"discriminator_rate": 3e-5}, "batch", 3e-5),
    ):
        found = learning_rates(replace(settings, **changed), normalisation, 0)  # type: ignore[arg-type]
        assert found.enhancer == 5e-4 and found.discriminator == pytest.approx(wanted)


def test_exactly_is_the_authors_values_and_nothing_against_them(tmp_path: Path) -> None:
    found = resolved(TrainSettings(exactly=True))
    assert (found.start, found.warmup, found.ema_decay, found.discriminator_rate) == ("random", 0, 0, 0)
    assert recipe_of(resolved(TrainSettings(exactly=True, batch_size=4))) == RELEASED
    with pytest.raises(UsageError, match="goes with --recipe released"):
        resolved(TrainSettings(exactly=True, recipe="paper"))
    with pytest.raises(UsageError, match=r"the authors' ema_decay is 0.0, 0.5 was asked for"):
        resolved(TrainSettings(exactly=True, ema_decay=0.5))
    store = PatchStore(make_dataset(tmp_path / "toy", train=8, val=0, test=0), "train")
    pairs = PatchPairs(store, batch_size=8, seed=0, as_authors=True)
    drawn = [pairs.indices(0, step) for step in range(3)]
    assert min(len({*rows.tolist()}) for rows in drawn) < 8  # with replacement: an epoch has each once
    assert [pairs.indices(0, step).tolist() for step in range(3)] == [rows.tolist() for rows in drawn]

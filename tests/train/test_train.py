"""The training loop: each step is the authors', however it is computed; runs resume, share work and stop cleanly."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset
from numpy.typing import NDArray
from torch import Tensor

from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_train.data import DISCRIMINATOR_BATCH, GENERATOR_BATCH, PatchPairs
from dped_train.losses import RELEASED, discriminator_loss, generator_losses
from dped_train.networks.dped import Discriminator, Enhancer, initialise
from dped_train.networks.file import load_enhancer
from dped_train.photo_tensors import photos_from_bytes
from dped_train.run.checkpoint import load_checkpoint
from dped_train.run.distributed import Process
from dped_train.settings import TrainSettings
from dped_train.train import Run, train

CPU = torch.device("cpu")
SMALL = TrainSettings(
    steps=6, batch_size=4, content_weight=0.0, checkpoint_every=2, precision="fp32", device="cpu", warmup=4
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of datasets with one phone, `toy`."""
    return make_dataset(tmp_path_factory.mktemp("data") / "toy").parent


def _run(data: Path, settings: TrainSettings) -> Run:
    return Run(settings, PatchStore(data / "toy", "train"), Process(0, 1, CPU), data / "none")


def _steps(run: Run) -> list[dict[str, float]]:
    return [run.step(read) for read in run.batches(0)]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _tensors(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(folder / "checkpoints" / f"step-{step:07d}.safetensors").tensors)


def test_steps_are_those_of_the_authors_loop(data: Path) -> None:
    """Against the released loop written out: all pairs enhanced twice, one photo of each by a coin, whole batches.

    With `exactly`: random start, no warm-up, one rate, drawn with replacement, TensorFlow's Adam, the last weights.
    In double precision: Adam's first steps are little more than the signs of the gradient, and some of it is rounding.
    """
    run = _run(data, replace(SMALL, chunk=3, steps=3, exactly=True, warmup=50))
    for network in (run.state.enhancer, run.state.discriminator, run.state.mean):
        network.double()
    run.photos = _double_photos  # type: ignore[method-assign]
    found = _steps(run)
    enhancer, discriminator = Enhancer("instance").double(), Discriminator("instance", 32, 2).double()
    initialise(enhancer, 0)
    initialise(discriminator, 1)
    adams = [torch.optim.Adam(net.parameters(), 5e-4) for net in (enhancer, discriminator)]
    pairs = PatchPairs(PatchStore(data / "toy", "train"), batch_size=4, seed=0, as_authors=True)
    recipe = replace(RELEASED, content_weight=0.0)
    for step in range(3):
        for adam in adams:  # TensorFlow's adds it before the bias correction
            adam.param_groups[0]["eps"] = 1e-8 / (1 - 0.999 ** (step + 1)) ** 0.5
        batch = pairs.read(GENERATOR_BATCH, step)
        phone, dslr = _double_photos(batch.phone), _double_photos(batch.dslr)
        losses = generator_losses(enhancer(phone), dslr, recipe=recipe, discriminator=discriminator, vgg=None)
        _descend(losses.total, adams[0], adams[1])
        batch = pairs.read(DISCRIMINATOR_BATCH, step)
        phone, dslr = _double_photos(batch.phone), _double_photos(batch.dslr)
        coin = torch.from_numpy(batch.show_dslr)
        weight = coin.double().view(-1, 1, 1, 1)
        loss = discriminator_loss(discriminator(dslr * weight + enhancer(phone) * (1 - weight)), coin, "softmax")
        _descend(loss, adams[1], adams[0])
        assert found[step]["total"] == pytest.approx(losses.total.item(), rel=1e-5)
        assert found[step]["colour"] == pytest.approx(losses.colour.item(), rel=1e-5)
        assert found[step]["texture"] == pytest.approx(losses.texture.item(), rel=1e-5)
        assert found[step]["discriminator"] == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(run.state.enhancer(phone), enhancer(phone), atol=1e-5, rtol=0)
    assert torch.equal(run.state.mean.tail.weight, run.state.enhancer.tail.weight)


def test_cached_features_change_nothing(data: Path, random_vgg: Path) -> None:
    settings = replace(SMALL, content_weight=10.0, vgg=str(random_vgg), steps=3, batch_size=12)  # an epoch and a half
    cached, fresh = _run(data, settings), _run(data, replace(settings, feature_cache_mb=0))
    figures = _steps(cached)
    assert figures == _steps(fresh)
    assert all(row["content"] > 0 for row in figures)
    turned = _run(data, replace(settings, flips=True))
    assert turned.features is not None
    assert turned.features.limit_bytes == 0  # a patch does not look the same twice


def test_the_paper_recipe_trains_its_discriminator_on_both_photos(data: Path) -> None:
    settings = replace(SMALL, recipe="paper", steps=40, batch_size=8)
    run = _run(data, settings)
    before = run.state.discriminator.output.weight.clone()
    run.pretrain_discriminator()
    assert not torch.equal(before, run.state.discriminator.output.weight)
    figures = run.step(next(iter(run.batches(0))))
    assert figures["accuracy"] in {n / 16 for n in range(17)}
    assert _run(data, replace(settings, recipe="released")).own_batch
    assert not run.own_batch


@pytest.mark.parametrize("start", ["identity", "white.safetensors"])
def test_pretraining_shows_what_the_model_of_the_start_makes(data: Path, start: str) -> None:
    """Of weights that make white of everything: a model's are shown as they are, first weights are not asked."""
    run = _run(data, replace(SMALL, recipe="paper", steps=4, batch_size=4, pretraining=3, start=start))
    with torch.no_grad():
        run.state.mean.tail.weight.zero_()
        run.state.mean.tail.bias.fill_(5.0)
    shown: list[Tensor] = []
    run.state.discriminator.register_forward_pre_hook(lambda _, seen: shown.append(seen[0].detach().clone()))
    run.pretrain_discriminator()
    assert len(shown) == 3  # steps, as asked
    assert {bool((step[4:] > 0.99).all()) for step in shown} == {start != "identity"}
    assert not any((step[:4] > 0.99).all() for step in shown)


def test_the_paper_recipe_judges_enhanced_patches_among_dslr_patches(data: Path) -> None:
    """Among themselves batch normalisation would bring them to one size, whatever texture they have."""
    run = _run(data, replace(SMALL, recipe="paper", batch_size=4))
    batch = next(iter(run.batches(0))).batches[0]
    dslr, enhanced = run.photos(batch.dslr), run.photos(batch.phone)
    discriminator = run.state.discriminator
    with torch.no_grad():
        judged, alone = run.judging(dslr)(enhanced), discriminator(enhanced)
        torch.testing.assert_close(judged, discriminator(torch.cat([dslr, enhanced]))[4:], atol=0, rtol=0)
    assert (judged - alone).abs().max() > 0.001
    released = _run(data, replace(SMALL, batch_size=4))
    assert released.judging(dslr) is released.state.discriminator


@pytest.mark.parametrize("recipe", ["released", "paper"])
def test_a_killed_run_resumes_to_the_last_bit(data: Path, tmp_path: Path, recipe: str) -> None:
    settings = replace(SMALL, recipe=recipe, steps=8, flips=True)
    whole = train(data, "toy", tmp_path / "whole", settings)
    _start_and_kill(data, tmp_path / "killed", recipe, after_step=4)
    report = train(data, "toy", tmp_path / "killed", settings, resume=True)
    assert 4 <= report.first_step < 8
    expected, found = _tensors(whole.folder, 8), _tensors(report.folder, 8)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    models = [load_enhancer(r.model).state_dict() for r in (whole, report)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())
    timings = {"seconds", "waited_s"}
    strip = [[{k: v for k, v in row.items() if k not in timings} for row in _rows(r.folder)] for r in (whole, report)]
    assert strip[0] == strip[1]
    assert [row["step"] for row in strip[1]] == [str(step) for step in range(1, 9)]


FOUR_STEPS = replace(SMALL, steps=4, checkpoint_every=2, keep_checkpoints=1)


@pytest.fixture(scope="module")
def whole_and_half(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of runs of four steps and of the first two of them."""
    folder = tmp_path_factory.mktemp("runs")
    train(data, "toy", folder / "whole", FOUR_STEPS)
    train(data, "toy", folder / "half", replace(FOUR_STEPS, steps=2))
    return folder / "whole", folder / "half"


@pytest.mark.parametrize("ended_by", ["save_enhancer", "write_model_card", "save_checkpoint", "prune_checkpoints"])
def test_a_run_that_ends_while_it_saves_its_last_step_resumes_to_the_same_files(
    data: Path, whole_and_half: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_by: str
) -> None:
    settings = FOUR_STEPS
    shutil.copytree(whole_and_half[1], tmp_path / "ended")

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(f"dped_train.run.folder.{ended_by}", end)
        train(data, "toy", tmp_path / "ended", settings, resume=True)
    train(data, "toy", tmp_path / "ended", settings, resume=True)
    whole, ended = (folder / "toy" for folder in (whole_and_half[0], tmp_path / "ended"))
    assert (ended / "README.md").read_text() == (whole / "README.md").read_text()
    for name in ("enhancer.safetensors", "best-enhancer.safetensors"):
        models = [load_enhancer(folder / name).state_dict() for folder in (whole, ended)]
        assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())
    assert [p.name for p in (ended / "checkpoints").iterdir()] == [p.name for p in (whole / "checkpoints").iterdir()]
    assert not list((ended / ".dped/tmp").iterdir())


@pytest.mark.parametrize("recipe", ["released", "paper"])
def test_two_processes_equal_one_up_to_rounding(data: Path, tmp_path: Path, recipe: str) -> None:
    settings = replace(SMALL, recipe=recipe, steps=3, batch_size=5, ema_decay=0.0, learning_rate=1e-5)
    one = train(data, "toy", tmp_path / "one", settings)
    script = _script(data, tmp_path / "two", settings)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            "--master-port=0",
            "--standalone",
            script,
        ],
        check=True,
        env=_environment(),
        timeout=300,
        capture_output=True,
    )
    two = tmp_path / "two" / "toy"
    for mine, its in zip(_rows(one.folder), _rows(two), strict=True):
        for name in ("colour", "texture", "tv", "total", "gradient_norm", "discriminator", "accuracy"):
            assert float(its[name]) == pytest.approx(float(mine[name]), rel=2e-3, abs=1e-6), (mine["step"], name)
    photo = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = load_enhancer(one.model)(photo) - load_enhancer(two / "enhancer.safetensors")(photo)
    assert difference.abs().max() < 1e-3


def test_a_loss_that_is_not_finite_stops_the_run(data: Path, tmp_path: Path) -> None:
    train(data, "toy", tmp_path, replace(SMALL, steps=2))
    checkpoint = tmp_path / "toy" / "checkpoints" / "step-0000002.safetensors"
    run = _run(data, SMALL)
    run.folder = tmp_path / "toy"
    with torch.no_grad():
        run.state.enhancer.head.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError) as error:
        next(run.step(read) for read in run.batches(2))
    message = str(error.value)
    assert message.startswith("step 3: the texture loss is nan, it must be finite; the last good checkpoint is ")
    assert str(checkpoint) in message
    assert "\n" not in message
    for name in run.pairs.patch_ids(run.pairs.indices(GENERATOR_BATCH, 2)):
        assert name in message


def test_clipping_bounds_the_gradient(data: Path) -> None:
    free, clipped = _run(data, SMALL), _run(data, replace(SMALL, clip_norm=1e-6))
    norms = [next(run.step(read) for read in run.batches(0))["gradient_norm"] for run in (free, clipped)]
    assert norms[0] == norms[1] > 1
    # Adam's first moment is a tenth of the gradient after one step
    moments = [run.state.enhancer_adam.state_dict()["state"][0]["exp_avg"].norm() for run in (free, clipped)]
    assert moments[1] < 1.1e-7 < moments[0]


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.02), ("fp16", 0.005)])
def test_half_precision_stays_near_float32(data: Path, random_vgg: Path, precision: str, tolerance: float) -> None:
    settings = replace(SMALL, content_weight=10.0, vgg=str(random_vgg), steps=1)
    full, half = (_steps(_run(data, replace(settings, precision=p))) for p in ("fp32", precision))
    for name in ("content", "colour", "tv", "total"):
        assert half[0][name] == pytest.approx(full[0][name], rel=tolerance), name
        assert half[0][name] != full[0][name]


def test_fp16_leaves_out_steps_that_overflow_and_lowers_the_scale(data: Path) -> None:
    run = _run(data, replace(SMALL, precision="fp16", colour_weight=1e4, steps=2, batch_size=2))
    before = run.state.scaler.get_scale()
    figures = _steps(run)
    assert all(np.isfinite(row["total"]) for row in figures)
    assert run.state.scaler.get_scale() < before
    assert all(torch.isfinite(p).all() for p in run.state.enhancer.parameters())


def test_the_learning_rate_rises_to_its_value(data: Path) -> None:
    run = _run(data, replace(SMALL, warmup=4, steps=6))
    rates = []
    for read in run.batches(0):
        run.step(read)
        rates.append((_rate(run.state.enhancer_adam), _rate(run.state.discriminator_adam)))
    expected = [5e-4 * share for share in (0.25, 0.5, 0.75, 1, 1, 1)]
    assert rates == [pytest.approx((rate, rate / 5)) for rate in expected]


def test_the_saved_enhancer_is_the_running_mean(data: Path, tmp_path: Path) -> None:
    run = _run(data, replace(SMALL, ema_decay=0.5, steps=3))
    mean = run.state.enhancer.tail.weight.detach().clone()
    for step, read in enumerate(run.batches(0), start=1):
        run.step(read)
        decay = min(0.5, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * run.state.enhancer.tail.weight.detach()
    torch.testing.assert_close(run.state.mean.tail.weight, mean)
    assert not torch.equal(run.state.mean.tail.weight, run.state.enhancer.tail.weight)
    last = train(data, "toy", tmp_path, replace(SMALL, ema_decay=0.0))
    saved, weights = load_enhancer(last.model).tail.weight, _tensors(last.folder, 6)["enhancer/tail.weight"]
    assert torch.equal(saved, weights)


def test_a_run_leaves_its_record(data: Path, tmp_path: Path) -> None:
    report = train(data, None, tmp_path, replace(SMALL, keep_checkpoints=1))
    assert report.folder == tmp_path / "toy"
    rows = _rows(report.folder)
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 7)]
    assert [row["val_psnr"] != "" for row in rows] == [False, True] * 3
    assert float(rows[-1]["val_psnr"]) == pytest.approx(report.val_psnr, rel=1e-5)
    settings = json.loads((report.folder / "settings.json").read_text())
    assert settings["settings"]["batch_size"] == 4
    assert [p.name for p in sorted((report.folder / "pictures").iterdir())] == [f"step-{s:07d}.png" for s in (2, 4, 6)]
    assert list((report.folder / "tensorboard").iterdir())
    kept = {int(path.stem[5:]) for path in (report.folder / "checkpoints").iterdir()}
    best = max(rows[1::2], key=lambda row: float(row["val_psnr"]))
    assert kept == {6, int(best["step"])}


def test_training_from_scratch_improves_on_the_phone(tmp_path: Path) -> None:
    """The toy's patches are so busy that total variation gets a small weight; it would smooth them.

    So does texture: a discriminator that sees it has the larger part of the gradients at first, and tones wait.
    """
    make_dataset(tmp_path / "data" / "toy", train=40, val=8)
    settings = replace(SMALL, steps=30, tv_weight=20.0, texture_weight=0.2, warmup=10, checkpoint_every=30)
    report = train(tmp_path / "data", None, tmp_path / "runs", settings)
    assert report.val_psnr is not None
    assert report.phone_psnr is not None
    assert report.val_psnr > report.phone_psnr + 3
    assert 0 <= report.waiting_share <= 1


def test_training_needs_no_validation_split(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data" / "toy", val=0)
    report = train(tmp_path / "data", None, tmp_path / "runs", replace(SMALL, steps=2))
    assert report.val_psnr is None
    assert report.model.is_file()


def test_a_run_is_never_overwritten_or_mixed_with_another(data: Path, tmp_path: Path) -> None:
    train(data, "toy", tmp_path, replace(SMALL, steps=2))
    with pytest.raises(InputError, match=r"a run is there already, up to step-0000002.*seed: 0 -> 9.*by --resume"):
        train(data, "toy", tmp_path, replace(SMALL, seed=9))
    with pytest.raises(InputError, match=r"other settings \(learning_rate: 0.0005 -> 0.1; seed: 0 -> 9\)"):
        train(data, "toy", tmp_path, replace(SMALL, seed=9, learning_rate=0.1), resume=True)
    with pytest.raises(InputError, match=r"has 2 steps, --steps asks for 1"):
        train(data, "toy", tmp_path, replace(SMALL, steps=1), resume=True)
    other = make_dataset(tmp_path / "other" / "toy", seed=1).parent
    with pytest.raises(InputError, match="trained on another dataset"):
        train(other, "toy", tmp_path, SMALL, resume=True)
    newest = tmp_path / "toy" / "checkpoints" / "step-0000002.safetensors"
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"step-0000002.*not a whole checkpoint .* delete it to resume from an older"):
        train(data, "toy", tmp_path, replace(SMALL, steps=3), resume=True)
    newest.write_bytes(whole)
    assert train(data, "toy", tmp_path, replace(SMALL, steps=3), resume=True).first_step == 2


def test_wrong_use_gets_one_clear_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--device cuda:7"):
        train(data, "toy", tmp_path, replace(SMALL, device="cuda:7"))
    with pytest.raises(UsageError, match="--device meat: no such device; allowed are auto, cpu, cuda"):
        train(data, "toy", tmp_path, replace(SMALL, device="meat"))
    with pytest.raises(UsageError, match="--batch-size 1 is below 1 for each of 2 processes"):
        Run(replace(SMALL, batch_size=1), PatchStore(data / "toy", "train"), Process(0, 2, CPU), tmp_path)


def _double_photos(patches: NDArray[np.uint8]) -> torch.Tensor:
    return photos_from_bytes(patches, CPU).double()


def _rate(adam: torch.optim.Adam) -> float:
    rate: float = adam.param_groups[0]["lr"]
    return rate


def _descend(loss: torch.Tensor, mine: torch.optim.Adam, other: torch.optim.Adam) -> None:
    mine.zero_grad()
    loss.backward()
    mine.step()
    other.zero_grad()


def _script(data: Path, out: Path, settings: TrainSettings) -> str:
    path = out.parent / f"train_{out.name}.py"
    path.write_text(
        "from pathlib import Path\n"
        "from dped_train.settings import TrainSettings\n"
        "from dped_train.train import train\n"
        f"train(Path({str(data)!r}), 'toy', Path({str(out)!r}), {settings!r})\n"
    )
    return str(path)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _start_and_kill(data: Path, out: Path, recipe: str, after_step: int) -> None:
    """Start a run of many steps and kill it, without warning, as soon as the checkpoint of `after_step` is there."""
    script = _script(data, out, replace(SMALL, recipe=recipe, steps=8, flips=True))
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums of other lengths are rounded otherwise
    process = subprocess.Popen([sys.executable, script], env=_environment() | threads)
    checkpoint = out / "toy" / "checkpoints" / f"step-{after_step:07d}.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "toy" / "checkpoints" / "step-0000008.safetensors").exists()

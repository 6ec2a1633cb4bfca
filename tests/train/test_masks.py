"""Masked pixels take no part: no loss has a gradient there, no metric depends on them; an empty mask changes no bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import MASKED, make_dataset
from torch import Tensor
from vgg16_files import seeded_linear, seeded_vgg16

from dped_data.dataset.store import PatchStore
from dped_data.errors import UsageError
from dped_train import PatchDataset
from dped_train.data import GENERATOR_BATCH, PatchPairs
from dped_train.evaluate.evaluate import METRICS, evaluate
from dped_train.evaluate.limitations import limitation_columns
from dped_train.evaluate.lpips import Lpips
from dped_train.evaluate.metrics import psnr
from dped_train.losses import LOSSES, PAPER, RELEASED, TOTAL, GeneratorLosses, Recipe, generator_losses
from dped_train.networks.dped import Discriminator, initialise
from dped_train.networks.vgg import Vgg
from dped_train.run.distributed import Process
from dped_train.run.validation import Validation
from dped_train.settings import TrainSettings
from dped_train.train import Run, train

CPU = torch.device("cpu")
SIZE = 32
RECIPES = [
    replace(recipe, **{f"{name}_weight": recipe.weight(name) or 1.0 for name in LOSSES}) for recipe in (PAPER, RELEASED)
]


def photos(seed: int, count: int = 3) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def masks(count: int = 3) -> Tensor:
    """Two patches with a hole, one whole."""
    valid = torch.ones(count, SIZE, SIZE, dtype=torch.bool)
    valid[0, 3:15, 20:32] = False
    valid[1, 10:26, 4:12] = False
    return valid


@pytest.fixture(scope="module")
def vgg() -> Vgg:
    return seeded_vgg16()


def losses_of(enhanced: Tensor, recipe: Recipe, vgg: Vgg, valid: Tensor | None) -> GeneratorLosses:
    discriminator = Discriminator(recipe.normalisation, SIZE, recipe.discriminator_outputs)
    initialise(discriminator, 1)
    return generator_losses(enhanced, photos(2), recipe=recipe, discriminator=discriminator, vgg=vgg, valid=valid)


@pytest.mark.parametrize("recipe", RECIPES, ids=["paper", "released"])
@pytest.mark.parametrize("name", (*LOSSES, TOTAL))
def test_no_loss_has_a_gradient_at_masked_pixels(recipe: Recipe, name: str, vgg: Vgg) -> None:
    enhanced, valid = photos(1).requires_grad_(), masks()
    loss = getattr(losses_of(enhanced, recipe, vgg, valid), name)
    (gradient,) = torch.autograd.grad(loss, enhanced)
    at_masked = gradient.movedim(1, -1)[~valid]
    assert (at_masked == 0).all() and len(at_masked) == 12 * 12 + 16 * 8
    assert (gradient.movedim(1, -1)[valid] != 0).float().mean() > 0.5
    (unmasked,) = torch.autograd.grad(getattr(losses_of(enhanced, recipe, vgg, None), name), enhanced)
    assert (unmasked.movedim(1, -1)[~valid] != 0).any()


@pytest.mark.parametrize("recipe", RECIPES, ids=["paper", "released"])
def test_what_is_masked_changes_no_loss_and_a_mask_of_nothing_no_bit(recipe: Recipe, vgg: Vgg) -> None:
    valid, everything = masks(), torch.ones(3, SIZE, SIZE, dtype=torch.bool)
    other = torch.where(valid[:, None], photos(1), photos(9))
    found = [losses_of(made, recipe, vgg, valid) for made in (photos(1), other)]
    whole: list[tuple[list[Tensor], Tensor]] = []
    for mask in (None, everything):
        enhanced = photos(1).to(memory_format=torch.channels_last).requires_grad_()
        losses = losses_of(enhanced, recipe, vgg, mask)
        (gradient,) = torch.autograd.grad(losses.total, enhanced)
        whole.append(([getattr(losses, name) for name in (*LOSSES, TOTAL)], gradient))
    for place, name in enumerate((*LOSSES, TOTAL)):
        assert torch.equal(getattr(found[0], name), getattr(found[1], name))
        assert torch.equal(whole[0][0][place], whole[1][0][place])
        assert not torch.equal(getattr(found[0], name), whole[0][0][place])
    assert torch.equal(whole[0][1], whole[1][1])


def test_the_total_variation_passes_over_pairs_with_a_masked_pixel(vgg: Vgg) -> None:
    enhanced = torch.zeros(3, 3, SIZE, SIZE)
    enhanced[0, :, 3:15, 20:32] = 1.0  # the whole of a hole: only its rim has differences
    assert losses_of(enhanced, RELEASED, vgg, masks()).tv == 0
    assert losses_of(enhanced, RELEASED, vgg, None).tv > 0


@pytest.mark.parametrize("metric", [*METRICS, "lpips"])
def test_no_metric_depends_on_masked_pixels(metric: str, vgg: Vgg) -> None:
    measure = Lpips(vgg, seeded_linear()) if metric == "lpips" else METRICS[metric]
    valid, first, second = masks(), photos(1), photos(2)
    found = measure(first, second, valid)
    for other in (torch.where(valid[:, None], first, photos(9)), torch.where(valid[:, None], first, 1.0)):
        torch.testing.assert_close(measure(other, second, valid), found, rtol=1e-12, atol=0)
    rounding = 1e-6 if metric == "lpips" else 1e-12
    torch.testing.assert_close(measure(first, second, None)[2], found[2], rtol=rounding, atol=0)  # it has no hole
    assert not torch.isclose(measure(first, second, None)[:2], found[:2], rtol=1e-4).any()
    best = measure(second, second, None)
    torch.testing.assert_close(measure(torch.where(valid[:, None], second, first), second, valid), best)


def test_psnr_is_that_of_the_valid_pixels() -> None:
    valid, first, second = masks(), photos(1), photos(2)
    squares = ((first - second) ** 2).movedim(1, -1)
    wanted = [float(-10 * torch.log10(squares[k][valid[k]].double().mean())) for k in range(3)]
    assert psnr(first, second, valid).tolist() == pytest.approx(wanted, rel=1e-6)


def test_no_limitation_depends_on_masked_pixels() -> None:
    rng = np.random.default_rng(0)
    enhanced, phone, dslr = (rng.integers(0, 256, (2, 64, 64, 3), np.uint8) // 8 + 100 for _ in range(3))
    valid = np.ones((2, 64, 64), bool)
    valid[:, 8:30, 20:60] = False
    found = limitation_columns(enhanced, phone, dslr, valid)
    enhanced[~valid], phone[~valid] = 255, 0
    again, unmasked = (limitation_columns(enhanced, phone, dslr, mask) for mask in (valid, None))
    for name, values in found.items():
        np.testing.assert_array_equal(again[name], values)
        if name.startswith(("colour", "contrast")):
            assert (unmasked[name] != values).all()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked dataset of one phone, `toy`; the masked part of its DSLR patches is noise."""
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", train=12, val=4, test=4, masked=True).parent


def test_masks_are_turned_mirrored_and_cut_like_their_patches(data: Path) -> None:
    store = PatchStore(data / "toy", "train")
    pairs = PatchPairs(store, batch_size=12, seed=0, flips=True, quarter_turns=True, crop_px=28)
    batch = pairs.read(GENERATOR_BATCH, 0)
    phone, dslr = store.read(batch.indices)
    assert batch.valid is not None and batch.valid.shape == batch.dslr.shape[:3]
    kinds = set()
    for row in range(12):
        marked = [np.dstack([pair[row], ~store.read_valid([batch.indices[row]])[0]]) for pair in (phone, dslr)]
        seen = [np.dstack([pair[row], ~batch.valid[row]]) for pair in (batch.phone, batch.dslr)]
        turns = [np.rot90(marked[1], k)[:, ::m] for k in range(4) for m in (1, -1)]
        fitting = [k for k, turned in enumerate(turns) if np.array_equal(turned[2:30, 2:30], seen[1])]
        assert len(fitting) == 1
        kinds.add(fitting[0])
    assert len(kinds) > 3


@pytest.mark.parametrize("recipe", ["released", "paper"])
def test_a_discriminator_is_shown_no_masked_pixel_of_a_fake(data: Path, recipe: str) -> None:
    settings = TrainSettings(
        recipe=recipe, steps=1, batch_size=6, content_weight=0.0, precision="fp32", device="cpu", seed=3
    )  # type: ignore[arg-type]
    run = Run(settings, PatchStore(data / "toy", "train"), Process(0, 1, CPU), data / "none")
    shown: list[Tensor] = []
    run.state.discriminator.register_forward_pre_hook(lambda _, given: shown.append(given[0].detach().clone()))
    read = next(iter(run.batches(0)))
    run.step(read)
    places = [batch.dslr for batch in (*read.batches, *[read.batches[0]] * 3 * (recipe == "paper"))]
    wanted = torch.cat([run.photos(dslr)[MASKED[0], :, MASKED[1], MASKED[2]] for dslr in places])
    seen = torch.cat(shown)
    torch.testing.assert_close(seen[:, :, MASKED[1], MASKED[2]], wanted, rtol=0, atol=0)
    assert len(seen) == len(wanted)
    enhanced = seen[6:12] if recipe == "paper" else seen[:6]  # the paper's are judged behind the DSLR's
    assert not torch.equal(enhanced[:, :, 14:, 22:], run.photos(places[0])[:, :, 14:, 22:])


def test_a_masked_dataset_is_trained_on_and_its_noise_is_not_measured(data: Path, tmp_path: Path) -> None:
    settings = TrainSettings(steps=2, batch_size=4, content_weight=0.0, precision="fp32", device="cpu")
    report = train(data, "toy", tmp_path / "runs", settings)
    store = PatchStore(data / "toy", "val")
    phone, dslr = store.read(range(4))
    left = store.read_valid(range(4))
    squares = ((phone / 255 - dslr / 255) ** 2).mean(axis=-1)
    wanted = np.mean([-10 * np.log10(squares[k][left[k]].mean()) for k in range(4)])
    assert report.phone_psnr == pytest.approx(wanted, rel=1e-5)
    assert Validation(data / "toy", 4, CPU).phone_psnr == report.phone_psnr
    noisy = np.mean([-10 * np.log10(squares[k].mean()) for k in range(4)])
    assert wanted > noisy + 0.5


def test_evaluation_leaves_masked_pixels_out(tmp_path: Path) -> None:
    """Both halves are the same but for the noise that is masked."""
    scene = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    make_dataset(tmp_path / "toy", train=2, val=0, test_pairs=(scene, scene), masked=True)
    report = evaluate(tmp_path, "toy")
    means = {row.metric: round(row.patches.mean, 9) for row in report.metrics}
    assert len(means) == 7
    assert means == {name: 100 if name.startswith("psnr") else 1 for name in means}
    assert all(r.against_dslr is None or r.against_dslr.mean in (0, 1) for r in report.limitations)


def test_the_torch_dataset_hands_masks_on(data: Path) -> None:
    valid = PatchDataset(data / "toy")[1]["valid"]
    assert isinstance(valid, Tensor) and valid.shape == (1, SIZE, SIZE) and valid.dtype == torch.float32
    assert valid.sum() == SIZE * SIZE - 8 * 12 and (valid[MASKED] == 0).all()
    with pytest.raises(UsageError, match="a mask would not follow the transform"):
        PatchDataset(data / "toy", transform=lambda phone, dslr: (phone, dslr))

"""Losses, gradients and MS-SSIM of seeded networks are those of a TensorFlow graph of the authors' formulas.

Unlike the parity tests this needs no data that does not ship: tests/golden/make_losses.py wrote the numbers.
In float64, so that no rounding decides on which side of 0 a value lies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dped_train.evaluate.metrics import ms_ssim_of_batch
from dped_train.losses import RELEASED, GeneratorLosses, discriminator_accuracy, discriminator_loss, generator_losses
from dped_train.networks.dped import Discriminator, Enhancer
from dped_train.networks.vgg import Vgg, VggWeights

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))

import seeded  # noqa: E402

LOSSES = ("content", "texture", "colour", "tv", "total")
EXACT = 1e-9
"""Relative. Biases before an instance normalisation cancel: their gradients are rounding, below this."""


def in_torch(array: np.ndarray) -> Tensor:
    """TensorFlow's (rows, columns, in, out) or (in, out) as torch has it, in float64."""
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
    return torch.from_numpy(array.transpose(order).astype(np.float64))


def filled(network: nn.Module, arrays: seeded.Arrays, names: dict[str, str]) -> dict[str, nn.Parameter]:
    """Give a network these values; its parameters by TensorFlow's names."""
    parameters = dict(network.double().named_parameters())
    assert set(names.values()) == set(parameters) and set(names) == set(arrays)
    with torch.no_grad():
        for name, array in arrays.items():
            parameters[names[name]].copy_(in_torch(array))
    return {name: parameters[ours] for name, ours in names.items()}


def layers(convolutions: list[str], norms: list[str]) -> dict[str, str]:
    """TensorFlow's names to torch's: W and b of each convolution, scale and shift of each normalisation."""
    found = {}
    for number, name in enumerate(convolutions, start=1):
        found |= {f"W{number}": f"{name}.weight", f"b{number}": f"{name}.bias"}
    for name in norms:
        number = len([key for key in found if key.startswith("scale")]) + 1
        found |= {f"scale{number}": f"{name}.weight", f"shift{number}": f"{name}.bias"}
    return found


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / "losses.json").read_text())
    return found


class Step:
    """The seeded networks, what they make of the seeded photos, and its losses."""

    def __init__(self) -> None:
        halves = [(f"blocks.{block}.conv{h}", f"blocks.{block}.norm{h}") for block in range(4) for h in (1, 2)]
        names = layers(["head", *(c for c, _ in halves), "body1", "body2", "tail"], [n for _, n in halves])
        enhancer, self.discriminator = Enhancer(), Discriminator(patch_size=seeded.SIZE)
        self.enhancers = filled(enhancer, seeded.enhancer(), names)
        own = layers([f"convolutions.{n}" for n in range(5)] + ["hidden", "output"], [])
        own |= {
            f"{a}{n + 1}": f"norms.{n}.{b}" for n in range(1, 5) for a, b in (("scale", "weight"), ("shift", "bias"))
        }
        self.discriminators = filled(self.discriminator, seeded.discriminator(), own)
        self.phone, self.dslr = (torch.from_numpy(p).double().permute(0, 3, 1, 2) for p in seeded.photos())
        self.enhanced = enhancer(self.phone)
        self.losses: GeneratorLosses = generator_losses(
            self.enhanced, self.dslr, recipe=RELEASED, discriminator=self.discriminator, vgg=seeded_vgg()
        )


def seeded_vgg() -> Vgg:
    pairs = [(in_torch(kernel).float(), in_torch(bias).float()) for kernel, bias in seeded.vgg19()]
    red, green, blue = (mean / 255 for mean in seeded.MEAN)
    weights = VggWeights(*zip(*pairs, strict=True), (red, green, blue), (255.0, 255.0, 255.0))
    vgg = Vgg(weights, "seeded").double()
    vgg.mean = torch.tensor(seeded.MEAN, dtype=torch.float64).view(1, 3, 1, 1) / 255  # not rounded to float32
    return vgg


@pytest.fixture(scope="module")
def step() -> Step:
    return Step()


def test_what_the_enhancer_makes(step: Step, golden: dict[str, Any]) -> None:
    assert step.enhanced.mean().item() == pytest.approx(golden["enhanced_mean"], rel=EXACT)
    assert step.enhanced[0, :, 0, 0].tolist() == pytest.approx(golden["enhanced_corner"], rel=EXACT)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_gradients(step: Step, golden: dict[str, Any], name: str) -> None:
    loss = getattr(step.losses, name)
    assert loss.item() == pytest.approx(golden["losses"][name], rel=EXACT)
    (gradient,) = torch.autograd.grad(loss, step.enhanced, retain_graph=True)
    assert gradient.norm().item() == pytest.approx(golden["gradients_at_enhanced"][name], rel=EXACT)


def test_gradients_of_the_enhancers_variables(step: Step, golden: dict[str, Any]) -> None:
    gradients = torch.autograd.grad(step.losses.total, list(step.enhancers.values()), retain_graph=True)
    found = {name: g.norm().item() for name, g in zip(step.enhancers, gradients, strict=True)}
    assert found == pytest.approx(golden["gradients_of_enhancer"], rel=EXACT, abs=EXACT)


def test_the_discriminators_verdicts_loss_and_gradients(step: Step, golden: dict[str, Any]) -> None:
    is_dslr = torch.tensor(seeded.SHOW_DSLR)
    logits = step.discriminator(torch.where(is_dslr.view(-1, 1, 1, 1), step.dslr, step.enhanced.detach()))
    loss = discriminator_loss(logits, is_dslr, RELEASED.adversary)
    np.testing.assert_allclose(logits.softmax(1).detach(), golden["predictions"], rtol=EXACT)
    assert loss.item() == pytest.approx(golden["verdict_loss"], rel=EXACT)
    assert discriminator_accuracy(logits, is_dslr).item() == pytest.approx(golden["accuracy"])
    gradients = torch.autograd.grad(loss, list(step.discriminators.values()))
    found = {name: g.norm().item() for name, g in zip(step.discriminators, gradients, strict=True)}
    assert found == pytest.approx(golden["gradients_of_discriminator"], rel=EXACT, abs=EXACT)


def test_ms_ssim_of_the_batch(step: Step, golden: dict[str, Any]) -> None:
    assert ms_ssim_of_batch(step.phone, step.dslr).item() == pytest.approx(golden["ms_ssim"], rel=EXACT)

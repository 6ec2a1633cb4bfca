"""DPED_PLAIN_TORCH=1 leaves plain PyTorch: the same weights and names, the same results within rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dped_train.cpu import instance_norm, rgb_convolution, winograd
from dped_train.cpu.fused_instance_norm import _InstanceNorm
from dped_train.cpu.switch import SWITCH, by_hand
from dped_train.enhancing.streaming import WholePhotoEnhancer
from dped_train.networks.compared import Johnson
from dped_train.networks.dped import Discriminator, Enhancer, initialise

NETWORKS = {
    "instance": lambda: Enhancer("instance"),
    "batch": lambda: Enhancer("batch"),
    "johnson": Johnson,
    "discriminator": lambda: Discriminator("instance", patch_size=48),
}
OUTPUT_BOUND, GRADIENT_BOUND, DOUBLE_BOUND = 2e-5, 1e-2, 1e-9
"""Largest differences allowed, root mean square relative to the plain result's. Measured: 5e-6 for outputs in float32,
where Winograd rounds five times as much as a plain sum. Gradients: 4e-3, because a ReLU whose input is nearly 0 turns
for a rounding error, and takes all of its gradient along. In float64, where no 3x3 convolution is Winograd's: 1e-12."""
NEGLIGIBLE = 1e-4
"""Share of the largest gradient below which a gradient is compared with this share instead: those of biases before a
normalisation are 0 but for rounding."""


@contextmanager
def plain(value: str = "1") -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, value)
        yield


def made(name: str) -> nn.Module:
    network = NETWORKS[name]()
    initialise(network, 3)
    with torch.no_grad():
        for parameter in network.parameters():  # the small first weights would leave the results nearly constant
            parameter.mul_(4)
    return network.to(memory_format=torch.channels_last)


def results(name: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The output and all gradients of one pass over two photos."""
    network = made(name).to(dtype)
    photo = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1)).to(dtype)
    photo = photo.contiguous(memory_format=torch.channels_last).requires_grad_()
    out = network(photo)
    out.square().sum().backward()
    gradients = {f"gradient of {key}": value.grad for key, value in network.named_parameters()}
    return {"output": out.detach(), "gradient of the photo": photo.grad, **gradients}


def test_the_switch_is_read_at_every_call() -> None:
    assert by_hand()
    for value in ("1", "yes"):
        with plain(value):
            assert not by_hand()
    for value in ("", "0"):
        with plain(value):
            assert by_hand()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_both_ways(name: str, dtype: torch.dtype) -> None:
    ours = results(name, dtype)
    with plain():
        plains = results(name, dtype)
    assert any(not torch.equal(ours[key], plains[key]) for key in ours)  # two ways indeed
    largest = max(float(value.norm()) for value in plains.values())
    for key, wanted in plains.items():
        bound = OUTPUT_BOUND if key == "output" else GRADIENT_BOUND
        error = float((ours[key] - wanted).norm()) / max(float(wanted.norm()), NEGLIGIBLE * largest)
        assert error <= (bound if dtype == torch.float32 else DOUBLE_BOUND), key


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_their_names_are_the_same_both_ways(name: str) -> None:
    ours = made(name).state_dict()
    with plain():
        network = made(name)
        plains = network.state_dict()
        network.load_state_dict(ours)
    assert ours.keys() == plains.keys()
    assert all(torch.equal(ours[key], plains[key]) for key in ours)


def test_nothing_of_the_hand_made_parts_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a hand-made part runs")

    for part in (winograd._Winograd, _InstanceNorm):
        monkeypatch.setattr(part, "forward", forbidden)
    monkeypatch.setattr(rgb_convolution, "taps_by_row", forbidden)
    with pytest.raises(AssertionError, match="a hand-made part runs"):
        results("instance")
    with plain():
        for name in NETWORKS:
            results(name)


def test_half_precision_is_rounded_once_both_ways() -> None:
    random = torch.Generator().manual_seed(2)
    x, skip = (torch.randn(2, 8, 20, 20, generator=random).bfloat16() for _ in range(2))
    weight, bias = torch.rand(8, generator=random), torch.rand(8, generator=random)
    ours = instance_norm(x, weight, bias, relu=True, skip=skip)
    with plain():
        plains = instance_norm(x, weight, bias, relu=True, skip=skip)
    assert ours.dtype == plains.dtype == torch.bfloat16
    torch.testing.assert_close(ours, plains, rtol=2**-7, atol=1e-6)


def test_photos_are_enhanced_alike_both_ways() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    network = made("instance")
    ours = WholePhotoEnhancer(network, torch.float32).enhance(photo, 10**9)
    with plain():
        plains = WholePhotoEnhancer(network, torch.float32).enhance(photo, 10**9)
    assert 0 < abs(ours - plains).max() <= 2e-4  # measured: 3e-5

"""The Winograd convolution gives what torch's own convolution gives, and its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dped_train.cpu import winograd
from dped_train.cpu.winograd import LEAST_CHANNELS, LEAST_TILES, Conv3x3, conv3x3, fits, weight_planes

SHAPES = [  # photos, channels, height, width, outputs: whole tiles, cut tiles, long rows, many channels, batches
    (1, 32, 32, 32, 32),
    (2, 40, 33, 35, 33),
    (1, 32, 9, 1030, 48),
    (3, 256, 20, 21, 256),
    (5, 64, 18, 50, 64),
]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    request.addfinalizer(lambda: torch.set_num_threads(before))


def drawn(shape: tuple[int, int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    photos, channels, height, width, outputs = shape
    random = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(photos, channels, height, width, generator=random).contiguous(memory_format=torch.channels_last)
    return x, torch.randn(outputs, channels, 3, 3, generator=random), torch.randn(outputs, generator=random)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.std())


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pad_rows", [True, False])
def test_it_is_the_convolution(shape: tuple[int, int, int, int, int], pad_rows: bool) -> None:
    x, weight, bias = drawn(shape)
    assert fits(x, weight)
    wanted = F.conv2d(x.double(), weight.double(), bias.double(), padding=(int(pad_rows), 1))
    for planes in (None, weight_planes(weight)):
        found = conv3x3(x, weight, bias, pad_rows=pad_rows, planes=planes)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert relative_error(found, wanted) < 3e-5


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", SHAPES)
def test_its_gradients_are_the_convolutions(shape: tuple[int, int, int, int, int]) -> None:
    inputs = [value.requires_grad_() for value in drawn(shape)]
    exact = [value.detach().double().requires_grad_() for value in inputs]
    y, wanted = conv3x3(*inputs), F.conv2d(*exact, padding=1)
    assert y.grad_fn is not None and "Winograd" in type(y.grad_fn).__name__
    incoming = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    for found, gradient in zip(
        torch.autograd.grad(y, inputs, incoming),
        torch.autograd.grad(wanted, exact, incoming.double()),
        strict=True,
    ):
        assert relative_error(found, gradient) < 1e-4


def test_a_gradient_that_is_zero_stays_zero() -> None:
    """Adam would make whole steps of a rounding error."""
    x, weight, bias = drawn(SHAPES[0])
    x = torch.zeros_like(x).index_fill_(2, torch.tensor([5]), 1.0)  # one row of ones
    weight.requires_grad_()
    incoming = torch.zeros(1, 32, 32, 32)
    incoming[:, :, 5] = 1.0  # meets the row through the kernel's middle row only
    (gradient,) = torch.autograd.grad(conv3x3(x, weight, bias), weight, incoming)
    assert gradient[:, :, 1].abs().min() > 1
    assert not gradient[:, :, 0].any() and not gradient[:, :, 2].any()


def test_two_runs_agree_bit_for_bit() -> None:
    inputs = [value.requires_grad_() for value in drawn(SHAPES[4])]
    runs = [(y := conv3x3(*inputs), *torch.autograd.grad(y.sum(), inputs)) for _ in range(2)]
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


def test_what_does_not_fit_is_torchs_own_convolution() -> None:
    x, weight, bias = drawn((1, 32, 32, 32, 32))
    few_channels = drawn((1, LEAST_CHANNELS - 1, 32, 32, 32))
    few_tiles = drawn((1, 32, 4, 4 * LEAST_TILES - 1, 32))
    for other in ((x.double(), weight.double(), bias.double()), few_channels, few_tiles):
        assert not fits(other[0], other[1])
        torch.testing.assert_close(conv3x3(*other), F.conv2d(*other, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        assert not fits(x, weight)
        assert conv3x3(x, weight, bias).dtype == torch.bfloat16


def test_a_frozen_weight_is_transformed_once_and_again_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _ = drawn(SHAPES[0])
    layer = Conv3x3(32, 32).requires_grad_(False)
    layer.weight.copy_(weight)
    calls = []
    monkeypatch.setattr(winograd, "weight_planes", lambda w: calls.append(1) or weight_planes(w))
    first = layer(x)
    assert torch.equal(layer(x), first) and len(calls) == 1
    layer.weight.mul_(2)
    bias = layer.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(layer(x) - bias, 2 * (first - bias), rtol=1e-4, atol=1e-4)
    assert len(calls) == 2


def test_it_works_in_inference_mode() -> None:
    x, weight, bias = drawn(SHAPES[0])
    with torch.inference_mode():
        layer = Conv3x3(32, 32)
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        found = layer(x)
    assert relative_error(found, F.conv2d(x.double(), weight.double(), bias.double(), padding=1)) < 3e-5

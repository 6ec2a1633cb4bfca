"""Instance normalisation against its definition: values, gradients, memory formats, half precision, one pixel."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dped_train.cpu.fused_instance_norm import instance_norm


def by_definition(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, skip: Tensor | None) -> Tensor:
    """The released code's `_instance_norm`, then its ReLU and addition."""
    mean = x.mean((2, 3), keepdim=True)
    variance = (x - mean).square().mean((2, 3), keepdim=True)
    y = weight.view(1, -1, 1, 1) * (x - mean) / (variance + 1e-3).sqrt() + bias.view(1, -1, 1, 1)
    y = F.relu(y) if relu else y
    return y if skip is None else y + skip


def inputs(count: int, size: tuple[int, int] = (7, 5), channels_last: bool = False) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shape = (count, 4, *size)
    x, skip, gradient = (torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 1 for _ in range(3))
    weight, bias = (torch.rand(4, generator=generator, dtype=torch.float64) for _ in range(2))
    if channels_last:
        x, skip, gradient = (values.contiguous(memory_format=torch.channels_last) for values in (x, skip, gradient))
    return x, weight, bias, skip, gradient


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_skip", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_values_and_gradients_are_those_of_the_definition(
    count: int, channels_last: bool, with_skip: bool, relu: bool
) -> None:
    x, weight, bias, skip, gradient = inputs(count, channels_last=channels_last)
    results = []
    for norm in (instance_norm, by_definition):
        variables = [values.clone().requires_grad_() for values in (x, weight, bias, skip)]
        added = variables[3] if with_skip else None
        if norm is instance_norm:
            y = instance_norm(*variables[:3], relu=relu, skip=added)
        else:
            y = by_definition(*variables[:3], relu, added)
        # the gradient arrives channels-last while x may not be: torch's own norm fails there for a batch of one
        (y.permute(0, 2, 3, 1) * gradient.permute(0, 2, 3, 1)).sum().backward()
        results.append([y, *(variable.grad for variable in variables)])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)
    assert results[0][0].is_contiguous(memory_format=torch.channels_last) == channels_last


def test_one_pixel_becomes_the_shift() -> None:
    x, weight, bias, skip, _ = inputs(2, size=(1, 1))
    shift = bias.view(1, -1, 1, 1).expand(2, -1, 1, 1)
    torch.testing.assert_close(instance_norm(x, weight, bias, relu=True), shift)
    torch.testing.assert_close(instance_norm(x, weight, bias, skip=skip), shift + skip)


def test_statistics_of_half_precision_input_are_float32() -> None:
    x, weight, bias, skip, _ = inputs(2, size=(100, 100))
    x, skip = (x * 0.1 + 40).bfloat16(), skip.bfloat16()
    wanted = by_definition(x.double(), weight, bias, True, skip.double())
    found = instance_norm(x, weight.float(), bias.float(), relu=True, skip=skip)
    assert found.dtype == torch.bfloat16
    assert ((found.double() - wanted).abs() <= wanted.abs() / 256 + 1e-5).all()  # one rounding of the result


def test_a_flat_photo_far_from_zero_stays_flat() -> None:
    flat = torch.full((1, 4, 40, 24), 10.0)
    torch.testing.assert_close(
        instance_norm(flat, torch.ones(4), torch.full((4,), 0.5)), torch.full_like(flat, 0.5), rtol=0, atol=1e-4
    )

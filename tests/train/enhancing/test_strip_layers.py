"""Layers on strips against the same layers on whole maps, however the strips fall."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dped_train.cpu import taps_by_row, weight_planes
from dped_train.enhancing.strip_layers import (
    Affine,
    Kernel,
    Moments,
    Strip,
    activated,
    added,
    affine_from_statistics,
    convolved,
    finished,
    photo_strips,
    residual_block,
    rows_from,
)
from dped_train.networks.dped import OUTPUT_OFFSET, OUTPUT_SCALE

HEIGHT = 23
CUTS = [[23], [1] * 23, [2, 1, 9, 3, 8], [22, 1]]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cut(whole: Tensor, sizes: list[int], first: int = 0) -> Iterator[Strip]:
    for size in sizes:
        yield Strip(first, whole[:, :, first : first + size])
        first += size


def joined(strips: Iterator[Strip], first: int = 0) -> Tensor:
    """The strips as one map; they must follow each other without gaps."""
    found = list(strips)
    for strip in found:
        assert strip.first == first
        first = strip.end
    return torch.cat([strip.x for strip in found], dim=2)


@pytest.mark.parametrize("sizes", CUTS)
@pytest.mark.parametrize("kernel", [3, 9])
def test_convolutions_need_not_know_the_strips(kernel: int, sizes: list[int]) -> None:
    x, weight, bias = randn(1, 4, HEIGHT, 11), randn(5, 4, kernel, kernel, seed=1), randn(5, seed=2)
    found = joined(convolved(cut(x, sizes), Kernel(weight, bias), HEIGHT))
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, padding=kernel // 2), rtol=1e-5, atol=1e-4)


def test_wide_strips_take_the_winograd_convolution() -> None:
    x, weight, bias = randn(1, 32, HEIGHT, 200), randn(32, 32, 3, 3, seed=1), randn(32, seed=2)
    kernel = Kernel(weight, bias, weight_planes(weight))
    found = joined(convolved(cut(x.contiguous(memory_format=torch.channels_last), [10, 15]), kernel, HEIGHT))
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, padding=1), rtol=1e-4, atol=1e-3)


def test_a_flow_from_the_middle_gives_the_rows_it_knows() -> None:
    x, weight = randn(1, 4, HEIGHT, 11), randn(5, 4, 3, 3, seed=1)
    found = joined(convolved(cut(x, [4, 1, 8], first=10), Kernel(weight), HEIGHT), first=11)
    torch.testing.assert_close(found, F.conv2d(x, weight, padding=1)[:, :, 11:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", CUTS)
def test_residual_blocks_add_the_right_rows(sizes: list[int]) -> None:
    x = randn(1, 4, HEIGHT, 11)
    weights = (randn(4, 4, 3, 3, seed=1), randn(4, 4, 3, 3, seed=2))
    norms = tuple(Affine(randn(1, 4, 1, 1, seed=seed), randn(1, 4, 1, 1, seed=seed + 1)) for seed in (3, 5))
    y = F.relu(F.conv2d(x, weights[0], padding=1) * norms[0].scale + norms[0].shift)
    wanted = F.relu(F.conv2d(y, weights[1], padding=1) * norms[1].scale + norms[1].shift) + x
    kernels = (Kernel(weights[0]), Kernel(weights[1]))
    found = joined(residual_block(cut(x, sizes), kernels, (norms[0], norms[1]), HEIGHT))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", CUTS)
def test_two_flows_add_up_however_they_are_cut(sizes: list[int]) -> None:
    x, y = randn(1, 4, HEIGHT, 11), randn(1, 4, HEIGHT, 11, seed=1)
    norm = Affine(randn(1, 4, 1, 1, seed=2), randn(1, 4, 1, 1, seed=3))
    found = joined(added(cut(x, sizes), norm, cut(y, [5, 18])))
    torch.testing.assert_close(found, F.relu(x * norm.scale + norm.shift) + y, rtol=1e-5, atol=1e-5)


def test_convolutions_use_the_free_rows_above_activated_strips() -> None:
    """With and without free rows, and with strips of one row, which are fewer than the rows held back."""
    x, weight = randn(1, 4, HEIGHT, 11), randn(4, 4, 3, 3, seed=1)
    norm = Affine(torch.ones(1, 4, 1, 1), torch.zeros(1, 4, 1, 1))
    for sizes in CUTS:
        found = joined(convolved(activated(cut(x, sizes), norm), Kernel(weight), HEIGHT))
        torch.testing.assert_close(found, F.conv2d(F.relu(x), weight, padding=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", CUTS)
def test_the_last_convolution_is_the_9x9_one(sizes: list[int]) -> None:
    x, weight, bias = randn(1, 8, HEIGHT, 11), randn(3, 8, 9, 9, seed=1) * 0.02, randn(3, seed=2)
    wanted = torch.tanh(F.conv2d(x, weight, bias, padding=4)) * OUTPUT_SCALE + OUTPUT_OFFSET
    found = joined(finished(cut(x, sizes), taps_by_row(weight), bias, HEIGHT))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_moments_are_those_of_the_whole_even_far_from_zero() -> None:
    x = randn(1, 4, HEIGHT, 11) * 0.01 + 50
    moments = Moments(4, torch.device("cpu"))
    for strip in cut(x, [2, 1, 9, 3, 8]):
        moments.add(strip.x)
    weight, bias = randn(4, seed=1), randn(4, seed=2)
    found = moments.affine(weight, bias)
    variance, mean = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    wanted = affine_from_statistics(mean, variance, weight, bias)
    torch.testing.assert_close(found.scale, wanted.scale, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.shift, wanted.shift, rtol=1e-5, atol=0)


def test_photos_become_floats_and_rows_can_be_left_out() -> None:
    photo = torch.arange(7 * 2 * 3, dtype=torch.uint8).view(7, 2, 3)
    found = joined(rows_from(photo_strips(photo.numpy(), 1, 3, photo.device), 3), first=3)
    torch.testing.assert_close(found, photo[3:].permute(2, 0, 1)[None].float() / 255)

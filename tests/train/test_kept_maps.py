"""Kept maps: exact ones give back every value, compact ones within a level, also for flat and steep rows."""

import pytest
import torch
from torch import Tensor

from dped_train.kept_maps import KeptMap, bytes_per_row
from dped_train.strips import Strip

CPU = torch.device("cpu")


def some_map(dtype: torch.dtype) -> Tensor:
    """Rows of different spread, one of them flat, one far from zero."""
    x = torch.randn(1, 4, 9, 30, generator=torch.Generator().manual_seed(0))
    x = x * torch.logspace(-3, 2, 9).view(1, 1, 9, 1)
    x[:, :, 3] = 7.0
    x[:, :, 5] += 300.0
    return x.to(dtype)


def kept(x: Tensor, rows: int, *, compact: bool) -> Tensor:
    stored = KeptMap(4, rows, 30, x.dtype, CPU, compact=compact)
    first = 0
    for size in (2, 1, 3, 3):
        stored.keep(Strip(first, x[:, :, first : first + size]))
        first += size
    strips = list(stored.strips(4))
    assert [strip.first for strip in strips] == list(range(0, rows, 4))
    return torch.cat([strip.x for strip in strips], dim=2)


@pytest.mark.parametrize("rows", [4, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_exact_maps_give_back_every_value(dtype: torch.dtype, rows: int) -> None:
    x = some_map(dtype)
    assert torch.equal(kept(x, rows, compact=False), x[:, :, :rows])


@pytest.mark.parametrize("rows", [4, 9])
def test_compact_float32_is_float16(rows: int) -> None:
    x = some_map(torch.float32)
    assert torch.equal(kept(x, rows, compact=True), x[:, :, :rows].half().float())


def test_values_beyond_float16_stay_finite() -> None:
    assert kept(torch.full((1, 4, 9, 30), 1e6), 9, compact=True).unique().tolist() == [65504.0]


@pytest.mark.parametrize("rows", [4, 9])
def test_compact_bfloat16_is_within_half_a_level_of_its_row(rows: int) -> None:
    x = some_map(torch.bfloat16)
    found = kept(x, rows, compact=True)
    assert found.dtype == torch.bfloat16
    wide = x[:, :, :rows].float()
    level = (wide.amax(3, keepdim=True) - wide.amin(3, keepdim=True)) / 255
    rounding = wide.abs() / 256  # of the result to bfloat16
    assert ((found.float() - wide).abs() <= 0.51 * level + rounding + 1e-6).all()
    assert torch.equal(found[:, :, 3], x[:, :, 3])


def test_the_memory_of_a_row_is_what_is_allocated() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        for compact in (False, True):
            stored = KeptMap(4, 9, 30, dtype, CPU, compact=compact)
            tensors = (stored.values, stored.least, stored.step)
            assert sum(t.nbytes for t in tensors) == 9 * bytes_per_row(4, 30, dtype, compact=compact)

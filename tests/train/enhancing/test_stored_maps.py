"""Kept maps: exact ones give back every strip, compact ones values within a level, also for flat and steep rows."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from dped_train.enhancing.stored_maps import CompactMap, ExactMap, bytes_per_row
from dped_train.enhancing.strip_layers import Strip

CPU = torch.device("cpu")


def some_map(dtype: torch.dtype) -> Tensor:
    """Rows of different spread, one of them flat, one far from zero."""
    x = torch.randn(1, 4, 9, 30, generator=torch.Generator().manual_seed(0))
    x = x * torch.logspace(-3, 2, 9).view(1, 1, 9, 1)
    x[:, :, 3] = 7.0
    x[:, :, 5] += 300.0
    return x.to(dtype)


def cut(x: Tensor) -> Iterator[Strip]:
    first = 0
    for size in (2, 1, 3, 3):
        yield Strip(first, x[:, :, first : first + size])
        first += size


def kept(x: Tensor, rows: int) -> Tensor:
    stored = CompactMap(4, rows, 30, x.dtype, CPU, strip_rows=4)
    assert [strip.first for strip in stored.passing(cut(x))] == [0, 2, 3, 6]
    strips = list(stored.strips())
    assert [strip.first for strip in strips] == list(range(0, rows, 4))
    return torch.cat([strip.x for strip in strips], dim=2)


def test_exact_maps_give_back_every_strip_while_the_next_map_comes_in() -> None:
    x = some_map(torch.float32)
    stored = ExactMap()
    assert len(list(stored.passing(cut(x)))) == 4
    doubled = (Strip(strip.first, strip.x * 2) for strip in stored.strips())
    assert torch.equal(torch.cat([strip.x for strip in stored.passing(doubled)], dim=2), x * 2)
    assert torch.equal(torch.cat([strip.x for strip in stored.strips()], dim=2), x * 2)
    assert list(stored.strips()) == []


@pytest.mark.parametrize("rows", [4, 9])
def test_compact_float32_is_float16(rows: int) -> None:
    x = some_map(torch.float32)
    assert torch.equal(kept(x, rows), x[:, :, :rows].half().float())


def test_values_beyond_float16_stay_finite() -> None:
    assert kept(torch.full((1, 4, 9, 30), 1e6), 9).unique().tolist() == [65504.0]


@pytest.mark.parametrize("rows", [4, 9])
def test_compact_bfloat16_is_within_half_a_level_of_its_row(rows: int) -> None:
    x = some_map(torch.bfloat16)
    found = kept(x, rows)
    assert found.dtype == torch.bfloat16
    wide = x[:, :, :rows].float()
    level = (wide.amax(3, keepdim=True) - wide.amin(3, keepdim=True)) / 255
    rounding = wide.abs() / 256  # of the result to bfloat16
    assert ((found.float() - wide).abs() <= 0.51 * level + rounding + 1e-6).all()
    assert torch.equal(found[:, :, 3], x[:, :, 3])


def test_the_memory_of_a_row_is_what_is_allocated() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        stored = CompactMap(4, 9, 30, dtype, CPU, strip_rows=4)
        allocated = sum(tensor.nbytes for tensor in (stored.values, stored.least, stored.step))
        assert allocated == 9 * bytes_per_row(4, 30, dtype, compact=True)

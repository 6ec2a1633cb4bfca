"""One compiled pass over a strip against torch's three."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dped_train.cpu import scaled_relu, strip_passes
from dped_train.cpu.switch import SWITCH

SHAPE = (1, 8, 5, 7)


def randn(seed: int, dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = SHAPE) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def made(x: Tensor, scale: Tensor, shift: Tensor, skip: Tensor | None) -> Tensor:
    """Into rows below others, as a strip with room above it has them; those above stay as they are."""
    buffer = torch.full_like(torch.cat((x, x), dim=2), 7).contiguous(memory_format=torch.channels_last)
    rows = x.shape[2]
    scaled_relu(x, scale, shift, buffer[:, :, rows:], skip)
    assert (buffer[:, :, :rows] == 7).all()
    return buffer[:, :, rows:]


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_pass_is_the_definition_rounded_once(dtype: torch.dtype, added: bool) -> None:
    x, skip = randn(0, dtype), randn(1, dtype) if added else None
    scale, shift = randn(2, shape=(1, 8, 1, 1)), randn(3, shape=(1, 8, 1, 1))
    factor, term = (value.to(dtype).double() for value in (scale, shift))
    exact = (x.double() * factor + term).clamp_min(0) + (0 if skip is None else skip.double())
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = made(x, scale, shift, skip)
    finally:
        torch.set_num_threads(before)
    if dtype == torch.bfloat16:
        wanted = exact.float().bfloat16()
        assert (found == wanted).float().mean() > 0.98  # a sum may lie between two roundings
        torch.testing.assert_close(found, wanted, rtol=2**-7, atol=1e-6)
    else:
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-6)


def test_halves_are_rounded_to_even_and_what_is_no_number_stays_so() -> None:
    one = torch.ones(1, 4, 1, 1)
    values = torch.tensor([1.0, 1.0, torch.inf, torch.nan]).view(1, 4, 1, 1).bfloat16()
    skip = torch.tensor([2.0**-8, 3 * 2.0**-8, 0.0, 0.0]).view(1, 4, 1, 1).bfloat16()
    found = made(values, one, 0 * one, skip).flatten()
    assert found[:3].tolist() == [1.0, 1 + 2.0**-6, torch.inf]
    assert found[3].isnan()


def test_what_it_does_not_fit_and_the_switch_take_torchs_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    scale, shift, skip = randn(2, shape=(1, 8, 1, 1)), randn(3, shape=(1, 8, 1, 1)), randn(1)
    ours = made(randn(0), scale, shift, skip)

    def forbidden(*_: object) -> None:
        raise AssertionError("by hand")

    monkeypatch.setattr(strip_passes, "rows_of_float32", forbidden)
    with pytest.raises(AssertionError, match="by hand"):
        made(randn(0), scale, shift, skip)
    odd = torch.empty(SHAPE)  # channels first
    scaled_relu(randn(0), scale, shift, odd, skip)
    torch.testing.assert_close(odd, ours, rtol=0, atol=1e-6)
    monkeypatch.setenv(SWITCH, "1")
    torch.testing.assert_close(made(randn(0), scale, shift, skip), ours, rtol=0, atol=1e-6)

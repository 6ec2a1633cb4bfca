"""LPIPS: its formula against a plain one, its limits, and the files it is loaded from."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from vgg16_files import seeded_linear, seeded_vgg16, write_linear, write_vgg16

from dped_data.errors import InputError
from dped_train.evaluate.lpips import Lpips, load_lpips
from dped_train.networks.vgg import Vgg

POOLED_AFTER = (2, 4, 7, 10)
MEASURED_AT = (2, 4, 7, 10, 13)


@pytest.fixture(scope="module")
def vgg() -> Vgg:
    return seeded_vgg16()


@pytest.fixture(scope="module")
def linear() -> tuple[torch.Tensor, ...]:
    return seeded_linear()


def photos(seed: int, size: int = 37) -> torch.Tensor:
    return torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(seed))


def plain_lpips(vgg: Vgg, linear: tuple[torch.Tensor, ...], first: torch.Tensor, second: torch.Tensor) -> list[float]:
    """The definition, patch by patch and layer by layer, in float64."""
    found = []
    for a, b in zip(first, second, strict=True):
        total, layer = 0.0, 0
        x, y = ((p.double()[None] - vgg.mean) * vgg.scale for p in (a, b))
        for number, module in enumerate(vgg.convolutions, start=1):
            x, y = (F.relu(F.conv2d(v, module.weight.double(), module.bias.double(), padding=1)) for v in (x, y))
            if number in MEASURED_AT:
                unit_x, unit_y = (v / (v.norm(dim=1, keepdim=True) + 1e-10) for v in (x, y))
                weight = linear[layer].double().view(1, -1, 1, 1)
                total += float((weight * (unit_x - unit_y) ** 2).sum(dim=1).mean())
                layer += 1
            if number in POOLED_AFTER:
                x, y = (F.max_pool2d(v, 2) for v in (x, y))
        found.append(total)
    return found


def test_equals_the_definition(vgg: Vgg, linear: tuple[torch.Tensor, ...]) -> None:
    first, second = photos(2), photos(3)
    assert Lpips(vgg, linear)(first, second).tolist() == pytest.approx(
        plain_lpips(vgg, linear, first, second), rel=1e-4
    )


def test_equal_patches_are_at_distance_zero_and_stronger_noise_is_farther(
    vgg: Vgg, linear: tuple[torch.Tensor, ...]
) -> None:
    measure, first = Lpips(vgg, linear), photos(4)
    noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(5))
    assert measure(first, first).tolist() == [0.0, 0.0]
    assert (measure(first, first + 0.02 * noise) < measure(first, first + 0.2 * noise)).all()


def test_patches_that_the_poolings_swallow_are_refused(vgg: Vgg, linear: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(ValueError, match="16 px"):
        Lpips(vgg, linear)(photos(6, 15), photos(7, 15))


def test_loads_the_linear_weights_of_the_authors_package(
    tmp_path: Path, vgg: Vgg, linear: tuple[torch.Tensor, ...]
) -> None:
    loaded = load_lpips(write_linear(tmp_path / "vgg.pth", linear), write_vgg16(tmp_path / "vgg.npz", vgg))
    first, second = photos(8), photos(9)
    assert torch.equal(loaded(first, second), Lpips(vgg, linear)(first, second))


def test_what_is_missing_or_of_another_kind_is_named(
    tmp_path: Path, vgg: Vgg, linear: tuple[torch.Tensor, ...]
) -> None:
    file = write_vgg16(tmp_path / "vgg.npz", vgg)
    with pytest.raises(InputError, match="--vgg"):
        load_lpips(tmp_path / "none.pth", None)
    with pytest.raises(InputError, match="no such LPIPS weights file"):
        load_lpips(tmp_path / "none.pth", file)
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "alex.pth")
    with pytest.raises(InputError, match="not LPIPS's linear weights"):
        load_lpips(tmp_path / "alex.pth", file)
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="not a whole file"):
        load_lpips(tmp_path / "broken.pth", file)

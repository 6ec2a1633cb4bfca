"""Enhancers in spandrel itself, which the Makefile installs without torchvision: two kinds of models name it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dped_train import load_enhancer, save_enhancer
from dped_train.enhancing import spandrel_support
from dped_train.networks.compared import Johnson, Srcnn
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.file import digest_of_tensors, enhancer_metadata


@pytest.fixture(scope="module")
def spandrel() -> Iterator[Any]:
    """The library, with a registry of its own for these tests."""
    if importlib.util.find_spec("spandrel") is None:
        pytest.skip("spandrel is not installed: pip install --no-deps spandrel einops")
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchvision") is None:
            functional = ModuleType("torchvision.transforms.functional")
            functional.rotate = functional.normalize = functional.InterpolationMode = None  # type: ignore[attr-defined]
            for name in ("torchvision", "torchvision.transforms"):
                patch.setitem(sys.modules, name, ModuleType(name))
            patch.setitem(sys.modules, functional.__name__, functional)
        import spandrel as library

        patch.setattr(library, "MAIN_REGISTRY", library.MAIN_REGISTRY.copy())
        spandrel_support.install()
        spandrel_support.install()
        yield library


@pytest.mark.parametrize(
    ("normalisation", "padding"), [("instance", "zeros"), ("batch", "zeros"), ("instance", "reflect")]
)
def test_spandrel_loads_our_file_and_gives_what_we_give(
    spandrel: Any, tmp_path: Path, normalisation: Any, padding: Any
) -> None:
    enhancer = Enhancer(normalisation, padding)
    initialise(enhancer, 3)
    with torch.no_grad():
        for value in enhancer.parameters():
            value.mul_(3)  # so that the result leaves the middle
    save_enhancer(enhancer, tmp_path / "enhancer.safetensors")
    loader = spandrel.ModelLoader(registry=spandrel.MAIN_REGISTRY)
    model = loader.load_from_file(tmp_path / "enhancer.safetensors")
    assert model.architecture.id == "DPED" and model.tiling is spandrel.ModelTiling.INTERNAL
    assert (model.purpose, model.scale, model.input_channels, model.output_channels) == ("Restoration", 1, 3, 3)
    photo = torch.randint(0, 256, (1, 3, 21, 34), generator=torch.Generator().manual_seed(0)) / 255
    with torch.no_grad():
        ours = load_enhancer(tmp_path / "enhancer.safetensors")(photo).clamp(0, 1)
    assert float(ours.std()) > 0.01
    torch.testing.assert_close(model(photo), ours, rtol=0, atol=2e-5)
    with pytest.raises(spandrel.UnsupportedDtypeError):
        model.half()


def test_other_weights_stay_others(spandrel: Any) -> None:
    """Neither is a model of ours taken for another architecture, nor is one of ours that is no enhancer of photos."""
    ours = [arch for arch in spandrel.MAIN_REGISTRY.architectures("detection") if arch.detect(Enhancer().state_dict())]
    assert [arch.architecture.id for arch in ours][:1] == ["DPED"]
    for network in (Srcnn(), Johnson(), Enhancer(input="raw")):
        assert not spandrel_support.is_ours(network.state_dict())


def test_a_file_without_the_mark_of_its_border_is_read(tmp_path: Path) -> None:
    """As they were written before spandrel was told."""
    enhancer, path = Enhancer("batch", "reflect"), tmp_path / "a.safetensors"
    save_enhancer(enhancer, path)
    save_file(
        enhancer.state_dict(), path, enhancer_metadata(path) | {"sha256": digest_of_tensors(enhancer.state_dict())}
    )
    again = load_enhancer(path)
    assert isinstance(again, Enhancer) and again.padding == "reflect"

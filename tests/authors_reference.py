"""Loads what the authors' own TensorFlow code computed, for the parity tests (folder `reference` of the real data)."""

import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dped_train.networks.dped import Discriminator, Enhancer
from dped_train.networks.tensorflow_checkpoint import enhancer_from_arrays, read_bundle
from dped_train.networks.vgg import MATCONVNET_MEAN, Vgg, VggWeights


@dataclass(frozen=True)
class LossReference:
    """A fixed batch of four pairs with every loss, prediction and gradient of the authors' code."""

    folder: Path
    results: dict[str, Any]
    arrays: dict[str, np.ndarray]
    phone: Tensor
    dslr: Tensor
    is_dslr: Tensor


@lru_cache(maxsize=1)
def loss_reference(shared_data: Path) -> LossReference:
    folder = shared_data / "reference" / "losses"
    arrays = dict(np.load(folder / "losses_arrays.npz"))
    return LossReference(
        folder=folder,
        results=json.loads((folder / "losses.json").read_text()),
        arrays=arrays,
        phone=photos_from_nhwc(arrays["phone_u8"]).float() / 255,
        dslr=photos_from_nhwc(arrays["dslr_u8"]).float() / 255,
        is_dslr=torch.from_numpy(arrays["swaps"][:, 0] > 0),
    )


def photos_from_nhwc(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array)).permute(0, 3, 1, 2).contiguous()


@lru_cache(maxsize=3)
def released_arrays(shared_data: Path, phone: str) -> dict[str, np.ndarray]:
    return read_bundle(shared_data / "reference" / "checkpoints" / f"{phone}_orig")


def released_enhancer(shared_data: Path, phone: str = "iphone") -> Enhancer:
    return enhancer_from_arrays(released_arrays(shared_data, phone), phone)


@lru_cache(maxsize=1)
def stand_in_module(shared_data: Path) -> ModuleType:
    path = shared_data / "reference" / "losses" / "make_weights.py"
    spec = importlib.util.spec_from_file_location("make_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def stand_in_vgg(shared_data: Path) -> Vgg:
    layers = stand_in_module(shared_data).vgg()
    red, green, blue = (mean / 255 for mean in MATCONVNET_MEAN)
    weights = VggWeights(
        kernels=tuple(torch.from_numpy(kernel.transpose(3, 2, 1, 0).copy()) for _, kernel, _ in layers),
        biases=tuple(torch.from_numpy(bias) for _, _, bias in layers),
        mean=(red, green, blue),
        scale=(255.0, 255.0, 255.0),
    )
    return Vgg(weights, "stand-in weights")


def released_discriminator(variables: list[np.ndarray]) -> Discriminator:
    """A discriminator with the authors' variables in the order in which their code creates them."""
    discriminator = Discriminator("instance", patch_size=100, outputs=2)
    parameters = discriminator_parameters(discriminator)
    with torch.no_grad():
        for parameter, variable in zip(parameters, variables, strict=True):
            parameter.copy_(torch.from_numpy(torch_layout(variable)))
    return discriminator


def discriminator_parameters(discriminator: Discriminator) -> list[torch.nn.Parameter]:
    """The parameters in the order of the authors' `discriminator/Variable`, `Variable_1`, …"""
    named = dict(discriminator.named_parameters())
    names = []
    for layer in range(5):
        names += [f"convolutions.{layer}.weight", f"convolutions.{layer}.bias"]
        names += [f"norms.{layer}.bias", f"norms.{layer}.weight"] if layer else []
    names += ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    return [named[name] for name in names]


def torch_layout(variable: np.ndarray) -> np.ndarray:
    """TensorFlow's (rows, columns, in, out) or (in, out) as torch has it."""
    if variable.ndim == 4:
        return np.ascontiguousarray(variable.transpose(3, 2, 0, 1))
    return np.ascontiguousarray(variable.T)


def relative_difference(found: Tensor | float, wanted: Tensor | np.ndarray | float) -> float:
    """Largest difference as a share of the largest wanted value."""
    found_array = np.asarray(found.detach() if isinstance(found, Tensor) else found, dtype=np.float64)
    wanted_array = np.asarray(wanted, dtype=np.float64)
    return float(np.abs(found_array - wanted_array).max() / np.abs(wanted_array).max())


def norm(gradient: Tensor | None) -> float:
    """Euclidean norm summed in float64 (torch's own float32 sum is off by 5e-4 for millions of values)."""
    assert gradient is not None
    return float(gradient.double().norm())

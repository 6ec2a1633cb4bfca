"""Files with VGG-16's and LPIPS's weights, made from a seed, for tests."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from dped_train.evaluate.lpips import CHANNELS
from dped_train.networks.vgg import Vgg, VggWeights

VGG16 = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def seeded_vgg16() -> Vgg:
    """A VGG-16 whose activations stay near 1."""
    random = torch.Generator().manual_seed(0)
    shapes = [(o, i, 3, 3) for i, o in pairwise(VGG16)]
    kernels = tuple(torch.randn(s, generator=random) * (2 / (9 * s[1])) ** 0.5 for s in shapes)
    biases = tuple(torch.randn(s[0], generator=random) * 0.1 for s in shapes)
    return Vgg(VggWeights(kernels, biases, (0.485, 0.456, 0.406), (1 / 0.229, 1 / 0.224, 1 / 0.225)), "seeded")


def seeded_linear() -> tuple[torch.Tensor, ...]:
    """The five weights (C,) of LPIPS."""
    random = torch.Generator().manual_seed(1)
    return tuple(torch.rand(channels, generator=random) for channels in CHANNELS)


def write_vgg16(path: Path, vgg: Vgg) -> Path:
    """Write the network as .npz."""
    arrays = {}
    for number, module in enumerate(vgg.convolutions):
        arrays |= {f"conv{number}.weight": module.weight.numpy(), f"conv{number}.bias": module.bias.numpy()}
    np.savez(path, **arrays)
    return path


def write_linear(path: Path, linear: tuple[torch.Tensor, ...]) -> Path:
    """Write the weights of LPIPS as its authors' package has them."""
    torch.save({f"lin{number}.model.1.weight": w.view(1, -1, 1, 1) for number, w in enumerate(linear)}, path)
    return path


def write_random_vgg16(path: Path) -> Path:
    """Write random weights in half precision, without biases."""
    rng = np.random.default_rng(0)
    arrays = {}
    for number, (before, after) in enumerate(pairwise(VGG16)):
        kernel = rng.standard_normal((after, before, 3, 3), np.float32) * np.sqrt(2 / (9 * before))
        arrays |= {f"conv{number}.weight": kernel.astype(np.float16), f"conv{number}.bias": np.zeros(after, np.float16)}
    np.savez(path, **arrays)
    return path

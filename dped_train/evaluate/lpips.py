"""LPIPS, the learned perceptual distance of patches (Zhang et al., The unreasonable effectiveness of deep features as a
perceptual metric, CVPR 2018), version 0.1 with VGG-16.

Two files hold its weights: VGG-16's (any that `--vgg` takes) and the linear ones, `vgg.pth` of the authors' package
`lpips` (folder weights/v0.1).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dped_data.common.hints import hint
from dped_data.errors import InputError
from dped_train.evaluate.metrics import filled
from dped_train.networks.vgg import Vgg, load_vgg, read_state
from dped_train.networks.weights import VGG16, fetched

CHANNELS = (64, 128, 256, 512, 512)
"""Of relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, the layers that are compared."""

LEAST_PX = 16
"""Smaller patches vanish in four poolings."""

_EPSILON = 1e-10
"""Added to the length of a pixel's features; of the authors' code."""


class Lpips:
    """The distance of two patches: 0 where they are equal, larger where people see more of a difference.

    Args:
        vgg: a whole VGG-16.
        linear: five weights (C,) for the channels of each layer.
    """

    def __init__(self, vgg: Vgg, linear: tuple[Tensor, ...]) -> None:
        self.vgg = vgg
        self.linear = linear

    def __call__(self, first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
        """Two (N, 3, H, W) float RGB in [0, 1] to (N,) float64; raises ValueError for patches under 16 px.

        `valid` (N, H, W) leaves pixels out as in metrics.py.
        """
        if first.shape != second.shape or min(first.shape[2:]) < LEAST_PX:
            raise ValueError(
                f"{tuple(first.shape)}, {tuple(second.shape)}: two shapes alike of {LEAST_PX} px are needed"
            )
        distance = torch.zeros(len(first), dtype=torch.float64)
        first = filled(first, second, valid)
        with torch.no_grad():
            pairs = zip(self._layers(first), self._layers(second), self.linear, strict=True)
            for one, other, weight in pairs:
                square = (one - other).square()
                if valid is None:
                    distance += torch.einsum("nchw,c->n", square, weight).double() / square[0, 0].numel()
                else:
                    share = F.adaptive_avg_pool2d(valid[:, None].double(), (square.shape[2], square.shape[3]))[:, 0]
                    there = torch.einsum("nchw,c->nhw", square, weight).double() * share
                    distance += there.sum(dim=(1, 2)) / share.sum(dim=(1, 2))
        return distance

    def _layers(self, photos: Tensor) -> list[Tensor]:
        """The features before each pooling and at the end, each pixel's scaled to length 1."""
        x = (photos.float() - self.vgg.mean) * self.vgg.scale
        convolutions = iter(self.vgg.convolutions)
        found = []
        for channels, following in pairwise((*self.vgg.layout, None)):
            # pooling drops odd borders here, as torchvision's network does, unlike the content loss
            x = F.max_pool2d(x, 2) if channels is None else F.relu(next(convolutions)(x))
            if channels is not None and following is None:
                found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON))
        return found


def load_lpips(path: Path, vgg: Path | None) -> Lpips:
    """Load the linear weights of LPIPS from the authors' `vgg.pth`, and VGG-16 from a file, else from torch's cache.

    Raises:
        InputError: no such file, other weights than these, or a VGG that is not VGG-16.
    """
    if vgg is None and not VGG16.path.is_file():
        raise InputError(
            f"LPIPS needs VGG-16's weights; `{hint('models', '--fetch', 'lpips')}` gets them, or name a file with --vgg"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such LPIPS weights file; `{hint('models', '--fetch', 'lpips')}` gets it")
    state = read_state(path)
    linear = tuple(state.get(f"lin{number}.model.1.weight") for number in range(len(CHANNELS)))
    if [tuple(w.shape) if isinstance(w, Tensor) else None for w in linear] != [(1, c, 1, 1) for c in CHANNELS]:
        raise InputError(f"{path}: not LPIPS's linear weights for VGG-16 (lin0 to lin4, 64 to 512 channels)")
    network = load_vgg(vgg or fetched(VGG16))
    if network.name != "VGG-16":
        raise InputError(f"{vgg}: {network.name}; LPIPS is defined with VGG-16")
    return Lpips(network, tuple(w.reshape(-1).float() for w in linear if w is not None))

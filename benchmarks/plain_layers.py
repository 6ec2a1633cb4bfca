"""Our layers replaced by torch's own, for what the benchmarks compare with."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from dped_train.cpu import Conv3x3
from dped_train.networks.dped import InstanceNorm

Network = TypeVar("Network", bound=nn.Module)


class PlainNorm(nn.InstanceNorm2d):
    """Torch's own instance normalisation with the parameters of ours; keyword arguments make it fit into our blocks."""

    def __init__(self, ours: InstanceNorm) -> None:
        super().__init__(ours.weight.shape[0], eps=1e-3, affine=True)
        self.weight, self.bias = ours.weight, ours.bias

    def forward(self, input: Tensor, relu: bool = False, skip: Tensor | None = None) -> Tensor:
        x = super().forward(input)
        x = F.relu(x) if relu else x
        return x if skip is None else x + skip


def with_plain_layers(network: Network) -> Network:
    """Put torch's instance normalisation and torch's convolution in the places of ours, with their weights."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, InstanceNorm):
                setattr(parent, name, PlainNorm(child))
            elif isinstance(child, Conv3x3):
                plain = nn.Conv2d(child.in_channels, child.out_channels, 3, padding=1)
                plain.weight, plain.bias = child.weight, child.bias
                setattr(parent, name, plain)
    return network

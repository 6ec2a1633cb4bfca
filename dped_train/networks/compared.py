"""The networks that table 2 of the paper compares its own with: Dong et al. and Johnson et al.

Both map (N, 3, H, W) float RGB in [0, 1] to the same shape, any H and W from 1 up, and are trained on the same pairs
as the paper's network (section 4.1). Neither looks farther than its `REACH`, so that a photo can be enhanced in
strips that overlap.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dped_train.cpu import Conv3x3, RgbConv2d
from dped_train.networks.dped import BLOCKS, CHANNELS, OUTPUT_OFFSET, OUTPUT_SCALE, BatchNorm, Enhancer

SRCNN_CHANNELS = (64, 32)
SRCNN_KERNELS = (9, 1, 5)


class Srcnn(nn.Module):
    """Dong et al., Learning a deep convolutional network for image super-resolution, ECCV 2014, section 3 and 4.1.

    Three convolutions of 9, 1 and 5 pixels with 64 and 32 channels between them, a ReLU behind the first two. The
    original works on luminance and loses a border; here it sees RGB and pads with zeros. Its output is not bounded.
    """

    REACH = sum(kernel // 2 for kernel in SRCNN_KERNELS)

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *SRCNN_CHANNELS, 3)
        self.layers = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], kernel, padding=kernel // 2)
            for i, kernel in enumerate(SRCNN_KERNELS)
        )

    def convolutions(self) -> list[nn.Conv2d]:
        """The three layers in their order, typed."""
        return [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]

    def forward(self, photo: Tensor) -> Tensor:
        first, second, third = self.convolutions()
        x = F.relu(second(F.relu(first(photo), inplace=True)), inplace=True)
        return _widened(third(x))


class JohnsonBlock(nn.Module):
    """Two normalised 3x3 convolutions, the ReLU between them only, and the addition (their figure 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Conv3x3(CHANNELS, CHANNELS)
        self.norm1 = BatchNorm(CHANNELS)
        self.conv2 = Conv3x3(CHANNELS, CHANNELS)
        self.norm2 = BatchNorm(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm2(self.conv2(self.norm1(self.conv1(x), relu=True)), skip=x)
        return result


class Johnson(nn.Module):
    """Johnson et al., Perceptual losses for real-time style transfer and super-resolution, ECCV 2016, section 3.1.

    Their super-resolution network without the layers that enlarge: 9x9, four residual blocks of two 3x3 convolutions
    (as section 4.1 of the paper describes it), 9x9 with a scaled tanh; 64 channels, batch normalisation everywhere
    but at the output.
    """

    REACH = 4 + 2 * BLOCKS + 4

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, CHANNELS, 9, padding=4)
        self.head_norm = BatchNorm(CHANNELS)
        self.blocks = nn.ModuleList(JohnsonBlock() for _ in range(BLOCKS))
        self.tail = RgbConv2d(CHANNELS)

    def residual_blocks(self) -> list[JohnsonBlock]:
        """The blocks in their order, typed."""
        return [block for block in self.blocks if isinstance(block, JohnsonBlock)]

    def forward(self, photo: Tensor) -> Tensor:
        x = self.head_norm(self.head(photo), relu=True)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(_widened(self.tail(x))) * OUTPUT_SCALE + OUTPUT_OFFSET


PhotoNetwork: TypeAlias = Enhancer | Srcnn | Johnson


def _widened(x: Tensor) -> Tensor:
    """Half precision as float32: its 8 or 11 bits would round the photo to coarser levels than a file's."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x

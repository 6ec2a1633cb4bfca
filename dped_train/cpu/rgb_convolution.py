"""The convolution to three colours, rearranged so that a CPU is busy.

Instead of it: nn.Conv2d as it is, which costs 1.05 times the processor time of a training step (float32, AMD EPYC with
AVX-512; `python benchmarks/cpu_parts.py`). Off: DPED_PLAIN_TORCH=1. Delete it when that benchmark shows less than 1.01.
Strips of photos (`enhance/strip_layers.py`) need `taps_by_row` on any device, to add up rows as they come.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dped_train.cpu.switch import by_hand


class RgbConv2d(nn.Conv2d):
    """The last convolution: 9x9, to three colours, or to those of 2x2 pixels.

    So few output channels leave most of a CPU's arithmetic units idle. There the kernel's nine rows become 27 channels
    of one convolution along x, whose results are then added up, each shifted by its row: forward four times, backward
    twice as fast. Always in float32, which is as fast here as a plain convolution in bfloat16, and rounds less.
    """

    def __init__(self, channels: int, outputs: int = 3) -> None:
        super().__init__(channels, outputs, 9, padding=4)

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not by_hand():
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            x = input if input.dtype == torch.float64 else input.float()
            by_row = F.conv2d(x, taps_by_row(self.weight), padding=(0, 4))
            return F.conv2d(by_row, _shifted_sum(self.out_channels, 9, by_row.dtype), self.bias, padding=(4, 0))


def taps_by_row(weight: Tensor) -> Tensor:
    """The kernel (O, C, k, k) as (O k, C, 1, k): output o and row r of the kernel become channel o k + r."""
    outputs, channels, rows, columns = weight.shape
    return weight.permute(0, 2, 1, 3).reshape(outputs * rows, channels, 1, columns)


@cache
def _shifted_sum(outputs: int, rows: int, dtype: torch.dtype) -> Tensor:
    """The kernel (O, O k, k, 1) of ones that adds up what `taps_by_row` has set apart."""
    kernel = torch.zeros(outputs, outputs, rows, rows, 1, dtype=dtype)
    for output in range(outputs):
        for row in range(rows):
            kernel[output, output, row, row] = 1
    return kernel.flatten(1, 2)

"""Maps of 64 channels kept between two passes over a photo: exact, or compact at a half of the memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dped_train.strips import Strip

LEVELS = 255
LARGEST_HALF = 65_504.0
SMALLEST_STEP = 1e-30
COMPACT_TYPES = {torch.float32: torch.float16, torch.bfloat16: torch.uint8}
"""What a map of each type is kept as when compact. Measured on real photos with the released generators: float16
changes the result by 3e-4 at most; 8 bits take 0.5 to 1.2 dB from the 60 dB that bfloat16 leaves."""


class KeptMap:
    """The upper rows of a map, written and read in strips.

    Exact maps are read without copying, and may be written over the rows that were read from them. Compact ones hold
    float32 as float16, and bfloat16 as 8 bits between the least and the largest value of each row and channel.
    """

    def __init__(
        self, channels: int, rows: int, width: int, dtype: torch.dtype, device: torch.device, *, compact: bool
    ) -> None:
        self.rows, self.dtype = rows, dtype
        self.stored_type = COMPACT_TYPES[dtype] if compact else dtype
        shape = (1, channels, rows, width)
        self.values = torch.empty(shape, dtype=self.stored_type, device=device, memory_format=torch.channels_last)
        ranged = self.stored_type == torch.uint8
        self.least = torch.empty((1, rows if ranged else 0, 1, channels), device=device)
        self.step = torch.empty_like(self.least)

    def keep(self, strip: Strip) -> None:
        """Write the strip's rows, as far as the map has them."""
        end = min(strip.end, self.rows)
        if end <= strip.first:
            return
        x = strip.x[:, :, : end - strip.first]
        rows = slice(strip.first, end)
        if self.stored_type == self.dtype:
            self.values[:, :, rows] = x
        elif self.stored_type == torch.float16:
            self.values[:, :, rows] = x.clamp(-LARGEST_HALF, LARGEST_HALF)
        else:
            by_row = x.permute(0, 2, 3, 1).float()  # channels stand last in memory: reductions are fast this way
            least = by_row.amin(2, keepdim=True)
            step = (by_row.amax(2, keepdim=True) - least).div_(LEVELS).clamp_(min=SMALLEST_STEP)
            nearest = torch.addcmul(
                0.5 - least / step, by_row, 1 / step
            )  # conversion cuts off what is behind the point
            self.values.permute(0, 2, 3, 1)[:, rows] = nearest.clamp_(0, LEVELS).to(torch.uint8)
            self.least[:, rows], self.step[:, rows] = least, step

    def passing(self, strips: Iterator[Strip]) -> Iterator[Strip]:
        """Keep strips while they flow by."""
        for strip in strips:
            self.keep(strip)
            yield strip

    def strips(self, count: int) -> Iterator[Strip]:
        """Read all rows, `count` at a time."""
        for first in range(0, self.rows, count):
            rows = slice(first, first + count)
            values = self.values[:, :, rows]
            if self.stored_type == torch.uint8:
                by_row = values.permute(0, 2, 3, 1).float()
                values = torch.addcmul(self.least[:, rows], by_row, self.step[:, rows]).permute(0, 3, 1, 2)
            yield Strip(first, values.to(self.dtype))


def bytes_per_row(channels: int, width: int, dtype: torch.dtype, *, compact: bool) -> int:
    """What a row of a map takes."""
    stored = COMPACT_TYPES[dtype] if compact else dtype
    ranges = 2 * 4 * channels if stored == torch.uint8 else 0
    return channels * width * stored.itemsize + ranges

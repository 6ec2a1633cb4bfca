"""Maps of 64 channels kept between two passes over a photo: exact, or compact at a half of the memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch

from dped_train.enhancing.strip_layers import Strip

LEVELS = 255
LARGEST_HALF = 65_504.0
SMALLEST_STEP = 1e-30
COMPACT_TYPES = {torch.float32: torch.float16, torch.bfloat16: torch.uint8}
"""What a map of each type is kept as when compact. Measured on real photos with the released generators: float16
changes the result by 3e-4 at most; 8 bits take 0.5 to 1.2 dB from the 60 dB that bfloat16 leaves."""


class ExactMap:
    """A map as the strips that it came in, each given up when it is read: the next map goes into its memory."""

    def __init__(self) -> None:
        self._strips: deque[Strip] = deque()

    def passing(self, strips: Iterator[Strip]) -> Iterator[Strip]:
        """Keep strips while they flow by."""
        for strip in strips:
            x = strip.x if strip.buffer is None else strip.x.clone(memory_format=torch.channels_last)
            self._strips.append(Strip(strip.first, x))
            yield strip

    def strips(self) -> Iterator[Strip]:
        """Read all rows that are kept by now, once; what is kept meanwhile is the next map."""
        read, self._strips = self._strips, deque()
        while read:
            yield read.popleft()


class CompactMap:
    """The upper rows of a map: float32 as float16, bfloat16 as 8 bits between the extremes of each row and channel.

    Args:
        channels, rows, width: of what is kept; rows further down only pass.
        dtype: of the strips, float32 or bfloat16.
        device: where they are.
        strip_rows: rows in the strips read.
    """

    def __init__(
        self, channels: int, rows: int, width: int, dtype: torch.dtype, device: torch.device, strip_rows: int
    ) -> None:
        self.rows, self.dtype, self.strip_rows = rows, dtype, strip_rows
        stored = COMPACT_TYPES[dtype]
        shape = (1, channels, rows, width)
        self.values = torch.empty(shape, dtype=stored, device=device, memory_format=torch.channels_last)
        self.least = torch.empty((1, rows if stored == torch.uint8 else 0, 1, channels), device=device)
        self.step = torch.empty_like(self.least)

    def keep(self, strip: Strip) -> None:
        """Write the strip's rows, as far as the map has them."""
        end = min(strip.end, self.rows)
        if end <= strip.first:
            return
        x = strip.x[:, :, : end - strip.first]
        rows = slice(strip.first, end)
        if self.values.dtype == torch.float16:
            self.values[:, :, rows] = x.clamp(-LARGEST_HALF, LARGEST_HALF)
            return
        by_row = x.permute(0, 2, 3, 1).float()  # channels last, as they lie in memory: reductions are fast then
        least = by_row.amin(2, keepdim=True)
        step = (by_row.amax(2, keepdim=True) - least).div_(LEVELS).clamp_(min=SMALLEST_STEP)
        nearest = torch.addcmul(0.5 - least / step, by_row, 1 / step)  # rounds: the conversion cuts off
        self.values.permute(0, 2, 3, 1)[:, rows] = nearest.clamp_(0, LEVELS).to(torch.uint8)
        self.least[:, rows], self.step[:, rows] = least, step

    def passing(self, strips: Iterator[Strip]) -> Iterator[Strip]:
        """Keep strips while they flow by."""
        for strip in strips:
            self.keep(strip)
            yield strip

    def strips(self) -> Iterator[Strip]:
        """Read all rows; what was read may be written over."""
        for first in range(0, self.rows, self.strip_rows):
            rows = slice(first, first + self.strip_rows)
            values = self.values[:, :, rows]
            if values.dtype == torch.uint8:
                by_row = values.permute(0, 2, 3, 1).float()
                values = torch.addcmul(self.least[:, rows], by_row, self.step[:, rows]).permute(0, 3, 1, 2)
            yield Strip(first, values.to(self.dtype))


def bytes_per_row(channels: int, width: int, dtype: torch.dtype, *, compact: bool) -> int:
    """What a row of a map takes."""
    stored = COMPACT_TYPES[dtype] if compact else dtype
    ranges = 2 * 4 * channels if stored == torch.uint8 else 0
    return channels * width * stored.itemsize + ranges

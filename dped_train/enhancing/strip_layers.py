"""Layers of the enhancer on a photo that flows past in strips of rows.

Each function takes an iterator of strips, top to bottom without gaps, and yields strips of its result; chained, they
are the network. A convolution holds back the rows that it needs again, so nothing is computed twice, and a strip
yields fewer rows than it was given until the ones below arrive. Rows beyond the photo's top and bottom are zero, as
in the network. A flow may begin in the middle of the photo: it then yields the rows whose neighbourhood it has seen.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dped_train.cpu import NORM_EPSILON, conv3x3, scaled_relu
from dped_train.networks.dped import OUTPUT_OFFSET, OUTPUT_SCALE

HALO_ROWS = 2
"""Rows of one strip that a 3x3 convolution of the next one needs again."""

SUMMED_ROWS = 16  # ours: float32 sums of 48 rows and more lose digits


@dataclass(frozen=True)
class Strip:
    """Rows `first` to `end` of a map.

    Attributes:
        first: the first row.
        x: (1, C, end - first, W), channels last.
        buffer: x with `HALO_ROWS` free rows above it, or None: the next convolution writes the rows that it has held
            back into them, instead of copying x behind those rows.
    """

    first: int
    x: Tensor
    buffer: Tensor | None = None

    @property
    def end(self) -> int:
        """The row after the last one."""
        return self.first + self.x.shape[2]


@dataclass(frozen=True)
class Affine:
    """A normalisation whose statistics are known: x * scale + shift, each (1, C, 1, 1) float32."""

    scale: Tensor
    shift: Tensor

    def relu_of(self, strip: Strip) -> Strip:
        """Normalise, then ReLU, into a new strip with a buffer."""
        made = _buffered(strip)
        scaled_relu(strip.x, self.scale, self.shift, made.x)
        return made

    def relu_plus(self, strip: Strip, waiting: deque[Strip]) -> Strip:
        """The same, plus the same rows of the strips waiting; those wholly above it are done with."""
        made = _buffered(strip)
        while waiting[0].end <= strip.first:
            waiting.popleft()
        for other in waiting:
            first, end = max(other.first, strip.first), min(other.end, strip.end)
            if first < end:
                rows = slice(first - strip.first, end - strip.first)
                skip = other.x[:, :, first - other.first : end - other.first]
                scaled_relu(strip.x[:, :, rows], self.scale, self.shift, made.x[:, :, rows], skip)
        return made


def _buffered(strip: Strip) -> Strip:
    """An empty strip of the same rows, with a buffer."""
    _, channels, rows, width = strip.x.shape
    buffer = strip.x.new_empty((1, rows + HALO_ROWS, width, channels)).permute(0, 3, 1, 2)
    return Strip(strip.first, buffer[:, :, HALO_ROWS:], buffer)


@dataclass(frozen=True)
class Kernel:
    """An odd square kernel, (O, I, k, k), with its bias (O,); a 3x3 one with its `weight_planes`, or None."""

    weight: Tensor
    bias: Tensor | None = None
    planes: Tensor | None = None

    def over_rows(self, x: Tensor) -> Tensor:
        """Convolve (1, I, h, W) to (1, O, h - k + 1, W): padded at the left and right only."""
        x = x.to(self.weight.dtype)
        if self.planes is not None:
            return conv3x3(x, self.weight, self.bias, pad_rows=False, planes=self.planes)
        return F.conv2d(x, self.weight, self.bias, padding=(0, self.weight.shape[2] // 2))


class Moments:
    """Mean and variance of each channel over all strips, merged in float64 (Chan, Golub and LeVeque, 1979)."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64, device=device)
        self.squares = torch.zeros(channels, dtype=torch.float64, device=device)

    def add(self, x: Tensor) -> None:
        """Take in (1, C, h, W); the sums within `SUMMED_ROWS` are float32, as batch normalisation takes them."""
        for rows in x.split(SUMMED_ROWS, dim=2):
            self._add(rows)

    def _add(self, x: Tensor) -> None:
        like = torch.zeros_like(self.mean, dtype=torch.float32)  # asks for statistics in float32 whatever x is
        mean, variance = torch.batch_norm_update_stats(x, like, torch.ones_like(like), 0.0)
        count = x.shape[2] * x.shape[3]
        step = mean.double() - self.mean
        total = self.count + count
        self.mean += step * (count / total)
        self.squares += variance.double() * count + step.square() * (self.count * count / total)
        self.count = total

    def affine(self, weight: Tensor, bias: Tensor) -> Affine:
        """The instance normalisation with scale `weight` and shift `bias`, (C,), over what was taken in."""
        return affine_from_statistics(self.mean, self.squares / self.count, weight, bias)


def affine_from_statistics(mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor) -> Affine:
    """Normalisation by known (C,) mean and variance, with the networks' epsilon."""
    scale = weight.detach().double() / (variance.double() + NORM_EPSILON).sqrt()
    shift = bias.detach().double() - mean.double() * scale
    return Affine(scale.float().view(1, -1, 1, 1), shift.float().view(1, -1, 1, 1))


def photo_strips(
    photo: NDArray[np.uint8] | NDArray[np.uint16], first: int, rows: int, device: torch.device
) -> Iterator[Strip]:
    """An (H, W, C) photo or mosaic of 8 or 16 bits from row `first` on, as float32 in [0, 1], `rows` at a time."""
    for start in range(first, photo.shape[0], rows):
        pixels = torch.from_numpy(np.ascontiguousarray(photo[start : start + rows])).to(device)
        yield Strip(start, pixels.float().div_(np.iinfo(photo.dtype).max).permute(2, 0, 1)[None])


def rows_from(strips: Iterator[Strip], first: int) -> Iterator[Strip]:
    """Leave out the rows before `first`."""
    for strip in strips:
        if strip.end > first:
            skipped = max(0, first - strip.first)
            yield Strip(strip.first + skipped, strip.x[:, :, skipped:])


def convolved(strips: Iterator[Strip], kernel: Kernel, height: int) -> Iterator[Strip]:
    """Convolve with zero padding; `height` is that of the photo."""
    pad = kernel.weight.shape[2] // 2
    for strip in _with_neighbours(strips, pad, height):
        yield Strip(strip.first + pad, kernel.over_rows(strip.x))


def activated(strips: Iterator[Strip], norm: Affine) -> Iterator[Strip]:
    """Normalise, then ReLU."""
    for strip in strips:
        made = norm.relu_of(strip)
        del strip  # not held while this flow waits: it is as large as what is made of it
        yield made


def rectified(strips: Iterator[Strip], dtype: torch.dtype) -> Iterator[Strip]:
    """ReLU, then as `dtype`, into strips with a buffer."""
    for strip in strips:
        made = _buffered(strip if strip.x.dtype == dtype else Strip(strip.first, strip.x.to(dtype)))
        torch.clamp_min(strip.x.to(dtype), 0, out=made.x)
        del strip
        yield made


def residual_block(
    strips: Iterator[Strip], kernels: tuple[Kernel, Kernel], norms: tuple[Affine, Affine], height: int
) -> Iterator[Strip]:
    """Two normalised convolutions, the ReLU of the second before the addition of the input."""
    waiting: deque[Strip] = deque()

    def remembered() -> Iterator[Strip]:
        for strip in strips:
            waiting.append(strip)
            yield strip

    inner = activated(convolved(remembered(), kernels[0], height), norms[0])
    for strip in convolved(inner, kernels[1], height):
        made = norms[1].relu_plus(strip, waiting)
        del strip
        yield made


def added(results: Iterator[Strip], norm: Affine, before: Iterator[Strip]) -> Iterator[Strip]:
    """Normalise, then ReLU, then add the flow of before, however each is cut."""
    waiting: deque[Strip] = deque()
    for strip in results:
        while not waiting or waiting[-1].end < strip.end:
            waiting.append(next(before))
        made = norm.relu_plus(strip, waiting)
        del strip
        yield made


def finished(strips: Iterator[Strip], taps: Tensor, bias: Tensor, height: int) -> Iterator[Strip]:
    """The last 9x9 convolution, the scaled tanh behind it; yields float32 (1, O, h, W), not clipped.

    As in `cpu.RgbConv2d`, on every device.

    Args:
        strips: 64 channels.
        taps: from `taps_by_row`.
        bias: (O,), of three colours, or those of 2x2 pixels.
        height: of the photo.
    """
    rows = taps.shape[0] // len(bias)
    partial = (
        Strip(s.first, F.conv2d(s.x.to(taps.dtype), taps, padding=(0, taps.shape[3] // 2)).float()) for s in strips
    )
    for strip in _with_neighbours(partial, rows // 2, height):
        count = strip.x.shape[2] - rows + 1
        by_row = strip.x.permute(0, 2, 3, 1).unflatten(3, (len(bias), rows))
        total = by_row[:, :count, :, :, 0] + bias
        for row in range(1, rows):
            total += by_row[:, row : row + count, :, :, row]
        photo = total.tanh_().mul_(OUTPUT_SCALE).add_(OUTPUT_OFFSET)
        yield Strip(strip.first + rows // 2, photo.permute(0, 3, 1, 2))


def _with_neighbours(strips: Iterator[Strip], pad: int, height: int) -> Iterator[Strip]:
    """Put the last 2 `pad` rows seen before each strip; zeros above the photo's first row and below its last."""
    held: Tensor | None = None
    for strip in strips:
        above = _zero_rows(strip.x, pad) if held is None and strip.first == 0 else held
        first, x = strip.first, strip.x
        if above is not None:
            first -= above.shape[2]
            x = _joined(above, strip)
        if strip.end == height:
            x = torch.cat((x, _zero_rows(x, pad)), dim=2)
        held = x[:, :, max(0, x.shape[2] - 2 * pad) :].clone(memory_format=torch.channels_last)
        if x.shape[2] > 2 * pad:
            yield Strip(first, x)


def _joined(above: Tensor, strip: Strip) -> Tensor:
    rows = above.shape[2]
    if strip.buffer is None or rows > HALO_ROWS:
        return torch.cat((above, strip.x), dim=2)
    strip.buffer[:, :, HALO_ROWS - rows : HALO_ROWS] = above
    return strip.buffer[:, :, HALO_ROWS - rows :]


def _zero_rows(like: Tensor, rows: int) -> Tensor:
    shape = (1, like.shape[1], rows, like.shape[3])
    return torch.zeros(shape, dtype=like.dtype, device=like.device).contiguous(memory_format=torch.channels_last)

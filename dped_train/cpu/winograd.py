"""3x3 convolutions with a quarter of the multiplications: the Winograd convolution F(4x4, 3x3), float32 on a CPU.

Lavin and Gray, Fast algorithms for convolutional neural networks (CVPR 2016), equation 8: each tile of 4x4 outputs is
A^T [(G w G^T) * (B^T d B)] A, so that a convolution becomes 36 matrix products over tiles and channels.

Instead of it: torch's F.conv2d, whose kernels multiply directly and round five times less (ours: 6e-7 of the result's
standard deviation). It costs 1.3 times the processor time of a training step and 1.6 times that of an enhanced photo
(float32, AMD EPYC with AVX-512; `python benchmarks/cpu_parts.py`). The Winograd convolution that torch brings,
NNPACK's, has no gradients and ten times our rounding error. Transforming a frozen layer's weights anew in each step
costs 1.07 times.

Off: DPED_PLAIN_TORCH=1; what `fits` refuses is torch's in any case, in bfloat16 all but VGG. Delete it, with
`winograd_kernels` and `threads`, when that benchmark shows less than 1.1, or nobody trains or enhances in float32 on a
CPU any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dped_train.cpu.switch import by_hand
from dped_train.cpu.threads import scratch, share

Pixels = NDArray[np.float32]

TILE, PLANES = 4, 36
POINT = 2 / 3
"""Polynomials are multiplied at 0, +-POINT, +-1 / POINT and infinity. Ours: the usual 1 and 2 double the errors."""
LEAST_CHANNELS = 32  # ours: fewer, and the passes around the products cost more than the products save
LEAST_TILES = 64  # ours: fewer, and reading the planes of the weight costs more than the products save
TILES_AT_ONCE = 128  # ours: their planes stay in a core's cache (64 channels: 1.2 MB)
TILES_AT_ONCE_DEEP = 512  # ours: with hundreds of channels the weights are what should be read seldom
DEEP = 256


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether this input and weight get a Winograd convolution."""
    if not by_hand():
        return False
    outputs, channels, *kernel = weight.shape
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and kernel == [3, 3]
        and min(outputs, channels) >= LEAST_CHANNELS
        and x.shape[0] * (x.shape[2] // TILE) * (x.shape[3] // TILE) >= LEAST_TILES
        and not torch.is_autocast_enabled("cpu")
    )


def conv3x3(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, pad_rows: bool = True, planes: Tensor | None = None
) -> Tensor:
    """Convolve with a 3x3 kernel, stride 1 and zero padding: a Winograd convolution where it `fits`, else torch's own.

    Args:
        x: (N, C, H, W).
        weight, bias: (O, C, 3, 3) and (O,).
        pad_rows: whether rows are padded, too; columns always are.
        planes: `weight_planes(weight)`, where the weight is used often and needs no gradient.

    Returns:
        (N, O, H, W), without `pad_rows` (N, O, H - 2, W); channels last from a Winograd convolution.
    """
    if not fits(x, weight):
        return F.conv2d(x, weight, bias, padding=(int(pad_rows), 1))
    result: Tensor = _Winograd.apply(x, weight, bias, pad_rows, planes)
    return result


def weight_planes(weight: Tensor) -> Tensor:
    """G w G^T of a weight (O, C, 3, 3): (36, C, O)."""
    outputs, channels = weight.shape[:2]
    flat = weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
    return (_kernel_to_planes() @ flat).float().view(PLANES, channels, outputs)


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution, stride 1, with zero padding, by `conv3x3`; a weight without gradient is transformed once."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, 3, padding=1)
        self._planes: Tensor | None = None
        self._planes_of: tuple[int, int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        return conv3x3(input, self.weight, self.bias, planes=self._known_planes(input))

    def _known_planes(self, x: Tensor) -> Tensor | None:
        if self.weight.requires_grad or self.weight.is_inference() or not fits(x, self.weight):
            return None  # torch does not tell whether inference tensors have changed
        state = (self.weight.data_ptr(), self.weight._version)
        if self._planes is None or self._planes_of != state:
            self._planes, self._planes_of = weight_planes(self.weight), state
        return self._planes


@cache
def _kernel_to_planes() -> Tensor:
    """G x G, (36, 9) float64."""
    rows = [[1.0, 0.0, 0.0]]
    for point, other in ((POINT, 1 / POINT), (1 / POINT, POINT)):
        norm = 2 * point**2 * (point**2 - other**2)
        rows += [[1 / norm, sign * point / norm, point**2 / norm] for sign in (1, -1)]
    g = torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64)
    return torch.kron(g, g)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pad_rows: bool, planes: Tensor | None
    ) -> Tensor:
        planes = weight_planes(weight) if planes is None else planes
        height = x.shape[2] - (0 if pad_rows else 2)
        y = torch.empty((x.shape[0], weight.shape[0], height, x.shape[3]), memory_format=torch.channels_last)
        added = np.zeros(weight.shape[0], np.float32) if bias is None else bias.detach().numpy()
        _convolve(_rows(x), planes, added, _rows(y), int(pad_rows))
        ctx.save_for_backward(x, weight, planes)
        ctx.bias_shape, ctx.pad_rows = None if bias is None else [len(bias)], pad_rows
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        assert ctx.pad_rows, "strips are for inference"
        x, weight, planes = ctx.saved_tensors
        needs_x, *needs_own = ctx.needs_input_grad[:3]
        x_gradient = None
        if needs_x:
            x_gradient = torch.empty_like(x, memory_format=torch.channels_last)
            _convolve_back(_rows(y_gradient), planes, _rows(x_gradient))
        weight_gradient, bias_gradient = None, None
        if any(needs_own):
            weight_gradient, bias_gradient = _own_gradients(x, weight, y_gradient, ctx.bias_shape, needs_own)
        return x_gradient, weight_gradient, bias_gradient, None, None


def _own_gradients(
    x: Tensor, weight: Tensor, y_gradient: Tensor, bias_shape: list[int] | None, needed: list[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Torch's gradients of weight and bias.

    A Winograd convolution would round gradients that are exactly 0 to something small, and Adam divides a gradient by
    its own size: it makes whole steps of that.
    """
    geometry = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)  # stride, padding, dilation, transposed, its padding, groups
    _, weight_gradient, bias_gradient = torch.ops.aten.convolution_backward(
        y_gradient, x, weight, bias_shape, *geometry, [False, *needed]
    )
    return weight_gradient, bias_gradient


def _convolve(x: Pixels, planes: Tensor, bias: Pixels, y: Pixels, top: int) -> None:
    """Fill `y` (N, H, W O) from `x` (N, H, W C), with `top` rows of zeros above the photos."""
    from dped_train.cpu.winograd_kernels import output_of_planes, planes_of_input  # loads a compiler of 150 MB

    channels, outputs = planes.shape[1:]
    tiles = _Tiles.of(y, outputs, channels)
    biases = np.tile(bias, TILE * tiles.width)

    def work(part: range) -> None:
        lines, output_lines = tiles.input_lines(channels), tiles.output_lines(outputs)
        for first, count in tiles.steps(part):
            place = (first, count, tiles.high, tiles.pieces, tiles.width)
            before, after = tiles.planes("before", count, channels), tiles.planes("after", count, outputs)
            planes_of_input(x, *place, top, _squares(before), lines)
            torch.bmm(before, planes, out=after)
            output_of_planes(_squares(after), *place, biases, y, output_lines)

    share(work, tiles.photos * tiles.high * tiles.pieces, 1)


def _convolve_back(y_gradient: Pixels, planes: Tensor, x_gradient: Pixels) -> None:
    """Fill `x_gradient` (N, H, W C) from `y_gradient` (N, H, W O)."""
    from dped_train.cpu.winograd_kernels import input_gradient_of_planes, planes_of_output_gradient

    channels, outputs = planes.shape[1:]
    tiles = _Tiles.of(y_gradient, outputs, channels, cut=False)

    def work(part: range) -> None:
        lines, output_lines = tiles.input_lines(channels), tiles.output_lines(outputs)
        sums = scratch.pixels("sums", (6, x_gradient.shape[2]))
        for first, count in tiles.steps(part):
            place = (first, count, tiles.high, tiles.width)
            before, after = tiles.planes("before", count, channels), tiles.planes("after", count, outputs)
            planes_of_output_gradient(y_gradient, *place, _squares(after), output_lines)
            torch.bmm(after, planes.transpose(1, 2), out=before)
            input_gradient_of_planes(_squares(before), *place, x_gradient, lines, sums)

    share(work, tiles.photos, tiles.high)  # whole photos: neighbouring rows of tiles add to the same pixels


@dataclass(frozen=True)
class _Tiles:
    """Rows of tiles, cut into pieces, and how they are worked through.

    Attributes:
        photos: number of them.
        high: rows of tiles in a photo.
        pieces, width: pieces of a row, and tiles in each; those beyond the photo's edge are zeros.
        at_once: pieces in a step.
    """

    photos: int
    high: int
    pieces: int
    width: int
    at_once: int

    @classmethod
    def of(cls, y: Pixels, outputs: int, channels: int, *, cut: bool = True) -> _Tiles:
        """For outputs `y` (N, H, W O) of a convolution of `channels`; rows are cut where they are long."""
        high, row = -(-y.shape[1] // TILE), -(-(y.shape[2] // outputs) // TILE)
        most = TILES_AT_ONCE_DEEP if max(channels, outputs) >= DEEP else TILES_AT_ONCE
        width = -(-row // -(-row // most)) if cut else row
        return cls(y.shape[0], high, -(-row // width), width, max(1, most // width))

    def steps(self, part: range) -> list[tuple[int, int]]:
        """First piece and number of pieces of every step."""
        return [(first, min(self.at_once, part.stop - first)) for first in range(part.start, part.stop, self.at_once)]

    def planes(self, name: str, pieces: int, channels: int) -> Tensor:
        """Scratch buffer for the planes of a step, (36, T, C)."""
        return scratch.tensor(name, (PLANES, pieces * self.width, channels))

    def input_lines(self, channels: int) -> Pixels:
        """Scratch buffer for a piece with its surroundings."""
        return scratch.pixels("input lines", (6, TILE * self.width + 2, channels))

    def output_lines(self, channels: int) -> Pixels:
        """Scratch buffer for a piece."""
        return scratch.pixels("output lines", (6, TILE * self.width, channels))


def _rows(x: Tensor) -> Pixels:
    """(N, C, H, W) as (N, H, W C); the same memory where x is channels last."""
    return x.detach().permute(0, 2, 3, 1).contiguous().flatten(2).numpy()


def _squares(planes: Tensor) -> Pixels:
    return planes.unflatten(0, (6, 6)).numpy()

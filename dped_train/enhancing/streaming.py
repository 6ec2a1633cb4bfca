"""Enhance a photo of any size exactly, in bounded memory.

Instance normalisation takes its statistics over the whole photo, so a photo cut into independent tiles comes out
different from the whole. Here the photo flows through the network in strips of rows, once for each normalisation: the
statistics are complete before the next layer reads them, and the result is that of one pass over the whole photo up
to rounding. What is kept between the passes depends on the memory allowed:

- two maps of 64 channels, exact or compact: every convolution runs once;
- the residual stream alone, compact, of as many rows as fit, the rest computed again from the photo: the convolutions
  run 2.1 times where all rows are kept, 4.6 times where none is.

Exact maps give the whole-photo result up to rounding; what compact maps change stands in `stored_maps`.

With batch normalisation the statistics are known beforehand: one pass does it all and keeps nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dped_data.common.malloc import keep_freed_memory
from dped_train.cpu import Conv3x3, taps_by_row, weight_planes
from dped_train.enhancing.stored_maps import CompactMap, ExactMap, bytes_per_row
from dped_train.enhancing.strip_layers import (
    Affine,
    Kernel,
    Moments,
    Strip,
    activated,
    added,
    affine_from_statistics,
    convolved,
    finished,
    photo_strips,
    rectified,
    residual_block,
    rows_from,
)
from dped_train.networks.dped import BLOCKS, CHANNELS, BatchNorm, Enhancer, InstanceNorm, reflection

STRIP_BYTES = {torch.float32: 8_000_000, torch.bfloat16: 6_000_000}  # ours: of one strip of 64 channels on a CPU
WIDER = 3
"""Ours: strips so many times as large where the memory suffices for exact maps and them. In bfloat16 3 takes 0.93 times
the processor time of 1, and 4 as much as 3 (1024x768)."""
WIDER_BYTES = {torch.bfloat16: 1_000_000_000}  # measured: what they take more; in float32 nobody has measured it
GPU_STRIP_BYTES = 32_000_000  # ours: a GPU wants more work at once: 31 rows of 12 megapixels in float32
PROCESS_BYTES = {torch.float32: 600_000_000, torch.bfloat16: 450_000_000}  # measured: Python, torch, in float32 numba
IN_FLIGHT_BYTES = {torch.float32: 400_000_000, torch.bfloat16: 200_000_000}  # measured: strips between the layers
CPU = torch.device("cpu")
Photo: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
HEAD_REACH, BLOCK_REACH = 4, 2  # rows above and below that a row depends on


@dataclass(frozen=True)
class PlacedWeights:
    """The enhancer's weights as inference needs them: channels last, in the type of the arithmetic.

    A convolution's bias before an instance normalisation cancels and is left out; before a batch normalisation it is
    part of the shift. The last convolution is in the form of `taps_by_row`.
    """

    head: Kernel
    blocks: tuple[tuple[Kernel, Kernel], ...]
    body: tuple[Kernel, Kernel]
    tail: Tensor
    tail_bias: Tensor


class WholePhotoEnhancer:
    """An enhancer prepared for photos of any size.

    Args:
        enhancer: either normalisation; its weights are copied.
        dtype: type of the 64-channel maps and of the convolutions: float32, or bfloat16 where the device multiplies in
            it. Statistics, normalisations and the last convolution's sum are float32 either way.
        device: where to compute.
    """

    def __init__(self, enhancer: Enhancer, dtype: torch.dtype, device: torch.device = CPU) -> None:
        keep_freed_memory()  # strips are allocated and freed all the time
        self.enhancer = enhancer.to(device).eval()
        self.dtype, self.device = dtype, device
        self.weights = _placed(enhancer, dtype, device)

    @torch.no_grad()
    def enhanced_rows(
        self, photo: Photo, map_bytes: int, moved: Callable[[float], object] = lambda share: None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the enhanced photo from top to bottom: first row and (h, W, 3) float32 RGB, in [-0.08, 1.08].

        Args:
            photo: (H, W, 3) RGB of 8 or 16 bits, any H and W from 1 up; of an enhancer that sees mosaics a packed one,
                (H/2, W/2, 4) uint16.
            map_bytes: memory for maps kept between passes, see `map_bytes_within`.
            moved: called with shares of the work, 1 in all, as they are done, also before the first rows come.
        """
        margin = self.enhancer.margin_px
        if margin:
            down, across = (reflection(size, margin, CPU).numpy() for size in photo.shape[:2])
            photo = photo[down][:, across]
        end, sides = photo.shape[0] - margin, slice(margin, photo.shape[1] - margin)
        passes = 1 if self.enhancer.normalisation == "batch" else 1 + 2 * BLOCKS
        flow = _Flow(self, photo, lambda rows: moved(rows / (passes * len(photo))))
        if self.enhancer.normalisation == "batch":
            norms = [_affine_of_batch_norm(self.enhancer, block) for block in range(BLOCKS)]
            last = flow.from_photo(0, norms)
        else:
            last = flow.within(map_bytes)
        for strip in flow.ending(last):
            flow.moved(strip.x.shape[2])
            first, below = max(strip.first, margin), min(strip.end, end)
            if first < below:
                inner = strip.x[0, :, first - strip.first : below - strip.first, sides]
                scale = self.enhancer.scale
                inner = F.pixel_shuffle(inner, scale) if scale > 1 else inner
                yield scale * (first - margin), inner.permute(1, 2, 0).cpu().numpy()

    def enhance(self, photo: Photo, map_bytes: int) -> NDArray[np.float32]:
        """The whole enhanced photo, (H, W, 3) float32 RGB, in [-0.08, 1.08]."""
        scale = self.enhancer.scale
        out = np.empty((scale * photo.shape[0], scale * photo.shape[1], 3), np.float32)
        for first, rows in self.enhanced_rows(photo, map_bytes):
            out[first : first + len(rows)] = rows
        return out


def map_bytes_within(
    memory_bytes: int, photo_bytes: int, dtype: torch.dtype, at_once: int = 1, device: torch.device = CPU
) -> int:
    """What `memory_bytes` leave for the maps of each photo, if each of `at_once` photos takes `photo_bytes` besides.

    On a CPU they are the whole process's; on a GPU its own, where neither the process nor the photo lies.
    """
    if device.type != "cpu":
        in_flight = IN_FLIGHT_BYTES[dtype] * GPU_STRIP_BYTES // STRIP_BYTES[dtype]
        return max(0, memory_bytes // at_once - in_flight)
    return max(0, (memory_bytes - PROCESS_BYTES[dtype]) // at_once - IN_FLIGHT_BYTES[dtype] - photo_bytes)


class _Flow:
    """One photo on its way: the passes over it."""

    def __init__(self, prepared: WholePhotoEnhancer, photo: Photo, moved: Callable[[int], object]) -> None:
        self.moved = moved
        self.weights, self.dtype, self.photo = prepared.weights, prepared.dtype, photo
        self.device = prepared.device
        self.blocks = prepared.enhancer.residual_blocks()
        self.height, width = photo.shape[:2]
        self.width = width
        self.strip_rows = strip_rows(width, self.dtype, self.device)

    def within(self, map_bytes: int) -> Iterator[Strip]:
        """The residual stream behind all blocks, by the fastest way that fits into `map_bytes`."""
        exact = 2 * self.height * self.bytes_per_row(compact=False)
        if exact <= map_bytes:
            wider = WIDER_BYTES.get(self.dtype) if self.device == CPU else None
            if wider is not None and exact + wider <= map_bytes:
                self.strip_rows = WIDER * self.strip_rows
            return self.with_two_maps(ExactMap(), ExactMap())
        row = self.bytes_per_row(compact=True)
        if 2 * self.height * row <= map_bytes:
            return self.with_two_maps(self.compact_map(self.height), self.compact_map(self.height))
        return self.with_residual_stream(self.compact_map(min(self.height, map_bytes // row)))

    def from_photo(self, first: int, norms: list[tuple[Affine, Affine]]) -> Iterator[Strip]:
        """The residual stream behind as many blocks as `norms` knows, from row `first` on, out of the photo."""
        reach = HEAD_REACH + BLOCK_REACH * len(norms)
        strips = photo_strips(self.photo, max(0, first - reach), self.strip_rows, self.device)
        stream = rectified(convolved(strips, self.weights.head, self.height), self.dtype)
        for kernels, known in zip(self.weights.blocks, norms, strict=False):
            stream = residual_block(stream, kernels, known, self.height)
        return rows_from(stream, first)

    def ending(self, stream: Iterator[Strip]) -> Iterator[Strip]:
        """What follows the blocks."""
        for kernel in self.weights.body:
            stream = rectified(convolved(stream, kernel, self.height), self.dtype)
        return finished(stream, self.weights.tail, self.weights.tail_bias, self.height)

    def norm(self, block: int, half: int, moments: Moments) -> Affine:
        """Normalisation `half` (0 or 1) of `block`, over the statistics gathered."""
        norm = self.blocks[block].norm2 if half else self.blocks[block].norm1
        assert isinstance(norm, InstanceNorm)
        return moments.affine(norm.weight, norm.bias)

    def with_two_maps(self, stream_map: ExactMap | CompactMap, result_map: ExactMap | CompactMap) -> Iterator[Strip]:
        """Keep the residual stream and the latest convolution's result; return the stream behind all blocks.

        Results take the place of the rows that were read to make them: the flow never needs those again.
        """
        stream = stream_map.passing(self.from_photo(0, []))
        for block, (first, second) in enumerate(self.weights.blocks):
            moments = self.gathered(result_map.passing(convolved(stream, first, self.height)))
            inner = activated(result_map.strips(), self.norm(block, 0, moments))
            moments = self.gathered(result_map.passing(convolved(inner, second, self.height)))
            stream = added(result_map.strips(), self.norm(block, 1, moments), stream_map.strips())
            if block < BLOCKS - 1:
                stream = stream_map.passing(stream)
        return stream

    def with_residual_stream(self, stream_map: CompactMap) -> Iterator[Strip]:
        """Keep the upper rows of the residual stream, as many as the map has; return the stream behind all blocks."""
        norms: list[tuple[Affine, Affine]] = []
        for block, kernels in enumerate(self.weights.blocks):
            stream = stream_map.passing(self.behind_last_block(stream_map, norms))
            moments = self.gathered(convolved(stream, kernels[0], self.height))
            first = self.norm(block, 0, moments)
            inner = activated(convolved(self.resumed(stream_map, norms), kernels[0], self.height), first)
            moments = self.gathered(convolved(inner, kernels[1], self.height))
            norms.append((first, self.norm(block, 1, moments)))
        return self.behind_last_block(stream_map, norms)

    def resumed(self, stream_map: CompactMap, norms: list[tuple[Affine, Affine]]) -> Iterator[Strip]:
        """The residual stream behind the blocks in `norms`: the rows kept, then the others out of the photo."""
        rest = self.from_photo(stream_map.rows, norms) if stream_map.rows < self.height else iter(())
        return chain(stream_map.strips(), rest)

    def behind_last_block(self, stream_map: CompactMap, norms: list[tuple[Affine, Affine]]) -> Iterator[Strip]:
        """The same where the map still holds the stream one block before."""
        if not norms:
            return self.from_photo(0, [])
        before = self.resumed(stream_map, norms[:-1])
        return residual_block(before, self.weights.blocks[len(norms) - 1], norms[-1], self.height)

    def gathered(self, strips: Iterator[Strip]) -> Moments:
        """Let strips flow by and gather their statistics."""
        moments = Moments(CHANNELS, self.device)
        for strip in strips:
            moments.add(strip.x)
            self.moved(strip.x.shape[2])
        return moments

    def compact_map(self, rows: int) -> CompactMap:
        return CompactMap(CHANNELS, rows, self.width, self.dtype, self.device, self.strip_rows)

    def bytes_per_row(self, *, compact: bool) -> int:
        return bytes_per_row(CHANNELS, self.width, self.dtype, compact=compact)


def strip_rows(width: int, dtype: torch.dtype, device: torch.device) -> int:
    """How many rows a strip of 64 channels has."""
    strip_bytes = STRIP_BYTES[dtype] if device.type == "cpu" else GPU_STRIP_BYTES
    return max(4, strip_bytes // (width * CHANNELS * dtype.itemsize) // 4 * 4)  # the rows of a Winograd tile


def _affine_of_batch_norm(enhancer: Enhancer, block: int) -> tuple[Affine, Affine]:
    """Both normalisations of a block by their running statistics, the biases of the convolutions before included."""
    part = enhancer.residual_blocks()[block]
    affines = []
    for convolution, norm in ((part.conv1, part.norm1), (part.conv2, part.norm2)):
        assert isinstance(norm, BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert convolution.bias is not None
        mean = norm.running_mean - convolution.bias
        affines.append(affine_from_statistics(mean, norm.running_var, norm.weight, norm.bias))
    return affines[0], affines[1]


def _placed(enhancer: Enhancer, dtype: torch.dtype, device: torch.device) -> PlacedWeights:
    def placed(weight: Tensor, kind: torch.dtype = dtype) -> Tensor:
        return weight.detach().to(device, kind).clone()

    def kernel(layer: nn.Conv2d, *, with_bias: bool) -> Kernel:
        assert layer.bias is not None
        weight = placed(layer.weight).contiguous(memory_format=torch.channels_last)
        by_winograd = isinstance(layer, Conv3x3) and dtype == torch.float32 and device.type == "cpu"
        planes = weight_planes(weight) if by_winograd else None
        return Kernel(weight, placed(layer.bias) if with_bias else None, planes)

    blocks = enhancer.residual_blocks()
    assert enhancer.tail.bias is not None
    return PlacedWeights(
        head=kernel(enhancer.head, with_bias=True),
        blocks=tuple((kernel(b.conv1, with_bias=False), kernel(b.conv2, with_bias=False)) for b in blocks),
        body=(kernel(enhancer.body1, with_bias=True), kernel(enhancer.body2, with_bias=True)),
        tail=placed(taps_by_row(enhancer.tail.weight)).contiguous(memory_format=torch.channels_last),
        tail_bias=placed(enhancer.tail.bias, torch.float32),
    )

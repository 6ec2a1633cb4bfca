"""Instance normalisation with its ReLU and the residual addition in one step, forward and backward.

A CPU works image by image, so that the passes stay in its cache; statistics are float32 for half-precision input;
nothing but the input is kept for the backward pass.

Instead of it: F.instance_norm (torch 2.13), which costs 1.3 times the processor time of a training step (float32, AMD
EPYC with AVX-512; `python benchmarks/cpu_parts.py`), because its CPU kernel sums each channel on one slow path. Two
more reasons against it: its CPU gradient is wrong for a batch of one when the gradient arrives channels-last, and it
refuses photos of one pixel. The definition in torch's operations has neither fault, and costs 1.3 times, too.

Off: DPED_PLAIN_TORCH=1 leaves the definition; so does torch.compile, which fuses it. Delete it when the definition
shows less than 1.05 there: `_plain_instance_norm` is all that is needed then.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dped_train.cpu.switch import by_hand

NORM_EPSILON = 1e-3  # added to the variance by the released code


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False, skip: Tensor | None = None) -> Tensor:
    """Normalise every channel of every image by its own mean and biased variance, then scale and shift.

    Args:
        x: (N, C, H, W); a single pixel is allowed, it becomes the shift.
        weight, bias: (C,) scale and shift.
        relu: apply a ReLU to the result.
        skip: (N, C, H, W) added last, after the ReLU, as the released code's residual blocks do.

    Returns:
        (N, C, H, W) of x's type and memory format.
    """
    if not by_hand():
        return _plain_instance_norm(x, weight, bias, relu, skip)
    if x.device.type != "cpu":
        return torchs_instance_norm(x, weight, bias, relu, skip)
    result: Tensor = _InstanceNorm.apply(x, weight, bias, relu, skip)
    return result


def _plain_instance_norm(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, skip: Tensor | None) -> Tensor:
    """The definition in torch's operations, which compilers fuse. Not F.instance_norm: see the head of this file."""
    variance, mean = torch.var_mean(x.to(_wide_type(x)), (2, 3), correction=0, keepdim=True)
    scale = weight.view(1, -1, 1, 1) * (variance + NORM_EPSILON).rsqrt()
    result = (x - mean) * scale + bias.view(1, -1, 1, 1)
    result = F.relu(result) if relu else result
    return (result if skip is None else result + skip).to(x.dtype)


def torchs_instance_norm(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, skip: Tensor | None) -> Tensor:
    """By torch's own kernel, for other devices than CPUs: a step moves 53 GB instead of 105 in bfloat16 (docs/gpu.md).

    Not F.instance_norm, which refuses photos of one pixel.
    """
    training, momentum, cudnn = True, 0.0, torch.backends.cudnn.enabled
    result = torch.instance_norm(x, weight, bias, None, None, training, momentum, NORM_EPSILON, cudnn)
    result = result.contiguous(memory_format=torch.channels_last)
    result = F.relu(result, inplace=True) if relu else result
    return result if skip is None else result + skip


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, relu: bool, skip: Tensor | None) -> Tensor:
        out = torch.empty_like(x)
        means = x.new_empty((x.shape[0], x.shape[1], 1, 1), dtype=_wide_type(x))
        inverses = torch.empty_like(means)
        parts = _parts(x)
        wide, value = (_scratch_buffer(x, parts[0]) for _ in range(2))
        for part in parts:
            wide.copy_(x[part])
            means[part] = wide.mean((2, 3), keepdim=True)
            torch.sub(wide, means[part], out=value).square_()
            inverses[part] = value.mean((2, 3), keepdim=True).add_(NORM_EPSILON).rsqrt_()
            _affine(wide, means[part], inverses[part], weight, bias, value)
            if relu:
                value.relu_()
            if skip is not None:
                value.add_(skip[part])
            out[part] = value
        ctx.save_for_backward(x, weight, bias, means, inverses)
        ctx.relu = relu
        ctx.has_skip = skip is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out_gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, Tensor | None]:
        x, weight, bias, means, inverses = ctx.saved_tensors
        x_gradient = torch.empty_like(x)
        gradient_means, along_means = torch.empty_like(means), torch.empty_like(means)
        parts = _parts(x)
        wide, gradient, product = (_scratch_buffer(x, parts[0]) for _ in range(3))
        for part in parts:
            mean, inverse = means[part], inverses[part]
            wide.copy_(x[part])
            gradient.copy_(out_gradient[part])
            if ctx.relu:
                _affine(wide, mean, inverse, weight, bias, product)
                gradient.mul_(product.gt_(0))
            wide.sub_(mean).mul_(inverse)  # from here on the normalised values
            torch.mul(gradient, wide, out=product)
            gradient_means[part] = gradient.mean((2, 3), keepdim=True)
            along_means[part] = product.mean((2, 3), keepdim=True)
            gradient.sub_(gradient_means[part]).addcmul_(wide, along_means[part], value=-1)
            x_gradient[part] = gradient.mul_(weight.view(1, -1, 1, 1) * inverse)
        pixels = x.shape[2] * x.shape[3]
        skip_gradient = out_gradient if ctx.has_skip else None
        return (
            x_gradient,
            along_means.sum((0, 2, 3)) * pixels,
            gradient_means.sum((0, 2, 3)) * pixels,
            None,
            skip_gradient,
        )


def _affine(wide: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """Scale and shift; forward and backward call it alike, so that the ReLU's mask is the same to the bit."""
    scale = weight.view(1, -1, 1, 1) * inverse
    torch.addcmul(bias.view(1, -1, 1, 1) - mean * scale, wide, scale, out=out)


def _parts(x: Tensor) -> list[slice]:
    """Image by image, so that the passes stay in the cache."""
    return [slice(index, index + 1) for index in range(x.shape[0])]


def _scratch_buffer(x: Tensor, part: slice) -> Tensor:
    """Memory for one part, reused for all: fresh pages for every intermediate would cost more than the arithmetic."""
    return torch.empty_like(x[part], dtype=_wide_type(x))


def _wide_type(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32

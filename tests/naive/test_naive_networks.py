"""The CPU's own layers against sums over the kernel's taps, forward and both gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dped_train.cpu import NORM_EPSILON, instance_norm, scaled_relu, winograd
from dped_train.cpu.rgb_convolution import RgbConv2d

RANDOM = np.random.default_rng(2)


def convolve(x: np.ndarray, weight: np.ndarray, top: int, side: int) -> np.ndarray:
    """Return (N, O, H', W) of x (N, C, H, W) and a weight (O, C, k, k), with so many zeros above and beside."""
    k = weight.shape[2]
    wide = np.pad(x, ((0, 0), (0, 0), (top, top), (side, side)))
    h, w = wide.shape[2] - k + 1, wide.shape[3] - k + 1
    taps = [(i, j) for i in range(k) for j in range(k)]
    return sum(np.einsum("nchw,oc->nohw", wide[:, :, i : i + h, j : j + w], weight[:, :, i, j]) for i, j in taps)


def gradients(x: np.ndarray, weight: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of x and of the weight, from those of the padded convolution's result."""
    k = weight.shape[2]
    flipped = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
    wide = np.pad(x, ((0, 0), (0, 0), (k // 2,) * 2, (k // 2,) * 2))
    h, w = x.shape[2:]
    own = np.empty(weight.shape)
    for i, j in np.ndindex(k, k):
        own[:, :, i, j] = np.einsum("nchw,nohw->oc", wide[:, :, i : i + h, j : j + w], g)
    return convolve(g, flipped, k // 2, k // 2), own


def to_rows(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) as (N, H, W C) float32."""
    n, c, h, w = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1).reshape(n, h, w * c), np.float32)


@pytest.mark.parametrize(("height", "width", "at_once"), [(8, 8, 128), (7, 9, 128), (5, 14, 2), (10, 6, 1)])
@pytest.mark.parametrize("top", [1, 0])
def test_winograd_passes_are_the_convolution(
    height: int, width: int, at_once: int, top: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-4: some 50 products of float32 numbers of size 1, ten times a plain sum's error."""
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", at_once)  # so that rows are cut into pieces
    x, weight, bias = RANDOM.normal(size=(2, 3, height, width)), RANDOM.normal(size=(4, 3, 3, 3)), RANDOM.normal(size=4)
    planes = winograd.weight_planes(torch.tensor(weight))
    wanted = convolve(x, weight, top, 1) + bias[:, None, None]
    y = np.full(to_rows(wanted).shape, np.nan, np.float32)
    winograd._convolve(to_rows(x), planes, bias.astype(np.float32), y, top)
    np.testing.assert_allclose(y, to_rows(wanted), atol=1e-4)
    if top:
        g = RANDOM.normal(size=wanted.shape)
        found = np.full(to_rows(x).shape, np.nan, np.float32)
        winograd._convolve_back(to_rows(g), planes, found)
        np.testing.assert_allclose(found, to_rows(gradients(x, weight, g)[0]), atol=1e-4)


def test_both_gradients_of_the_layer() -> None:
    x, weight, g = RANDOM.normal(size=(1, 32, 32, 32)), RANDOM.normal(size=(32, 32, 3, 3)), np.zeros((1, 32, 32, 32))
    g[:, :, 3:20, 5:31] = RANDOM.normal(size=(1, 32, 17, 26))
    a, b = (torch.tensor(v, dtype=torch.float32, requires_grad=True) for v in (x, weight))
    assert winograd.fits(a, b)
    y = winograd.conv3x3(a, b)
    y.backward(torch.tensor(g, dtype=torch.float32))
    np.testing.assert_allclose(y.detach(), convolve(x, weight, 1, 1), atol=1e-3)
    for found, wanted in zip((a.grad, b.grad), gradients(x, weight, g), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_convolution_to_colours() -> None:
    layer = RgbConv2d(2).double()
    x, g = RANDOM.normal(size=(2, 2, 11, 10)), RANDOM.normal(size=(2, 3, 11, 10))
    a = torch.tensor(x, requires_grad=True)
    y = layer(a)
    y.backward(torch.tensor(g))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(y.detach(), convolve(x, weight, 4, 4) + bias[:, None, None], atol=1e-10)
    of_x, of_weight = gradients(x, weight, g)
    np.testing.assert_allclose(a.grad, of_x, atol=1e-10)
    np.testing.assert_allclose(layer.weight.grad, of_weight, atol=1e-10)


@pytest.mark.parametrize("relu", [False, True])
def test_instance_norm_and_its_gradients(relu: bool) -> None:
    x, weight, bias = RANDOM.normal(2, 3, (2, 3, 5, 4)), RANDOM.normal(size=3), RANDOM.normal(size=3)
    skip, g = RANDOM.normal(size=(2, 2, 3, 5, 4))
    values = [torch.tensor(v, requires_grad=True) for v in (x, weight, bias, skip)]
    y = instance_norm(*values[:3], relu=relu, skip=values[3])
    y.backward(torch.tensor(g))
    inverse = 1 / np.sqrt(x.var(axis=(2, 3), keepdims=True) + NORM_EPSILON)
    normal = (x - x.mean(axis=(2, 3), keepdims=True)) * inverse
    w = weight[:, None, None]
    plain = normal * w + bias[:, None, None]
    np.testing.assert_allclose(y.detach(), (np.maximum(plain, 0) if relu else plain) + skip, atol=1e-10)
    d = g * (plain > 0) if relu else g
    along = (d * normal).mean(axis=(2, 3), keepdims=True)
    of_x = w * inverse * (d - d.mean(axis=(2, 3), keepdims=True) - normal * along)
    for value, wanted in zip(values, (of_x, (d * normal).sum((0, 2, 3)), d.sum((0, 2, 3)), g), strict=True):
        np.testing.assert_allclose(value.grad, wanted, atol=1e-10)


@pytest.mark.parametrize("added", [False, True])
def test_scale_shift_relu_and_addition_of_a_strip(added: bool) -> None:
    """Of bfloat16, too: to half of its last of 8 bits."""
    x, scale, shift, skip = (RANDOM.normal(size=size) for size in ((1, 3, 4, 5), 3, 3, (1, 3, 4, 5)))
    for dtype, bound in ((torch.float32, 1e-6), (torch.bfloat16, 2.0**-8)):
        a, b = (torch.tensor(v).to(dtype).contiguous(memory_format=torch.channels_last) for v in (x, skip))
        out = torch.empty_like(a)
        factors, terms = (torch.tensor(v).to(dtype).float().view(1, 3, 1, 1) for v in (scale, shift))
        scaled_relu(a, factors, terms, out, b if added else None)
        wanted = np.maximum(a.double().numpy() * factors.numpy() + terms.numpy(), 0)
        wanted = wanted + b.double().numpy() if added else wanted
        np.testing.assert_allclose(out.double(), wanted, rtol=bound, atol=1e-6)

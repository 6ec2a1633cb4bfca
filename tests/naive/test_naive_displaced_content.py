"""displaced_content against its definition, written with NumPy and SciPy whole-array calls."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter, maximum_filter

from dped_data.align.kernels import displaced_content as kernel
from dped_data.align.kernels.displaced_content import (
    BLOCK,
    LANES,
    LEVELS,
    MARGIN,
    REACH,
    TOGETHER,
    displaced_content,
    evidence_at,
)
from dped_data.common.jit import njit

Floats = NDArray[np.float64]
NOISE = np.linspace(0.5, 2.0, LEVELS)


def cells(values: Floats) -> Floats:
    """(..., n, n) sums over all squares of 8 pixels, 4 apart."""
    whole = values.shape[0] // 4 * 4
    return sliding_window_view(values[:whole, :whole], (8, 8))[::4, ::4].sum(axis=(2, 3))


def blocks(values: Floats) -> Floats:
    """(..., n, n) sums over squares of 4 pixels, side by side."""
    whole = values.shape[0] // 4
    return values[: 4 * whole, : 4 * whole].reshape(whole, 4, whole, 4).sum(axis=(1, 3))


def around(values: Floats) -> Floats:
    """Sums over every value and the eight beside it, as far as there are."""
    return sliding_window_view(np.pad(values, 1), (3, 3)).sum(axis=(2, 3))


def smooth(grey: Floats) -> Floats:
    padded = np.pad(grey, 1, mode="edge")
    binomial = [0.25, 0.5, 0.25]
    return convolve1d(convolve1d(padded, binomial, axis=0), binomial, axis=1)[1:-1, 1:-1]


def steepness(grey: Floats) -> Floats:
    padded = np.pad(grey, 1, mode="edge")
    x, y = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    return x**2 + y**2


def naive(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> tuple[float, Floats]:
    """The unexplained share of one patch, and the evidence by displacement: rows y, columns x, from -REACH on."""
    size = len(dslr)
    a = smooth(phone.astype(float))[1:-1, 1:-1]
    b = smooth(dslr.astype(float))
    inner = a[REACH:-REACH, REACH:-REACH]
    gain = np.clip(b.var() / inner.var(), 0.1, 10)
    steep = np.maximum(steepness(b), gain * steepness(inner))
    near = np.pad(steep, 1)
    counts = np.pad(np.ones_like(steep), 1)
    means = sliding_window_view(near, (3, 3)).sum(axis=(2, 3)) / sliding_window_view(counts, (3, 3)).sum(axis=(2, 3))
    noise = gain * NOISE[(inner // 16).astype(int)] + NOISE[(b // 16).astype(int)]
    weight = 1 / (2 * (6 / 16) ** 2 * noise + 0.1 + 0.3**2 * np.maximum(steep, means))
    raw = phone[MARGIN:-MARGIN, MARGIN:-MARGIN]
    ends = maximum_filter((np.minimum(raw, dslr) <= 8) | (np.maximum(raw, dslr) >= 245), 3, mode="constant")
    judged = cells(ends.astype(float)) <= 6

    def sums(of: Callable[[Floats], Floats], x: int, y: int) -> tuple[Floats, Floats, Floats]:
        moved = a[REACH + y : REACH + y + size, REACH + x : REACH + x + size]
        return of(weight * moved), of(weight * moved**2), of(weight * moved * b)

    total, linear = cells(weight), cells(weight * b)
    power_b = cells(weight * b**2) - linear**2 / total
    first, second, product = sums(cells, 0, 0)
    common = np.maximum(product - first * linear / total, 0)
    left = (power_b - common**2 / np.maximum(second - first**2 / total, 0.02 * 64)) / 64 - 1.5
    unexplained = (judged & (power_b / 64 > 4) & (left > 0.4 * power_b / 64)).sum() / left.size

    total, linear, square = blocks(weight), blocks(weight * b), blocks(weight * b**2)
    first, second, product = sums(blocks, 0, 0)
    power_a = around(second) - around(first) ** 2 / around(total)
    common = around(product) - around(first) * around(linear) / around(total)
    slope = np.maximum(common, 0) / np.maximum(power_a, 0.02 * 64)
    offset = (around(linear) - slope * around(first)) / around(total)

    def residual(x: int, y: int) -> Floats:
        first, second, product = sums(blocks, x, y)
        of_b = square - 2 * offset * linear + offset**2 * total
        return (of_b - 2 * slope * (product - offset * first) + slope**2 * second) / 16

    own, judged = residual(0, 0), blocks(ends.astype(float)) <= 1.5
    evidence = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for y in range(-REACH, REACH + 1):
        for x in range(-REACH, REACH + 1):
            if np.hypot(x, y) >= 1.7:
                other = residual(x, y)
                ratio = (own - other) / np.maximum(other, 1) - 1.5
                evidence[REACH + y, REACH + x] = ratio.clip(0, 6)[judged & (other <= 3)].sum()
    return float(unexplained), evidence


def scene(size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A phone photo's surroundings of a patch, and a DSLR half of which the left part lies 3 pixels off."""
    random = np.random.default_rng(seed)
    wide = size + 2 * MARGIN
    grey = gaussian_filter(random.normal(0, 1, (wide, wide + 3)), 2)
    grey = 120 + grey * (35 / grey.std())
    dslr = grey[MARGIN:-MARGIN, MARGIN : MARGIN + size].copy()
    dslr[:, : size // 3] = grey[MARGIN:-MARGIN, MARGIN + 3 : MARGIN + 3 + size // 3]
    noisy = [plane + random.normal(0, 1, plane.shape) for plane in (grey[:, :wide], 0.8 * dslr + 20)]
    phone, other = (plane.clip(0, 255).astype(np.uint8) for plane in noisy)
    return phone, other


@pytest.mark.parametrize("size", [48, 54])
def test_every_cell_is_asked_as_the_definition_does(size: int) -> None:
    pairs = [scene(size, seed) for seed in range(2)]
    photos = np.stack([phone for phone, _ in pairs]), np.stack([dslr for _, dslr in pairs]), NOISE, NOISE
    found = displaced_content(*photos)
    near = evidence_at(*photos, np.array([2, REACH]))
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    for k, (phone, dslr) in enumerate(pairs):
        share, evidence = naive(phone, dslr)
        most = np.unravel_index(evidence.argmax(), evidence.shape)
        assert found.displacement[k].tolist() == [most[1] - REACH, most[0] - REACH] == [3, 0]  # as planted
        elsewhere = np.hypot(x - 3, y) > 2.5
        assert share > 0.1 and evidence.max() - 2 * evidence[elsewhere].max() > 10
        assert found.unexplained[k] == pytest.approx(share)
        assert found.evidence[k] == pytest.approx(evidence.max(), rel=1e-4)  # float32
        assert found.beyond[k] == pytest.approx(evidence.max() - 2 * evidence[elsewhere].max(), rel=1e-4)
        assert near[k] == pytest.approx(evidence[-2:, REACH + 1 : REACH + 4].max(), rel=1e-4, abs=1e-3)


def test_a_patch_that_agrees_is_explained_and_not_searched() -> None:
    phone, _ = scene(48, 0)
    dslr = (0.7 * phone[MARGIN:-MARGIN, MARGIN:-MARGIN] + 10).astype(np.uint8)
    found = displaced_content(phone[None], dslr[None], NOISE, NOISE)
    assert found.unexplained[0] == 0 and found.evidence[0] == 0 and found.beyond[0] == 0


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the intrinsic is compiled code")
def test_the_vectors_sum_as_the_loop_does() -> None:
    random = np.random.default_rng(0)
    weights, weighted = random.normal(0, 9, (2, BLOCK, BLOCK, 2 * LANES)).astype(np.float32)
    moved = random.normal(0, 9, 5 * LANES * BLOCK).astype(np.float32)
    for together in ((0,), (0,) * TOGETHER):
        places = np.stack([random.permutation(len(moved) - 2 * LANES)[: BLOCK * BLOCK] for _ in together])
        found = np.full((2, 3 * len(together), 2 * LANES + 5), -1, np.float32)
        njit()(lambda *given: kernel.block_sums(*given))(weights, weighted, moved, places, found[0], together)
        kernel.plain_block_sums(weights, weighted, moved, places, found[1], together)
        np.testing.assert_array_equal(found[0], found[1])
        assert (found[0, :, 2 * LANES :] == -1).all() and (found[0, :, : 2 * LANES] != -1).all()

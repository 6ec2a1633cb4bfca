"""foreign_shares against its definition, written with NumPy and SciPy whole-array calls."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter

from dped_data.align.kernels.foreign_content import _fullest_cell, foreign_shares

LUMINANCE = ((77, 150, 29),)
COLOURS = ((256, 0, 0), (0, 256, 0), (0, 0, 256))
COUNT, LARGE = (4, 52) if numba.config.DISABLE_JIT else (12, 100)
"""Pairs that are compared, and the largest, whose cells have an odd side, too: seconds each without the compiler."""


def neighbourhoods(grey: NDArray[np.int64]) -> NDArray[np.float64]:
    """(S, S, 25) smoothed grey levels around every pixel, in quarters rounded, the photo mirrored at its edges."""
    padded = np.pad(grey, 4, mode="symmetric")
    binomial = [1, 4, 6, 4, 1]
    smooth = convolve1d(convolve1d(padded, binomial, axis=0), binomial, axis=1)[2:-2, 2:-2]
    quarters = np.floor(smooth / 64 + 0.5) / 4
    return sliding_window_view(quarters, (5, 5)).reshape(*grey.shape, 25)


def noise_left(grey: NDArray[np.int64]) -> float:
    bend = convolve1d(convolve1d(grey, [1, -2, 1], axis=0), [1, -2, 1], axis=1)[1:-1, 1:-1]
    blocks = len(bend) // 8
    powers = (bend[: blocks * 8, : blocks * 8] ** 2).reshape(blocks, 8, blocks, 8).mean(axis=(1, 3)) / 36
    return float(np.sort(powers.ravel())[int(0.2 * (powers.size - 1))] * 2 * (70 / 256) ** 2)


def foreign(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], planes: tuple[tuple[int, ...], ...]
) -> NDArray[np.bool_]:
    """(S, S) whether the neighbourhood is textured in either photo, and does not correlate."""
    variances, noises, contrasts, common = [], [], [], 0.0
    greys = [[(photo.astype(int) @ plane + 128) >> 8 for plane in planes] for photo in (phone, dslr)]
    for side in greys:
        variances.append(np.mean([neighbourhoods(grey).var(axis=-1) for grey in side], axis=0))
        noises.append(np.mean([noise_left(grey) for grey in side]) + 0.1)
        contrasts.append(np.sum([grey.var() for grey in side]) + 0.1)
    for a, b in zip(*greys, strict=True):
        around = [neighbourhoods(grey) for grey in (a, b)]
        centred = [values - values.mean(axis=-1, keepdims=True) for values in around]
        common = common + (centred[0] * centred[1]).mean(axis=-1) / len(planes)
    gain = contrasts[0] / contrasts[1]
    least = [max(6.0 * np.clip(g, 1, 10), 6.0 * n) for g, n in zip((gain, 1 / gain), noises, strict=True)]
    signal = [v - n for v, n in zip(variances, noises, strict=True)]
    textured = (signal[0] > least[0]) | (signal[1] > least[1])
    correlation = common / np.sqrt(np.maximum(signal[0], noises[0]) * np.maximum(signal[1], noises[1]))
    result: NDArray[np.bool_] = textured & (correlation < 0.5)
    return result


def fullest(marked: NDArray[np.bool_]) -> float:
    cell = max(len(marked) // 4, 8)
    return float(sliding_window_view(marked, (cell, cell)).mean(axis=(2, 3)).max())


def share(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> float:
    marked = foreign(phone, dslr, LUMINANCE)
    if fullest(marked) > 0.1:
        marked &= foreign(phone, dslr, COLOURS)
    return fullest(marked)


def planted(size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A pair that differs by colour, gain and noise, and in a square that one of them alone shows."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.normal(0, 1, (size, size, 3)), (1.5, 1.5, 0)) * rng.uniform(20, 300)
    other = gaussian_filter(rng.normal(0, 1, (size, size, 3)), (1.5, 1.5, 0)) * 100
    second = 0.7 * scene[..., ::-1] + 0.3 * scene
    at, side = rng.integers(0, size - size // 4, 2), size // 4
    second[at[0] : at[0] + side, at[1] : at[1] + side] = other[:side, :side]
    first, second = (np.clip(x + 128 + rng.normal(0, 3, x.shape), 0, 255) for x in (scene, second))
    return first.astype(np.uint8), second.astype(np.uint8)


@pytest.mark.parametrize("size", [16, 33, 48, LARGE])
def test_the_kernel_is_its_definition(size: int) -> None:
    pairs = [planted(size, seed) for seed in range(COUNT)]
    wanted = [share(phone, dslr) for phone, dslr in pairs]
    got = foreign_shares(np.stack([p for p, _ in pairs]), np.stack([d for _, d in pairs]))
    assert len(np.unique(wanted)) > COUNT // 4  # not all alike, or nothing is compared
    # One pixel of a cell may fall to the other side of a threshold by the last digit of a sum.
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1.01 / max(size // 4, 8) ** 2)


@pytest.mark.parametrize("cell", [1, 2, 3, 6, 7])
def test_the_fullest_cell_is_the_fullest_of_all_squares(cell: int) -> None:
    random = np.random.default_rng(cell)
    for share in (0.1, 0.5, 0.9):  # at the border too: what has left the square is not counted on
        marked = random.random((7, 7)) < share
        for foreign in (marked, marked & (np.arange(7) < 2), marked & (np.arange(7) < 2)[:, None]):
            squares = sliding_window_view(foreign, (cell, cell))
            assert _fullest_cell(foreign, cell) == squares.sum(axis=(2, 3)).max()

"""Light and target quality against their definition, written with NumPy and SciPy whole-array calls."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter

from dped_data.align.target_quality import measure_quality

Grey = NDArray[np.float64]

SMALL, LARGE = np.array([1, 2, 1]) / 4, np.array([1, 4, 6, 4, 1]) / 16
TONE_EV = np.array([0.3, 0.1, 0.2, 0.2])


def smoothed(values: Grey, taps: Grey) -> Grey:
    """Values smoothed both ways, where the taps reach no border."""
    reach = len(taps) // 2
    both = convolve1d(convolve1d(values, taps, axis=0), taps, axis=1)
    return np.asarray(both[reach:-reach, reach:-reach])


def means_of_four(values: Grey) -> Grey:
    half = len(values) // 2
    return np.asarray(values[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean(axis=(1, 3)))


def noise(grey: Grey) -> float:
    bend = convolve1d(convolve1d(grey, [1, -2, 1], axis=0), [1, -2, 1], axis=1)[1:-1, 1:-1]
    blocks = len(bend) // 8
    powers = (bend[: blocks * 8, : blocks * 8] ** 2).reshape(blocks, 8, blocks, 8).mean(axis=(1, 3)) / 36
    return float(np.sort(powers.ravel())[int(0.2 * (powers.size - 1))] * 0.042 * 1.5 + 0.02)


def parts(patch: NDArray[np.uint8]) -> tuple[Grey, Grey, float]:
    """Fine detail squared (n, n), gradients (2, n, n), noise."""
    grey = np.floor(patch @ np.array([77, 150, 29]) / 256 + 0.5)
    soft = smoothed(grey, SMALL)
    softer = smoothed(soft, LARGE)
    detail = means_of_four((soft[2:-2, 2:-2] - softer) ** 2)
    wide = smoothed(means_of_four(softer), LARGE)
    gradient = np.stack((wide[1:-1, 2:] - wide[1:-1, :-2], wide[2:, 1:-1] - wide[:-2, 1:-1]))
    return detail[3:-3, 3:-3], gradient, noise(grey)


def sharpness(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> float:
    sides = [parts(patch) for patch in (phone, dslr)]
    weight = np.maximum((sides[0][1] * sides[1][1]).sum(axis=0), 0)
    fine = [(weight * detail).sum() / weight.sum() - rest for detail, _, rest in sides]
    edge = [(weight * (gradient**2).sum(axis=0)).sum() for _, gradient, _ in sides]
    return float(np.sqrt(max(fine[1], 0) / fine[0] * edge[0] / edge[1])) if fine[0] > 12 * sides[0][2] else np.nan


def light_ev(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> float:
    size, rows = len(phone), []
    for row in range(4):
        for column in range(4):
            cell = np.s_[row * size // 4 : (row + 1) * size // 4 : 2, column * size // 4 : (column + 1) * size // 4 : 2]
            both = np.stack((phone[cell], dslr[cell]))
            counted = both.max(axis=(0, 3)) < 250
            if counted.mean() < 0.25:
                continue
            light = (65535 * (both[:, counted] / 255) ** 2.2).round().mean(axis=1) + 1
            whole = light @ np.array([77, 150, 29]) / 256
            if whole.min() >= np.round(65535 * (16 / 255) ** 2.2):
                colours = np.log2(light[:, [0, 2]] / light[:, [1]]).mean(axis=0)
                rows.append([np.log2(whole[1] / whole[0]), np.log2(whole).mean(), *colours])
    if len(rows) < 8:
        return np.nan
    ratio, brightness, red, blue = (np.array(rows) - np.mean(rows, axis=0)).T
    terms = np.column_stack((brightness, brightness**2 - (brightness**2).mean(), red, blue)) * TONE_EV
    inner = terms.T @ terms + 0.06**2 * np.eye(4)
    return float(2 * (ratio - terms @ np.linalg.solve(inner, terms.T @ ratio)).std())


def pairs(size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Six patches of coloured noise, the DSLR's softer from one to the next; parts clip, parts are dark."""
    rng = np.random.default_rng(seed)
    scenes = gaussian_filter(rng.normal(0, 1, (6, size, size, 3)), (0, 2, 2, 0))
    scenes = 110 + 260 * scenes + np.linspace(-90, 110, size)[None, :, None, None]
    soft = np.stack(
        [gaussian_filter(scene, (s, s, 0)) for s, scene in zip((0.1, 0.5, 1, 1.5, 2, 3), scenes, strict=True)]
    )
    phone = 255 * (scenes / 255).clip(0, 1) ** 1.3 * [0.7, 0.9, 0.8] + rng.normal(0, 2, scenes.shape)
    return tuple(np.clip(np.floor(p + 0.5), 0, 255).astype(np.uint8) for p in (phone, soft))


def test_the_compiled_loops_do_what_the_definition_says() -> None:
    for size in (32, 61) if numba.config.DISABLE_JIT else (32, 61, 100):  # seconds without the compiler
        phone, dslr = pairs(size, size)
        found = measure_quality(phone, dslr)
        wanted = [[f(p, d) for p, d in zip(phone, dslr, strict=True)] for f in (sharpness, light_ev)]
        np.testing.assert_allclose(found.sharpness, wanted[0], rtol=2e-3)  # smoothed greys are rounded to 1/16
        np.testing.assert_allclose(found.light_ev, wanted[1], rtol=1e-9)
        assert np.isfinite(found.sharpness).sum() >= 3 and np.isfinite(found.light_ev).all()

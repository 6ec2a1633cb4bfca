"""Anti-aliased sampling in whole numbers: equal to the byte, by the intrinsic, by its plain loop and by numpy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline

from dped_data.align import resampling
from dped_data.align.kernels.weighted_pixel import LANES, plain_weighted_pixel, vector_weighted_pixel
from dped_data.align.resampling import area_kernel, dense_map, sample_map

RANDOM = np.random.default_rng(7)
DSLR = RANDOM.choice(np.array([0, 60, 200, 255], np.uint8), (19, 23, 3))


def sample(dslr: np.ndarray, xy: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Return (h, w, 3): every tap of every sample, by its definition, in Python's whole numbers."""
    out = np.empty((*xy.shape[:2], 3), np.uint8)
    kernels, bits = [area_kernel(side).astype(object) for side in sides], 2 * resampling.WEIGHT_BITS
    for at in np.ndindex(*xy.shape[:2]):
        taps = []
        for axis, kernel in enumerate(kernels):
            fine = int(np.floor(np.clip(xy[at][axis], -1000, 1000) * 256 + 0.5))
            first = fine // 256 - kernel.shape[1] // 2 + 1
            places = np.clip(np.arange(first, first + kernel.shape[1]), 0, dslr.shape[1 - axis] - 1)
            taps.append((places, kernel[fine % 256]))
        (columns, across), (rows, down) = taps
        region = dslr[rows][:, columns].astype(object)
        for channel in range(3):
            total = down @ region[..., channel] @ across
            out[at][channel] = min(max((int(total) + (1 << bits - 1)) >> bits, 0), 255)
    return out


@pytest.mark.parametrize("step", [(0.5, 1.0), (1.3, 1.3), (2.6, 1.1)])
@pytest.mark.parametrize("region", [resampling.REGION_VALUES, 700])  # 700: by halves
def test_samples_are_the_weighted_sums(step: tuple[float, float], region: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_empty_region", lambda: np.empty(region + LANES, np.float32))
    y, x = np.mgrid[:6, :5] * 1.0
    xy = np.stack((x * 6.3 - 2.9 + 0.1 * y, y * 4.4 - 2.2 + 0.2 * x), axis=-1)  # over all four edges
    xy[0, 0], xy[5, 4] = (-300.0, -400.0), (500.0, 22.0)
    sides = tuple(max(64, int(s * 64 + 0.5)) for s in step)
    assert np.array_equal(sample_map(DSLR, xy, step), sample(DSLR, xy, (sides[0], sides[1])))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the intrinsic is compiled code")
def test_the_intrinsic_is_its_plain_loop() -> None:
    @numba.njit
    def both(region, at, step, ky, py, kx, px, scale, taps):  # type: ignore[no-untyped-def]
        return (
            vector_weighted_pixel(region, at, step, ky, py, kx, px, scale, taps),
            plain_weighted_pixel(region, at, step, ky, py, kx, px, scale, taps),
        )

    for side in (64, 100, 200):
        kernel = area_kernel(side)
        taps = (0,) * kernel.shape[1]
        step = 3 * len(taps) + 6
        for phase in range(0, 256, 15):
            region = RANDOM.choice(np.array([0, 255], np.float32), step * len(taps) + 3 + LANES)
            args = (kernel.astype(np.float32), np.int32(255 - phase), kernel.astype(np.float64), np.int32(phase))
            first, second = both(region, np.int64(3), np.int64(step), *args, 0.25**resampling.WEIGHT_BITS, taps)
            assert first == second


def test_the_dense_map_is_scipys_bicubic_spline() -> None:
    """To 1e-10: the same polynomials, evaluated by other formulas at coordinates below 100."""
    nodes, size = RANDOM.uniform(0, 100, (2, 5, 5, 2)), 9
    t, pixels = np.linspace(0, size - 1, 5), np.arange(size)
    found = dense_map(nodes, size)
    for k, axis in np.ndindex(2, 2):
        wanted = RectBivariateSpline(t, t, nodes[k, ..., axis], s=0)(pixels, pixels)
        np.testing.assert_allclose(found[k, ..., axis], wanted, atol=1e-10)


def test_far_outside_and_not_a_number_are_the_first_pixel() -> None:
    xy = np.array([[(np.nan, np.nan), (-1e12, -1e12), (-50.0, np.nan)]])
    assert (sample_map(DSLR, xy, (1.0, 1.0)) == DSLR[0, 0]).all()

"""What a window sees of a photo, in plain numpy: the reference that several kernels' references share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SAMPLE_BOUND = 5e-3
"""Grey levels: float32 holds a coordinate of 64 px to 4e-6 px, a test photo rises by up to 60 levels per pixel, and
the three interpolations round values up to 255 to 1.5e-5."""


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Return a grey photo (H, W) of waves and some noise, 0 to 255."""
    y, x = np.mgrid[:height, :width]
    random = np.random.default_rng(seed)
    waves = 120 + 50 * np.sin(x / 3.1 + y / 7) + 40 * np.cos(y / 2.7 - x / 9)
    return (waves + random.normal(0, 4, (height, width))).clip(0, 255).astype(np.float32)


def bilinear(image: NDArray[np.float32], x: Floats, y: Floats) -> Floats:
    """Return the image at (x, y); beyond the border the border is repeated."""
    height, width = image.shape
    x, y = np.clip(x, 0, width - 1.01), np.clip(y, 0, height - 1.01)
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx, grey = y - i, x - j, image.astype(np.float64)
    upper = grey[i, j] * (1 - fx) + grey[i, j + 1] * fx
    lower = grey[i + 1, j] * (1 - fx) + grey[i + 1, j + 1] * fx
    return upper * (1 - fy) + lower * fy


def quadratic(c: Floats, u: Floats, v: Floats) -> Floats:
    """Return the polynomial with coefficients of 1, u, v, u², uv, v²."""
    return c[0] + c[1] * u + c[2] * v + c[3] * u * u + c[4] * u * v + c[5] * v * v


def moved(base: Floats, centre: float, m: Floats) -> Floats:
    """Return the map (2, 6) at x + m0 + m2 u + m3 v, y + m1 + m4 u + m5 v, by its derivatives at the centre."""
    shift = np.zeros((2, 6))
    for axis in range(2):
        jacobian = base[axis, 1:3] / centre
        shift[axis, :3] = jacobian[0] * m[[0, 2, 3]] + jacobian[1] * m[[1, 4, 5]]
    return base + shift


def window_values(
    image: NDArray[np.float32], maps: Floats, size: int, left: int, top: int, columns: int, rows: int
) -> Floats:
    """Return (rows, columns) of the image from the window's pixel (left, top) on."""
    centre = (size - 1) / 2
    v, u = (np.mgrid[top : top + rows, left : left + columns] - centre) / centre
    return bilinear(image, quadratic(maps[0], u, v), quadratic(maps[1], u, v))


def some_maps(corners: NDArray[np.int64], size: int) -> Floats:
    """Return (N, 2, 6) maps that look near the windows, a little turned, stretched and bent."""
    maps = np.zeros((len(corners), 2, 6))
    half = (size - 1) / 2
    maps[:, 0, :] = [1.3, 1.05 * half, 0.04 * half, 0.20, -0.15, 0.10]
    maps[:, 1, :] = [-0.8, -0.06 * half, 0.95 * half, 0.12, 0.17, -0.21]
    maps[:, :, 0] += corners + half
    return maps

"""A scene given by a formula, so that any camera's photo of it is exact: the truth of the alignment tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def texture(xy: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Brightness 0..255 at points (..., 2) of the scene: 48 waves of wavelengths 9 to 250 px, which never repeat."""
    rng = np.random.default_rng(seed)
    total = np.zeros(xy.shape[:-1])
    for wavelength in np.geomspace(9, 250, 48):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        k = 2 * np.pi / wavelength * np.array([np.cos(angle), np.sin(angle)])
        total += np.sin(xy @ k + phase) * wavelength**0.4
    return np.clip(128 + 1.2 * total, 0, 255)


def photo(scene_from_photo: Map, size_wh: tuple[int, int], *, seed: int = 0, noise: float = 0.0) -> NDArray[np.uint8]:
    """The RGB photo a camera takes of the scene, with Gaussian noise of that many grey levels."""
    y, x = np.mgrid[0 : size_wh[1], 0 : size_wh[0]].astype(np.float64)
    grey = texture(scene_from_photo(np.stack((x, y), axis=-1)), seed)[..., None] * np.array([1.0, 0.95, 0.9])
    grey = grey + noise * np.random.default_rng(1).standard_normal(grey.shape)
    return np.clip(np.floor(grey + 0.5), 0, 255).astype(np.uint8)


def distorted(
    scale: float, angle_deg: float, shift: tuple[float, float], radial: float, centre: tuple[float, float]
) -> Map:
    """A map that turns, scales, shifts, and grows the distance from `centre` by `radial` at 400 px."""
    c, s = np.cos(np.radians(angle_deg)) * scale, np.sin(np.radians(angle_deg)) * scale
    turn = np.array([[c, -s], [s, c]])

    def mapped(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        from_centre = xy - np.array(centre)
        grown = from_centre * (1 + radial * (from_centre**2).sum(axis=-1, keepdims=True) / 400**2)
        return grown @ turn.T + np.array(centre) * scale + np.array(shift)

    return mapped


def identity(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The DSLR of the tests looks at the scene straight on: its pixels are the scene's."""
    return xy


def nodes_of(window_xy: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """The (N, 5, 5, 2) places of the windows' nodes in the phone photo."""
    steps = np.linspace(0, size - 1, 5)
    return window_xy[:, None, None].astype(np.float64) + np.stack(np.meshgrid(steps, steps), axis=-1)

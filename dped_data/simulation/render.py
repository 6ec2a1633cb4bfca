"""Render the light that falls on a simulated sensor: scene pixels through the exact maps, anti-aliased.

Each photo pixel averages samples on a regular grid over its square. Samples come from the scene, a bicubic
(Catmull-Rom) surface through its pixels, at points that the exact map gives for the pixel's corners and bilinear
interpolation in between (off by less than 1e-5 px inside one pixel). A pixel whose corners see different surfaces is
sampled more finely, every sample through the exact map, so that depth edges are as sharp as the pixel grid allows.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from dped_data.simulation.geometry import PairGeometry
from dped_data.simulation.maps import surface_from_dslr, surface_from_phone
from dped_data.simulation.scenes import Scene

EDGE_SAMPLES = 4
"""Samples per side of a pixel on a depth edge."""


def render_light(geometry: PairGeometry, scene: Scene, *, phone: bool, blur_px: float) -> NDArray[np.float32]:
    """Return the phone's or the DSLR's view of the scene as (H, W, 3) float32 linear light.

    `blur_px` is the lens's blur, standard deviation in photo pixels. It is applied to the scene, before sampling, as a
    lens does, and keeps the samples from aliasing.
    """
    lens = geometry.phone if phone else geometry.dslr
    centre = np.array([[(lens.width_px - 1) / 2, (lens.height_px - 1) / 2]])
    dslr_px = float(geometry.local_scale(centre)[0]) if phone else 1.0
    scene_px = dslr_px * scene.pixels_per_dslr_px
    blurred = cv2.GaussianBlur(scene.pixels, (0, 0), blur_px * scene_px, borderType=cv2.BORDER_REFLECT)
    samples = min(EDGE_SAMPLES, max(2, math.ceil(scene_px)))
    out = np.empty((lens.height_px, lens.width_px, 3), np.float32)
    _render(geometry.packed(), phone, blurred, scene.textures, samples, out)
    return out


@njit(cache=True)
def _cubic(t, w):  # type: ignore[no-untyped-def]
    """Catmull-Rom weights of the four neighbours for a fraction t."""
    t2, t3 = t * t, t * t * t
    w[0] = -0.5 * t + t2 - 0.5 * t3
    w[1] = 1.0 - 2.5 * t2 + 1.5 * t3
    w[2] = 0.5 * t + 2.0 * t2 - 1.5 * t3
    w[3] = 0.5 * (t3 - t2)


@njit(cache=True)
def _add_sample(scene, x, y, wx, wy, rgb):  # type: ignore[no-untyped-def]
    """Add the scene's value at (x, y) to rgb; beyond the border the border's pixels repeat."""
    height, width = scene.shape[0], scene.shape[1]
    x0, y0 = math.floor(x), math.floor(y)
    _cubic(x - x0, wx)
    _cubic(y - y0, wy)
    for j in range(4):
        row = min(max(y0 - 1 + j, 0), height - 1)
        r = g = b = np.float32(0.0)
        for i in range(4):
            column = min(max(x0 - 1 + i, 0), width - 1)
            r += wx[i] * scene[row, column, 0]
            g += wx[i] * scene[row, column, 1]
            b += wx[i] * scene[row, column, 2]
        rgb[0] += wy[j] * r
        rgb[1] += wy[j] * g
        rgb[2] += wy[j] * b


@njit(cache=True)
def _see(g, phone, textures, x, y):  # type: ignore[no-untyped-def]
    """Photo pixel -> (surface, scene x, scene y)."""
    if phone:
        k, ux, uy = surface_from_phone(g, x, y)
    else:
        k, ux, uy = surface_from_dslr(g, x, y)
    t = textures[k]
    return k, t[0, 0] * ux + t[0, 1] * uy + t[0, 2], t[1, 0] * ux + t[1, 1] * uy + t[1, 2]


@njit(cache=True)
def _render_row(g, phone, textures, y, width, surfaces, points):  # type: ignore[no-untyped-def]
    """Surfaces and scene points of the upper corners of a row of pixels."""
    for x in range(width + 1):
        surfaces[x], points[x, 0], points[x, 1] = _see(g, phone, textures, x - 0.5, y - 0.5)


@njit(cache=True)
def _sample_edge(g, phone, scene, textures, x, y, wx, wy, rgb):  # type: ignore[no-untyped-def]
    """Average a pixel on a depth edge, every sample through the exact map."""
    for j in range(EDGE_SAMPLES):
        for i in range(EDGE_SAMPLES):
            _, sx, sy = _see(g, phone, textures, x - 0.5 + (i + 0.5) / EDGE_SAMPLES, y - 0.5 + (j + 0.5) / EDGE_SAMPLES)
            _add_sample(scene, sx, sy, wx, wy, rgb)
    rgb /= np.float32(EDGE_SAMPLES * EDGE_SAMPLES)


@njit(cache=True)
def _render(g, phone, scene, textures, samples, out):  # type: ignore[no-untyped-def]
    height, width = out.shape[0], out.shape[1]
    upper_k, lower_k = np.empty(width + 1, np.int64), np.empty(width + 1, np.int64)
    upper, lower = np.empty((width + 1, 2)), np.empty((width + 1, 2))
    wx, wy, rgb = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(3, np.float32)
    _render_row(g, phone, textures, 0, width, upper_k, upper)
    for y in range(height):
        _render_row(g, phone, textures, y + 1, width, lower_k, lower)
        for x in range(width):
            rgb[:] = 0.0
            if upper_k[x] != upper_k[x + 1] or upper_k[x] != lower_k[x] or upper_k[x] != lower_k[x + 1]:
                _sample_edge(g, phone, scene, textures, x, y, wx, wy, rgb)
            else:
                for j in range(samples):
                    v = (j + 0.5) / samples
                    ax, ay = upper[x, 0] * (1 - v) + lower[x, 0] * v, upper[x, 1] * (1 - v) + lower[x, 1] * v
                    bx, by = (
                        upper[x + 1, 0] * (1 - v) + lower[x + 1, 0] * v,
                        upper[x + 1, 1] * (1 - v) + lower[x + 1, 1] * v,
                    )
                    for i in range(samples):
                        h = (i + 0.5) / samples
                        _add_sample(scene, ax * (1 - h) + bx * h, ay * (1 - h) + by * h, wx, wy, rgb)
                rgb /= np.float32(samples * samples)
            out[y, x] = rgb
        upper_k, lower_k = lower_k, upper_k
        upper, lower = lower, upper

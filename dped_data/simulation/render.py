"""Render the light that falls on a simulated sensor: scene pixels through the exact maps, anti-aliased.

Each photo pixel averages samples on a regular grid over its square. Samples come from the scene, a cubic spline through
its pixels (cubic convolution would shift fine detail by 0.005 px, depending on the fraction), at points that the exact
map gives for the pixel's corners and bilinear interpolation in between (off by less than 1e-5 px inside one pixel).
A pixel whose corners see different surfaces is sampled more finely, every sample through the exact map, so that depth
edges are as sharp as the pixel grid allows.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.simulation.geometry import PairGeometry
from dped_data.simulation.kernels import EDGE_SAMPLES, render
from dped_data.simulation.scenes import Scene

SCENE_PX_PER_SAMPLE = 1.05
PIXEL_SIGMA = math.sqrt(1 / 12)
"""Standard deviation of a square one pixel wide."""
_SPLINE_INVERSE = math.sqrt(3) * (math.sqrt(3) - 2) ** np.abs(np.arange(-8, 9))
"""Turns samples into the coefficients of the cubic B-spline through them: the inverse of [1, 4, 1] / 6, cut at 1e-5."""


def render_light(geometry: PairGeometry, scene: Scene, *, phone: bool, blur_px: float) -> NDArray[np.float32]:
    """Return the phone's or the DSLR's view of the scene as (H, W, 3) float32 linear light.

    `blur_px` is the lens's blur, standard deviation in photo pixels. It is applied to the scene, before sampling, as a
    lens does, and keeps the samples from aliasing.
    """
    lens = geometry.phone if phone else geometry.dslr
    centre = np.array([[(lens.width_px - 1) / 2, (lens.height_px - 1) / 2]])
    dslr_px = float(geometry.local_scale(centre)[0]) if phone else 1.0
    scene_px = dslr_px * scene.pixels_per_dslr_px
    # A scene coarser than the photo's pixels cannot alias: one sample then, and the pixel's own square joins the blur.
    samples = min(EDGE_SAMPLES, math.ceil(scene_px / SCENE_PX_PER_SAMPLE))
    sigma_px = math.hypot(blur_px, PIXEL_SIGMA if samples == 1 else 0.0)
    blurred = cv2.GaussianBlur(scene.pixels, (0, 0), sigma_px * scene_px, borderType=cv2.BORDER_REFLECT)
    spline = cv2.sepFilter2D(blurred, -1, _SPLINE_INVERSE, _SPLINE_INVERSE, borderType=cv2.BORDER_REFLECT)
    out = np.empty((lens.height_px, lens.width_px, 3), np.float32)
    render(geometry.packed(), phone, spline, scene.textures, samples, out)
    return out

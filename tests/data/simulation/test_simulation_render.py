"""Rendered photos obey the exact map: dots drawn into the scene are found where the map says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dped_data.simulation.geometry import PairGeometry, draw_geometry
from dped_data.simulation.optics import develop, draw_phone, dslr_look
from dped_data.simulation.render import render_light
from dped_data.simulation.scenes import SRGB_TO_LINEAR, Scene
from dped_data.simulation.settings import SimulationSettings

PHONE_WH, DSLR_WH = (648, 486), (912, 608)
SPACING, SIGMA, REACH = 26, 2.0, 10


def dotted_scene(geometry: PairGeometry, background: float) -> Scene:
    """Gaussian dots on a lattice, one scene pixel per ideal DSLR pixel; objects wear them mirrored."""
    left, top, right, bottom = geometry.ideal_bounds()
    width, height = int(right - left) + 40, int(bottom - top) + 40
    x, y = np.arange(width), np.arange(height)
    wave_x = np.exp(-((((x + SPACING / 2) % SPACING) - SPACING / 2) ** 2) / (2 * SIGMA**2))
    wave_y = np.exp(-((((y + SPACING / 2) % SPACING) - SPACING / 2) ** 2) / (2 * SIGMA**2))
    dots = background + 0.6 * wave_y[:, None] * wave_x
    textures = [np.array([[1.0, 0, 20 - left], [0, 1.0, 20 - top]])]
    textures += [np.array([[-1.0, 0, width / 2 + o.x], [0, 1.0, height / 2 - o.y]]) for o in geometry.objects]
    return Scene(np.repeat(dots[..., None], 3, -1).astype(np.float32), ("dots",), 1.0, 1.0, np.stack(textures))


def dots_in(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Find the dots: local maxima, then the centroid of what rises above the background."""
    ring = cv2.dilate(picture, np.ones((7, 7), np.uint8))
    peaks = np.argwhere((picture > 0.25) & (picture == ring))
    room = np.array(picture.shape) - REACH - 2
    return np.array(
        [
            centroid(picture, float(x), float(y))
            for y, x in peaks
            if min(y, x) >= REACH + 2 and y < room[0] and x < room[1]
        ]
    )


def centroid(picture: NDArray[np.floating], x: float, y: float) -> tuple[float, float]:
    """Centroid about (x, y) in a round window with a soft rim, moved along until it rests."""
    for _ in range(12):
        x0, y0 = round(x), round(y)
        part = picture[y0 - REACH : y0 + REACH + 1, x0 - REACH : x0 + REACH + 1].astype(np.float64)
        dy, dx = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(np.float64)
        dx, dy = dx - (x - x0), dy - (y - y0)
        weight = part * np.exp(-(dx * dx + dy * dy) / (2 * 2.5**2))
        step_x, step_y = (weight * dx).sum() / weight.sum(), (weight * dy).sum() / weight.sum()
        x, y = x + 2 * step_x, y + 2 * step_y
        if max(abs(step_x), abs(step_y)) < 1e-6:
            break
    return x, y


def interior(geometry: PairGeometry, dots: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Dots whose whole neighbourhood shows one surface that both photos see, off the crease where the ground begins."""
    steps = np.linspace(-REACH - 2, REACH + 2, 7)
    ring = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    truth = geometry.dslr_from_phone((dots[:, None] + ring).reshape(-1, 2))
    surface, visible = truth.surface.reshape(-1, 49), truth.visible.reshape(-1, 49)
    inside = ((truth.dslr_xy > 16) & (truth.dslr_xy < np.array(DSLR_WH) - 16)).all(axis=1).reshape(-1, 49)
    off_crease = np.abs(geometry.dslr_from_phone(dots).dslr_xy[:, 1] - geometry.ramp.horizon_y) > 2 * REACH
    return off_crease & (surface == surface[:, :1]).all(axis=1) & visible.all(axis=1) & inside.all(axis=1)


@pytest.mark.parametrize("parallax", [0.0, 15.0])
def test_dots_lie_where_the_exact_map_says(parallax: float) -> None:
    rng = np.random.default_rng(6)
    geometry = draw_geometry(rng, PHONE_WH, DSLR_WH, SimulationSettings(parallax=parallax, warp_px=2.0))
    scene = dotted_scene(geometry, background=0.0)
    phone = render_light(geometry, scene, phone=True, blur_px=0.8)[..., 1]
    dslr = render_light(geometry, scene, phone=False, blur_px=0.45)[..., 1]
    dots = dots_in(phone)
    dots = dots[interior(geometry, dots)]
    truth = geometry.dslr_from_phone(dots)
    found = np.array([centroid(dslr, *xy) for xy in truth.dslr_xy])
    error = np.linalg.norm(found - truth.dslr_xy, axis=1)
    assert len(dots) > 120
    assert len(np.unique(truth.surface)) >= (1 if parallax == 0 else 3)
    assert np.median(error) < 0.002
    assert error.max() < 0.004  # what is left is the curvature of the map under a dot


def test_developing_moves_nothing() -> None:
    rng = np.random.default_rng(7)
    geometry = draw_geometry(rng, PHONE_WH, DSLR_WH, SimulationSettings(warp_px=2.0))
    scene = dotted_scene(geometry, background=0.08)
    offsets = []
    for is_phone, look in ((True, draw_phone(rng, 1200)), (False, dslr_look())):
        light = render_light(geometry, scene, phone=is_phone, blur_px=look.blur_px)
        before = light[..., 1].copy()
        photo = SRGB_TO_LINEAR[develop(light, look, rng)][..., 1]
        dots = dots_in(before - before.min())
        floor = np.median(photo)
        found = np.array([centroid(np.clip(photo - floor, 0, None), *xy) for xy in dots])
        offsets.append(np.median(found - dots, axis=0))
        assert len(dots) > 200
    np.testing.assert_allclose(offsets, 0, atol=0.01)


def test_a_depth_edge_is_as_sharp_as_a_pixel() -> None:
    geometry = draw_geometry(np.random.default_rng(8), PHONE_WH, DSLR_WH, SimulationSettings(parallax=15.0))
    left, top, right, bottom = geometry.ideal_bounds()
    pixels = np.zeros((int(bottom - top) + 60, 2 * int(right - left) + 120, 3), np.float32)
    pixels[:, pixels.shape[1] // 2 :] = 1.0  # dark background on the left, bright objects on the right
    bright = [
        np.array([[1.0, 0, 1.5 * pixels.shape[1] / 2 - o.x], [0, 1.0, pixels.shape[0] / 2 - o.y]])
        for o in geometry.objects
    ]
    textures = np.stack([np.array([[1.0, 0, 20 - left], [0, 1.0, 20 - top]]), *bright])
    phone = render_light(geometry, Scene(pixels, ("halves",), 1.0, 1.0, textures), phone=True, blur_px=0.8)[..., 1]
    grid = np.stack(np.meshgrid(np.arange(PHONE_WH[0]), np.arange(PHONE_WH[1])), -1).reshape(-1, 2).astype(float)
    surface = geometry.dslr_from_phone(grid).surface.reshape(PHONE_WH[1], PHONE_WH[0])
    between = (phone > 0.01) & (phone < 0.99)
    assert 100 < between.sum() < 3 * sum(2 * np.pi * o.radius_px for o in geometry.objects)
    assert (phone[~between] > 0.5).tolist() == (surface[~between] > 0).tolist()

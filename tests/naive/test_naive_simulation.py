from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq

from dped_data.simulation import kernels

LENSES = {"phone": (15.0, 12.0, 30.0, -0.06), "dslr": (20.0, 16.0, 40.0, 0.05)}
H = np.array([[1.3, 0.02, 0.8], [-0.03, 1.25, 0.5], [1e-4, -2e-4, 1.0]])
WAVES = [(0.4, 0.11, 0.05, 0.3), (0.3, -0.07, 0.13, 1.1)]
RAMP = (14.0, 0.08, -0.05)
OBJECTS = [
    (14.0, 12.0, 5.0, 1.5, -0.7, 0.08, 0.05, -0.06, 0.04, 0.3, 1.0, 2.0, 0.5),
    (20.0, 15.0, 7.0, -1.0, 0.6, 0.05, -0.04, 0.03, 0.06, 1.3, 0.2, 0.7, 2.5),
]
G = np.array([*LENSES["phone"], *LENSES["dslr"], *H.ravel(), *WAVES[0], *WAVES[1], *RAMP, *sum(OBJECTS, ())])
TEXTURES = np.array([[[1.0, 0.1, 2.0], [-0.1, 0.9, 5.0]], [[0.8, 0, 3.0], [0, 1.1, 1.0]], [[1.2, 0, 0], [0.2, 1, 0]]])
SCENE = np.random.default_rng(3).uniform(0, 255, (26, 33, 3)).astype(np.float32)


def distort(lens: str, p: np.ndarray) -> np.ndarray:
    cx, cy, focal, k1 = LENSES[lens]
    d = p - (cx, cy)
    return (cx, cy) + d * (1 + k1 * (d @ d) / focal**2)


def undistort(lens: str, p: np.ndarray) -> np.ndarray:
    cx, cy, focal, k1 = LENSES[lens]
    d = p - (cx, cy)
    s = brentq(lambda s: s * (1 + k1 * (d @ d) / focal**2 * s * s) - 1, 0.5, 1.5, xtol=1e-14)
    return (cx, cy) + d * s


def on_object(o: tuple[float, ...], u: np.ndarray) -> bool:
    dx, dy = u - o[:2]
    ripples = sum(o[5 + m] * np.cos((m + 2) * np.arctan2(dy, dx) + o[9 + m]) for m in range(4))
    return bool(np.hypot(dx, dy) < o[2] * (1 + ripples))


def straight(p: np.ndarray) -> np.ndarray:
    q = undistort("phone", p)
    w = q + [a * np.sin(fx * q[0] + fy * q[1] + phase) for a, fx, fy, phase in WAVES]
    v = H @ [*w, 1.0]
    return v[:2] / v[2]


def on_surface(k: int, v: np.ndarray) -> np.ndarray:
    return v + OBJECTS[k - 1][3:5] if k else v + np.array(RAMP[1:]) * max(0.0, v[1] - RAMP[0])


def see(phone: bool, p: np.ndarray) -> tuple[int, np.ndarray]:
    at = straight(p) if phone else undistort("dslr", p)
    for k in range(1, len(OBJECTS) + 1):
        u = on_surface(k, at) if phone else at
        if on_object(OBJECTS[k - 1], u):
            return k, u
    return 0, on_surface(0, at) if phone else at


POINTS = np.stack(np.meshgrid(np.linspace(0, 29, 16), np.linspace(0, 23, 13)), axis=-1).reshape(-1, 2)


def test_points_and_what_hides_them_are_the_models() -> None:
    """To 1e-9 px: Newton's steps leave 1e-12, and the map stretches them little."""
    dslr_xy, surface, hidden = kernels.dslr_from_phone(G, POINTS)
    seen = [see(True, p) for p in POINTS]
    assert surface.tolist() == [k for k, _ in seen]
    covered = [any(on_object(o, u) for o in (OBJECTS[: k - 1] if k else OBJECTS)) for k, u in seen]
    assert hidden.tolist() == covered
    assert set(surface) == {0, 1, 2} and 0 < hidden.sum() < len(hidden)
    np.testing.assert_allclose(dslr_xy, [distort("dslr", u) for _, u in seen], atol=1e-9)
    for phone in (True, False):
        wanted = [see(phone, p)[1] for p in POINTS]
        np.testing.assert_allclose(kernels.surface_points(G, POINTS, phone), wanted, atol=1e-9)


def test_the_scale_is_the_area_of_a_pixel() -> None:
    found = kernels.local_scale(G, POINTS)
    for p, scale in zip(POINTS, found, strict=True):
        k, _ = see(True, p)
        right, left, below, above = (
            distort("dslr", on_surface(k, straight(p + step))) for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
        )
        area = np.linalg.det(np.stack((right - left, below - above)))
        np.testing.assert_allclose(scale, np.sqrt(abs(area)), rtol=1e-8)


@pytest.mark.parametrize(("phone", "samples"), [(True, 1), (False, 2)])
def test_the_rendered_photo_is_scipys_spline_at_the_models_points(phone: bool, samples: int) -> None:
    """To 1e-3 levels: float32 weights and sums of values up to 255."""
    out = np.empty((24, 30, 3), np.float32)
    kernels.render(G, phone, SCENE, TEXTURES, samples, out)

    def textured(p: np.ndarray) -> tuple[int, np.ndarray]:
        k, u = see(phone, p)
        return k, TEXTURES[k] @ [*u, 1.0]

    edges = 0
    for y, x in np.ndindex(24, 30):
        if (x + 3 * y) % 5:
            continue
        corners = [textured(np.array([x + i - 0.5, y + j - 0.5])) for j in (0, 1) for i in (0, 1)]
        if len({k for k, _ in corners}) == 1:
            steps = (np.arange(samples) + 0.5) / samples
            c = np.array([at for _, at in corners]).reshape(2, 2, 2)
            points = [np.einsum("j,i,jia->a", [1 - v, v], [1 - h, h], c) for v in steps for h in steps]
        else:
            edges += 1
            steps = (np.arange(kernels.EDGE_SAMPLES) + 0.5) / kernels.EDGE_SAMPLES - 0.5
            points = [textured(np.array([x + h, y + v]))[1] for v in steps for h in steps]
        at = np.array(points)[:, ::-1].T
        wanted = [
            map_coordinates(SCENE[..., c].astype(float), at, order=3, mode="nearest", prefilter=False).mean()
            for c in range(3)
        ]
        np.testing.assert_allclose(out[y, x], wanted, atol=1e-3)
    assert edges > 5

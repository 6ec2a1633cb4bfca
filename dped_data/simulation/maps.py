"""Compiled point maps of a simulated capture; geometry.py says what they mean (leaf)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Packed(NamedTuple):
    """PairGeometry as arrays: lenses (cx, cy, focal, k1), homography (3, 3), waves (2, 4), ramp (3,), objects (K, 13)."""

    phone: NDArray[np.float64]
    dslr: NDArray[np.float64]
    homography: NDArray[np.float64]
    waves: NDArray[np.float64]
    ramp: NDArray[np.float64]
    objects: NDArray[np.float64]


@njit(cache=True)
def photo_from_ideal(lens, x, y):  # type: ignore[no-untyped-def]
    """Add a lens's radial distortion to one point."""
    dx, dy = x - lens[0], y - lens[1]
    factor = 1.0 + lens[3] * (dx * dx + dy * dy) / (lens[2] * lens[2])
    return lens[0] + dx * factor, lens[1] + dy * factor


@njit(cache=True)
def ideal_from_photo(lens, x, y):  # type: ignore[no-untyped-def]
    """Remove a lens's radial distortion from one point: Newton on s (1 + k s^2) = 1, to machine precision."""
    dx, dy = x - lens[0], y - lens[1]
    k = lens[3] * (dx * dx + dy * dy) / (lens[2] * lens[2])
    s = 1.0
    for _ in range(6):
        s -= (s * (1.0 + k * s * s) - 1.0) / (1.0 + 3.0 * k * s * s)
    return lens[0] + dx * s, lens[1] + dy * s


@njit(cache=True)
def _inside(thing, x, y):  # type: ignore[no-untyped-def]
    """Whether an ideal DSLR point lies on a near object."""
    dx, dy = x - thing[0], y - thing[1]
    distance = math.sqrt(dx * dx + dy * dy)
    most = 1.0 + abs(thing[5]) + abs(thing[6]) + abs(thing[7]) + abs(thing[8])
    if distance >= thing[2] * most:
        return False
    angle = math.atan2(dy, dx)
    radius = 1.0
    for m in range(4):
        radius += thing[5 + m] * math.cos((m + 2) * angle + thing[9 + m])
    return distance < thing[2] * radius


@njit(cache=True)
def _hidden(objects, nearer, x, y):  # type: ignore[no-untyped-def]
    """Whether one of the `nearer` first objects covers an ideal DSLR point."""
    for k in range(nearer):  # noqa: SIM110 - compiled
        if _inside(objects[k], x, y):
            return True
    return False


@njit(cache=True)
def _straight_from_phone(g, x, y):  # type: ignore[no-untyped-def]
    """Phone pixel -> v: everything but parallax."""
    qx, qy = ideal_from_photo(g.phone, x, y)
    w = g.waves
    wx = qx + w[0, 0] * math.sin(w[0, 1] * qx + w[0, 2] * qy + w[0, 3])
    wy = qy + w[1, 0] * math.sin(w[1, 1] * qx + w[1, 2] * qy + w[1, 3])
    h = g.homography
    d = h[2, 0] * wx + h[2, 1] * wy + h[2, 2]
    return (h[0, 0] * wx + h[0, 1] * wy + h[0, 2]) / d, (h[1, 0] * wx + h[1, 1] * wy + h[1, 2]) / d


@njit(cache=True)
def _on_surface(g, surface, vx, vy):  # type: ignore[no-untyped-def]
    """v -> u on a given surface."""
    if surface > 0:
        return vx + g.objects[surface - 1, 3], vy + g.objects[surface - 1, 4]
    below = max(0.0, vy - g.ramp[0])
    return vx + g.ramp[1] * below, vy + g.ramp[2] * below


@njit(cache=True)
def surface_from_phone(g, x, y):  # type: ignore[no-untyped-def]
    """Phone pixel -> (surface seen there, its point u)."""
    vx, vy = _straight_from_phone(g, x, y)
    for k in range(len(g.objects)):
        ux, uy = _on_surface(g, k + 1, vx, vy)
        if _inside(g.objects[k], ux, uy):
            return k + 1, ux, uy
    ux, uy = _on_surface(g, 0, vx, vy)
    return 0, ux, uy


@njit(cache=True)
def surface_from_dslr(g, x, y):  # type: ignore[no-untyped-def]
    """DSLR pixel -> (surface seen there, its point u)."""
    ux, uy = ideal_from_photo(g.dslr, x, y)
    for k in range(len(g.objects)):
        if _inside(g.objects[k], ux, uy):
            return k + 1, ux, uy
    return 0, ux, uy


@njit(cache=True)
def dslr_from_phone(g, phone_xy):  # type: ignore[no-untyped-def]
    """(N, 2) phone pixels -> (N, 2) DSLR pixels, (N,) uint8 surface, (N,) bool hidden behind a nearer object in the DSLR photo."""
    n = len(phone_xy)
    dslr_xy, surface, hidden = np.empty((n, 2)), np.empty(n, np.uint8), np.empty(n, np.bool_)
    for i in range(n):
        k, ux, uy = surface_from_phone(g, phone_xy[i, 0], phone_xy[i, 1])
        surface[i] = k
        hidden[i] = _hidden(g.objects, k - 1 if k > 0 else len(g.objects), ux, uy)
        dslr_xy[i, 0], dslr_xy[i, 1] = photo_from_ideal(g.dslr, ux, uy)
    return dslr_xy, surface, hidden


@njit(cache=True)
def surface_points(g, photo_xy, phone):  # type: ignore[no-untyped-def]
    """(N, 2) pixels of the phone photo (`phone` true) or of the DSLR photo -> (N, 2) points u of what is seen there."""
    u = np.empty((len(photo_xy), 2))
    for i in range(len(photo_xy)):
        if phone:
            _, u[i, 0], u[i, 1] = surface_from_phone(g, photo_xy[i, 0], photo_xy[i, 1])
        else:
            _, u[i, 0], u[i, 1] = surface_from_dslr(g, photo_xy[i, 0], photo_xy[i, 1])
    return u


@njit(cache=True)
def _dslr_on_surface(g, surface, x, y):  # type: ignore[no-untyped-def]
    vx, vy = _straight_from_phone(g, x, y)
    ux, uy = _on_surface(g, surface, vx, vy)
    return photo_from_ideal(g.dslr, ux, uy)


@njit(cache=True)
def local_scale(g, phone_xy):  # type: ignore[no-untyped-def]
    """(N, 2) phone pixels -> (N,) DSLR pixels per phone pixel, by central differences on the surface seen there."""
    scale = np.empty(len(phone_xy))
    for i in range(len(phone_xy)):
        x, y = phone_xy[i, 0], phone_xy[i, 1]
        k, _, _ = surface_from_phone(g, x, y)
        rx, ry = _dslr_on_surface(g, k, x + 0.5, y)
        lx, ly = _dslr_on_surface(g, k, x - 0.5, y)
        bx, by = _dslr_on_surface(g, k, x, y + 0.5)
        tx, ty = _dslr_on_surface(g, k, x, y - 0.5)
        scale[i] = math.sqrt(abs((rx - lx) * (by - ty) - (bx - tx) * (ry - ly)))
    return scale

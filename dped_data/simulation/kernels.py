"""Compiled maps and rendering of a simulated capture; geometry.py and render.py say what they mean.

All in one file: a compiled function that is cached on disk does not notice changes in another file.

A geometry comes as one flat float64 array `g`, because passing several arrays down to functions that handle one point
costs more than the arithmetic:

    0   phone lens: centre x, centre y, focal length, k1         17  waves in x, in y: amplitude, frequency x, y, phase
    4   DSLR lens, likewise                                      25  ground ramp: horizon, x and y per pixel
    8   homography, row by row                                   28  near objects, OBJECT numbers each, nearest first:
                                                                     x, y, radius, shift x, shift y, 4 ripples, 4 phases

The spline by scipy.ndimage.map_coordinates takes 8 times as long
(`PYTHONPATH=.:tests python benchmarks/kernels.py`, AMD EPYC, one thread).
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when a library renders maps with hidden surfaces.
"""

from __future__ import annotations

import math

import numpy as np

from dped_data.common.jit import njit

PHONE, DSLR, HOMOGRAPHY, WAVES, RAMP, OBJECTS = 0, 4, 8, 17, 25, 28
OBJECT = 13

EDGE_SAMPLES = 4
"""Samples per side of a pixel on a depth edge, and the most elsewhere."""


@njit(cache=True)
def photo_from_ideal(g, lens, x, y):  # type: ignore[no-untyped-def]
    """Add the radial distortion of the lens that starts at g[lens] to one point."""
    dx, dy = x - g[lens], y - g[lens + 1]
    factor = 1.0 + g[lens + 3] * (dx * dx + dy * dy) / (g[lens + 2] * g[lens + 2])
    return g[lens] + dx * factor, g[lens + 1] + dy * factor


@njit(cache=True)
def ideal_from_photo(g, lens, x, y):  # type: ignore[no-untyped-def]
    """Remove a lens's radial distortion from one point: four Newton steps on s (1 + k s^2) = 1 leave below 1e-12 px."""
    dx, dy = x - g[lens], y - g[lens + 1]
    k = g[lens + 3] * (dx * dx + dy * dy) / (g[lens + 2] * g[lens + 2])
    s = 1.0
    for _ in range(4):
        s -= (s * (1.0 + k * s * s) - 1.0) / (1.0 + 3.0 * k * s * s)
    return g[lens] + dx * s, g[lens + 1] + dy * s


@njit(cache=True)
def _object_count(g):  # type: ignore[no-untyped-def]
    return (len(g) - OBJECTS) // OBJECT


@njit(cache=True)
def _inside(g, k, x, y):  # type: ignore[no-untyped-def]
    """Whether an ideal DSLR point lies on near object k (0, 1, ...)."""
    o = OBJECTS + k * OBJECT
    dx, dy = x - g[o], y - g[o + 1]
    distance = math.sqrt(dx * dx + dy * dy)
    most = 1.0 + abs(g[o + 5]) + abs(g[o + 6]) + abs(g[o + 7]) + abs(g[o + 8])
    if distance >= g[o + 2] * most:
        return False
    angle = math.atan2(dy, dx)
    radius = 1.0
    for m in range(4):
        radius += g[o + 5 + m] * math.cos((m + 2) * angle + g[o + 9 + m])
    return distance < g[o + 2] * radius


@njit(cache=True)
def _hidden(g, nearer, x, y):  # type: ignore[no-untyped-def]
    """Whether one of the `nearer` first objects covers an ideal DSLR point."""
    for k in range(nearer):  # noqa: SIM110 - compiled
        if _inside(g, k, x, y):
            return True
    return False


@njit(cache=True)
def _straight_from_phone(g, x, y):  # type: ignore[no-untyped-def]
    """Phone pixel -> v: everything but parallax."""
    qx, qy = ideal_from_photo(g, PHONE, x, y)
    w, h = WAVES, HOMOGRAPHY
    wx = qx + g[w] * math.sin(g[w + 1] * qx + g[w + 2] * qy + g[w + 3])
    wy = qy + g[w + 4] * math.sin(g[w + 5] * qx + g[w + 6] * qy + g[w + 7])
    d = g[h + 6] * wx + g[h + 7] * wy + g[h + 8]
    return (g[h] * wx + g[h + 1] * wy + g[h + 2]) / d, (g[h + 3] * wx + g[h + 4] * wy + g[h + 5]) / d


@njit(cache=True)
def _on_surface(g, surface, vx, vy):  # type: ignore[no-untyped-def]
    """v -> u on a given surface."""
    if surface > 0:
        o = OBJECTS + (surface - 1) * OBJECT
        return vx + g[o + 3], vy + g[o + 4]
    below = max(0.0, vy - g[RAMP])
    return vx + g[RAMP + 1] * below, vy + g[RAMP + 2] * below


@njit(cache=True)
def surface_from_phone(g, x, y):  # type: ignore[no-untyped-def]
    """Phone pixel -> (surface seen there, its point u)."""
    vx, vy = _straight_from_phone(g, x, y)
    for k in range(_object_count(g)):
        ux, uy = _on_surface(g, k + 1, vx, vy)
        if _inside(g, k, ux, uy):
            return k + 1, ux, uy
    ux, uy = _on_surface(g, 0, vx, vy)
    return 0, ux, uy


@njit(cache=True)
def surface_from_dslr(g, x, y):  # type: ignore[no-untyped-def]
    """DSLR pixel -> (surface seen there, its point u)."""
    ux, uy = ideal_from_photo(g, DSLR, x, y)
    for k in range(_object_count(g)):
        if _inside(g, k, ux, uy):
            return k + 1, ux, uy
    return 0, ux, uy


@njit(cache=True)
def dslr_from_phone(g, phone_xy):  # type: ignore[no-untyped-def]
    """(N, 2) phone pixels -> (N, 2) DSLR pixels, (N,) uint8 surface, (N,) bool hidden there behind a nearer object."""
    n = len(phone_xy)
    dslr_xy, surface, hidden = np.empty((n, 2)), np.empty(n, np.uint8), np.empty(n, np.bool_)
    for i in range(n):
        k, ux, uy = surface_from_phone(g, phone_xy[i, 0], phone_xy[i, 1])
        surface[i] = k
        hidden[i] = _hidden(g, k - 1 if k > 0 else _object_count(g), ux, uy)
        dslr_xy[i, 0], dslr_xy[i, 1] = photo_from_ideal(g, DSLR, ux, uy)
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
    return photo_from_ideal(g, DSLR, ux, uy)


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


@njit(cache=True, inline="always")
def _cubic(t):  # type: ignore[no-untyped-def]
    """Cubic B-spline weights of the four neighbours for a float32 fraction t."""
    one, six, three = np.float32(1.0), np.float32(1.0 / 6.0), np.float32(3.0)
    t2, rest = t * t, one - t
    t3 = t2 * t
    return (
        rest * rest * rest * six,
        (three * t3 - np.float32(6.0) * t2 + np.float32(4.0)) * six,
        (three * (t + t2 - t3) + one) * six,
        t3 * six,
    )


@njit(cache=True)
def _sample(scene, x, y):  # type: ignore[no-untyped-def]
    """Return the (r, g, b) at (x, y) of a spline; beyond the border the border's coefficients repeat."""
    height, width = scene.shape[0], scene.shape[1]
    x0, y0 = math.floor(x), math.floor(y)
    a0, a1, a2, a3 = _cubic(np.float32(x - x0))
    weights_y = _cubic(np.float32(y - y0))
    c0, c1, c2, c3 = x0 - 1, x0, x0 + 1, x0 + 2
    if x0 < 1 or x0 > width - 3:
        c0, c1 = min(max(c0, 0), width - 1), min(max(c1, 0), width - 1)
        c2, c3 = min(max(c2, 0), width - 1), min(max(c3, 0), width - 1)
    r = g = b = np.float32(0.0)
    for j in range(4):
        line = scene[min(max(y0 - 1 + j, 0), height - 1)]
        w = weights_y[j]
        r += w * (a0 * line[c0, 0] + a1 * line[c1, 0] + a2 * line[c2, 0] + a3 * line[c3, 0])
        g += w * (a0 * line[c0, 1] + a1 * line[c1, 1] + a2 * line[c2, 1] + a3 * line[c3, 1])
        b += w * (a0 * line[c0, 2] + a1 * line[c1, 2] + a2 * line[c2, 2] + a3 * line[c3, 2])
    return r, g, b


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
def _edge_pixel(g, phone, scene, textures, x, y):  # type: ignore[no-untyped-def]
    """Return the mean of a pixel on a depth edge, every sample through the exact map."""
    red = green = blue = np.float32(0.0)
    for j in range(EDGE_SAMPLES):
        for i in range(EDGE_SAMPLES):
            _, sx, sy = _see(g, phone, textures, x - 0.5 + (i + 0.5) / EDGE_SAMPLES, y - 0.5 + (j + 0.5) / EDGE_SAMPLES)
            r, gr, b = _sample(scene, sx, sy)
            red, green, blue = red + r, green + gr, blue + b
    n = np.float32(1.0 / (EDGE_SAMPLES * EDGE_SAMPLES))
    return red * n, green * n, blue * n


@njit(cache=True)
def _plain_pixel(scene, upper, lower, x, samples):  # type: ignore[no-untyped-def]
    """Return the mean of a pixel on one surface, from the scene points of its four corners."""
    red = green = blue = np.float32(0.0)
    for j in range(samples):
        v = (j + 0.5) / samples
        ax, ay = upper[x, 0] * (1 - v) + lower[x, 0] * v, upper[x, 1] * (1 - v) + lower[x, 1] * v
        bx, by = upper[x + 1, 0] * (1 - v) + lower[x + 1, 0] * v, upper[x + 1, 1] * (1 - v) + lower[x + 1, 1] * v
        for i in range(samples):
            h = (i + 0.5) / samples
            r, g, b = _sample(scene, ax * (1 - h) + bx * h, ay * (1 - h) + by * h)
            red, green, blue = red + r, green + g, blue + b
    n = np.float32(1.0 / (samples * samples))
    return red * n, green * n, blue * n


@njit(cache=True)
def render(g, phone, scene, textures, samples, out):  # type: ignore[no-untyped-def]
    height, width = out.shape[0], out.shape[1]
    upper_k, lower_k = np.empty(width + 1, np.int64), np.empty(width + 1, np.int64)
    upper, lower = np.empty((width + 1, 2)), np.empty((width + 1, 2))
    _render_row(g, phone, textures, 0, width, upper_k, upper)
    for y in range(height):
        _render_row(g, phone, textures, y + 1, width, lower_k, lower)
        for x in range(width):
            if upper_k[x] != upper_k[x + 1] or upper_k[x] != lower_k[x] or upper_k[x] != lower_k[x + 1]:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = _edge_pixel(g, phone, scene, textures, x, y)
            else:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = _plain_pixel(scene, upper, lower, x, samples)
        upper_k, lower_k = lower_k, upper_k
        upper, lower = lower, upper

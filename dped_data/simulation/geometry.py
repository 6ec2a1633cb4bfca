"""Where each phone pixel of a simulated capture lies in the DSLR photo, exactly.

The chain from a phone pixel p to a DSLR pixel d:

    p  --remove the phone's lens distortion, add the smooth warp, homography-->  v   (ideal DSLR pixels)
    v  --+ the parallax of the surface seen there: ground ramp or a near object-->  u   (ideal DSLR pixels)
    u  --add the DSLR's lens distortion-->  d

"Ideal" means the DSLR photo as a lens without distortion would take it. The scene is a picture in ideal DSLR pixels;
both photos are rendered by these maps and no others, so the truth holds by construction.
Surface 0 is the background with the ground, surface k (1, 2, ...) the k-th near object, nearest first.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dped_data.simulation import kernels
from dped_data.simulation.settings import SimulationSettings

FOCAL_WIDTHS = 1.07
"""Ours: focal length over photo width of a 28 mm equivalent lens on a 4:3 sensor, the usual main camera of a phone."""
PHONE_K1 = (0.01, 0.06)
DSLR_K1 = (-0.03, 0.0)
"""Ours: radial distortion of ordinary lenses at that focal length, pincushion for phones, barrel for wide zooms."""
OFFSET_SHARE = 0.02
"""Ours: how far the optical axes miss each other, share of the photo width; a rig is aimed by hand."""
WARP_LEAST_SHARE = 0.2
ROTATION_LEAST_SHARE = 1 / 6
"""With the default settings the warp is 1-5 px and the rotation 0.5-3 degrees."""
OBJECT_COUNT = (2, 4)
OBJECT_RADIUS = (0.05, 0.13)
"""Radius of near objects, share of the DSLR photo's width."""
OBJECT_PARALLAX = (0.4, 1.0)
RAMP_PARALLAX = (0.2, 0.4)
"""Shares of the largest parallax: the ground stays behind every near object, as in any real scene."""
BASELINE_DEG = 20.0
"""Ours: cameras sit side by side, so parallax runs within this angle of the horizontal."""


@dataclass(frozen=True)
class Lens:
    """A camera whose radial distortion takes ideal q to c + (q - c) (1 + k1 (|q - c| / focal)^2), c its centre."""

    width_px: int
    height_px: int
    focal_px: float
    k1: float


@dataclass(frozen=True)
class Wave:
    """A displacement amplitude_px * sin(frequency_x * x + frequency_y * y + phase); frequencies in radians per px."""

    amplitude_px: float
    frequency_x: float
    frequency_y: float
    phase: float


@dataclass(frozen=True)
class Ramp:
    """Ground below the horizon: u = v + per_px * max(0, v.y - horizon_y), in ideal DSLR pixels."""

    horizon_y: float
    per_px_x: float
    per_px_y: float


@dataclass(frozen=True)
class NearObject:
    """A flat object with a rippled outline, u = v + shift inside it.

    It covers the ideal DSLR pixels whose distance from (x, y) is below
    radius_px * (1 + sum of ripple[m] cos((m + 2) angle + phase[m])).
    """

    x: float
    y: float
    radius_px: float
    shift_x: float
    shift_y: float
    ripple: tuple[float, float, float, float]
    phase: tuple[float, float, float, float]


@dataclass(frozen=True)
class TruePoints:
    """Where N phone points lie: `dslr_xy` (N, 2) float64, `surface` (N,) uint8, and `visible` (N,) bool:
    inside the DSLR photo and not hidden there behind a nearer object."""

    dslr_xy: NDArray[np.float64]
    surface: NDArray[np.uint8]
    visible: NDArray[np.bool_]


@dataclass(frozen=True)
class PairGeometry:
    """The exact geometry of one simulated capture; `objects` nearest first, `homography` row by row."""

    phone: Lens
    dslr: Lens
    homography: tuple[float, ...]
    warp_x: Wave
    warp_y: Wave
    ramp: Ramp
    objects: tuple[NearObject, ...]

    def packed(self) -> NDArray[np.float64]:
        """Return the numbers as the compiled maps want them (kernels.py)."""
        numbers: list[float] = []
        for lens in (self.phone, self.dslr):
            numbers += [(lens.width_px - 1) / 2, (lens.height_px - 1) / 2, lens.focal_px, lens.k1]
        numbers += self.homography
        for part in (self.warp_x, self.warp_y, self.ramp, *self.objects):
            numbers += _flat(part)
        return np.array(numbers, np.float64)

    def dslr_from_phone(self, phone_xy: NDArray[np.float64]) -> TruePoints:
        """Map (N, 2) phone pixels, fractions allowed, to the DSLR photo."""
        dslr_xy, surface, hidden = kernels.dslr_from_phone(self.packed(), np.ascontiguousarray(phone_xy, np.float64))
        x, y = dslr_xy.T
        inside = (x >= 0) & (y >= 0) & (x <= self.dslr.width_px - 1) & (y <= self.dslr.height_px - 1)
        return TruePoints(dslr_xy, surface, inside & ~hidden)

    def local_scale(self, phone_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how many DSLR pixels one phone pixel spans at (N, 2) phone points: from the map's Jacobian."""
        return kernels.local_scale(self.packed(), np.ascontiguousarray(phone_xy, np.float64))

    def ideal_bounds(self) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) of what both photos together show, in ideal DSLR pixels."""
        packed = self.packed()
        phone = kernels.surface_points(packed, _outline(self.phone), True)
        dslr = kernels.surface_points(packed, _outline(self.dslr), False)
        points = np.concatenate([phone, dslr])
        left, top = points.min(axis=0)
        right, bottom = points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def draw_geometry(
    rng: np.random.Generator, phone_wh: tuple[int, int], dslr_wh: tuple[int, int], settings: SimulationSettings
) -> PairGeometry:
    """Draw the geometry of one capture for photos of the given sizes."""
    phone = _draw_lens(rng, phone_wh, PHONE_K1, settings.distortion)
    dslr = _draw_lens(rng, dslr_wh, DSLR_K1, settings.distortion)
    view = rng.uniform(settings.min_view, max(settings.min_view, settings.max_view))
    scale = view * dslr.width_px / phone.width_px
    homography = _draw_homography(rng, phone, dslr, scale, settings)
    waves = [_draw_wave(rng, phone, settings.warp_px * settings.scale) for _ in range(2)]
    ramp, objects = Ramp(0.0, 0.0, 0.0), ()
    flat = PairGeometry(phone, dslr, tuple(homography.ravel().tolist()), waves[0], waves[1], ramp, objects)
    return flat if settings.parallax == 0 else _with_parallax(rng, flat, settings.parallax * settings.scale * scale)


def _draw_lens(rng: np.random.Generator, size_wh: tuple[int, int], k1: tuple[float, float], distortion: float) -> Lens:
    return Lens(*size_wh, FOCAL_WIDTHS * size_wh[0], distortion * rng.uniform(*k1))


def _draw_homography(
    rng: np.random.Generator, phone: Lens, dslr: Lens, scale: float, settings: SimulationSettings
) -> NDArray[np.float64]:
    """Ideal phone pixels to ideal DSLR pixels: centre, tilt, turn, scale, then the DSLR's centre with a small miss."""
    angle = math.radians(rng.uniform(ROTATION_LEAST_SHARE, 1.0) * settings.rotation_deg * rng.choice([-1, 1]))
    tilt_angle = rng.uniform(0, 2 * math.pi)
    tilt = settings.perspective / (phone.width_px / 2)
    to_centre = np.array([[1, 0, -(phone.width_px - 1) / 2], [0, 1, -(phone.height_px - 1) / 2], [0, 0, 1.0]])
    tilted = np.array([[1, 0, 0], [0, 1, 0], [tilt * math.cos(tilt_angle), tilt * math.sin(tilt_angle), 1.0]])
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    miss_x, miss_y = rng.uniform(-OFFSET_SHARE, OFFSET_SHARE, 2) * dslr.width_px
    centre_x, centre_y = (dslr.width_px - 1) / 2 + miss_x, (dslr.height_px - 1) / 2 + miss_y
    placed = np.array([[c, -s, centre_x], [s, c, centre_y], [0, 0, 1.0]])
    return np.asarray(placed @ tilted @ to_centre)


def _draw_wave(rng: np.random.Generator, phone: Lens, warp_px: float) -> Wave:
    amplitude = warp_px * rng.uniform(WARP_LEAST_SHARE, 1.0)
    direction, phase = rng.uniform(0, 2 * math.pi, 2)
    frequency = 2 * math.pi / (phone.width_px * rng.uniform(0.9, 1.1))  # a wavelength of about one photo width
    return Wave(amplitude, frequency * math.cos(direction), frequency * math.sin(direction), phase)


def _with_parallax(rng: np.random.Generator, flat: PairGeometry, parallax: float) -> PairGeometry:
    """Add the ground and near objects; `parallax` is the largest displacement in ideal DSLR pixels."""
    baseline = math.radians(rng.uniform(-BASELINE_DEG, BASELINE_DEG)) + math.pi * rng.integers(2)
    direction = np.array([math.cos(baseline), math.sin(baseline)])
    horizon = rng.uniform(0.35, 0.55) * flat.dslr.height_px
    per_px = parallax * rng.uniform(*RAMP_PARALLAX) / (flat.dslr.height_px - horizon)
    ramp = Ramp(horizon, per_px * math.cos(baseline), per_px * math.sin(baseline))
    sizes = np.sort(rng.uniform(*OBJECT_PARALLAX, rng.integers(OBJECT_COUNT[0], OBJECT_COUNT[1] + 1)))[::-1]
    objects = tuple(_draw_object(rng, flat, parallax * size * direction) for size in sizes)
    return dataclasses.replace(flat, ramp=ramp, objects=objects)


def _draw_object(rng: np.random.Generator, flat: PairGeometry, shift: NDArray[np.float64]) -> NearObject:
    """Place an object where the phone sees it."""
    phone_xy = rng.uniform(0.15, 0.85, 2) * (flat.phone.width_px, flat.phone.height_px)
    x, y = kernels.surface_points(flat.packed(), phone_xy[None], True)[0] + shift
    ripple = rng.uniform(-1, 1, 4) * (0.25, 0.15, 0.1, 0.05)
    phase = rng.uniform(0, 2 * math.pi, 4)
    radius = rng.uniform(*OBJECT_RADIUS) * flat.dslr.width_px
    return NearObject(
        float(x), float(y), radius, float(shift[0]), float(shift[1]), tuple(ripple.tolist()), tuple(phase.tolist())
    )


def _flat(part: Any) -> list[float]:
    """Return a part's numbers in the order of its fields."""
    numbers: list[float] = []
    for value in dataclasses.astuple(part):
        numbers += value if isinstance(value, tuple) else [value]
    return numbers


def _outline(lens: Lens, points: int = 65) -> NDArray[np.float64]:
    """Points along the outer edge of a photo's corner pixels, (4 * points, 2)."""
    x = np.linspace(-0.5, lens.width_px - 0.5, points)
    y = np.linspace(-0.5, lens.height_px - 0.5, points)
    flat = [np.stack([x, np.full(points, edge)], axis=1) for edge in (y[0], y[-1])]
    upright = [np.stack([np.full(points, edge), y], axis=1) for edge in (x[0], x[-1])]
    return np.concatenate(flat + upright)

"""Batched inverse-compositional Lucas-Kanade tracking of windows, with gain, bias, a prior and a posterior (leaf).

Baker & Matthews 2004 ("Lucas-Kanade 20 years on", section 3.2) for the inverse-compositional form; the prior on
the step and the posterior covariance are ours: they keep windows without texture where they started, and say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dped_data.compiled import FAST_MATH

MIN_GAIN = 0.02
"""Floor of the contrast ratio. Ours: the prior is divided by it, and a window of pure noise has none."""

NOISE_FLOOR = 0.05
"""Variance of the image noise that is always assumed, grey levels squared. Ours: uint8 rounding is 1/12."""


@dataclass(frozen=True)
class TrackSettings:
    """How windows are tracked.

    Attributes:
        affine: estimate six parameters (else the two of a translation).
        iterations: most steps.
        tolerance: stop when no parameter moves more than this, template pixels.
        translation_sd, affine_sd: prior standard deviation of the displacement at the centre, and of the affine
            part's displacement at the window's edge, around the start, template pixels.
        noise_correlation: factor by which neighbouring samples' shared noise inflates the variance.
        max_step: largest change of a parameter in one step, template pixels.
    """

    affine: bool
    iterations: int
    tolerance: float
    translation_sd: float
    affine_sd: float
    noise_correlation: float
    max_step: float = 2.0


@dataclass(frozen=True)
class Tracks:
    """Where N windows went, in template pixels.

    Attributes:
        motion: (N, 6) x' = x + m0 + m2 u + m3 v, y' = y + m1 + m4 u + m5 v, with u, v from -1 to 1 over the window.
        covariance: (N, 2, 2) posterior covariance of (m0, m1).
        ncc: (N,) normalised cross-correlation of the two windows after the motion.
        noise: (N,) residual standard deviation, grey levels of the image.
    """

    motion: NDArray[np.float64]
    covariance: NDArray[np.float64]
    ncc: NDArray[np.float64]
    noise: NDArray[np.float64]


def quadratic_maps(nodes_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 2, 6) coefficients of 1, u, v, u², uv, v² through 3x3 nodes (N, 3, 3, 2) at u, v in {-1, 0, 1}."""
    f = np.moveaxis(nodes_xy, -1, 1)
    return np.stack(
        (
            f[:, :, 1, 1],
            (f[:, :, 1, 2] - f[:, :, 1, 0]) / 2,
            (f[:, :, 2, 1] - f[:, :, 0, 1]) / 2,
            (f[:, :, 1, 2] + f[:, :, 1, 0]) / 2 - f[:, :, 1, 1],
            (f[:, :, 2, 2] - f[:, :, 2, 0] - f[:, :, 0, 2] + f[:, :, 0, 0]) / 4,
            (f[:, :, 2, 1] + f[:, :, 0, 1]) / 2 - f[:, :, 1, 1],
        ),
        axis=-1,
    )


def track_windows(
    template: NDArray[np.float32],
    image: NDArray[np.float32],
    corner_xy: NDArray[np.int64],
    size_px: int,
    image_from_window: NDArray[np.float64],
    start: NDArray[np.float64],
    settings: TrackSettings,
) -> Tracks:
    """Find each template window in the image.

    Args:
        template, image: grey photos, smoothed alike.
        corner_xy: (N, 2) top-left pixel of each window in the template; windows lie inside it.
        size_px: side of the windows, template pixels.
        image_from_window: (N, 2, 6) first guess of the map, as `quadratic_maps` gives it, image pixels.
        start: (N, 6) motion to start from, which is also the prior's mean.
        settings: see TrackSettings.
    """
    count = len(corner_xy)
    tracks = Tracks(np.array(start, np.float64), np.zeros((count, 2, 2)), np.zeros(count), np.zeros(count))
    _track(
        template,
        image,
        np.ascontiguousarray(corner_xy, np.int64),
        size_px,
        np.ascontiguousarray(image_from_window),
        6 if settings.affine else 2,
        settings.iterations,
        settings.tolerance,
        settings.translation_sd,
        settings.affine_sd,
        settings.noise_correlation,
        settings.max_step,
        tracks.motion,
        tracks.covariance,
        tracks.ncc,
        tracks.noise,
    )
    return tracks


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _subtract_mean(a):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i]
    mean = total / np.float32(a.size)
    for i in range(a.size):
        a[i] -= mean


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _steepest_descent(template, left, top, size, parameters, rows):  # type: ignore[no-untyped-def]
    """Fill rows (parameters + 1, size²): gradient x Jacobian per parameter, then the template; means removed."""
    height, width = template.shape
    centre = (size - 1) * 0.5
    at = 0
    for j in range(size):
        y = top + j
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        v = np.float32((j - centre) / centre)
        for i in range(size):
            x = left + i
            gx = np.float32(0.5) * (template[y, min(x + 1, width - 1)] - template[y, max(x - 1, 0)])
            gy = np.float32(0.5) * (template[below, x] - template[above, x])
            rows[0, at] = gx
            rows[1, at] = gy
            if parameters == 6:
                u = np.float32((i - centre) / centre)
                rows[2, at] = u * gx
                rows[3, at] = v * gx
                rows[4, at] = u * gy
                rows[5, at] = v * gy
            rows[parameters, at] = template[y, x]
            at += 1
    for a in range(parameters + 1):
        _subtract_mean(rows[a])


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _sample_window(image, size, fx, fy, samples):  # type: ignore[no-untyped-def]
    """Fill samples (size²) with the image, bilinear, at the quadratic map fx, fy (6 coefficients each)."""
    height, width = image.shape
    centre = (size - 1) * 0.5
    last_x, last_y = np.float32(width - 1.01), np.float32(height - 1.01)
    zero = np.float32(0.0)
    at = 0
    for j in range(size):
        v = (j - centre) / centre
        ax, ay = fx[0] + fx[2] * v + fx[5] * v * v, fy[0] + fy[2] * v + fy[5] * v * v
        bx, by = fx[1] + fx[4] * v, fy[1] + fy[4] * v
        for i in range(size):
            u = (i - centre) / centre
            x, y = np.float32(ax + (bx + fx[3] * u) * u), np.float32(ay + (by + fy[3] * u) * u)
            x, y = (x if x > zero else zero), (y if y > zero else zero)  # in this order NaN becomes 0
            x, y = min(x, last_x), min(y, last_y)
            column, row = int(x), int(y)
            p, q = x - np.float32(column), y - np.float32(row)
            upper = image[row, column] + (image[row, column + 1] - image[row, column]) * p
            lower = image[row + 1, column] + (image[row + 1, column + 1] - image[row + 1, column]) * p
            samples[at] = upper + (lower - upper) * q
            at += 1


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _moved(base, centre, motion, fx, fy):  # type: ignore[no-untyped-def]
    """Fill fx, fy with the map `base` (2, 6) after moving its argument by `motion`, to first order."""
    for axis in range(2):
        per_x, per_y = base[axis, 1] / centre, base[axis, 2] / centre
        f = fx if axis == 0 else fy
        f[0] = base[axis, 0] + per_x * motion[0] + per_y * motion[1]
        f[1] = base[axis, 1] + per_x * motion[2] + per_y * motion[4]
        f[2] = base[axis, 2] + per_x * motion[3] + per_y * motion[5]
        f[3], f[4], f[5] = base[axis, 3], base[axis, 4], base[axis, 5]


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _track(  # type: ignore[no-untyped-def]
    template, image, corners, size, maps, parameters, iterations, tolerance,
    translation_sd, affine_sd, correlation, max_step, motion, covariance, ncc, noise,
):  # fmt: skip
    """Track all windows; `motion` holds the start and receives the result."""
    samples = size * size
    centre = (size - 1) * 0.5
    rows = np.empty((parameters + 1, samples), np.float32)
    values = np.empty(samples, np.float32)
    fx, fy = np.empty(6), np.empty(6)
    hessian = np.empty((parameters + 1, parameters + 1))
    gradient = np.empty(parameters + 1)
    for k in range(corners.shape[0]):
        _steepest_descent(template, corners[k, 0], corners[k, 1], size, parameters, rows)
        for a in range(parameters + 1):
            for b in range(a, parameters + 1):
                hessian[a, b] = _dot(rows[a], rows[b])
                hessian[b, a] = hessian[a, b]
        hessian[parameters, parameters] += 1e-3
        template_power = hessian[parameters, parameters]
        start = motion[k].copy()
        largest = 1e9
        for iteration in range(iterations + 1):
            _moved(maps[k], centre, motion[k], fx, fy)
            _sample_window(image, size, fx, fy, values)
            _subtract_mean(values)
            power = _dot(values, values)
            for a in range(parameters + 1):
                gradient[a] = _dot(rows[a], values)
            common = gradient[parameters]
            ncc[k] = common / np.sqrt(max(template_power * power, 1e-9))
            gain = max(common / template_power, MIN_GAIN)
            variance = max(power - common * common / template_power, 0.0) / samples + NOISE_FLOOR
            noise[k] = np.sqrt(variance)
            normal = hessian.copy()
            for a in range(parameters):
                prior = correlation * variance / (translation_sd if a < 2 else affine_sd) ** 2
                normal[a, a] += prior / (gain * gain)
                gradient[a] += prior * (motion[k, a] - start[a]) / gain
            inverse = np.linalg.inv(normal)
            if iteration == iterations or largest < tolerance:
                scale = correlation * variance / (gain * gain)
                for a in range(2):
                    for b in range(2):
                        covariance[k, a, b] = inverse[a, b] * scale
                break
            step = inverse @ gradient
            step_gain = max(step[parameters], MIN_GAIN)
            largest = 0.0
            for a in range(parameters):
                step[a] /= step_gain
                largest = max(largest, abs(step[a]))
            shrink = min(1.0, max_step / max(largest, 1e-12))
            for a in range(parameters):
                motion[k, a] -= shrink * step[a]

"""Batched inverse-compositional Lucas-Kanade tracking of windows, with gain, bias, a prior and a posterior.

Baker & Matthews 2004 ("Lucas-Kanade 20 years on", section 3.2) for the inverse-compositional form; the prior on
the step and the posterior covariance are ours: they keep windows without texture where they started, and say so.

No library has the prior and the posterior; plain numpy, window by window, takes some 900 times as long (9 px windows)
(`PYTHONPATH=.:tests python benchmarks/kernels.py`, AMD EPYC, one thread).
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when a library tracks windows with a prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.bilinear import VECTOR, move_map, sample_window
from dped_data.align.kernels.cholesky import backward, factor, forward
from dped_data.common.jit import FAST_MATH, copy, dot, njit

MIN_GAIN = 0.02
"""Floor of the contrast ratio. Ours: the prior is divided by it, and a window of pure noise has none."""

NOISE_FLOOR = 0.05
"""Variance of the image noise that is always assumed, grey levels squared. Ours: uint8 rounding is 1/12."""

NODE_SQUARE = 0.5
"""Mean square of u, or of v, over five nodes from -1 to 1; the mean of their product is 0."""

CACHED = 512
"""Values of each of up to seven rows that are multiplied at a time."""


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
        node_variance: (N,) mean square error of the motion over 5x5 nodes spread over the window, both axes together.
    """

    motion: NDArray[np.float64]
    covariance: NDArray[np.float64]
    ncc: NDArray[np.float64]
    noise: NDArray[np.float64]
    node_variance: NDArray[np.float64]


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
    tracks = Tracks(np.array(start, np.float64), np.zeros((count, 2, 2)), *np.zeros((3, count)))
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
        tracks.node_variance,
    )
    return tracks


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _subtract_mean(a):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i]
    mean = total / np.float32(a.size)
    for i in range(a.size):
        a[i] -= mean


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _steepest_descent(template, left, top, size, parameters, rows):  # type: ignore[no-untyped-def]
    """Fill rows (parameters + 1, size²): gradient x Jacobian per parameter, then the template; means removed."""
    height, width = template.shape
    scale = np.float32(2 / (size - 1))
    half = np.float32(0.5)
    for j in range(size):
        y = top + j
        part = slice(j * size, (j + 1) * size)
        gx, gy, grey = rows[0, part], rows[1, part], rows[parameters, part]
        above, below = template[max(y - 1, 0), left : left + size], template[min(y + 1, height - 1), left : left + size]
        line = template[y, left : left + size]
        copy(line, grey)  # one array at a time: else it is not vectorised, for fear that they overlap
        for i in range(size):
            gy[i] = half * (below[i] - above[i])
        for i in range(1, size - 1):
            gx[i] = half * (line[i + 1] - line[i - 1])
        gx[0] = half * (line[1] - template[y, max(left - 1, 0)])
        gx[size - 1] = half * (template[y, min(left + size, width - 1)] - line[size - 2])
        if parameters == 6:
            v = np.float32(j) * scale - np.float32(1)
            for a in range(2):
                gradient, along_u, along_v = rows[a, part], rows[2 + 2 * a, part], rows[3 + 2 * a, part]
                for i in range(size):
                    along_u[i] = (np.float32(i) * scale - np.float32(1)) * gradient[i]
                for i in range(size):
                    along_v[i] = v * gradient[i]
    for a in range(parameters + 1):
        _subtract_mean(rows[a])


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _products(rows, hessian):  # type: ignore[no-untyped-def]
    """Fill the hessian with the products of all pairs of rows, in parts that stay in the processor's first cache."""
    hessian[:] = 0.0
    for start in range(0, rows.shape[1], CACHED):
        for a in range(rows.shape[0]):
            for b in range(a, rows.shape[0]):
                hessian[a, b] += dot(rows[a, start : start + CACHED], rows[b, start : start + CACHED])
    for a in range(rows.shape[0]):
        for b in range(a):
            hessian[a, b] = hessian[b, a]


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _track(  # type: ignore[no-untyped-def]
    template, image, corners, size, maps, parameters, iterations, tolerance,
    translation_sd, affine_sd, correlation, max_step, motion, covariance, ncc, noise, node_variance,
):  # fmt: skip
    """Track all windows; `motion` holds the start and receives the result."""
    samples = size * size
    centre = (size - 1) * 0.5
    rows = np.empty((parameters + 1, samples), np.float32)
    values = np.empty(samples, np.float32)
    places, parts = np.empty(samples + VECTOR, np.uint32), np.empty((2, samples + VECTOR), np.float32)
    fx, fy = np.empty(6), np.empty(6)
    hessian = np.empty((parameters + 1, parameters + 1))
    normal = np.empty_like(hessian)
    gradient, step = np.empty(parameters + 1), np.empty(parameters + 1)
    for k in range(corners.shape[0]):
        _steepest_descent(template, corners[k, 0], corners[k, 1], size, parameters, rows)
        _products(rows, hessian)
        hessian[parameters, parameters] += 1e-3
        template_power = hessian[parameters, parameters]
        start = motion[k].copy()
        for iteration in range(iterations + 1):
            move_map(maps[k], centre, motion[k], fx, fy)
            sample_window(image, fx, fy, centre, 0, 0, size, places, parts, values)
            _subtract_mean(values)
            power = dot(values, values)
            for a in range(parameters + 1):
                gradient[a] = dot(rows[a], values)
            common = gradient[parameters]
            ncc[k] = common / np.sqrt(max(template_power * power, 1e-9))
            gain = max(common / template_power, MIN_GAIN)
            variance = max(power - common * common / template_power, 0.0) / samples + NOISE_FLOOR
            noise[k] = np.sqrt(variance)
            for a in range(parameters + 1):
                copy(hessian[a], normal[a])
            for a in range(parameters):
                prior = correlation * variance / (translation_sd if a < 2 else affine_sd) ** 2
                normal[a, a] += prior / (gain * gain)
                step[a] = gradient[a] + prior * (motion[k, a] - start[a]) / gain
            step[parameters] = gradient[parameters]
            factor(normal, parameters + 1)
            if iteration < iterations:
                forward(normal, parameters + 1, step)
                backward(normal, parameters + 1, step)
                step_gain = max(step[parameters], MIN_GAIN)
                largest = 0.0
                for a in range(parameters):
                    step[a] /= step_gain
                    largest = max(largest, abs(step[a]))
                shrink = min(1.0, max_step / max(largest, 1e-12))
                for a in range(parameters):
                    motion[k, a] -= shrink * step[a]
                if largest >= tolerance:
                    continue
            # A last step this small leaves correlation and noise as they are.
            scale = correlation * variance / (gain * gain)
            node_variance[k] = 0.0
            for a in range(parameters):
                step[:] = 0.0
                step[a] = scale
                forward(normal, parameters + 1, step)
                backward(normal, parameters + 1, step)
                if a < 2:
                    covariance[k, a, 0], covariance[k, a, 1] = step[0], step[1]
                node_variance[k] += step[a] * (1.0 if a < 2 else NODE_SQUARE)
            break

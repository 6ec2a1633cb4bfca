"""Measure the remaining shift of patch pairs without the builder's code or its opinion.

The builder aligns by gradient descent on pixels (Lucas-Kanade). Here the correlation of the two patches is computed for
every whole-pixel shift and its peak is found between the samples: another principle, so that a fault of the builder
does not hide itself. Both patches are blurred to a band limit first; the correlation is then a band-limited function of
the shift too, and a spline through its samples has its peak where the true function has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_interp_spline

from dped_data.photos.colour import LUMA

BLUR_PX = 1.0
"""Ours: standard deviation of the band limit; below 0.8 px the peak starts to lock to whole pixels."""
REACH_SHARE, LEAST_REACH_PX = 0.12, 8
"""Ours: shifts that are tried, as a share of the patch's side (12 px for the paper's 100 px), and at least."""
_NEAR = 3
"""Samples used on each side of the highest one; a peak nearer to the end of the search is not measured."""
_STEP_PX = 0.1
_FINE_PX = np.arange(-7, 8) * _STEP_PX
"""Where the spline is evaluated around the highest sample; a parabola then interpolates between these."""
_NOISE_AREA_PX = 4 * np.pi * (BLUR_PX**2 + 0.25)
"""Pixels that share one independent noise value after the blur (0.25: the cameras' own demosaicing, ours)."""
MOST_DEVIATION_PX = 2.0
"""A shift that is less certain says nothing of where a patch's content lies."""
CLEARLY = 0.3
"""Ours: by how much of Fisher's z, in which the noise of correlations is the same near 1 as elsewhere, another place
must be better to be believed."""
_AS_STORED = 0.9
"""Ours: patches whose shift cannot be told match as they lie from this correlation on."""
LEAST_CORRELATION = 0.6
"""Ours: below it at every shift, two patches do not show the same thing."""
_MODEL_SHARE = 1.5
"""Ours: the two cameras' different sharpening and tone make the residual smoother than noise; calibrated on patches
with planted shifts, where the predicted deviation then equals the real one within a factor of 1.5."""


BRIGHT, BLACK = 250, 4
"""A pixel with a channel at 250 or more is burnt out, one with all at 4 or less black."""


@dataclass(frozen=True)
class Half:
    """One half of N patch pairs, with what every measurement begins with.

    Attributes:
        patches: (N, S, S, 3) uint8 RGB.
        grey: (N, S, S) float32, their luminance, 0 to 255.
        soft: (N, S, S) float32, `grey` blurred to the band limit.
    """

    patches: NDArray[np.uint8]
    grey: NDArray[np.float32]
    soft: NDArray[np.float32]

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """Standard deviation of the noise (N,): the median of what a second difference both ways leaves, at every
        second pixel of every second row, which is blind to edges (J. Immerkaer, Fast noise variance estimation, 1996).
        """
        down = self.grey[:, :-2:2] - 2 * self.grey[:, 1:-1:2] + self.grey[:, 2::2]
        left = down[:, :, :-2:2] - 2 * down[:, :, 1:-1:2] + down[:, :, 2::2]
        flat = np.abs(left).reshape(len(left), left.shape[1] * left.shape[2])
        return np.median(flat, axis=1).astype(np.float64) / (0.6745 * 6)

    def of(self, rows: NDArray[np.int64]) -> Half:
        """That half of some pairs."""
        part = Half(self.patches[rows], self.grey[rows], self.soft[rows])
        if "noise" in vars(self):
            vars(part)["noise"] = self.noise[rows]
        return part


def half_of(patches: NDArray[np.uint8]) -> Half:
    """Prepare patches (N, S, S, 3) uint8 RGB to be measured."""
    grey, soft = (np.empty(patches.shape[:3], np.float32) for _ in range(2))
    for k, patch in enumerate(patches):
        grey[k] = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
        cv2.GaussianBlur(grey[k], (0, 0), BLUR_PX, dst=soft[k])
    return Half(patches, grey, soft)


@dataclass(frozen=True)
class Shifts:
    """Remaining shifts of N patch pairs.

    Attributes:
        shift_px: (N, 2) float32, x and y: the DSLR patch shows the phone patch's content this far right and down of
            where it belongs. Not to be trusted where `measured` is False; 0 with an infinite deviation where texture
            does not tell, as along an edge, and the patches match as well where they lie as anywhere.
        deviation_px: (N,) float32, standard deviation of the shift along its least certain direction.
        correlation: (N,) float32, correlation at the measured shift, -1 to 1.
        measured: (N,) bool, whether texture, correlation and a clear peak allow the measurement.
        edge: (N,) bool, whether the best shift lies at the end of the search, so that the true one may be larger.
    """

    shift_px: NDArray[np.float32]
    deviation_px: NDArray[np.float32]
    correlation: NDArray[np.float32]
    measured: NDArray[np.bool_]
    edge: NDArray[np.bool_]

    def of(self, rows: NDArray[np.int64]) -> Shifts:
        """Those of some pairs."""
        return Shifts(
            self.shift_px[rows], self.deviation_px[rows], self.correlation[rows], self.measured[rows], self.edge[rows]
        )


def remeasure_shifts(phone: Half, dslr: Half, *, max_deviation_px: float = 0.1) -> Shifts:
    """Measure how far each DSLR patch lies off its phone patch, to about 0.05 px where there is texture.

    Args:
        phone, dslr: of N pairs.
        max_deviation_px: a patch whose predicted deviation is above this counts as not measurable (no texture, or
            only edges of one direction).
    """
    count, size = phone.grey.shape[:2]
    reach = min(max(LEAST_REACH_PX, round(REACH_SHARE * size)), size // 3)
    surfaces = np.empty((count, 2 * reach + 1, 2 * reach + 1), np.float32)
    for index in range(count):
        surfaces[index] = _correlation_surface(phone.soft[index], dslr.soft[index], reach)
    shift, deviation, correlation, edge = _peaks(surfaces, template_pixels=(size - 2 * reach) ** 2)
    here = surfaces[:, reach, reach]
    as_stored = (edge | (deviation > MOST_DEVIATION_PX)) & (here >= _AS_STORED)
    as_stored &= fisher_z(here) > fisher_z(correlation) - CLEARLY
    shift[as_stored], edge[as_stored], deviation[as_stored] = 0.0, False, np.inf
    correlation[as_stored] = here[as_stored]
    measured = ~edge & (deviation <= max_deviation_px) & (correlation >= LEAST_CORRELATION)
    return Shifts(
        shift.astype(np.float32), deviation.astype(np.float32), correlation.astype(np.float32), measured, edge
    )


def _correlation_surface(target: NDArray[np.float32], source: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Correlate the target's middle with the source at every whole-pixel shift up to `reach`."""
    middle = target[reach:-reach, reach:-reach]
    if contrast_of(middle) < 0.5 or contrast_of(source) < 0.5:  # grey levels; the correlation of nothing is undefined
        return np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    surface: NDArray[np.float32] = cv2.matchTemplate(source, middle, cv2.TM_CCOEFF_NORMED)
    return np.nan_to_num(surface, posinf=0.0, neginf=0.0)


def contrast_of(picture: NDArray[np.float32] | NDArray[np.uint8]) -> float:
    """Standard deviation of a picture (h, w)."""
    return float(cv2.meanStdDev(picture)[1][0, 0])


def is_clipped(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels (..., 3) are burnt out or black."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    top = np.maximum(np.maximum(red, green), blue)
    return (top >= BRIGHT) | (top <= BLACK)


def fisher_z(correlation: ArrayLike) -> NDArray[np.float64]:
    """Fisher's z of correlations, which camera noise and interpolation hold below 0.995 anyway."""
    return np.arctanh(np.clip(correlation, -0.995, 0.995, dtype=np.float64))


@lru_cache(maxsize=1)
def _fine_from_near() -> NDArray[np.float64]:
    """Matrix (15, 7) that evaluates the quintic spline through 7 samples at the fine positions."""
    positions = np.arange(-_NEAR, _NEAR + 1, dtype=np.float64)
    matrix: NDArray[np.float64] = make_interp_spline(positions, np.eye(len(positions)), k=5)(_FINE_PX)
    return matrix


def _peaks(
    surfaces: NDArray[np.float32], template_pixels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return shift (N, 2), deviation (N,), correlation (N,) and whether the peak lies at the edge (N,)."""
    count, side = len(surfaces), surfaces.shape[1]
    rows, columns = np.unravel_index(surfaces.reshape(count, -1).argmax(1), (side, side))
    inner_rows = rows.clip(_NEAR, side - 1 - _NEAR)
    inner_columns = columns.clip(_NEAR, side - 1 - _NEAR)
    edge = (rows != inner_rows) | (columns != inner_columns)
    near = np.arange(-_NEAR, _NEAR + 1)
    samples = surfaces[
        np.arange(count)[:, None, None],
        (inner_rows[:, None] + near)[:, :, None],
        (inner_columns[:, None] + near)[:, None, :],
    ]
    matrix = _fine_from_near()
    fine = np.einsum("ij,njk,lk->nil", matrix, samples.astype(np.float64), matrix, optimize=True)
    best = fine.reshape(count, -1).argmax(1)
    fine_rows, fine_columns = (k.clip(1, len(_FINE_PX) - 2) for k in np.unravel_index(best, fine.shape[1:]))
    step, curvature, top = _parabola(fine, fine_rows, fine_columns)
    reach = (side - 1) // 2
    centre = np.stack([inner_columns + _FINE_PX[fine_columns], inner_rows + _FINE_PX[fine_rows]], 1) - reach
    correlation = top.clip(-1, 1)
    sharpness = np.maximum(curvature, 1e-12)
    noise = np.maximum(1 - correlation**2, 1e-6) / np.maximum(correlation, 1e-3)
    deviation = np.sqrt(noise / sharpness * (_MODEL_SHARE * _NOISE_AREA_PX / template_pixels))
    deviation[curvature <= 0] = np.inf
    return centre + step, deviation, correlation, edge


def _parabola(
    fine: NDArray[np.float64], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit a paraboloid: step to its top (N, 2) px, least curvature (N,) per px^2, height of the top (N,)."""
    n = np.arange(len(fine))

    def at(dy: int, dx: int) -> NDArray[np.float64]:
        value: NDArray[np.float64] = fine[n, rows + dy, columns + dx]
        return value

    slope_x = (at(0, 1) - at(0, -1)) / (2 * _STEP_PX)
    slope_y = (at(1, 0) - at(-1, 0)) / (2 * _STEP_PX)
    xx = (at(0, 1) - 2 * at(0, 0) + at(0, -1)) / _STEP_PX**2
    yy = (at(1, 0) - 2 * at(0, 0) + at(-1, 0)) / _STEP_PX**2
    xy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * _STEP_PX**2)
    determinant = xx * yy - xy**2
    usable = (determinant > 1e-12) & (xx < 0)
    safe = np.where(usable, determinant, 1.0)
    step = np.stack([-(yy * slope_x - xy * slope_y) / safe, -(xx * slope_y - xy * slope_x) / safe], 1)
    step = np.where(usable[:, None], step.clip(-2 * _STEP_PX, 2 * _STEP_PX), 0.0)
    middle, radius = -(xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    least = np.where(usable, middle - radius, 0.0)
    top = at(0, 0) + 0.5 * (slope_x * step[:, 0] + slope_y * step[:, 1])
    return step, least, top


def zero_shift_correlation(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correlation (N,) of the luminance of patch pairs (N, S, S, 3) as they lie; NaN where one has no contrast."""
    result = np.full(len(phone), np.nan)
    for index, pair in enumerate(zip(phone, dslr, strict=True)):
        first, second = (patch @ LUMA for patch in pair)
        first, second = first - first.mean(), second - second.mean()
        scale = np.sqrt((first**2).sum() * (second**2).sum())
        if scale > 0:
            result[index] = (first * second).sum() / scale
    return result

"""A smooth map from phone to DSLR pixels: radial distortion, homography, polynomial; and its robust fits.

Even the best homography leaves 2-4 px where both lenses have ordinary distortion, so it is only the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.smooth_map import map_points, normal_equations, residual_lengths, ridge_solve

PRIOR_SCALES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Factors of the polynomial's prior that are tried; the most probable one is taken, since some lenses hardly distort
and a wide prior then leaves the map unknown where there is no texture."""

RADIAL_PRIOR_SD = 0.05
"""Prior standard deviation of the radial term at the photo's corner. Ours: ordinary lenses stay within 2 %."""

MATCH_PRIOR_SD = (0.0055, 0.0055, 0.0018, 0.0012, 0.0009)
TRACK_PRIOR_SD = (0.01, 0.01, 0.01, 0.008, 0.006, 0.004, 0.002)
"""Prior standard deviations of a coefficient by its degree, share of the DSLR photo's width: tight for the few and
coarse matches, so that the fit does not swing where there are none; wide for hundreds of precise tracks. Ours."""

TUKEY_MEDIANS = 4.5
"""Residuals beyond this many medians have no weight (Tukey's biweight at about 3 standard deviations)."""

REFITS = 4
"""Rounds of new weights: they settle after three."""

START_QUANTILE = 0.3
"""Quantile in the median's place where the start chooses the points: up to two thirds may be another surface."""


@dataclass(frozen=True)
class SmoothMap:
    """dslr_xy = homography(radial(phone_xy)) + polynomial(phone_xy).

    Attributes:
        dslr_from_undistorted: (3, 3) float64 homography.
        radial: relative growth of the distance from the photo's centre at its corner.
        coefficients: (K, 2) polynomial in DSLR pixels over the monomials of `degree`.
        phone_size_wh, dslr_size_wh: photo sizes, pixels.
        covariance: (K, K) posterior covariance of either column of `coefficients`; None before any fit.
    """

    dslr_from_undistorted: NDArray[np.float64]
    radial: float
    coefficients: NDArray[np.float64]
    degree: int
    phone_size_wh: tuple[int, int]
    dslr_size_wh: tuple[int, int]
    covariance: NDArray[np.float64] | None = None

    def __call__(self, phone_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points (..., 2) of the phone photo to the DSLR photo."""
        points = np.ascontiguousarray(phone_xy, np.float64).reshape(-1, 2)
        dslr_xy = np.empty_like(points)
        map_points(
            points,
            np.ascontiguousarray(self.dslr_from_undistorted, np.float64),
            float(self.radial),
            np.ascontiguousarray(self.coefficients),
            self.degree,
            self.phone_size_wh,
            dslr_xy,
        )
        return dslr_xy.reshape(phone_xy.shape)

    def scale(self) -> float:
        """Return DSLR pixels per phone pixel at the phone photo's centre."""
        centre = (np.array(self.phone_size_wh) - 1) / 2
        at = self(centre + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        return float(np.sqrt(abs(np.linalg.det(at[1:] - at[0]))))

    def sd(self, phone_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviation of the polynomial at points (..., 2), along either axis, DSLR pixels."""
        if self.covariance is None:
            return np.zeros(phone_xy.shape[:-1])
        design = _monomials(self._normalised(phone_xy).reshape(-1, 2), self.degree)
        variance = np.einsum("kn,kn->n", design, self.covariance @ design)
        return np.sqrt(variance).reshape(phone_xy.shape[:-1])

    def _normalised(self, phone_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        width, height = self.phone_size_wh
        return (phone_xy - np.array([(width - 1) / 2, (height - 1) / 2])) / (width / 2)

    def _radial_growth(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        width, height = self.phone_size_wh
        return (uv * uv).sum(axis=-1) / (1 + (height / width) ** 2)

    def without_polynomial(self) -> SmoothMap:
        """Return the map of homography and radial term alone."""
        return replace(self, coefficients=np.zeros((1, 2)), degree=0, covariance=None)


def project(target_from_source: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a homography (3, 3) to points (..., 2)."""
    h = target_from_source
    x, y = xy[..., 0], xy[..., 1]
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    return np.stack(
        ((h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth), axis=-1
    )


def smooth_map_of_homography(
    dslr_from_phone: NDArray[np.float64], phone_size_wh: tuple[int, int], dslr_size_wh: tuple[int, int]
) -> SmoothMap:
    """Return the smooth map that is just a homography."""
    return SmoothMap(dslr_from_phone, 0.0, np.zeros((1, 2)), 0, phone_size_wh, dslr_size_wh)


def fit_projective(start: SmoothMap, phone_xy: NDArray[np.float64], dslr_xy: NDArray[np.float64]) -> SmoothMap:
    """Refine homography and radial term to point pairs (N, 2), Gauss-Newton, Tukey weights; drops the polynomial."""
    current = start.without_polynomial()
    width, height = start.phone_size_wh
    to_pixels = np.array([[width / 2, 0, (width - 1) / 2], [0, width / 2, (height - 1) / 2], [0, 0, 1]])
    floor = 0.0008 * start.dslr_size_wh[0]
    uv = current._normalised(phone_xy)
    growth = current._radial_growth(uv)
    for _ in range(12):
        h = current.dslr_from_undistorted @ to_pixels
        h = h / h[2, 2]
        xy = uv * (1 + current.radial * growth)[:, None]
        predicted = project(h, xy)
        error = dslr_xy - predicted
        weight = _tukey(np.hypot(error[:, 0], error[:, 1]), floor)
        jacobian = _projective_jacobian(h, uv, xy, predicted, growth)
        normal, columns = _normal_equations(jacobian.reshape(9, -1), np.tile(weight, 2), error.T.reshape(1, -1))
        right = columns[:, 0]
        normal[8, 8] += RADIAL_PRIOR_SD**-2
        right[8] -= current.radial * RADIAL_PRIOR_SD**-2
        normal[np.diag_indices(9)] *= 1 + 1e-9
        step = np.linalg.solve(normal, right)
        h = h + np.append(step[:8], 0.0).reshape(3, 3)
        current = replace(
            current, dslr_from_undistorted=h @ np.linalg.inv(to_pixels), radial=current.radial + float(step[8])
        )
        if abs(step[8]) < 1e-6:
            break
    return current


def fit_polynomial(
    start: SmoothMap,
    phone_xy: NDArray[np.float64],
    dslr_xy: NDArray[np.float64],
    prior_sd: tuple[float, ...],
    point_sd: NDArray[np.float64],
    *,
    trust_start: bool = False,
) -> SmoothMap:
    """Fit the polynomial to what homography and radial term leave, ridge-regularised, with Tukey weights.

    Args:
        start: its homography and radial term are kept.
        phone_xy, dslr_xy: (N, 2) point pairs.
        prior_sd: MATCH_PRIOR_SD or TRACK_PRIOR_SD; as long as the polynomial's degree and one.
        point_sd: (N,) standard deviation of each pair, DSLR pixels.
        trust_start: let `start` choose the pairs that count first, rather than a fit to all.
    """
    return next(fit_polynomials(((start, trust_start),), phone_xy, dslr_xy, (prior_sd,), point_sd))


def fit_polynomials(
    starts: tuple[tuple[SmoothMap, bool], ...],
    phone_xy: NDArray[np.float64],
    dslr_xy: NDArray[np.float64],
    prior_sds: tuple[tuple[float, ...], ...],
    point_sd: NDArray[np.float64],
) -> Iterator[SmoothMap]:
    """Fit as `fit_polynomial` does, for each prior from each start and whether it is trusted.

    What they have in common is computed once: the monomials of a degree, and what a start leaves of the points.
    """
    floor = float(np.median(point_sd)) * 2
    certainty = point_sd**-2.0
    begins = []
    for start, trust_start in starts:
        weight = certainty
        if trust_start:
            error = dslr_xy - start(phone_xy)
            weight = certainty * _tukey(np.hypot(error[:, 0], error[:, 1]), floor, START_QUANTILE)
        rest = np.ascontiguousarray((dslr_xy - start.without_polynomial()(phone_xy)).T)
        begins.append((start, rest, weight, START_QUANTILE if trust_start else 0.5))
    distance = np.empty(len(phone_xy))
    for prior_sd in prior_sds:
        degree = len(prior_sd) - 1
        by_term = np.array([prior_sd[i + j] for i in range(degree + 1) for j in range(degree + 1 - i)])
        design = _monomials(starts[0][0]._normalised(phone_xy), degree)
        for start, rest, weight, quantile in begins:
            prior_px, scale = by_term * start.dslr_size_wh[0], 1.0
            coefficients = np.empty((len(design), 2))
            for step in range(REFITS + 1):
                normal, right = _normal_equations(design, weight, rest)
                # The first and the last weights choose the factor of the prior; both axes share it.
                scales = np.array(PRIOR_SCALES if step in (0, REFITS) else (scale,))
                scale = float(scales[ridge_solve(normal, right, prior_px, scales, coefficients)])
                if step < REFITS:
                    residual_lengths(design, rest, coefficients, distance)
                    weight = certainty * _tukey(distance, floor, quantile)
            covariance = np.linalg.inv(normal + np.diag((prior_px * scale) ** -2)).astype(np.float64)
            yield replace(start, coefficients=coefficients, degree=degree, covariance=covariance)


def _normal_equations(
    design: NDArray[np.float64], weight: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the normal matrix (K, K) and the right sides (K, R) of fitting the design (K, N) to values (R, N)."""
    normal, right = np.empty((len(design), len(design))), np.empty((len(design), len(values)))
    normal_equations(design, weight, np.ascontiguousarray(values), normal, right)
    return normal, right


def _projective_jacobian(
    h: NDArray[np.float64],
    uv: NDArray[np.float64],
    xy: NDArray[np.float64],
    predicted: NDArray[np.float64],
    growth: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (9, 2, N): derivatives of the projected point by eight entries of h and by the radial term."""
    depth = xy @ h[2, :2] + h[2, 2]
    jacobian = np.zeros((9, 2, len(uv)))
    for axis in range(2):
        jacobian[3 * axis : 3 * axis + 2, axis] = xy.T / depth
        jacobian[3 * axis + 2, axis] = 1 / depth
        jacobian[6:8, axis] = -predicted[:, axis] * xy.T / depth
        slope = h[axis, :2] - predicted[:, axis, None] * h[2, :2]
        jacobian[8, axis] = (slope * uv).sum(axis=1) * growth / depth
    return jacobian


def _monomials(uv: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return (K, N): u**i v**j of uv (N, 2) for all i + j up to the degree, i slowest; by products: powers are slow."""
    powers = np.ones((degree + 1, 2, len(uv)))
    for i in range(degree):
        np.multiply(powers[i], uv.T, out=powers[i + 1])
    terms = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    monomials = np.empty((len(terms), len(uv)))
    for k, (i, j) in enumerate(terms):
        np.multiply(powers[i, 0], powers[j, 1], out=monomials[k])
    return monomials


def _tukey(distance: NDArray[np.float64], floor: float, quantile: float = 0.5) -> NDArray[np.float64]:
    """Return Tukey's biweight at TUKEY_MEDIANS times a quantile of `distance`, no tighter than `floor`."""
    limit = max(TUKEY_MEDIANS * _quantile(distance, quantile), floor)
    rest = np.maximum(1 - (distance / limit) ** 2, 0.0)
    return rest * rest


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return the quantile, interpolated between the two values beside it, as numpy's does several times slower."""
    at = share * (len(values) - 1)
    low = int(at)
    below, above = np.partition(values, (low, min(low + 1, len(values) - 1)))[[low, min(low + 1, len(values) - 1)]]
    return float(below + (above - below) * (at - low))

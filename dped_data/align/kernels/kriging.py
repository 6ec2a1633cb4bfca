"""Robust local kriging of displacements, compiled: covariances, systems, weights, one window after another.

The library's way, numpy.linalg.solve window by window with the rest in numpy, takes 50 times as long
(`PYTHONPATH=.:tests python benchmarks/kernels.py`, AMD EPYC, one thread).
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete it when a library solves local systems in batches, with robust weights.
"""

from __future__ import annotations

import numpy as np

from dped_data.align.kernels.cholesky import backward, factor, forward
from dped_data.common.jit import FAST_MATH, copy, njit

STUDENT_DEGREES = 4.0
"""Degrees of freedom of the measurement errors: tracks fail more often than a normal distribution says."""

OFFSET_SD_PX, SLOPE_SD = 20.0, 0.003
"""Another surface's displacement against the smooth map, pixels, and its slope, pixels per pixel. Ours."""

NEIGHBOURS = 24
"""Measurements that inform a window. Ours: two rings of windows; more changed the error by less than 1 %."""

CONSISTENT = 9.0
"""Squared, normalised disagreement of two windows up to which they count as one surface (3 standard deviations)."""

LOST_WEIGHT, MAX_CONFLICT = 0.3, 0.3
"""Where a window's own measurement, or this share of those beside it, falls below this weight, the smooth map does not
hold, and an offset and a slope of its own are allowed. Ours."""


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def correlations(kernel, x, y, offset, found, target):  # type: ignore[no-untyped-def]
    """Fill target (found) with the stationary prior covariance of the field at (x, y) and at the offsets (2, found)."""
    dx, dy = offset[0], offset[1]
    near, far = -0.5 / kernel[0] ** 2, -0.5 / kernel[2] ** 2
    near_power, far_power = kernel[1] ** 2, kernel[3] ** 2
    for a in range(found):
        square = (dx[a] - x) ** 2 + (dy[a] - y) ** 2
        target[a] = near_power * _exp(near * square) + far_power * _exp(far * square)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _exp(x):  # type: ignore[no-untyped-def]
    """Return exp(x) for x <= 0, to 1e-12: a series and eight squarings, which loops compute for several x at a time."""
    t = max(x, -30.0) / 256
    e = 1 + t * (1 + t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * (1 + t / 6)))))
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    e = e * e
    return e * e


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def shared_with(kernel, trend, x, y, offset, found, target):  # type: ignore[no-untyped-def]
    """Fill target (found) with the prior covariance of the field at two points relative to the window's centre."""
    correlations(kernel, x, y, offset, found, target)
    if trend > 0.0:
        for a in range(found):
            target[a] += trend * (OFFSET_SD_PX**2 + SLOPE_SD**2 * (x * offset[0, a] + y * offset[1, a]))


@njit(cache=True, nogil=True)
def _nearest(centre_xy, usable, x, y, own, wanted, rows):  # type: ignore[no-untyped-def]
    """Fill rows with up to `wanted` usable measurements by distance, ties by row; the own one always comes first."""
    found = 0
    distance = np.empty(wanted)
    if own >= 0:
        rows[0], distance[0], found = own, -1.0, 1
    for j in range(centre_xy.shape[0]):
        if not usable[j] or j == own:
            continue
        square = (centre_xy[j, 0] - x) ** 2 + (centre_xy[j, 1] - y) ** 2
        if found == wanted and square >= distance[wanted - 1]:
            continue
        at = found if found < wanted else wanted - 1
        found = min(found + 1, wanted)
        while at > 0 and distance[at - 1] > square:
            distance[at], rows[at] = distance[at - 1], rows[at - 1]
            at -= 1
        distance[at], rows[at] = square, j
    return found


@njit(cache=True, nogil=True)
def _quadratic_form(xx, xy, yy, ex, ey):  # type: ignore[no-untyped-def]
    return (yy * ex * ex - 2 * xy * ex * ey + xx * ey * ey) / max(xx * yy - xy * xy, 1e-12)


@njit(cache=True, nogil=True)
def _weights_against_own(  # type: ignore[no-untyped-def]
    offset, shared, displacement, covariance, rows, found, own, kernel, trend, weights
):
    """Weigh the neighbours by how well they agree with the window's own measurement."""
    full = kernel[1] ** 2 + kernel[3] ** 2
    for a in range(found):
        j = rows[a]
        weights[a] = 1.0
        if own < 0 or j == own:
            continue
        dx, dy = offset[0, a] - offset[0, 0], offset[1, a] - offset[1, 0]
        spread = 2 * (full - shared[0, a]) + 2 * kernel[4] ** 2
        spread += trend * SLOPE_SD**2 * (dx * dx + dy * dy)
        t = _quadratic_form(
            covariance[j, 0, 0] + covariance[own, 0, 0] + spread,
            covariance[j, 0, 1] + covariance[own, 0, 1],
            covariance[j, 1, 1] + covariance[own, 1, 1] + spread,
            displacement[j, 0] - displacement[own, 0],
            displacement[j, 1] - displacement[own, 1],
        )
        if t > CONSISTENT:
            weights[a] = (CONSISTENT / t) ** 2


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _solve(  # type: ignore[no-untyped-def]
    offset, shared, displacement, covariance, rows, found, kernel, trend, weights, system, solution
):
    """Factor the kriging system of the neighbours into `system`; fill `solution`: all along x, then all along y."""
    nugget = kernel[4] ** 2
    for a in range(found):
        i = rows[a]
        upper, lower = system[a], system[found + a]
        for b in range(a, found):
            upper[b] = shared[a, b]
        if trend > 0.0:
            for b in range(a, found):
                product = offset[0, a] * offset[0, b] + offset[1, a] * offset[1, b]
                upper[b] += trend * (OFFSET_SD_PX**2 + SLOPE_SD**2 * product)
        for b in range(a, found):
            lower[found + b] = upper[b]
        upper[found : 2 * found] = 0.0
        weight = max(weights[a], 1e-4)
        upper[a] += (covariance[i, 0, 0] + nugget) / weight
        lower[found + a] += (covariance[i, 1, 1] + nugget) / weight
        upper[found + a] = covariance[i, 0, 1] / weight
        solution[a], solution[found + a] = displacement[i, 0], displacement[i, 1]
    factor(system, 2 * found)
    forward(system, 2 * found, solution)
    backward(system, 2 * found, solution)


@njit(cache=True, nogil=True)
def _reweigh(covariance, rows, found, kernel, base, solution, weights, distance):  # type: ignore[no-untyped-def]
    """Student-t weights from each measurement's residual: its noise covariance times the solution, `distance` long."""
    for a in range(found):
        i = rows[a]
        xx, xy = covariance[i, 0, 0] + kernel[4] ** 2, covariance[i, 0, 1]
        yy = covariance[i, 1, 1] + kernel[4] ** 2
        weight = max(weights[a], 1e-4)
        ex = (xx * solution[a] + xy * solution[found + a]) / weight
        ey = (xy * solution[a] + yy * solution[found + a]) / weight
        t = _quadratic_form(xx, xy, yy, ex, ey)
        distance[a] = np.hypot(ex, ey)
        weights[a] = base[a] * (STUDENT_DEGREES + 2) / (STUDENT_DEGREES + max(t, 2.0))


@njit(cache=True, nogil=True, forceinline=True)
def _robust_solve(  # type: ignore[no-untyped-def]
    offset, shared, displacement, covariance, rows, found, own, kernel, trend, base, weights, system, solution, distance
):
    """Solve with weights against the own measurement, then twice more with Student-t weights.

    Returns the share of the ring of neighbours that lost their weight, and their mean distance from the field.
    """
    _weights_against_own(offset, shared, displacement, covariance, rows, found, own, kernel, trend, base)
    copy(base[:found], weights)
    for _ in range(2):
        _solve(offset, shared, displacement, covariance, rows, found, kernel, trend, weights, system, solution)
        _reweigh(covariance, rows, found, kernel, base, solution, weights, distance)
    _solve(offset, shared, displacement, covariance, rows, found, kernel, trend, weights, system, solution)
    ring, lost, apart = 0, 0, 0.0
    for a in range(found):
        if rows[a] != own and ring < 8:
            ring += 1
            if weights[a] < LOST_WEIGHT:
                lost += 1
                apart += distance[a]
    return lost / max(ring, 1), apart / max(lost, 1)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _variance(offset, found, kernel, trend, system, x, y, prior, column):  # type: ignore[no-untyped-def]
    """Return the posterior variance of the displacement, both axes together, at a point relative to the centre."""
    shared_with(kernel, trend, x, y, offset, found, prior)
    at_point = kernel[1] ** 2 + kernel[3] ** 2 + trend * (OFFSET_SD_PX**2 + SLOPE_SD**2 * (x * x + y * y))
    variance = 0.0
    for axis in range(2):
        column[:] = 0.0
        copy(prior[:found], column[axis * found :])
        forward(system, 2 * found, column)
        explained = 0.0
        for a in range(2 * found):
            explained += column[a] * column[a]
        variance += max(at_point - explained, 0.0)
    return variance


@njit(cache=True, nogil=True)
def local_kriging(  # type: ignore[no-untyped-def]
    centre_xy, displacement, covariance, usable, query_xy, own, kernel, nodes, sd, conflict, conflict_px
):
    wanted = min(NEIGHBOURS, max(centre_xy.shape[0], 1))
    rows = np.empty(wanted, np.int64)
    offset, shared, prior = np.empty((2, wanted)), np.empty((wanted, wanted)), np.empty(wanted)
    base, weights, distance = np.empty(wanted), np.empty(wanted), np.empty(wanted)
    system, solution, column = np.empty((2 * wanted, 2 * wanted)), np.empty(2 * wanted), np.empty(2 * wanted)
    count = query_xy.shape[1]
    probes = np.array([0, count // 2, count - 1])
    for k in range(query_xy.shape[0]):
        x, y = query_xy[k, :, 0].mean(), query_xy[k, :, 1].mean()
        found = _nearest(centre_xy, usable, x, y, own[k], wanted, rows)
        if found == 0:
            sd[k] = np.sqrt(2 * (kernel[1] ** 2 + kernel[3] ** 2))
            continue
        for a in range(found):
            offset[0, a], offset[1, a] = centre_xy[rows[a], 0] - x, centre_xy[rows[a], 1] - y
        for a in range(found):
            correlations(kernel, offset[0, a], offset[1, a], offset, found, shared[a])
        for trend in (0.0, 1.0):  # with an offset and a slope of its own where the smooth map does not hold
            conflict[k], conflict_px[k] = _robust_solve(
                offset,
                shared,
                displacement,
                covariance,
                rows,
                found,
                own[k],
                kernel,
                trend,
                base,
                weights,
                system,
                solution,
                distance,
            )
            if conflict[k] <= MAX_CONFLICT and (own[k] < 0 or weights[0] >= LOST_WEIGHT):
                break
        for q in range(count):
            qx, qy = query_xy[k, q, 0] - x, query_xy[k, q, 1] - y
            shared_with(kernel, trend, qx, qy, offset, found, prior)
            for a in range(found):
                nodes[k, q, 0] += prior[a] * solution[a]
                nodes[k, q, 1] += prior[a] * solution[found + a]
        variance = 0.0
        for q in probes:
            qx, qy = query_xy[k, q, 0] - x, query_xy[k, q, 1] - y
            variance += _variance(offset, found, kernel, trend, system, qx, qy, prior, column) / len(probes)
        sd[k] = np.sqrt(variance)

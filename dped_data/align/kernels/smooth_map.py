"""Compiled parts of the smooth map: its values, and the sums and systems of its fits.

Points lie side by side along the last axis, so that loops run over several at a time.

Numpy's matrix products take 1.8 times as long for the normal equations
(`PYTHONPATH=.:tests python benchmarks/kernels.py`, AMD EPYC, one thread).
Fallback: NUMBA_DISABLE_JIT=1 runs the same lines without the compiler.
Delete them when numpy comes within a tenth.
"""

from __future__ import annotations

import numpy as np

from dped_data.align.kernels.cholesky import backward, factor, forward
from dped_data.common.jit import FAST_MATH, copy, njit

TOGETHER = 128
"""Points that are worked on at a time: what is known of them stays in the processor's first cache."""


@njit(cache=True, nogil=True)
def map_points(phone_xy, h, radial, coefficients, degree, size_wh, dslr_xy):  # type: ignore[no-untyped-def]
    """Fill dslr_xy (N, 2) with homography `h` of the radially moved phone_xy (N, 2), and the polynomial by Horner.

    Without fast-math flags, so that the identity stays exact: a photo's last pixel must not fall outside an equal one.
    """
    centre_x, centre_y, half = (size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2, size_wh[0] / 2
    per_square = radial / (1 + (size_wh[1] / size_wh[0]) ** 2)
    u, v = np.empty(TOGETHER), np.empty(TOGETHER)
    term, total = np.empty((2, TOGETHER)), np.empty((2, TOGETHER))
    for start in range(0, len(phone_xy), TOGETHER):
        count = min(TOGETHER, len(phone_xy) - start)
        for p in range(count):
            u[p], v[p] = (phone_xy[start + p, 0] - centre_x) / half, (phone_xy[start + p, 1] - centre_y) / half
        total[:] = 0.0
        at = len(coefficients)
        for i in range(degree, -1, -1):
            at -= degree - i + 1
            for axis in range(2):
                row, whole = term[axis], total[axis]
                row[:] = coefficients[at + degree - i, axis]
                for j in range(degree - i - 1, -1, -1):
                    coefficient = coefficients[at + j, axis]
                    for p in range(count):
                        row[p] = row[p] * v[p] + coefficient
                for p in range(count):
                    whole[p] = whole[p] * u[p] + row[p]
        for p in range(count):
            grown = (1 + per_square * (u[p] * u[p] + v[p] * v[p])) * half
            x, y = u[p] * grown + centre_x, v[p] * grown + centre_y
            depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
            dslr_xy[start + p, 0] = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth + total[0, p]
            dslr_xy[start + p, 1] = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth + total[1, p]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def normal_equations(design, weight, values, normal, right):  # type: ignore[no-untyped-def]
    """Fill normal (K, K) and right (K, R) of the weighted fit of the design (K, N) to the values (R, N)."""
    normal[:], right[:] = 0.0, 0.0
    row = np.empty(TOGETHER)
    for start in range(0, weight.size, TOGETHER):
        stop = min(start + TOGETHER, weight.size)
        weighted, weights = row[: stop - start], weight[start:stop]
        for a in range(len(design)):
            values_a = design[a, start:stop]
            for p in range(stop - start):
                weighted[p] = weights[p] * values_a[p]
            for b in range(a, len(design)):
                normal[a, b] += _dot(weighted, design[b, start:stop])
            for r in range(len(values)):
                right[a, r] += _dot(weighted, values[r, start:stop])
    for a in range(len(design)):
        for b in range(a):
            normal[a, b] = normal[b, a]


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def ridge_solve(normal, right, prior_px, scales, coefficients):  # type: ignore[no-untyped-def]
    """Fill the coefficients (K, R) and return the index of the factor of the prior that has the largest evidence."""
    size = len(normal)
    system, column = np.empty_like(normal), np.empty(size)
    best, chosen = -np.inf, 0
    for k in range(len(scales)):
        spread = _ridge_factor(normal, prior_px, scales[k], system)
        evidence = -spread
        for r in range(right.shape[1]):
            copy(right[:, r], column)
            forward(system, size, column)
            evidence += 0.5 * _dot(column, column)
        if evidence > best:
            best, chosen = evidence, k
    _ridge_factor(normal, prior_px, scales[chosen], system)
    for r in range(right.shape[1]):
        copy(right[:, r], column)
        forward(system, size, column)
        backward(system, size, column)
        copy(column, coefficients[:, r])
    return chosen


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _ridge_factor(normal, prior_px, scale, system):  # type: ignore[no-untyped-def]
    """Factor the normal matrix plus the prior into `system`; return half of both axes' logarithms of determinants."""
    for a in range(len(normal)):
        copy(normal[a], system[a])
        system[a, a] += (prior_px[a] * scale) ** -2.0
    factor(system, len(normal))
    spread = 0.0
    for a in range(len(normal)):
        spread += 2 * np.log(system[a, a] * prior_px[a] * scale)
    return spread


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def residual_lengths(design, values, coefficients, length):  # type: ignore[no-untyped-def]
    """Fill length (N,) with the distances between the values (2, N) and the design (K, N) times coefficients (K, 2)."""
    rest = np.empty((2, TOGETHER))
    for start in range(0, length.size, TOGETHER):
        count = min(TOGETHER, length.size - start)
        for axis in range(2):
            row = rest[axis]
            for p in range(count):
                row[p] = values[axis, start + p]
            for k in range(len(design)):
                coefficient, term = coefficients[k, axis], design[k]
                for p in range(count):
                    row[p] -= coefficient * term[start + p]
        for p in range(count):
            length[start + p] = np.sqrt(rest[0, p] * rest[0, p] + rest[1, p] * rest[1, p])

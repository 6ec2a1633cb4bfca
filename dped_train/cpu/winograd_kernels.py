"""The four passes of the Winograd convolution F(4x4, 3x3) around its matrix products, compiled: rows, then columns.

A tile is 4x4 pixels of output, made of 6x6 pixels of input that overlap those of the next tile by two. Planes are the
36 values of a tile, (6, 6, T, C) for T tiles of C channels. Photos are (N, H, W C) and contiguous. Rows of tiles,
`high` in each photo, are cut into `pieces` of `width` tiles; pieces are numbered from left to right, from top to bottom
and through all photos. All arrays are float32.

Each loop writes one or two outputs from a few inputs, and every constant is float32: otherwise numba neither vectorises
the loop nor stays in single precision.

Instead of them: torch's operations on unfolded tiles. As `benchmarks/cpu_parts.py` has them they cost 9.7 times the
processor time of an enhanced photo (`--work enhancing --only compiled`; float32, AMD EPYC with AVX-512), far more than
a Winograd convolution saves: without these passes torch's F.conv2d is the better one. Off and deleted: as `winograd`.
"""

import numpy as np

from dped_data.common.jit import FAST_MATH, copy, njit

A, B = np.float32(2 / 3), np.float32(3 / 2)  # winograd.POINT and its reciprocal, so that A B = 1
A2, A3, B2, B3 = np.float32(4 / 9), np.float32(8 / 27), np.float32(9 / 4), np.float32(27 / 8)
SUM = np.float32(4 / 9 + 9 / 4)  # of the squares


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def planes_of_input(x, first, count, high, pieces, width, top, planes, lines):  # type: ignore[no-untyped-def]
    """B^T d B of the pieces `first` to `first + count`, zeros around the photo.

    Args:
        x: (N, H, W C).
        top: rows of zeros above the photo, 0 or 1; one column of zeros is left of it.
        planes: (6, 6, T, C), filled.
        lines: (6, 4 width + 2, C), scratch buffer for a piece.
    """
    for index in range(count):
        _lines_of_input(x, first + index, high, pieces, top, lines)
        for k in range(6):
            for tile in range(width):
                at, t = 4 * tile, index * width + tile
                y, out = lines[k], planes[k]
                _six_from_six(
                    y[at], y[at + 1], y[at + 2], y[at + 3], y[at + 4], y[at + 5],
                    out[0, t], out[1, t], out[2, t], out[3, t], out[4, t], out[5, t],
                )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def output_of_planes(planes, first, count, high, pieces, width, bias, y, lines):  # type: ignore[no-untyped-def]
    """A^T m A plus the bias, into the pixels of `y` that these pieces cover.

    Args:
        planes: (6, 6, T, C).
        bias: (4 width C,), the same for every pixel.
        y: (N, H, W C), filled.
        lines: (6, 4 width, C), scratch buffer for a piece.
    """
    for index in range(count):
        for k in range(6):
            for tile in range(width):
                at, t = 4 * tile, index * width + tile
                m, out = planes[k], lines[k]
                _four_from_six(
                    m[0, t], m[1, t], m[2, t], m[3, t], m[4, t], m[5, t], out[at], out[at + 1], out[at + 2], out[at + 3]
                )
        _output_of_lines(lines, first + index, high, pieces, bias, y)


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def planes_of_output_gradient(y, first, count, high, width, planes, lines):  # type: ignore[no-untyped-def]
    """A g A^T: the gradient of the planes from that of the output, `y` (N, H, W C); a piece is a row of tiles."""
    for index in range(count):
        _lines_of_output_gradient(y, first + index, high, lines)
        for k in range(6):
            for tile in range(width):
                at, t = 4 * tile, index * width + tile
                g, out = lines[k], planes[k]
                _six_from_four(
                    g[at], g[at + 1], g[at + 2], g[at + 3],
                    out[0, t], out[1, t], out[2, t], out[3, t], out[4, t], out[5, t],
                )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=FAST_MATH)
def input_gradient_of_planes(planes, first, count, high, width, x, lines, sums):  # type: ignore[no-untyped-def]
    """B v B^T, tiles added up where they overlap: the reverse of `planes_of_input` with one row of zeros above.

    Args:
        planes: (6, 6, T, C).
        first, count: pieces, each a row of tiles; those before in the same photo must have been done.
        x: (N, H, W C), filled.
        lines: (6, 4 width + 2, C), sums: (6, W C): scratch buffers for one row of tiles.
    """
    for index in range(count):
        for k in range(6):
            v, out = planes[k], lines[k]
            out[:2] = 0
            for tile in range(width):
                at, t = 4 * tile, index * width + tile
                _six_into_six(
                    v[0, t], v[1, t], v[2, t], v[3, t], v[4, t], v[5, t],
                    out[at], out[at + 1], out[at + 2], out[at + 3], out[at + 4], out[at + 5],
                )  # fmt: skip
        _input_gradient_of_lines(lines, first + index, high, x, sums)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _lines_of_input(x, number, high, pieces, top, lines):  # type: ignore[no-untyped-def]
    """B^T of the six rows of pixels under piece `number`, with zeros left and right of the photo."""
    channels, columns = lines.shape[2], lines.shape[1]
    photo, row = number // pieces // high, 4 * (number // pieces % high) - top
    begin = (columns - 2) * (number % pieces) - 1
    left = 1 if begin < 0 else 0
    right = min(columns, x.shape[2] // channels - begin)
    lines[:, :left] = 0
    lines[:, right:] = 0
    flat = lines.reshape(6, -1)
    start, stop, a, b = (begin + left) * channels, (begin + right) * channels, left * channels, right * channels
    height, nothing = x.shape[1], np.zeros(stop - start, np.float32)
    _six_from_six(
        x[photo, row][start:stop] if 0 <= row < height else nothing,
        x[photo, row + 1][start:stop] if row + 1 < height else nothing,
        x[photo, row + 2][start:stop] if row + 2 < height else nothing,
        x[photo, row + 3][start:stop] if row + 3 < height else nothing,
        x[photo, row + 4][start:stop] if row + 4 < height else nothing,
        x[photo, row + 5][start:stop] if row + 5 < height else nothing,
        flat[0][a:b], flat[1][a:b], flat[2][a:b], flat[3][a:b], flat[4][a:b], flat[5][a:b],
    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _output_of_lines(lines, number, high, pieces, bias, y):  # type: ignore[no-untyped-def]
    """A^T, plus the bias, into the four rows of pixels of piece `number`, or as many as there are."""
    channels, columns = lines.shape[2], lines.shape[1]
    photo, row = number // pieces // high, 4 * (number // pieces % high)
    start = columns * (number % pieces) * channels
    stop = min(start + columns * channels, y.shape[2])
    size, height = stop - start, y.shape[1]
    flat = lines.reshape(6, -1)
    _four_from_six_plus(
        flat[0][:size], flat[1][:size], flat[2][:size], flat[3][:size], flat[4][:size], flat[5][:size],
        bias[:size],
        y[photo, row][start:stop],
        y[photo, row + 1][start:stop] if row + 1 < height else np.empty(size, np.float32),
        y[photo, row + 2][start:stop] if row + 2 < height else np.empty(size, np.float32),
        y[photo, row + 3][start:stop] if row + 3 < height else np.empty(size, np.float32),
    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _lines_of_output_gradient(y, number, high, lines):  # type: ignore[no-untyped-def]
    """A of the four rows of pixels of row `number` of tiles, with zeros at the right."""
    height, length = y.shape[1], y.shape[2]
    photo, row = number // high, 4 * (number % high)
    lines[:, length // lines.shape[2] :] = 0
    flat = lines.reshape(6, -1)
    nothing = np.zeros(length, np.float32)
    _six_from_four(
        y[photo, row],
        y[photo, row + 1] if row + 1 < height else nothing,
        y[photo, row + 2] if row + 2 < height else nothing,
        y[photo, row + 3] if row + 3 < height else nothing,
        flat[0][:length], flat[1][:length], flat[2][:length], flat[3][:length], flat[4][:length], flat[5][:length],
    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _input_gradient_of_lines(lines, number, high, x, sums):  # type: ignore[no-untyped-def]
    """B into the six rows of pixels under row `number` of tiles; the first two are shared with the row before."""
    height, length = x.shape[1], x.shape[2]
    channels = lines.shape[2]
    end = channels + length
    photo, tile_row = number // high, number % high
    flat = lines.reshape(6, -1)
    sums[:2] = 0
    _six_into_six(
        flat[0][channels:end], flat[1][channels:end], flat[2][channels:end],
        flat[3][channels:end], flat[4][channels:end], flat[5][channels:end],
        sums[0], sums[1], sums[2], sums[3], sums[4], sums[5],
    )  # fmt: skip
    for k in range(6):
        row = 4 * tile_row - 1 + k
        if 0 <= row < height:
            source, target = sums[k], x[photo, row]
            if k < 2 and tile_row > 0:
                for i in range(length):
                    target[i] += source[i]
            else:
                copy(source, target)


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _six_from_six(x0, x1, x2, x3, x4, x5, o0, o1, o2, o3, o4, o5):  # type: ignore[no-untyped-def]
    """B^T x."""
    for i in range(len(o0)):
        o0[i] = x0[i] - SUM * x2[i] + x4[i]
    for i in range(len(o1)):
        even, odd = x4[i] - B2 * x2[i], A * x3[i] - B * x1[i]
        o1[i], o2[i] = even + odd, even - odd
    for i in range(len(o3)):
        even, odd = x4[i] - A2 * x2[i], B * x3[i] - A * x1[i]
        o3[i], o4[i] = even + odd, even - odd
    for i in range(len(o5)):
        o5[i] = x1[i] - SUM * x3[i] + x5[i]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _six_into_six(v0, v1, v2, v3, v4, v5, o0, o1, o2, o3, o4, o5):  # type: ignore[no-untyped-def]
    """B v, added to the first two outputs, written to the others."""
    for i in range(len(o0)):
        o0[i] += v0[i]
    for i in range(len(o1)):
        first, second = v1[i] - v2[i], v3[i] - v4[i]
        o1[i] += v5[i] - B * first - A * second
        o3[i] = A * first + B * second - SUM * v5[i]
    for i in range(len(o2)):
        first, second = v1[i] + v2[i], v3[i] + v4[i]
        o2[i], o4[i] = -SUM * v0[i] - B2 * first - A2 * second, v0[i] + first + second
    for i in range(len(o5)):
        o5[i] = v5[i]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _four_from_six(m0, m1, m2, m3, m4, m5, o0, o1, o2, o3):  # type: ignore[no-untyped-def]
    """A^T m."""
    for i in range(len(o0)):
        first, second = m1[i] + m2[i], m3[i] + m4[i]
        o0[i], o2[i] = m0[i] + first + second, A2 * first + B2 * second
    for i in range(len(o1)):
        first, second = m1[i] - m2[i], m3[i] - m4[i]
        o1[i], o3[i] = A * first + B * second, A3 * first + B3 * second + m5[i]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _four_from_six_plus(m0, m1, m2, m3, m4, m5, more, o0, o1, o2, o3):  # type: ignore[no-untyped-def]
    """A^T m + more."""
    for i in range(len(o0)):
        first, second = m1[i] + m2[i], m3[i] + m4[i]
        o0[i], o2[i] = m0[i] + first + second + more[i], A2 * first + B2 * second + more[i]
    for i in range(len(o1)):
        first, second = m1[i] - m2[i], m3[i] - m4[i]
        o1[i], o3[i] = A * first + B * second + more[i], A3 * first + B3 * second + m5[i] + more[i]


@njit(cache=True, nogil=True, fastmath=FAST_MATH, forceinline=True)
def _six_from_four(y0, y1, y2, y3, o0, o1, o2, o3, o4, o5):  # type: ignore[no-untyped-def]
    """A y."""
    for i in range(len(o0)):
        o0[i], o5[i] = y0[i], y3[i]
    for i in range(len(o1)):
        even, odd = y0[i] + A2 * y2[i], A * y1[i] + A3 * y3[i]
        o1[i], o2[i] = even + odd, even - odd
    for i in range(len(o3)):
        even, odd = y0[i] + B2 * y2[i], B * y1[i] + B3 * y3[i]
        o3[i], o4[i] = even + odd, even - odd

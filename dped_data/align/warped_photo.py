"""The whole DSLR photo in the phone's frame, with where it is valid and how well it is aligned."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.displacement_field import krige
from dped_data.align.records import FieldPrior, MeasuredField
from dped_data.align.resampling import sample_map
from dped_data.align.smooth_map import SmoothMap
from dped_data.align.tie_points import nearest_rows

LATTICE_PX = 16
"""Spacing at which the field is evaluated; between, the map is linear to a thousandth of a pixel."""

STRIP_ROWS = 256


@dataclass(frozen=True)
class WarpedPhoto:
    """The DSLR photo as the phone would have seen it, (H, W) of the phone photo.

    Attributes:
        photo: (H, W, 3) uint8, black where not valid.
        valid: (H, W) bool, inside the DSLR photo.
        error_px: (H, W) float32, predicted root mean square misalignment, phone pixels; infinite where not valid.
    """

    photo: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    error_px: NDArray[np.float32]


@dataclass(frozen=True)
class PhotoMap:
    """Of an alignment what a warp of the whole photo needs: the smooth map, and the field measured against it."""

    dslr_from_phone: SmoothMap
    field: MeasuredField


def map_to_bytes(photo_map: PhotoMap) -> bytes:
    """Return a map as bytes that lose nothing: a line of JSON with counts and whole numbers, then float64 values."""
    smooth, field = photo_map.dslr_from_phone, photo_map.field
    covariance = np.zeros((0, 0)) if smooth.covariance is None else smooth.covariance
    head = [len(field.usable), len(smooth.coefficients), len(covariance), smooth.degree]
    parts = [smooth.dslr_from_undistorted, [smooth.radial], smooth.coefficients, covariance, astuple(field.prior)]
    parts += [field.centre_xy, field.displacement, field.covariance, field.usable]
    values = np.concatenate([np.asarray(part, "<f8").ravel() for part in parts])
    return json.dumps([head, smooth.phone_size_wh, smooth.dslr_size_wh]).encode() + b"\n" + values.tobytes()


def map_from_bytes(data: bytes) -> PhotoMap:
    """Return the map that `map_to_bytes` wrote; ValueError where the bytes are none."""
    line, _, rest = data.partition(b"\n")
    try:
        (count, terms, known, degree), phone_wh, dslr_wh = json.loads(line)
        shapes = [(3, 3), (1,), (terms, 2), (known, known), (5,), (count, 2), (count, 2), (count, 2, 2), (count,)]
        sizes = [int(np.prod(shape)) for shape in shapes]
        values = np.frombuffer(rest, "<f8")
    except TypeError as error:
        raise ValueError(str(error)) from None
    if min(count, terms, known) < 0 or len(values) != sum(sizes) or not np.isfinite(values).all():
        raise ValueError("not the values that its first line announces")
    parts = np.split(values.astype(np.float64), np.cumsum(sizes)[:-1])
    matrix, radial, coefficients, covariance, prior, centre, displacement, spread, usable = (
        part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
    )
    smooth = SmoothMap(
        matrix, float(radial[0]), coefficients, degree, tuple(phone_wh), tuple(dslr_wh), covariance if known else None
    )
    field = MeasuredField(centre, displacement, spread, usable.astype(bool), FieldPrior(*prior.tolist()))
    return PhotoMap(smooth, field)


def warp_aligned(dslr: NDArray[np.uint8], photo_map: PhotoMap, phone_size_wh: tuple[int, int]) -> WarpedPhoto:
    """Warp the whole DSLR photo into the phone photo's frame, sampled once from full resolution.

    Every pixel follows the field at its place, whatever the verdict on the windows there: near depth edges
    `error_px` is large, not the photo empty.

    Args:
        dslr: (H, W, 3) uint8, the photo the alignment was found with.
        photo_map: of the capture.
        phone_size_wh: size of the phone photo.
    """
    width, height = phone_size_wh
    x = np.arange(0, width + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    y = np.arange(0, height + LATTICE_PX, LATTICE_PX, dtype=np.float64)
    points = np.stack(np.meshgrid(x, y), axis=-1)
    flat = points.reshape(-1, 2)
    smooth, field = photo_map.dslr_from_phone, photo_map.field
    nearest = nearest_rows(field.centre_xy, flat)
    displacement, error = krige(field, smooth, flat[:, None], nearest)
    mapped = smooth(flat + displacement[:, 0]).reshape(points.shape)
    lattice = np.concatenate((mapped, error.reshape(len(y), len(x), 1)), axis=-1)
    warped = WarpedPhoto(
        np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool), np.zeros((height, width), np.float32)
    )
    scale = smooth.scale()
    last = np.array([dslr.shape[1] - 1, dslr.shape[0] - 1])
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        dense = _interpolated(lattice, np.arange(rows.start, rows.stop), np.arange(width))
        valid = np.all((dense[..., :2] >= 0) & (dense[..., :2] <= last), axis=-1)
        photo = sample_map(dslr, dense[..., :2], (scale, scale))
        warped.photo[rows] = np.where(valid[..., None], photo, 0)
        warped.valid[rows] = valid
        warped.error_px[rows] = np.where(valid, dense[..., 2], np.inf)
    return warped


def _interpolated(lattice: NDArray[np.float64], y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the bilinear interpolation of the lattice (rows, columns, C) at pairs of whole-pixel rows and columns."""
    i, j = y // LATTICE_PX, x // LATTICE_PX
    fy, fx = (y / LATTICE_PX - i)[:, None, None], (x / LATTICE_PX - j)[:, None]
    rows = lattice[i] + (lattice[i + 1] - lattice[i]) * fy
    result: NDArray[np.float64] = rows[:, j] + (rows[:, j + 1] - rows[:, j]) * fx
    return result

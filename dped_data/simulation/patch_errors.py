"""Measure patches and windows of one capture against its exact map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.simulation.geometry import PairGeometry

NODES = 5
"""Nodes per side of a patch's stored geometry."""
ORACLE_NCC = 0.9
"""The paper's rule for keeping a pair of patches (section 2)."""


@dataclass(frozen=True)
class PatchErrors:
    """How far N patches lie from the truth.

    Attributes:
        rms_px: (N,) float64, root mean square over the nodes of the distance between the node's stored and true place
            in the DSLR photo, divided by the local scale: phone pixels.
        worst_px: (N,) float64, the largest of these distances.
        one_surface: (N,) bool, all nodes show one surface, and all of them are visible in the DSLR photo.
    """

    rms_px: NDArray[np.float64]
    worst_px: NDArray[np.float64]
    one_surface: NDArray[np.bool_]


@dataclass(frozen=True)
class Windows:
    """Windows of a grid that lie wholly inside both photos.

    Attributes:
        xy: (W, 2) int64, top-left corners in the phone photo.
        one_surface: (W,) bool, every pixel shows one surface that the DSLR photo shows too.
        ncc: (W,) float64, correlation of the phone's luminance and the DSLR's, sampled through the exact map.
        oracle: (W,) bool, what a builder that knew the exact map would keep: one surface and ncc > 0.9.
    """

    xy: NDArray[np.int64]
    one_surface: NDArray[np.bool_]
    ncc: NDArray[np.float64]
    oracle: NDArray[np.bool_]


def patch_errors(geometry: PairGeometry, phone_xy: NDArray[np.float64], dslr_xy: NDArray[np.float64]) -> PatchErrors:
    """Compare where N patches say their nodes lie in the DSLR photo with where these lie.

    Args:
        geometry: the exact map of the capture.
        phone_xy: (N, K, 2) the nodes' places in the phone photo.
        dslr_xy: (N, K, 2) the same nodes' places in the DSLR photo as the patches have it.
    """
    flat = phone_xy.reshape(-1, 2)
    truth = geometry.dslr_from_phone(flat)
    distance = np.linalg.norm(dslr_xy.reshape(-1, 2) - truth.dslr_xy, axis=1) / geometry.local_scale(flat)
    distance = distance.reshape(phone_xy.shape[:2])
    surface = truth.surface.reshape(distance.shape)
    one = (surface == surface[:, :1]).all(axis=1) & truth.visible.reshape(distance.shape).all(axis=1)
    return PatchErrors(np.sqrt((distance**2).mean(axis=1)), distance.max(axis=1), one)


def measure_windows(
    geometry: PairGeometry,
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    origin_xy: tuple[int, int] | None,
    stride: int,
    size: int,
) -> Windows:
    """Find the windows of the grid through `origin_xy` that lie inside both photos, and judge them by the exact map.

    Args:
        phone, dslr: the capture's photos, (H, W, 3) uint8 RGB.
        origin_xy: a corner of one window in the phone photo; None puts it at the overlap's upper left corner.
        stride, size: step and side of the windows, phone pixels.
    """
    height, width = phone.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)), axis=-1)
    truth = geometry.dslr_from_phone(grid.reshape(-1, 2))
    surface = truth.surface.reshape(height, width)
    dslr_xy = truth.dslr_xy.reshape(height, width, 2)
    x, y = dslr_xy[..., 0], dslr_xy[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= geometry.dslr.width_px - 1) & (y <= geometry.dslr.height_px - 1)
    visible = truth.visible.reshape(height, width)
    xy = _windows_inside(inside, origin_xy, stride, size)
    grey = cv2.cvtColor(phone, cv2.COLOR_RGB2GRAY)
    dslr_grey = _resample(cv2.cvtColor(dslr, cv2.COLOR_RGB2GRAY), dslr_xy, _middle_scale(geometry))
    one, ncc = np.zeros(len(xy), bool), np.zeros(len(xy))
    for i, (left, top) in enumerate(xy):
        part = np.s_[top : top + size, left : left + size]
        one[i] = visible[part].all() and (surface[part] == surface[top, left]).all()
        ncc[i] = _correlation(grey[part], dslr_grey[part])
    return Windows(xy, one, ncc, one & (ncc > ORACLE_NCC))


def _windows_inside(
    inside: NDArray[np.bool_], origin_xy: tuple[int, int] | None, stride: int, size: int
) -> NDArray[np.int64]:
    height, width = inside.shape
    if origin_xy is None:
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        origin_xy = (int(columns[0]), int(rows[0])) if len(rows) else (0, 0)
    lefts = range(origin_xy[0] % stride, width - size + 1, stride)
    tops = range(origin_xy[1] % stride, height - size + 1, stride)
    kept = [(x, y) for y in tops for x in lefts if inside[y : y + size, x : x + size].all()]
    return np.array(kept, np.int64).reshape(-1, 2)


def _middle_scale(geometry: PairGeometry) -> float:
    middle = np.array([[(geometry.phone.width_px - 1) / 2, (geometry.phone.height_px - 1) / 2]])
    return float(geometry.local_scale(middle)[0])


def _resample(grey: NDArray[np.uint8], dslr_xy: NDArray[np.float64], scale: float) -> NDArray[np.uint8]:
    """Sample the DSLR photo at every phone pixel: Gaussian of 0.4 sqrt(scale^2 - 1) px against aliasing, then cubic."""
    if scale > 1:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 * math.sqrt(scale * scale - 1) + 1e-3)
    xy = dslr_xy.astype(np.float32)
    return cv2.remap(grey, xy, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Zero-mean normalised cross-correlation; 0 where one of the two is constant."""
    x, y = a.astype(np.float64) - a.mean(), b.astype(np.float64) - b.mean()
    norm = math.sqrt(float((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm > 0 else 0.0

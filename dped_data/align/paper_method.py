"""The paper's alignment to the letter (section 2), for comparison and for people who must reproduce it.

One homography; both photos cropped to their intersection and the DSLR crop downscaled to the phone crop; a window that
moves in parallel along both, its place on the phone photo adjusted by shifts and rotations; correlation above 0.9.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.ncc import correlate_patches
from dped_data.align.records import WINDOW_REASONS, Homography, Patches
from dped_data.align.resampling import sample_dslr
from dped_data.align.smooth_map import project, smooth_map_of_homography
from dped_data.align.target_quality import measure_quality
from dped_data.align.window_grid import overlap_share, place_windows
from dped_data.common.patch_nodes import node_grid
from dped_data.errors import CaptureRejected
from dped_data.settings import PatchSettings

MAX_SHIFT_PX = 5
"""Reach of the shifts. The paper states none for the search, but that "the potential shifts do not exceed 5 pixels"."""

ANGLES_DEG = (0.0, -0.5, 0.5, -1.0, 1.0)
"""Rotations that are tried; the paper says only that there were some. Ours; without a rotation nothing is resampled."""


@dataclass(frozen=True)
class _Place:
    """Where a window correlates best on the phone photo: whole-pixel shift, rotation, and the correlation."""

    dx: int
    dy: int
    angle_deg: float
    ncc: float


def extract_paper_patches(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], homography: Homography, settings: PatchSettings
) -> Patches:
    """Extract the patches of one capture as the paper describes it.

    `phone_xy` is the corner of the shifted window; a window with an angle was rotated about its centre and so resampled
    (bilinear). `error_px` is NaN, for the paper has no estimate of it. `dslr_xy` is the homography at the unshifted
    window: the pixels that the DSLR patch was sampled from.

    Raises:
        CaptureRejected: the overlap is smaller than one patch.
    """
    size = settings.patch_size
    phone_wh, dslr_wh = (phone.shape[1], phone.shape[0]), (dslr.shape[1], dslr.shape[0])
    smooth = smooth_map_of_homography(homography.dslr_from_phone, phone_wh, dslr_wh)
    window_xy = place_windows(smooth, size, settings.stride or size)
    if not len(window_xy):
        raise CaptureRejected("patches", "overlap smaller than a patch", round(overlap_share(smooth), 4), None)
    node_xy = window_xy[:, None, None].astype(np.float64) + node_grid(size)
    dslr_xy = project(homography.dslr_from_phone, node_xy)
    dslr_patches = sample_dslr(dslr, dslr_xy, size)
    grey = cv2.cvtColor(phone, cv2.COLOR_RGB2GRAY)
    places, cuts = [], np.empty_like(dslr_patches)
    for index, (x, y) in enumerate(window_xy):
        places.append(best_place(grey, cv2.cvtColor(dslr_patches[index], cv2.COLOR_RGB2GRAY), int(x), int(y)))
        cuts[index] = rotated_patch(phone, int(x) + places[-1].dx, int(y) + places[-1].dy, size, places[-1].angle_deg)
    ncc = correlate_patches(cuts, dslr_patches).ncc
    kept = ncc > settings.min_ncc
    shift = np.array([(place.dx, place.dy) for place in places], np.int32)
    return Patches(
        phone=cuts[kept],
        dslr=dslr_patches[kept],
        phone_xy=window_xy[kept] + shift[kept],
        dslr_xy=dslr_xy[kept],
        shift_px=shift[kept].astype(np.float32),
        angle_deg=np.array([place.angle_deg for place in places], np.float32)[kept],
        ncc=ncc[kept].astype(np.float32),
        error_px=np.full(int(kept.sum()), np.nan, np.float32),
        window_xy=window_xy,
        window_reason=np.where(kept, 0, WINDOW_REASONS.index("ncc")).astype(np.uint8),
        flat=np.zeros(int(kept.sum()), bool),
        valid=None,
        phone_raw=None,
        dslr_linear=None,
        **measure_quality(cuts[kept], dslr_patches[kept]).columns(),
    )


def best_place(phone_grey: NDArray[np.uint8], dslr_patch: NDArray[np.uint8], x: int, y: int) -> _Place:
    """Find the shift and rotation of the window at (x, y) at which the phone photo correlates best with the patch.

    Ties go to the smaller rotation. A patch without contrast stays where it is.
    """
    height, width = phone_grey.shape
    size = len(dslr_patch)
    left, top = max(0, x - MAX_SHIFT_PX), max(0, y - MAX_SHIFT_PX)
    right, bottom = min(width, x + size + MAX_SHIFT_PX), min(height, y + size + MAX_SHIFT_PX)
    best = _Place(0, 0, 0.0, -1.0)
    if dslr_patch.min() == dslr_patch.max():
        return best
    for angle in ANGLES_DEG:
        region = _rotated(phone_grey, left, top, right - left, bottom - top, x, y, size, angle)
        scores = cv2.matchTemplate(region, dslr_patch, cv2.TM_CCOEFF_NORMED)
        _, score, _, (column, row) = cv2.minMaxLoc(np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0))
        if score > best.ncc:
            best = _Place(left + column - x, top + row - y, angle, float(score))
    return best


def rotated_patch(photo: NDArray[np.uint8], x: int, y: int, size: int, angle_deg: float) -> NDArray[np.uint8]:
    """Return the (S, S, 3) window at (x, y), turned about its centre; without an angle a plain copy."""
    if angle_deg == 0:
        return photo[y : y + size, x : x + size].copy()
    return _rotated(photo, x, y, size, size, x, y, size, angle_deg)


def _rotated(
    photo: NDArray[np.uint8], left: int, top: int, width: int, height: int, x: int, y: int, size: int, angle_deg: float
) -> NDArray[np.uint8]:
    """Return a region of the photo turned by the angle (from x towards y) about the centre of the window at (x, y)."""
    if angle_deg == 0:
        return photo[top : top + height, left : left + width]
    centre = (x + (size - 1) / 2 - left, y + (size - 1) / 2 - top)
    source_from_target = cv2.getRotationMatrix2D(centre, -angle_deg, 1.0)
    source_from_target[:, 2] += (left, top)
    turned: NDArray[np.uint8] = cv2.warpAffine(
        photo,
        source_from_target,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return turned

"""Stage 4: the homography between the photos (section 2), robust, and the tests that keep false ones out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import Homography, Matches
from dped_data.align.smooth_map import project, smooth_map_of_homography
from dped_data.align.window_grid import overlap_share
from dped_data.errors import CaptureRejected
from dped_data.settings import HomographySettings

ITERATIONS = 5000
CONFIDENCE = 0.9999

MAX_SCALE = 16.0
"""Largest change of scale, either way. Ours: beyond it no phone and DSLR lens can see one scene."""

MAX_DEPTH_RATIO = 4.0
"""Largest ratio of the projective depths of the phone photo's corners. Ours: a rig sees 1.1; a plane seen at a steep
angle 3; a homography fitted to false matches sends its horizon through the photo."""

MIN_OVERLAP = 0.05
"""Smallest share of the phone photo that the DSLR must cover."""

MIN_SPREAD = 0.02
"""Smallest standard deviation of the inliers along their shorter axis, share of the phone photo's width."""


def estimate_homography(
    matches: Matches,
    phone_size_wh: tuple[int, int],
    dslr_size_wh: tuple[int, int],
    settings: HomographySettings,
    seed: int,
) -> Homography:
    """Estimate the homography with MAGSAC++ (Barath et al. 2020) and hold it against the tests below.

    Args:
        matches: N matched keypoints.
        phone_size_wh, dslr_size_wh: photo sizes, pixels.
        settings: inlier threshold and least number of inliers.
        seed: of OpenCV's random generator, so that every run and every process draws the same samples.
    Raises:
        CaptureRejected: too few matches or inliers; a homography that is not finite, mirrors, changes scale absurdly,
            sends its horizon through the photo, or leaves no overlap; inliers on a line or in one spot.
    """
    count = len(matches.phone_xy)
    if count < settings.min_inliers:
        raise CaptureRejected("homography", "too few matches", count, settings.min_inliers)
    cv2.setRNGSeed(seed)
    threshold = settings.inlier_threshold * dslr_size_wh[0]
    h, mask = cv2.findHomography(
        matches.phone_xy, matches.dslr_xy, cv2.USAC_MAGSAC, threshold, maxIters=ITERATIONS, confidence=CONFIDENCE
    )
    if h is None or not np.isfinite(h).all() or abs(h[2, 2]) < 1e-12:
        raise CaptureRejected("homography", "no homography explains the matches", 0, settings.min_inliers)
    h = h / h[2, 2]
    inlier = mask.ravel() > 0
    if inlier.sum() < settings.min_inliers:
        raise CaptureRejected("homography", "too few inliers", int(inlier.sum()), settings.min_inliers)
    check_homography(h, phone_size_wh, dslr_size_wh)
    check_spread(matches.phone_xy[inlier], phone_size_wh)
    residual = transfer_error(h, matches.phone_xy[inlier], matches.dslr_xy[inlier])
    scale = float(np.sqrt(abs(np.linalg.det(_jacobian(h, _corners(phone_size_wh).mean(axis=0))))))
    return Homography(h, inlier, float(np.sqrt((residual**2).mean())) / scale)


def check_homography(
    dslr_from_phone: NDArray[np.float64], phone_size_wh: tuple[int, int], dslr_size_wh: tuple[int, int]
) -> None:
    """Raise CaptureRejected unless the homography can be that of two photos of one scene.

    Tested before anything is allocated by its scale: a degenerate one asks for a warp of gigabytes.
    """
    corners = _corners(phone_size_wh)
    depth = corners @ dslr_from_phone[2, :2] + dslr_from_phone[2, 2]
    if depth.min() <= 0 or depth.max() / depth.min() > MAX_DEPTH_RATIO:
        ratio = float(depth.max() / depth.min()) if depth.min() > 0 else float("inf")
        raise CaptureRejected("homography", "horizon too close to the photo", ratio, MAX_DEPTH_RATIO)
    determinants = [float(np.linalg.det(_jacobian(dslr_from_phone, corner))) for corner in corners]
    if min(determinants) <= 0:
        raise CaptureRejected("homography", "mirrored", min(determinants), 0.0)
    singular = np.concatenate([np.linalg.svd(_jacobian(dslr_from_phone, c), compute_uv=False) for c in corners])
    change = float(max(singular.max(), 1 / singular.min()))
    if change > MAX_SCALE:
        raise CaptureRejected("homography", "change of scale too large", change, MAX_SCALE)
    overlap = overlap_share(smooth_map_of_homography(dslr_from_phone, phone_size_wh, dslr_size_wh))
    if overlap < MIN_OVERLAP:
        raise CaptureRejected("homography", "photos hardly overlap", overlap, MIN_OVERLAP)


def check_spread(phone_xy: NDArray[np.float64], phone_size_wh: tuple[int, int]) -> None:
    """Raise CaptureRejected when all inliers lie on one line or in one spot, where they cannot fix a homography."""
    spread = float(np.sqrt(max(np.linalg.eigvalsh(np.cov(phone_xy.T))[0], 0.0))) / phone_size_wh[0]
    if spread < MIN_SPREAD:
        raise CaptureRejected("homography", "inliers on a line or in one spot", spread, MIN_SPREAD)


def transfer_error(
    dslr_from_phone: NDArray[np.float64], phone_xy: NDArray[np.float64], dslr_xy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (N,) distances between mapped phone points and DSLR points, DSLR pixels."""
    error: NDArray[np.float64] = np.linalg.norm(project(dslr_from_phone, phone_xy) - dslr_xy, axis=-1)
    return error


def _jacobian(h: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (2, 2) derivative of the projected point at one point."""
    depth = h[2, :2] @ xy + h[2, 2]
    projected = (h[:2, :2] @ xy + h[:2, 2]) / depth
    jacobian: NDArray[np.float64] = (h[:2, :2] - np.outer(projected, h[2, :2])) / depth
    return jacobian


def _corners(size_wh: tuple[int, int]) -> NDArray[np.float64]:
    right, bottom = size_wh[0] - 1.0, size_wh[1] - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])

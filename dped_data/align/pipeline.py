"""The order of the stages for one pair of photos, written once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.capture_notes import compare_tones, count_contrast
from dped_data.align.features import detect_features, match_features
from dped_data.align.homography import estimate_homography
from dped_data.align.paper_method import extract_paper_patches
from dped_data.align.patches import extract_patches
from dped_data.align.records import AlignedCapture, Homography, Matches
from dped_data.align.refinement import fit_matches, refine_alignment
from dped_data.align.smooth_map import SmoothMap, smooth_map_of_homography
from dped_data.align.window_grid import overlap_share
from dped_data.errors import CaptureRejected
from dped_data.settings import BuildSettings

WEAK_INLIERS = 60
"""Fewer inliers deserve a second look with ATTEMPT_FACTOR times the pixels and keypoints. Ours: rigs give hundreds."""

ATTEMPT_FACTOR = 4

ONE_SURFACE, SURFACE_GATE = 0.95, 0.003
"""A first look, with ATTEMPT_FACTOR times fewer pixels, is enough where this share of its matches lies on one smooth
map, to within this share of the DSLR's width. Ours: of scenes with depth the search needs to know more than that."""


@dataclass(frozen=True)
class MatchedPhotos:
    """What the keypoints of two photos say: the smaller number of keypoints, the matches, and the homography.

    And the smooth map of the matches where a first look has fitted it.
    """

    keypoints: int
    matches: Matches
    homography: Homography
    of_matches: SmoothMap | None = None


def match_photos(phone_grey: NDArray[np.uint8], dslr_grey: NDArray[np.uint8], settings: BuildSettings) -> MatchedPhotos:
    """Find the homography between two grey photos; where that fails or is weak, once more at a higher resolution.

    A first look at fewer pixels takes a third of the time and is enough for most photos of distant scenes. The paper's
    alignment, which has nothing but the homography, does without it.

    Raises:
        CaptureRejected: the stage and the reason of the better attempt.
    """
    if settings.alignment != "paper":
        found = _look_first(phone_grey, dslr_grey, settings)
        if found is not None:
            return found
    try:
        first = _match_once(phone_grey, dslr_grey, settings)
        if first.homography.inlier.sum() >= WEAK_INLIERS:
            return first
    except CaptureRejected:
        first = None
    keypoints = settings.features.keypoints * ATTEMPT_FACTOR
    try:
        second = _match_once(phone_grey, dslr_grey, _detecting(settings, ATTEMPT_FACTOR, keypoints))
    except CaptureRejected:
        if first is None:
            raise
        return first
    return second if first is None or second.homography.inlier.sum() > first.homography.inlier.sum() else first


def _look_first(
    phone_grey: NDArray[np.uint8], dslr_grey: NDArray[np.uint8], settings: BuildSettings
) -> MatchedPhotos | None:
    """Return what a look at few pixels finds, None where that is weak or the matches lie on several surfaces."""
    fewer = _detecting(settings, 1 / ATTEMPT_FACTOR, settings.features.keypoints)
    try:
        found = _match_once(phone_grey, dslr_grey, fewer)
    except CaptureRejected:
        return None
    if found.homography.inlier.sum() < WEAK_INLIERS:
        return None
    smooth = fit_matches(found.homography, found.matches, _size_wh(phone_grey), _size_wh(dslr_grey))
    off = np.linalg.norm(smooth(found.matches.phone_xy) - found.matches.dslr_xy, axis=1)
    on_one = np.mean(off < SURFACE_GATE * dslr_grey.shape[1]) >= ONE_SURFACE
    return replace(found, of_matches=smooth) if on_one else None


def _detecting(settings: BuildSettings, factor: float, keypoints: int) -> BuildSettings:
    """Return settings that detect with `factor` times the pixels."""
    features = settings.features
    megapixels = features.detect_megapixels * factor
    return replace(settings, features=replace(features, detect_megapixels=megapixels, keypoints=keypoints))


def _size_wh(grey: NDArray[np.uint8]) -> tuple[int, int]:
    return grey.shape[1], grey.shape[0]


def _match_once(phone_grey: NDArray[np.uint8], dslr_grey: NDArray[np.uint8], settings: BuildSettings) -> MatchedPhotos:
    phone, dslr = (detect_features(grey, settings.features) for grey in (phone_grey, dslr_grey))
    matches = match_features(phone, dslr, settings.features)
    sizes_wh = _size_wh(phone_grey), _size_wh(dslr_grey)
    homography = estimate_homography(matches, *sizes_wh, settings.homography, settings.seed)
    return MatchedPhotos(min(len(phone.xy), len(dslr.xy)), matches, homography)


def align_photos(
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    settings: BuildSettings,
    even_from_xy: tuple[int, int] | None = None,
) -> AlignedCapture:
    """Align one phone photo and one DSLR photo and cut their patches.

    Args:
        phone, dslr: (H, W, 3) uint8 RGB, upright.
        settings: of the build.
        even_from_xy: patches are cut at even distances from this pixel of the phone photo, (x, y) of 0 or 1; None:
            anywhere. Not with the paper's alignment, which moves them.
    Raises:
        CaptureRejected: with the stage and the reason, when the photos yield nothing.
    """
    size = settings.patches.patch_size
    least = min(*phone.shape[:2], *dslr.shape[:2])
    if least < size:
        raise CaptureRejected("features", "photo smaller than a patch", least, size)
    phone_wh, dslr_wh = (phone.shape[1], phone.shape[0]), (dslr.shape[1], dslr.shape[0])
    phone_grey = cv2.cvtColor(phone, cv2.COLOR_RGB2GRAY)
    dslr_grey = cv2.cvtColor(dslr, cv2.COLOR_RGB2GRAY)
    found = match_photos(phone_grey, dslr_grey, settings)
    matches, homography = found.matches, found.homography
    if settings.alignment == "paper":
        alignment = None
        patches = extract_paper_patches(phone, dslr, homography, settings.patches)
        smooth = smooth_map_of_homography(homography.dslr_from_phone, phone_wh, dslr_wh)
        overlap = overlap_share(smooth)
    else:
        alignment = refine_alignment(
            phone_grey, dslr_grey, homography, matches, settings.patches, even_from_xy, found.of_matches
        )
        patches = extract_patches(phone, dslr, alignment, settings.patches)
        smooth, overlap = alignment.dslr_from_phone, alignment.overlap
    return AlignedCapture(
        patches=patches,
        keypoints=found.keypoints,
        matches=len(matches.phone_xy),
        inliers=int(homography.inlier.sum()),
        residual_px=homography.residual_px,
        overlap=overlap,
        dslr_from_phone=homography.dslr_from_phone,
        phone_size_wh=phone_wh,
        dslr_size_wh=dslr_wh,
        tones=compare_tones(phone, dslr, smooth),
        contrast=count_contrast(phone_grey, patches.window_xy, patches.window_reason == 0, size),
        alignment=alignment,
    )

"""Stage 3: SIFT keypoints of both photos and their matches (section 2, "Matching algorithm")."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import Features, Matches
from dped_data.errors import CaptureRejected
from dped_data.settings import FeatureSettings

MIN_KEYPOINTS = 8
"""Fewer keypoints cannot support a homography and a doubt about it. Ours: twice the minimum of four."""

MATCHED_ROWS = 1024
"""Descriptors that are matched at a time, for bounded memory."""


def detect_features(grey: NDArray[np.uint8], settings: FeatureSettings) -> Features:
    """Detect SIFT keypoints (Lowe 2004) on the photo, shrunk by area averaging to `settings.detect_megapixels`.

    Detection resolution does not limit the alignment, for the homography is only its start.

    Args:
        grey: (H, W) uint8.
        settings: see FeatureSettings.
    Returns:
        Keypoints in pixels of `grey`, strongest first as SIFT returns them.
    Raises:
        CaptureRejected: the photo has fewer than MIN_KEYPOINTS keypoints.
    """
    height, width = grey.shape
    shrink = max(1.0, float(np.sqrt(grey.size / (settings.detect_megapixels * 1e6))))
    size_wh = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = grey if size_wh == (width, height) else _shrunk(grey, size_wh)
    # Without the precise upscale OpenCV's keypoints are shifted by a quarter of a pixel.
    detector = cv2.SIFT_create(nfeatures=settings.keypoints, enable_precise_upscale=True)
    keypoints, descriptors = detector.detectAndCompute(small, None)
    if len(keypoints) < MIN_KEYPOINTS:
        raise CaptureRejected("features", "too few keypoints", len(keypoints), MIN_KEYPOINTS)
    xy = cv2.KeyPoint_convert(keypoints).astype(np.float64)
    scale = np.array([width / size_wh[0], height / size_wh[1]])
    return Features((xy + 0.5) * scale - 0.5, descriptors)


def _shrunk(grey: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink by area averaging: by halves while they divide the photo, which is several times faster, then the rest."""
    while not (grey.shape[0] % 2 or grey.shape[1] % 2) and grey.shape[0] >= 2 * size_wh[1]:
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA)


def match_features(phone: Features, dslr: Features, settings: FeatureSettings) -> Matches:
    """Match descriptors by exact nearest neighbour and Lowe's ratio test.

    Brute force: approximate search (FLANN) gives other matches in each run.

    Returns:
        Matches in the order of the phone's keypoints; each keypoint takes part at most once on either side.
    """
    if len(dslr.descriptors) < 2:
        return Matches(phone.xy[:0], dslr.xy[:0])
    nearest, distance, second = _nearest_two(phone.descriptors, dslr.descriptors)
    good = np.flatnonzero(distance < settings.match_ratio * second)
    order = good[np.lexsort((good, distance[good], nearest[good]))]  # of those that share a partner the nearest first
    rows = np.sort(order[np.unique(nearest[order], return_index=True)[1]])
    return Matches(phone.xy[rows], dslr.xy[nearest[rows]])


def _nearest_two(
    query: NDArray[np.float32], train: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (N,) the row of the nearest descriptor, the distance to it, and the distance to the next.

    SIFT's descriptors are whole numbers, whose products float32 holds exactly: one matrix product finds what a
    comparison of all pairs does, in a third of the time.
    """
    index, square = np.empty(len(query), np.int64), np.empty((2, len(query)), np.float32)
    length = np.einsum("nd,nd->n", train, train)
    for start in range(0, len(query), MATCHED_ROWS):
        part = query[start : start + MATCHED_ROWS]
        rows = slice(start, start + len(part))
        apart = part @ train.T
        apart *= np.float32(-2)
        apart += length
        nearest = apart.argmin(axis=1)
        index[rows], each = nearest, np.arange(len(part))
        square[0, rows] = apart[each, nearest]
        apart[each, nearest] = np.inf
        square[1, rows] = apart.min(axis=1)
    square += np.einsum("nd,nd->n", query, query)
    distance = np.sqrt(square).astype(np.float64)
    return index, distance[0], distance[1]

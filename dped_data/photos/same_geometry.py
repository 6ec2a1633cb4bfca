"""Whether two photos of one shot, the camera's JPEG and the developed RAW file, show the same at the same pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.errors import CaptureRejected

MAX_MOVED_PX = 0.5
"""Ours: half a cell of the mosaic. Corrections of lens distortion in a phone's JPEG move corners by 5 px and more."""
_TILES, _LARGEST_TILE_PX = 6, 256
_SURE = 0.2
"""Ours: peak of the phase correlation from which a tile counts; the same scene gives 0.4 and more, noise 0.05."""
_QUANTILE = 0.9


def check_same_geometry(jpeg: NDArray[np.uint8], developed: NDArray[np.uint8]) -> None:
    """Raise CaptureRejected unless both (H, W, 3) photos have one size and content lies at the same pixels.

    Tiles of both are held against each other by phase correlation; those without texture do not count.
    """
    if jpeg.shape != developed.shape:
        sides = jpeg.shape[1], developed.shape[1]
        if sides[0] == sides[1]:
            sides = jpeg.shape[0], developed.shape[0]
        raise CaptureRejected("read", "the phone's JPEG is not of the size of its RAW file", *sides)
    moved = displacements(jpeg, developed)
    if len(moved) and (worst := float(np.quantile(moved, _QUANTILE))) > MAX_MOVED_PX:
        reason = "the phone's JPEG has another geometry than its RAW file"
        raise CaptureRejected("read", reason, round(worst, 3), MAX_MOVED_PX)


def displacements(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return by how much content is displaced in those of 6 x 6 tiles that show enough to tell, pixels."""
    greys = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in (one, other)]
    height, width = greys[0].shape
    side = min(_LARGEST_TILE_PX, height // 2, width // 2)
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    moved: list[float] = []
    for y in np.linspace(0, height - side, _TILES).astype(int):
        for x in np.linspace(0, width - side, _TILES).astype(int):
            tiles = [grey[y : y + side, x : x + side].astype(np.float32) for grey in greys]
            if min(tile.std() for tile in tiles) < 1:
                continue
            shift, peak = cv2.phaseCorrelate(*tiles, window)
            if peak > _SURE:
                moved.append(float(np.hypot(*shift)))
    return np.array(moved)

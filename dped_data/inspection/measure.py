"""Measure one capture: its stored patches again, its colours, and a thumbnail of the scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dped_data.errors import PhotoError
from dped_data.inspection.records import CaptureFigures, Look, PatchSample, StoredCapture
from dped_data.inspection.remeasure import remeasure_shifts
from dped_data.photos import JPEG_SUFFIXES, read_header, read_photo

THUMBNAIL_SIDE = 64
_BRIGHT, _BLACK = 250, 4
_BLOCKS = 10
"""Blocks per side whose mean colours decide the colour transform: large enough to be blind to a small shift."""


def measure_capture(
    stored: StoredCapture,
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    preview: NDArray[np.uint8] | None,
    time_s: float | None,
    sample_patches: int,
) -> CaptureFigures:
    """Measure a capture from its patches.

    Args:
        stored: the capture.
        phone, dslr: (N, S, S, 3) uint8, its patches; only the sampled ones are touched, so these may be memory maps.
        preview: small picture of the phone photo, or None to look at the patches instead.
        time_s: capture time, if known.
        sample_patches: patches to re-measure at most, spread evenly in reading order.
    """
    if len(stored.rows) == 0:
        return CaptureFigures(stored, None, None, _thumbnail(preview), time_s)
    position = np.unique(np.linspace(0, len(stored.rows) - 1, sample_patches).round().astype(np.int64))
    mine, theirs = phone[position], dslr[position]
    shifts = remeasure_shifts(mine, theirs)
    luminance = np.stack([cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY) for patch in mine])
    sample = PatchSample(
        position=position,
        shift_px=shifts.shift_px,
        deviation_px=shifts.deviation_px,
        correlation=shifts.correlation,
        measured=shifts.measured,
        contrast=luminance.std((1, 2)).astype(np.float32),
    )
    if preview is None:
        preview = patch_mosaic(phone, stored, 256)
    return CaptureFigures(stored, sample, _look(mine, theirs), _thumbnail(preview), time_s)


def _thumbnail(preview: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    if preview is None:
        return None
    small: NDArray[np.uint8] = cv2.resize(preview, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return small


def _look(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> Look:
    blocks = [
        np.stack([cv2.resize(patch, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA) for patch in patches])
        .reshape(-1, 3)
        .astype(np.float64)
        for patches in (phone, dslr)
    ]
    clipped = [float(((patches >= _BRIGHT).any(-1) | (patches <= _BLACK).all(-1)).mean()) for patches in (phone, dslr)]
    return Look(
        phone_rgb=blocks[0].mean(0),
        dslr_rgb=blocks[1].mean(0),
        phone_clipped=clipped[0],
        dslr_clipped=clipped[1],
        phone_from_dslr=_affine_colour(blocks[1] / 255.0, blocks[0] / 255.0),
    )


def _affine_colour(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares (3, 4) colour transform, held near the identity where the colours do not decide."""
    ridge = 1e-3 * len(source)
    design = np.concatenate([source, np.ones((len(source), 1))], 1)
    prior = np.eye(4)[:, :3]
    weight = np.diag([ridge, ridge, ridge, ridge])
    solution = np.linalg.solve(design.T @ design + weight, design.T @ target + weight @ prior)
    result: NDArray[np.float64] = solution.T
    return result


def patch_mosaic(patches: NDArray[np.uint8], stored: StoredCapture, longest_px: int) -> NDArray[np.uint8]:
    """Lay a capture's patches where they were cut, shrunk so that the photo's longer side is `longest_px` at most.

    Places without a patch stay middle grey.
    """
    width, height = photo_size(stored, patches.shape[1])
    scale = min(1.0, longest_px / max(width, height))
    canvas = np.full((max(1, round(height * scale)), max(1, round(width * scale)), 3), 128, np.uint8)
    for patch, (x, y) in zip(patches, stored.phone_xy, strict=True):
        paste_shrunk(canvas, patch, int(x), int(y), scale)
    return canvas


def paste_shrunk(canvas: NDArray[np.uint8], patch: NDArray[np.uint8], x: int, y: int, scale: float) -> None:
    """Put a patch that lies at (x, y) of the full-size photo on a canvas that is `scale` times as large."""
    size = patch.shape[0]
    left, top = round(x * scale), round(y * scale)
    right = min(round((x + size) * scale), canvas.shape[1])
    bottom = min(round((y + size) * scale), canvas.shape[0])
    if right > left >= 0 and bottom > top >= 0:
        canvas[top:bottom, left:right] = cv2.resize(patch, (right - left, bottom - top), interpolation=cv2.INTER_AREA)


def photo_size(stored: StoredCapture, patch_size: int) -> tuple[int, int]:
    """Width and height of the phone photo; where unknown, the smallest that holds every patch."""
    if min(stored.phone_size_wh) > 0:
        return stored.phone_size_wh
    if len(stored.phone_xy) == 0:
        return patch_size, patch_size
    right, bottom = stored.phone_xy.max(0) + patch_size
    return int(right), int(bottom)


def read_preview(path: Path, longest_px: int) -> tuple[NDArray[np.uint8] | None, float | None]:
    """Return a photo shrunk to `longest_px`, upright, and its capture time; None for what cannot be had.

    JPEG files are decoded at 1/2, 1/4 or 1/8 of their size, which costs a tenth of decoding them whole; their colour
    profile is not applied, for the picture serves to find one's way only.
    """
    try:
        header = read_header(path)
        is_jpeg = path.suffix.lower() in JPEG_SUFFIXES
        pixels = _decode_small(path, longest_px) if is_jpeg else read_photo(path)
    except (PhotoError, OSError):
        return None, None
    scale = longest_px / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels, header.time_s


def _decode_small(path: Path, longest_px: int) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        image.draft("RGB", (longest_px, longest_px))
        upright = ImageOps.exif_transpose(image)
        return np.array(upright.convert("RGB"))

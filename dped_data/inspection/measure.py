"""Measure one capture: its stored patches again, its colours, and a thumbnail of the scene."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import WINDOW_REASONS
from dped_data.common.spread_rows import spread_rows
from dped_data.inspection.cells import compare_cells, relative_sharpness
from dped_data.inspection.previews import mosaic, photo_size, shrink_factor
from dped_data.inspection.records import CaptureFigures, Look, PatchSample, SceneView, StoredCapture
from dped_data.inspection.remeasure import LEAST_CORRELATION, contrast_of, half_of, is_clipped, remeasure_shifts
from dped_data.inspection.settings import InspectSettings

VIEW_SIDE = 64
_COARSE_SIDE = 16
_BLOCKS = 10
"""Blocks per side whose mean colours decide the colour transform: large enough to be blind to a small shift."""


def measure_capture(
    stored: StoredCapture,
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    preview: NDArray[np.uint8] | None,
    time_s: float | None,
    settings: InspectSettings,
) -> CaptureFigures:
    """Measure a capture from its patches.

    Args:
        stored: the capture.
        phone, dslr: (N, S, S, 3) uint8, its patches; only the sampled ones are touched, so these may be memory maps.
        preview: small picture of the phone photo, or None to look at the patches instead.
        time_s: capture time, if known.
        settings: how many patches to re-measure at most, spread evenly in reading order, and how well.
    """
    if len(stored.rows) == 0:
        return _figures(stored, phone.shape[1], None, None, preview, time_s)
    position = spread_rows(len(stored.rows), settings.sample_patches)
    mine, theirs = phone[position], dslr[position]
    sample = measure_patches(stored, position, mine, theirs, settings)
    if preview is None:
        preview = mosaic(phone, stored, shrink_factor(photo_size(stored, phone.shape[1]), 4 * VIEW_SIDE))
    return _figures(stored, phone.shape[1], sample, _look(mine, theirs), preview, time_s)


def measure_patches(
    stored: StoredCapture,
    position: NDArray[np.int64],
    mine: NDArray[np.uint8],
    theirs: NDArray[np.uint8],
    settings: InspectSettings,
    *,
    cells: bool = True,
) -> PatchSample:
    """Measure the phone and DSLR patches (n, S, S, 3) that lie at `position` among the capture's; `cells`, too."""
    phone, dslr = half_of(mine), half_of(theirs)
    shifts = remeasure_shifts(phone, dslr, max_deviation_px=settings.max_deviation_px)
    count = len(position)
    chosen = spread_rows(count, settings.cell_patches) if cells else np.zeros(0, np.int64)
    looked, told, foreign = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, np.int32)
    scale, sharpness = np.full(count, np.nan, np.float32), np.full(count, np.nan, np.float32)
    contrast = np.array([contrast_of(grey) for grey in phone.grey], np.float32)
    phone, dslr = phone.of(chosen), dslr.of(chosen)
    compared = compare_cells(phone, dslr, shifts.of(chosen))
    looked[chosen], told[chosen], foreign[chosen], scale[chosen] = True, compared.told, compared.foreign, compared.scale
    matched = (shifts.correlation >= LEAST_CORRELATION) & ~shifts.edge
    alike = np.flatnonzero(matched[chosen])  # of another scene the detail says nothing
    sharpness[chosen[alike]] = relative_sharpness(phone.of(alike), dslr.of(alike))
    return PatchSample(
        position=position,
        phone_xy=stored.phone_xy[position],
        error_px=stored.error_px[position],
        before_px=stored.shift_px[position],
        shift_px=shifts.shift_px,
        deviation_px=shifts.deviation_px,
        correlation=shifts.correlation,
        measured=shifts.measured,
        matched=matched,
        contrast=contrast,
        looked=looked,
        told=told,
        foreign=foreign,
        scale=scale,
        sharpness=sharpness,
    )


def _figures(
    stored: StoredCapture,
    patch_size: int,
    sample: PatchSample | None,
    look: Look | None,
    preview: NDArray[np.uint8] | None,
    time_s: float | None,
) -> CaptureFigures:
    reasons = np.bincount(stored.window_reason, minlength=len(WINDOW_REASONS))[: len(WINDOW_REASONS)]
    return CaptureFigures(
        listed=stored.listed,
        phone_wh=photo_size(stored, patch_size),
        ncc=stored.ncc,
        error_px=stored.error_px,
        windows=tuple(reasons.tolist()),
        sample=sample,
        look=look,
        view=None if preview is None else _view(preview),
        time_s=time_s,
    )


def _view(preview: NDArray[np.uint8]) -> SceneView:
    small = cv2.resize(preview, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    return SceneView(
        coarse=cv2.resize(small, (_COARSE_SIDE, _COARSE_SIDE), interpolation=cv2.INTER_AREA),
        grey=cv2.cvtColor(small, cv2.COLOR_RGB2GRAY),
    )


def _look(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> Look:
    blocks = [
        np.stack([cv2.resize(patch, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA) for patch in patches])
        .reshape(-1, 3)
        .astype(np.float64)
        for patches in (phone, dslr)
    ]
    return Look(
        phone_rgb=blocks[0].mean(0),
        dslr_rgb=blocks[1].mean(0),
        phone_clipped=clipped_share(phone),
        dslr_clipped=clipped_share(dslr),
        phone_from_dslr=_affine_colour(blocks[1] / 255.0, blocks[0] / 255.0),
    )


def clipped_share(patches: NDArray[np.uint8]) -> float:
    """Share of the pixels of (..., S, S, 3) that are burnt out or black; every third of each row and column counts."""
    return float(is_clipped(patches[..., ::3, ::3, :]).mean())


def _affine_colour(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares (3, 4) colour transform, held near the identity where the colours do not decide."""
    ridge = 1e-3 * len(source)
    design = np.concatenate([source, np.ones((len(source), 1))], 1)
    prior = np.eye(4)[:, :3]
    weight = np.diag([ridge, ridge, ridge, ridge])
    solution = np.linalg.solve(design.T @ design + weight, design.T @ target + weight @ prior)
    result: NDArray[np.float64] = solution.T
    return result

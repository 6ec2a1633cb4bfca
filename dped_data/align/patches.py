"""Stage 6: cut the patches, sample the DSLR once, and keep what correlates (section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.cell_check import cells_disagree
from dped_data.align.kernels.foreign_content import foreign_masks, foreign_shares
from dped_data.align.ncc import correlate_patches
from dped_data.align.records import WINDOW_REASONS, Alignment, Patches
from dped_data.align.resampling import sample_dslr
from dped_data.align.target_quality import TargetQuality, measure_quality
from dped_data.settings import PatchSettings

FLAT_RESIDUAL = 5.0
"""What gain and offset may leave of a flat patch, grey levels (standard deviation). Ours: a phone's noise in daylight;
structure that were misaligned would leave as much as its own contrast."""

LEAST_VALID = 0.5
"""Share of its pixels that a masked patch must have left. Ours."""

SHARP_WINDOWS = 8
"""So many windows with a known sharpness speak for the whole photo. Ours."""

SINGLE_WINDOW = 0.8
"""Single windows scatter: alone one is dropped below this share of the sharpness that a photo needs. Ours: of 2,386
windows of real pairs one lies below."""


def extract_patches(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], alignment: Alignment, settings: PatchSettings
) -> Patches:
    """Cut every aligned window from the phone photo, sample the DSLR photo for it, keep it if their NCC is high
    no part of it shows something else, and the DSLR half is a target: not clipped alone, sharp, in the same light.

    With `settings.keep_flat` windows are kept too whose NCC is low because there is only noise: their predicted error
    is small already, and what gain and offset leave of the phone's luminance is no more than FLAT_RESIDUAL.

    Args:
        phone, dslr: (H, W, 3) uint8 RGB photos.
        alignment: windows with reason 0 are tried.
        settings: patch size, least NCC, most foreign content, what makes a target.
    """
    size = settings.patch_size
    reason = alignment.reason.copy()
    tried = np.flatnonzero(reason == 0)
    phone_patches = cut_patches(phone, alignment.window_xy[tried], size)
    dslr_patches = sample_dslr(dslr, alignment.dslr_xy[tried], size)
    agreement = correlate_patches(phone_patches, dslr_patches)
    correlated = agreement.ncc > settings.min_ncc
    flat = ~correlated & (agreement.residual <= FLAT_RESIDUAL) & settings.keep_flat
    passed = correlated | flat
    reason[tried[~passed]] = WINDOW_REASONS.index("ncc")
    tried, flat, ncc = tried[passed], flat[passed], agreement.ncc[passed]
    phone_patches, dslr_patches = _those(phone_patches, passed), _those(dslr_patches, passed)
    passed = np.ones(len(tried), bool)
    foreign = foreign_shares(phone_patches, dslr_patches) > settings.max_foreign
    valid = None
    if settings.mask_cells:
        valid = np.ones(phone_patches.shape[:3], bool)
        valid[foreign] = foreign_masks(phone_patches[foreign], dslr_patches[foreign], settings.max_foreign)
        foreign[foreign] = ~_good_remainder(phone_patches[foreign], dslr_patches[foreign], valid[foreign], settings)
    if settings.max_foreign < 1:
        asked = passed & ~flat  # noise alone has no cells to ask
        known = foreign.copy()
        if valid is not None:
            known |= ~valid.all(axis=(1, 2))
        corners = alignment.window_xy[tried[asked]]
        told = cells_disagree(phone, corners, phone_patches[asked], dslr_patches[asked], known[asked])
        foreign[asked] |= told & ~known[asked]
    reason[tried[foreign]] = WINDOW_REASONS.index("foreign")
    passed &= ~foreign
    quality = measure_quality(phone_patches, dslr_patches, valid).of(passed)
    poor = _poor_targets(quality, settings)
    reason[tried[passed]] = poor
    good = poor == 0
    passed[passed] = good
    kept = tried[passed]
    return Patches(
        phone=_those(phone_patches, passed),
        dslr=_those(dslr_patches, passed),
        phone_xy=alignment.window_xy[kept],
        dslr_xy=alignment.dslr_xy[kept],
        shift_px=alignment.shift_px[kept].astype(np.float32),
        angle_deg=alignment.angle_deg[kept].astype(np.float32),
        ncc=ncc[passed].astype(np.float32),
        error_px=alignment.error_px[kept].astype(np.float32),
        window_xy=alignment.window_xy,
        window_reason=reason,
        flat=flat[passed],
        **quality.of(good).columns(),
        valid=None if valid is None else valid[passed],
        phone_raw=None,
        dslr_linear=None,
    )


def _those(patches: NDArray[np.uint8], chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the chosen patches; the same array where that is all of them: copies cost as much as some of the tests."""
    return patches if chosen.all() else patches[chosen]


def _good_remainder(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], valid: NDArray[np.bool_], settings: PatchSettings
) -> NDArray[np.bool_]:
    """Return (N,) whether enough of a patch is valid, and correlates."""
    enough = valid.mean(axis=(1, 2)) >= LEAST_VALID
    for k in np.flatnonzero(enough):
        left = correlate_patches(phone[k][valid[k]][None, None], dslr[k][valid[k]][None, None])
        enough[k] = left.ncc[0] > settings.min_ncc
    return enough


def _poor_targets(quality: TargetQuality, settings: PatchSettings) -> NDArray[np.uint8]:
    """Return (N,) the index into WINDOW_REASONS of what makes a window's DSLR half no target, 0 where nothing does.

    A DSLR photo out of focus, or one that was enlarged, is seen by the median over its windows, which scatters less
    than they do; then those go too that are too noisy or too plain to tell.
    """
    reason = np.zeros(len(quality.sharpness), np.uint8)
    reason[quality.light_ev > settings.max_light_ev] = WINDOW_REASONS.index("light")
    known = quality.sharpness[~np.isnan(quality.sharpness)]
    if len(known) >= SHARP_WINDOWS and np.median(known) < settings.min_sharpness:
        reason[:] = WINDOW_REASONS.index("blurred")
    reason[quality.sharpness < SINGLE_WINDOW * settings.min_sharpness] = WINDOW_REASONS.index("blurred")
    reason[quality.dslr_clipped - quality.phone_clipped > settings.max_clipped] = WINDOW_REASONS.index("clipped")
    return reason


def cut_patches(photo: NDArray[np.uint8], corner_xy: NDArray[np.int32], size: int) -> NDArray[np.uint8]:
    """Return (N, S, S, 3) copies of the photo's pixels at whole-pixel corners (N, 2)."""
    patches = np.empty((len(corner_xy), size, size, 3), np.uint8)
    for patch, (x, y) in zip(patches, corner_xy, strict=True):
        patch[:] = photo[y : y + size, x : x + size]
    return patches

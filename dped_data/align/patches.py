"""Stage 6: cut the patches, sample the DSLR once, and keep what correlates (section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.foreign_content import foreign_shares
from dped_data.align.ncc import correlate_patches
from dped_data.align.records import WINDOW_REASONS, Alignment, Patches
from dped_data.align.resampling import sample_dslr
from dped_data.settings import PatchSettings

FLAT_RESIDUAL = 5.0
"""What gain and offset may leave of a flat patch, grey levels (standard deviation). Ours: a phone's noise in daylight;
structure that were misaligned would leave as much as its own contrast."""

CLIPPED = 250
"""Grey level from which on a channel counts as clipped: sharpening and JPEG leave no 255 in a row. Ours."""


def extract_patches(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], alignment: Alignment, settings: PatchSettings
) -> Patches:
    """Cut every aligned window from the phone photo, sample the DSLR photo for it, keep it if their NCC is high
    and no part of it shows something else or is clipped in the DSLR photo alone.

    With `settings.keep_flat` windows are kept too whose NCC is low because there is only noise: their predicted error
    is small already, and what gain and offset leave of the phone's luminance is no more than FLAT_RESIDUAL.

    Args:
        phone, dslr: (H, W, 3) uint8 RGB photos.
        alignment: windows with reason 0 are tried.
        settings: patch size, least NCC, most foreign content, most clipped pixels.
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
    foreign = passed.copy()
    foreign[passed] = foreign_shares(phone_patches[passed], dslr_patches[passed]) > settings.max_foreign
    reason[tried[foreign]] = WINDOW_REASONS.index("foreign")
    clipped = passed & ~foreign & (_clipped(dslr_patches) - _clipped(phone_patches) > settings.max_clipped)
    reason[tried[clipped]] = WINDOW_REASONS.index("clipped")
    passed &= ~(foreign | clipped)
    kept = tried[passed]
    return Patches(
        phone=phone_patches[passed],
        dslr=dslr_patches[passed],
        phone_xy=alignment.window_xy[kept],
        dslr_xy=alignment.dslr_xy[kept],
        shift_px=alignment.shift_px[kept].astype(np.float32),
        angle_deg=alignment.angle_deg[kept].astype(np.float32),
        ncc=agreement.ncc[passed].astype(np.float32),
        error_px=alignment.error_px[kept].astype(np.float32),
        window_xy=alignment.window_xy,
        window_reason=reason,
        flat=flat[passed],
    )


def _clipped(patches: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (N,) the share of the pixels with a channel at its upper end."""
    bright = patches >= CLIPPED
    shares: NDArray[np.float64] = (bright[..., 0] | bright[..., 1] | bright[..., 2]).mean(axis=(1, 2))
    return shares


def cut_patches(photo: NDArray[np.uint8], corner_xy: NDArray[np.int32], size: int) -> NDArray[np.uint8]:
    """Return (N, S, S, 3) copies of the photo's pixels at whole-pixel corners (N, 2)."""
    patches = np.empty((len(corner_xy), size, size, 3), np.uint8)
    for patch, (x, y) in zip(patches, corner_xy, strict=True):
        patch[:] = photo[y : y + size, x : x + size]
    return patches

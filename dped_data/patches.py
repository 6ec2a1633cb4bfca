"""Stage 6: cut the patches, sample the DSLR once, and keep what correlates (section 2)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dped_data.records import WINDOW_REASONS, Alignment, Patches
from dped_data.resampling import sample_dslr
from dped_data.settings import PatchSettings


def extract_patches(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], alignment: Alignment, settings: PatchSettings
) -> Patches:
    """Cut every aligned window from the phone photo, sample the DSLR photo for it, keep it if their NCC is high.

    Args:
        phone, dslr: (H, W, 3) uint8 RGB photos.
        alignment: windows with reason 0 are tried.
        settings: patch size and least NCC.
    """
    size = settings.patch_size
    reason = alignment.reason.copy()
    tried = np.flatnonzero(reason == 0)
    phone_patches = np.empty((len(tried), size, size, 3), np.uint8)
    for patch, (x, y) in zip(phone_patches, alignment.window_xy[tried], strict=True):
        patch[:] = phone[y : y + size, x : x + size]
    dslr_patches = sample_dslr(dslr, alignment.dslr_xy[tried], size)
    ncc = patch_ncc(phone_patches, dslr_patches)
    passed = ncc > settings.min_ncc
    reason[tried[~passed]] = WINDOW_REASONS.index("ncc")
    kept = tried[passed]
    return Patches(
        phone=phone_patches[passed],
        dslr=dslr_patches[passed],
        phone_xy=alignment.window_xy[kept],
        dslr_xy=alignment.dslr_xy[kept],
        shift_px=alignment.shift_px[kept].astype(np.float32),
        angle_deg=alignment.angle_deg[kept].astype(np.float32),
        ncc=ncc[passed].astype(np.float32),
        error_px=alignment.error_px[kept].astype(np.float32),
        window_xy=alignment.window_xy,
        window_reason=reason,
    )


def patch_ncc(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the zero-mean normalised cross-correlation of the luminance of patches (N, S, S, 3), each -1 to 1.

    Luminance is (299 R + 587 G + 114 B) / 1000 of the stored values, summed as integers: exact on every machine.
    A patch without any contrast correlates with nothing: 0.
    """
    ncc = np.zeros(len(first))
    _patch_ncc(first, second, ncc)
    return ncc


@njit(cache=True, nogil=True)
def _patch_ncc(first, second, ncc):  # type: ignore[no-untyped-def]
    count = np.int64(first.shape[1] * first.shape[2])
    for k in range(first.shape[0]):
        sa, sb, saa, sbb, sab = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        for i in range(first.shape[1]):
            for j in range(first.shape[2]):
                p, q = first[k, i, j], second[k, i, j]
                a = 299 * np.int64(p[0]) + 587 * np.int64(p[1]) + 114 * np.int64(p[2])
                b = 299 * np.int64(q[0]) + 587 * np.int64(q[1]) + 114 * np.int64(q[2])
                sa += a
                sb += b
                saa += a * a
                sbb += b * b
                sab += a * b
        va = float(saa) - float(sa) * float(sa) / count
        vb = float(sbb) - float(sb) * float(sb) / count
        if va > 0 and vb > 0:
            ncc[k] = (float(sab) - float(sa) * float(sb) / count) / np.sqrt(va * vb)

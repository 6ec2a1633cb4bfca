"""The verdicts on stored pixels: each dropped window says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planted_scene import nodes_of, texture

from dped_data.align.patches import extract_patches
from dped_data.align.records import WINDOW_REASONS
from dped_data.settings import PatchSettings

SIZE = 48
CORNERS = np.array([[20, 20], [120, 20], [220, 20]], np.int32)


class _Aligned:
    """Three windows that lie in the DSLR photo where they lie in the phone photo."""

    window_xy, dslr_xy = CORNERS, nodes_of(CORNERS, SIZE)
    shift_px, angle_deg, error_px = np.zeros((3, 2)), np.zeros(3), np.full(3, 0.1)
    reason = np.zeros(3, np.uint8)


def reasons(phone: np.ndarray, dslr: np.ndarray, **settings: float) -> list[str]:
    aligned: Any = _Aligned()
    patches = extract_patches(phone, dslr, aligned, PatchSettings(patch_size=SIZE, **settings))
    names = [WINDOW_REASONS[r] for r in patches.window_reason]
    assert len(patches.phone) == len(patches.dslr) == len(patches.ncc) == names.count("kept")
    return names


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Equal photos, but for a square in the second window that the DSLR sees otherwise."""
    y, x = np.mgrid[0:100, 0:300].astype(np.float64)
    phone = np.repeat(texture(np.stack((x, y), axis=-1))[..., None], 3, axis=2).astype(np.uint8)
    dslr = phone.copy()
    dslr[30:42, 130:142] = phone[80:92, 10:22]
    return phone, dslr


def test_the_window_with_foreign_content_is_dropped_for_it(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert reasons(*pair, min_ncc=0.5) == ["kept", "foreign", "kept"]
    assert reasons(*pair, min_ncc=0.5, max_foreign=1.0) == ["kept", "kept", "kept"]


def test_the_window_with_foreign_content_is_kept_with_a_mask_where_that_is_asked(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    phone, dslr = pair
    aligned: Any = _Aligned()
    patches = extract_patches(phone, dslr, aligned, PatchSettings(patch_size=SIZE, min_ncc=0.5, mask_cells=True))
    assert (patches.window_reason == 0).all() and patches.valid is not None
    assert patches.valid[[0, 2]].all()
    assert not patches.valid[1, 10:22, 10:22].any()  # the square, and the cells that reach into it
    around = patches.valid[1].copy()
    around[2:33, 2:33] = True
    assert around.all() and patches.valid[1].mean() > 0.5
    for (x, y), patch in zip(CORNERS, patches.phone, strict=True):
        np.testing.assert_array_equal(patch, phone[y : y + SIZE, x : x + SIZE])
    plain = extract_patches(phone, dslr, aligned, PatchSettings(patch_size=SIZE, min_ncc=0.5))
    assert plain.valid is None


def test_too_little_that_is_left_is_no_patch(pair: tuple[np.ndarray, np.ndarray]) -> None:
    phone, dslr = pair
    dslr = dslr.copy()
    dslr[20:60, 120:160] = phone[60:100, 20:60]
    assert reasons(phone, dslr, min_ncc=-1.0, mask_cells=True) == ["kept", "foreign", "kept"]
    dslr[20:68, 220:268] = phone[68:20:-1, 220:268]  # and where the rest does not correlate either
    assert reasons(phone, dslr, min_ncc=-1.0, mask_cells=True)[2] == "foreign"


def test_a_target_that_is_clipped_alone_is_dropped_for_it(pair: tuple[np.ndarray, np.ndarray]) -> None:
    phone, _ = pair
    dslr = phone.copy()
    window = dslr[20:68, 220:268].astype(int)
    dslr[20:68, 220:268] = np.where(window > np.quantile(window, 0.4), 255, window)
    loose = {"min_ncc": 0.0, "max_foreign": 1.0}
    assert reasons(phone, dslr, **loose) == ["kept", "kept", "clipped"]
    assert reasons(phone, dslr, **loose, max_clipped=1.0) == ["kept", "kept", "kept"]
    assert reasons(dslr, dslr, **loose) == ["kept", "kept", "kept"]

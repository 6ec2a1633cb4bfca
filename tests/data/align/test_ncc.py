from __future__ import annotations

import numpy as np

from dped_data.align.ncc import correlate_patches


def test_ncc_and_residual_are_the_textbook_ones() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    second = rng.integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    second[1] = first[1] // 2 + 30
    agreement = correlate_patches(first, second)
    for k in range(3):
        a, b = ((p[k] @ np.array([0.299, 0.587, 0.114])).ravel() for p in (first, second))
        np.testing.assert_allclose(agreement.ncc[k], np.corrcoef(a, b)[0, 1], atol=1e-9)
        slope, offset = np.polyfit(b, a, 1)
        np.testing.assert_allclose(agreement.residual[k], (a - slope * b - offset).std(), rtol=1e-6)


def test_a_patch_without_contrast_correlates_with_nothing() -> None:
    flat, noise = np.full((1, 8, 8, 3), 9, np.uint8), np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    assert correlate_patches(flat, noise).ncc[0] == 0
    assert correlate_patches(flat, noise).residual[0] == 0
    assert correlate_patches(noise, flat).residual[0] > 10

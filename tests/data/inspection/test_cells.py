"""A part of a patch that shows something else, or lies elsewhere, is found; scale and sharpness are told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from planted_dataset import SIZE
from test_remeasure import planted_pairs

from dped_data.inspection.cells import Cells, compare_cells, relative_sharpness
from dped_data.inspection.remeasure import remeasure_shifts

COUNT = 24


@pytest.fixture(scope="module")
def pairs() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return planted_pairs(np.random.default_rng(5).uniform(-3, 3, (COUNT, 2)))


def compared(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> Cells:
    return compare_cells(phone, dslr, remeasure_shifts(phone, dslr))


def test_whole_pairs_have_no_foreign_cell_and_no_scale_at_any_shift(
    pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    cells = compared(*pairs)
    assert cells.told.mean() > 0.7
    assert not cells.foreign.any()
    assert abs(np.nanmedian(cells.scale)) < 0.002


def test_a_quarter_that_moved_and_one_of_another_scene_are_found(
    pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    phone, dslr = pairs
    half = SIZE // 2
    for other in (np.roll(dslr, 6, axis=2), dslr[::-1]):
        mixed = dslr.copy()
        mixed[:, :half, :half] = other[:, :half, :half]
        cells = compared(phone, mixed)
        assert (cells.foreign > 0)[cells.told].mean() > 0.8


def test_scale_and_sharpness_are_measured(pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    phone, dslr = pairs
    matrix = cv2.getRotationMatrix2D(((SIZE - 1) / 2, (SIZE - 1) / 2), 0, 1.02)
    larger = np.stack([cv2.warpAffine(p, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT) for p in dslr])
    assert np.nanmedian(compared(phone, larger).scale) == pytest.approx(0.02, abs=0.004)
    ratios = [np.nanmedian(relative_sharpness(phone, dslr))]
    ratios += [
        np.nanmedian(relative_sharpness(phone, np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in dslr])))
        for sigma in (1.0, 2.0, 4.0)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 0.7 and ratios[3] < 0.5
    darker = (dslr * 0.5).round().astype(np.uint8)
    assert np.nanmedian(relative_sharpness(phone, darker)) == pytest.approx(
        ratios[0], rel=0.05
    )  # exposure is none of it
    flat = np.full_like(phone, 90)
    assert np.isnan(relative_sharpness(flat, flat)).all() and not compared(flat, flat).told.any()

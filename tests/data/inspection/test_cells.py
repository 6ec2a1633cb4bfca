"""A part of a patch that shows something else, or lies elsewhere, is found; scale and sharpness are told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from planted_dataset import SIZE, scene
from test_remeasure import planted_pairs

from dped_data.inspection.cells import Cells, compare_cells, relative_sharpness
from dped_data.inspection.remeasure import half_of, remeasure_shifts

COUNT = 24


@pytest.fixture(scope="module")
def pairs() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return planted_pairs(np.random.default_rng(5).uniform(-3, 3, (COUNT, 2)))


def sharpness(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> NDArray[np.float32]:
    return relative_sharpness(half_of(phone), half_of(dslr))


def compared(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> Cells:
    halves = half_of(phone), half_of(dslr)
    return compare_cells(*halves, remeasure_shifts(*halves))


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


def test_what_lies_behind_a_frame_is_looked_at_by_itself(pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    """A window's bars decide the patch's shift; the view through its panes may lie 3 px beside it."""
    bars = np.full((COUNT, SIZE, SIZE, 1), False)
    bars[:, 20:28] = bars[:, 70:78] = bars[:, :, 18:26] = bars[:, :, 60:68] = True
    view = np.stack([picture[150:250, 200:300] for picture in map(scene, range(COUNT))]).astype(np.uint8) // 2
    behind = np.stack([picture[150:250, 203:303] for picture in map(scene, range(COUNT))]).astype(np.uint8) // 2
    phone = np.where(bars, np.uint8(230), view)
    assert not compared(phone, phone).foreign.any()
    cells = compared(phone, np.where(bars, np.uint8(230), behind))
    assert (cells.foreign > 0)[cells.told].mean() > 0.5 and cells.told.mean() > 0.7


def test_edges_of_one_direction_accuse_nobody() -> None:
    """Along an edge a cell lies anywhere, and the faint texture beside it is another camera's noise."""
    rng = np.random.default_rng(3)
    wave = 110 + 60 * np.sin(np.arange(SIZE) / 5.0)[:, None] + np.zeros(SIZE)
    turned = cv2.warpAffine(wave, cv2.getRotationMatrix2D((50, 50), 5, 1), (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
    faint = [cv2.GaussianBlur(rng.normal(0, 24, (COUNT, SIZE, SIZE)), (0, 0), 1.5) for _ in range(2)]
    phone, dslr = (
        np.repeat((side + texture).clip(0, 255).astype(np.uint8)[..., None], 3, -1)
        for side, texture in zip((wave, turned), faint, strict=True)
    )
    cells = compared(phone, dslr)
    assert cells.told.any() and not cells.foreign.any()


def test_scale_and_sharpness_are_measured(pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    phone, dslr = pairs
    matrix = cv2.getRotationMatrix2D(((SIZE - 1) / 2, (SIZE - 1) / 2), 0, 1.02)
    larger = np.stack([cv2.warpAffine(p, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT) for p in dslr])
    assert np.nanmedian(compared(phone, larger).scale) == pytest.approx(0.02, abs=0.004)
    ratios = [np.nanmedian(sharpness(phone, dslr))]
    ratios += [
        np.nanmedian(sharpness(phone, np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in dslr])))
        for sigma in (1.0, 2.0, 4.0)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 0.7 and ratios[3] < 0.5
    darker = (dslr * 0.5).round().astype(np.uint8)
    assert np.nanmedian(sharpness(phone, darker)) == pytest.approx(ratios[0], rel=0.05)  # exposure is none of it
    flat = np.full_like(phone, 90)
    assert np.isnan(sharpness(flat, flat)).all() and not compared(flat, flat).told.any()

"""What lies behind a frame is held against the other half by its own fine detail."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dped_data.inspection.cells import compare_cells
from dped_data.inspection.remeasure import half_of, remeasure_shifts
from dped_data.inspection.tone_parts import parts_elsewhere

COUNT, SIZE = 16, 48
ROWS = np.arange(COUNT)


def lattice(seed: int, *, behind_px: int = 0, frame_px: int = 0, side: int = SIZE) -> NDArray[np.uint8]:
    """Bright bars before a dark, shaded view of little contrast, which lies `behind_px` further right than it should;
    all of it `frame_px` further right."""
    rng = np.random.default_rng(seed)
    wide = side + 40
    view = np.stack([cv2.GaussianBlur(rng.normal(0, 14, (wide, wide)), (0, 0), 1.2) for _ in range(COUNT)])
    view += 40 + 30 * np.linspace(0, 1, wide)[None, :, None]  # of the sky above to the wood below
    bars = np.zeros((wide, wide), bool)
    for first in range(0, wide, 14):
        bars[:, first : first + 4] = True
    for first in range(0, wide, 28):
        bars[first : first + 4] = True
    shown = np.where(bars, 200.0 + rng.normal(0, 3, bars.shape), np.roll(view, behind_px, 2))
    shown = np.stack([cv2.GaussianBlur(picture, (0, 0), 0.6) for picture in shown])
    cut = shown[:, 20 : 20 + side, 20 - frame_px : 20 - frame_px + side]
    return np.repeat(cut.round().clip(5, 249).astype(np.uint8)[..., None], 3, -1)


def noisy(patches: NDArray[np.uint8], tone: float = 1.0, deviation: float = 1.0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(9)
    noise = rng.normal(0, deviation, patches.shape[:3])[..., None]
    return (255 * (patches / 255) ** tone + noise).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("behind_px", [-4, 3])
def test_a_view_behind_bars_that_lies_elsewhere_is_found_where_cells_find_none(
    behind_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, dslr = half_of(lattice(1)), half_of(noisy(lattice(1, behind_px=behind_px)))
    found = parts_elsewhere(phone, dslr, ROWS, (0, 0))
    assert (found > 0).mean() > 0.8
    shifts = remeasure_shifts(phone, dslr)
    cells = compare_cells(phone, dslr, shifts)
    assert (cells.foreign[found > 0] > 0).all() and cells.told[found > 0].all()
    monkeypatch.setattr("dped_data.inspection.cells.parts_elsewhere", lambda *_: np.zeros(COUNT, np.int32))
    assert (compare_cells(phone, dslr, shifts).foreign > 0).mean() < 0.2


def test_the_same_view_is_in_its_place_whatever_tone_and_noise_the_camera_gives_it() -> None:
    phone = half_of(lattice(1))
    for other in (noisy(lattice(1), 0.8), noisy(lattice(1), 1.2, 3.0), noisy(lattice(1), 1.0, 12.0)):
        assert not parts_elsewhere(phone, half_of(other), ROWS, (0, 0)).any()
    whole = half_of(noisy(lattice(1, frame_px=2, behind_px=0)))  # all of it is shifted: cells and parts go along
    assert not parts_elsewhere(phone, whole, ROWS, (2, 0)).any()
    assert (parts_elsewhere(phone, whole, ROWS, (0, 0)) > 0).any()


def test_stripes_along_a_part_are_no_place() -> None:
    """A bar with marks along it correlates elsewhere, but it does in its place as well."""
    marks = (np.arange(SIZE) % 8 < 3) * 20
    picture = np.full((COUNT, SIZE, SIZE), 60.0)
    picture[:, 20:28] = 180 + marks
    phone, dslr = (half_of(noisy(np.repeat(p[..., None], 3, -1).astype(np.uint8))) for p in (picture, picture))
    assert not parts_elsewhere(phone, dslr, ROWS, (0, 0)).any()


def test_patches_that_are_not_of_two_tones_are_left_to_the_cells() -> None:
    rng = np.random.default_rng(2)
    texture = np.stack([cv2.GaussianBlur(rng.normal(110, 60, (SIZE, SIZE + 4)), (0, 0), 1.5) for _ in range(COUNT)])
    patches = np.repeat(texture.clip(0, 255).astype(np.uint8)[..., None], 3, -1)
    phone, dslr = half_of(patches[:, :, :SIZE]), half_of(patches[:, :, 4:])
    assert not parts_elsewhere(phone, dslr, ROWS, (0, 0)).any()
    flat = half_of(np.full((COUNT, SIZE, SIZE, 3), 90, np.uint8))
    assert not parts_elsewhere(flat, flat, ROWS, (0, 0)).any()

"""The remaining shift is measured to a few hundredths of a pixel, with a deviation that means something."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from planted_dataset import SIZE, moved, scene

from dped_data.inspection.remeasure import Shifts, half_of, remeasure_shifts

COUNT = 12


def planted_pairs(shifts: NDArray[np.float64], noise: float = 2.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Patch pairs of different cameras whose DSLR content is moved by exactly `shifts`."""
    rng = np.random.default_rng(7)
    phone, dslr = [], []
    for k, shift in enumerate(shifts):
        picture = scene(k)
        soft = cv2.GaussianBlur(picture, (0, 0), 0.8)
        sharpened = soft + 0.5 * (soft - cv2.GaussianBlur(soft, (0, 0), 1.5))
        toned = 255 * (sharpened.clip(0, 255) / 255) ** 1.2 * (0.95, 0.9, 0.85)
        other = moved(cv2.GaussianBlur(picture, (0, 0), 0.5), (float(shift[0]), float(shift[1])))
        cut = (slice(150, 150 + SIZE), slice(200, 200 + SIZE))
        phone.append(toned[cut] + rng.normal(0, noise, (SIZE, SIZE, 3)))
        dslr.append(other[cut] + rng.normal(0, 0.5 * noise, (SIZE, SIZE, 3)))
    return tuple(np.stack(side).round().clip(0, 255).astype(np.uint8) for side in (phone, dslr))  # type: ignore[return-value]


def remeasured(phone: NDArray[np.uint8], dslr: NDArray[np.uint8], max_deviation_px: float = 0.1) -> Shifts:
    return remeasure_shifts(half_of(phone), half_of(dslr), max_deviation_px=max_deviation_px)


def test_planted_subpixel_shifts_are_found() -> None:
    shifts = np.random.default_rng(1).uniform(-3, 3, (60, 2))
    result = remeasured(*planted_pairs(shifts))
    errors = np.hypot(*(result.shift_px - shifts)[result.measured].T)
    assert result.measured.mean() > 0.8
    assert np.median(errors) < 0.03
    assert np.quantile(errors, 0.9) < 0.06


@pytest.mark.parametrize("size", [32, 48])
def test_small_patches_can_be_shifted_by_some_pixels(size: int) -> None:
    shifts = np.random.default_rng(4).uniform(-3, 3, (30, 2))
    phone, dslr = (side[:, 20 : 20 + size, 20 : 20 + size] for side in planted_pairs(shifts))
    result = remeasured(phone, dslr, max_deviation_px=0.3)
    errors = np.hypot(*(result.shift_px - shifts)[result.measured].T)
    assert result.measured.mean() > 0.5
    assert np.median(errors) < 0.15


def test_no_locking_to_whole_pixels() -> None:
    """A quarter of a pixel is where estimators that interpolate badly are pulled towards 0 or 0.5."""
    for quarter in (0.25, 0.5, 0.75):
        shifts = np.full((20, 2), quarter)
        result = remeasured(*planted_pairs(shifts))
        assert np.median(result.shift_px[result.measured], 0) == pytest.approx([quarter, quarter], abs=0.015)


def test_predicted_deviation_is_of_the_size_of_the_error() -> None:
    shifts = np.random.default_rng(2).uniform(-1, 1, (60, 2))
    result = remeasured(*planted_pairs(shifts, noise=6.0))
    scaled = (result.shift_px - shifts)[result.measured] / result.deviation_px[result.measured, None]
    assert 0.3 < scaled.std() < 1.5


def test_patches_without_texture_are_not_measured() -> None:
    rng = np.random.default_rng(3)
    flat = rng.normal(128, 2, (4, SIZE, SIZE, 3)).round().astype(np.uint8)
    also = rng.normal(128, 2, (4, SIZE, SIZE, 3)).round().astype(np.uint8)
    edge = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    edge[:, :, SIZE // 2 :] = 200  # tells x, not y
    assert not remeasured(flat, also).measured.any()
    assert not remeasured(edge, edge).measured.any()
    constant = np.full((1, SIZE, SIZE, 3), 9, np.uint8)
    assert not remeasured(constant, constant).measured.any()


def test_shift_beyond_the_search_is_said_to_be_so() -> None:
    result = remeasured(*planted_pairs(np.array([[11.5, 0.0], [0.0, -11.5]])))
    assert result.edge.all()
    assert not result.measured.any()


def test_edges_of_one_direction_match_as_they_lie_where_no_place_is_better() -> None:
    """Along a bar everywhere is as good; the search ended where noise had its best place, and nothing matched."""
    rng = np.random.default_rng(6)
    bar = np.full((COUNT, SIZE, SIZE, 1), 80.0)
    bar[:, :, 40:60] = 170
    phone, dslr = (np.repeat(bar + rng.normal(0, 2, bar.shape), 3, -1).round().astype(np.uint8) for _ in range(2))
    as_stored = remeasured(phone, dslr)
    assert not as_stored.measured.any() and not as_stored.edge.any() and (as_stored.correlation > 0.9).all()
    unknown = np.isinf(as_stored.deviation_px)
    assert unknown.any() and (as_stored.shift_px[unknown] == 0).all()
    across = remeasured(phone, np.roll(dslr, 5, 2))  # 5 px beside its place is another place
    assert not np.isinf(across.deviation_px[~across.edge]).any()

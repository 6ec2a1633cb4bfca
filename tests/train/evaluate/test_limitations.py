"""The limitations of section 4.4, on photos that have each of them by a known amount."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

from dped_train.evaluate.limitations import (
    EVERY_PX,
    colour_deviation,
    contrast_ratio,
    flat_pixels,
    limitation_columns,
    limitation_reports,
    limitations_text,
    noise_levels,
    noise_ratio,
    sharpness_ratio,
)

RNG = np.random.default_rng(4)


def _bytes(photos: NDArray[np.float64]) -> NDArray[np.uint8]:
    return (photos.clip(0, 1) * 255).round().astype(np.uint8)


def _noisy(level: float, count: int = 4, size: int = 64) -> NDArray[np.uint8]:
    """Slopes of mid-gray with gray noise of `level` grey levels."""
    slope = np.linspace(0.4, 0.5, size)[None, None, :, None] + np.zeros((count, size, 1, 1))
    return _bytes((slope + RNG.normal(0, level / 255, (count, size, size, 1))).repeat(3, axis=3))


def test_colour_deviation_of_even_patches_is_that_of_their_colours() -> None:
    colours = RNG.integers(30, 220, (2, 5, 3)).astype(np.uint8)
    first, second = (np.broadcast_to(c[:, None, None], (5, 40, 40, 3)).copy() for c in colours)
    expected = deltaE_ciede2000(rgb2lab(colours[0]), rgb2lab(colours[1]))
    np.testing.assert_allclose(colour_deviation(first, second), expected, rtol=1e-3)
    assert colour_deviation(first, first).tolist() == [0] * 5


def test_colour_deviation_ignores_texture_and_small_shifts() -> None:
    photo = _bytes(RNG.random((1, 120, 120, 3)) * 0.6 + 0.2)
    texture = colour_deviation(photo[:, 10:110, 10:110], photo[:, 10:110, 12:112])
    plain = deltaE_ciede2000(rgb2lab(photo[0, 10:110, 10:110]), rgb2lab(photo[0, 10:110, 12:112])).mean()
    assert texture[0] < plain / 15
    assert 100 // EVERY_PX == 25


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.6])
def test_contrast_ratio_is_the_factor_by_which_lightness_was_spread(factor: float) -> None:
    lab = np.zeros((3, 50, 50, 3))
    lab[..., 0] = RNG.uniform(-15, 15, (3, 50, 50))
    first, second = (_bytes(lab2rgb(lab * scale + [50, 0, 0])) for scale in (factor, 1.0))
    np.testing.assert_allclose(contrast_ratio(first, second), factor, rtol=0.01)
    assert np.isnan(contrast_ratio(np.full_like(first, 90), np.full_like(first, 90))).all()


def test_sharpness_ratio_is_that_of_the_fine_structure_alone() -> None:
    fine = RNG.uniform(-6, 6, (3, 50, 50))
    coarse = np.linspace(-20, 20, 50)[:, None]  # what a small blur leaves as it is
    lab = np.zeros((3, 50, 50, 3))
    lab[..., 0] = 50 + coarse + fine
    second = _bytes(lab2rgb(lab))
    lab[..., 0] = 50 + coarse / 2 + 1.5 * fine
    np.testing.assert_allclose(sharpness_ratio(_bytes(lab2rgb(lab)), second), 1.5, rtol=0.01)
    flat = np.full_like(second, 90)
    assert np.isnan(sharpness_ratio(second, flat)).all()
    assert (sharpness_ratio(flat, second) > 0).all() and (sharpness_ratio(flat, second) < 0.1).all()


@pytest.mark.parametrize("level", [1.0, 4.0, 12.0])
def test_the_noise_level_is_found_on_slopes(level: float) -> None:
    flat = np.ones((4, 64, 64), bool)
    np.testing.assert_allclose(noise_levels(_noisy(level), flat), np.hypot(level, 12**-0.5), rtol=0.08)


def test_noise_is_measured_where_the_photos_are_flat() -> None:
    phone, dslr = _noisy(3), _noisy(1)
    stripes = (np.arange(64) // 2 % 2 * 120).astype(np.uint8)
    for photos in (phone, dslr):
        photos[:, :, 32:] = stripes[32:, None]  # texture, which a sharpening method may well strengthen
    flat = flat_pixels(phone, dslr)
    assert flat[:, 8:-8, :20].all()
    assert not flat[:, :, 36:].any()
    amplified = phone.copy()
    amplified[:, :, :32] = _noisy(6)[:, :, :32]
    np.testing.assert_allclose(noise_ratio(amplified, phone, flat), 2, rtol=0.15)
    few = np.zeros_like(flat)
    few[:, :3, :3] = True
    assert np.isnan(noise_ratio(amplified, phone, few)).all()
    even = np.full_like(phone, 100)
    assert noise_ratio(even, even, np.ones_like(flat)).tolist() == [1] * 4


def test_an_untouched_photo_has_no_limitation_against_itself() -> None:
    phone, dslr = _noisy(3), _noisy(1)
    columns = limitation_columns(phone, phone, dslr)
    assert columns["colour_deviation_phone"].tolist() == [0] * 4
    np.testing.assert_allclose(columns["contrast_phone"], 1)
    np.testing.assert_allclose(columns["noise_phone"], 1)
    for name in ("colour_deviation", "contrast", "noise", "sharpness"):
        np.testing.assert_array_equal(columns[f"{name}_dslr"], columns[f"{name}_untouched"])


def test_the_summary_leaves_out_what_cannot_be_measured_and_averages_ratios_as_ratios() -> None:
    names = [
        f"{n}_{a}"
        for n in ("colour_deviation", "contrast", "noise", "sharpness")
        for a in ("phone", "dslr", "untouched")
    ]
    columns = {name: np.array([0.5, 2.0, np.nan, np.nan]) for name in names}
    columns |= {name: np.full(4, np.nan) for name in names if name.startswith("noise")}
    deviation, contrast, noise, _ = limitation_reports(columns, np.array([0, 1, 1, 2]))
    assert deviation.against_dslr is not None
    assert contrast.against_dslr is not None
    assert (deviation.against_dslr.mean, deviation.patches) == (1.25, 2)
    assert contrast.against_dslr.mean == pytest.approx(1)
    assert contrast.against_dslr.low == pytest.approx(0.5)
    assert (noise.against_dslr, noise.patches) == (None, 0)
    assert " - " in limitations_text((noise,))[1]


def test_blurring_does_not_move_colours_at_the_border() -> None:
    photo = np.zeros((1, 40, 40, 3), np.uint8) + np.array([200, 40, 40], np.uint8)
    other = cv2.GaussianBlur(photo[0], (0, 0), 3)[None]
    assert colour_deviation(photo, other)[0] < 0.01

"""A DSLR half that is soft, enlarged, clipped or lit otherwise is told from one that is not, whatever the noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dped_data.align.target_quality import measure_quality
from dped_data.settings import PatchSettings

SIZE, COUNT = 100, 12
LIMITS = PatchSettings()

Photos = NDArray[np.float64]


def scenes(seed: int = 0) -> Photos:
    """(N, S, S, 3) patches of coloured shapes with sharp edges over soft shading, in linear light, 0.03 to 0.8."""
    rng = np.random.default_rng(seed)
    photos = np.empty((COUNT, SIZE, SIZE, 3), np.float32)
    for photo in photos:
        photo[:] = cv2.resize(rng.uniform(0.05, 0.7, (4, 4, 3)).astype(np.float32), (SIZE, SIZE))
        for _ in range(14):
            centre, axes = rng.integers(0, SIZE, 2).tolist(), rng.integers(4, 30, 2).tolist()
            colour = (rng.uniform(0.03, 0.8) * rng.uniform(0.7, 1.0, 3)).tolist()
            cv2.ellipse(photo, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return photos.astype(np.float64)


def blurred(light: Photos, sigma: float) -> Photos:
    return gaussian_filter(light, (0, sigma, sigma, 0), mode="nearest")


def enlarged(light: Photos, factor: float) -> Photos:
    """What a photo shrunk by `factor` and enlarged again shows."""
    small = round(SIZE / factor)
    shrunk = [cv2.resize(photo, (small, small), interpolation=cv2.INTER_AREA) for photo in light]
    return np.stack([cv2.resize(photo, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for photo in shrunk])


def stored(light: Photos, noise: float, seed: int, gain: float = 1.0, gamma: float = 2.2) -> NDArray[np.uint8]:
    """A photo of this light with noise in its grey levels."""
    levels = 255 * (light * gain).clip(0, 1) ** (1 / gamma)
    levels = levels + np.random.default_rng(seed).normal(0, noise, light.shape)
    return np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)


def phone_of(light: Photos, noise: float = 2.0) -> NDArray[np.uint8]:
    """A phone: softer, of other colours and tones, noisy."""
    mixed = blurred(light, 0.8) @ np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.2, 0.75]]).T
    return stored(mixed, noise, 1, gain=0.8, gamma=2.6)


def shadowed(light: Photos, depth: float, width: float = 20.0) -> Photos:
    """Light that falls to `depth` of it across an edge of this width through the middle, at another angle each time."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2
    angles = np.arange(len(light)) * 2.4
    along = np.stack([x * np.cos(angle) + y * np.sin(angle) for angle in angles])
    return light * (1 - (1 - depth) / (1 + np.exp(-4 * along / width)))[..., None]


@pytest.fixture(scope="module")
def light() -> Photos:
    return scenes()


@pytest.fixture(scope="module")
def phone(light: Photos) -> NDArray[np.uint8]:
    return phone_of(light)


def test_a_sharp_target_in_the_same_light_passes_whatever_the_noise(light: Photos) -> None:
    for phone_noise, dslr_noise in ((1, 0.5), (4, 1), (8, 2)):
        found = measure_quality(phone_of(light, phone_noise), stored(light, dslr_noise, 2))
        assert not (found.sharpness < LIMITS.min_sharpness).any()  # NaN where the noise hides the phone's detail
        assert (found.light_ev < LIMITS.max_light_ev / 2).all()
        assert (found.phone_clipped == 0).all() and (found.dslr_clipped < 0.05).all()


def test_a_phone_too_noisy_to_judge_says_so(light: Photos) -> None:
    plain = 0.2 + 0.02 * light
    assert np.isnan(measure_quality(phone_of(plain, 8), stored(plain, 1, 2)).sharpness).all()


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("sigma", [1.6, 2.0, 3.0])
def test_a_dslr_out_of_focus_is_found_whatever_its_noise(
    light: Photos, phone: NDArray[np.uint8], sigma: float, noise: float
) -> None:
    found = measure_quality(phone, stored(blurred(light, sigma), noise, 2)).sharpness
    assert (found < LIMITS.min_sharpness).mean() > 0.9
    sharp = measure_quality(phone, stored(light, noise, 2)).sharpness
    assert np.nanmedian(found) < 0.6 * np.nanmedian(sharp)


def test_sharpness_falls_with_the_blur(light: Photos, phone: NDArray[np.uint8]) -> None:
    medians = [
        np.nanmedian(measure_quality(phone, stored(blurred(light, s), 1, 2)).sharpness) for s in (0.01, 0.8, 1.5, 3)
    ]
    assert np.all(np.diff(medians) < -0.2) and abs(medians[1] - 1) < 0.1  # 0.8 px is the phone's own blur


@pytest.mark.parametrize("factor", [5, 8])
def test_an_enlarged_photo_is_found(light: Photos, phone: NDArray[np.uint8], factor: float) -> None:
    found = measure_quality(phone, stored(enlarged(light, factor), 1, 2)).sharpness
    assert (found < LIMITS.min_sharpness).mean() > 0.9


@pytest.mark.parametrize(("depth", "least"), [(0.6, 0.6), (0.45, 0.9), (0.3, 0.9)])
def test_the_edge_of_a_shadow_in_one_photo_is_found(
    light: Photos, phone: NDArray[np.uint8], depth: float, least: float
) -> None:
    dark = stored(shadowed(light, depth), 1, 2)
    assert (measure_quality(phone, dark).light_ev > LIMITS.max_light_ev).mean() >= least
    assert (measure_quality(dark, phone).light_ev > LIMITS.max_light_ev).mean() >= least
    both = measure_quality(phone_of(shadowed(light, depth)), dark)  # a shadow of the scene, in both photos
    assert (both.light_ev < LIMITS.max_light_ev).all()


def test_what_clips_is_counted_in_each_half(light: Photos) -> None:
    bright, dim = stored(light, 0, 1, gain=2.5), stored(light, 0, 1, gain=0.5)
    found = measure_quality(dim, bright)
    assert (found.phone_clipped == 0).all()
    np.testing.assert_array_equal(found.dslr_clipped, (bright.max(axis=-1) >= 250).mean(axis=(1, 2)))


def test_masked_pixels_change_nothing(light: Photos, phone: NDArray[np.uint8]) -> None:
    dslr, valid = stored(light, 1, 2), np.ones((COUNT, SIZE, SIZE), bool)
    whole, unmasked = measure_quality(phone, dslr), measure_quality(phone, dslr, valid)
    valid[:, 20:50, 60:95] = False
    left = measure_quality(phone, dslr, valid)
    other = dslr.copy()
    other[:, 20:50, 60:95] = np.random.default_rng(3).integers(0, 256, (COUNT, 30, 35, 3), np.uint8)
    for name, values in vars(measure_quality(phone, other, valid)).items():
        np.testing.assert_array_equal(values, getattr(left, name))
        np.testing.assert_array_equal(getattr(whole, name), getattr(unmasked, name))
    assert not np.array_equal(measure_quality(phone, other).light_ev, whole.light_ev)


def test_small_and_no_patches_have_unknown_sharpness() -> None:
    tiny = np.zeros((2, 16, 16, 3), np.uint8)
    assert np.isnan(measure_quality(tiny, tiny).sharpness).all()
    assert measure_quality(tiny[:0], tiny[:0]).sharpness.shape == (0,)

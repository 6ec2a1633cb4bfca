"""Content that only one of two photos has is found, small, weak or soft; what two cameras make of one scene is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dped_data.align.kernels.foreign_content import foreign_shares

SIZE = 100
LIMIT = 0.2


def scene(seed: int, sigma: float = 1.5, contrast: float = 40.0) -> NDArray[np.float64]:
    """A patch of smooth grey noise of that standard deviation around 120."""
    grey = gaussian_filter(np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)), sigma, mode="wrap")
    return np.repeat((120 + contrast * grey / grey.std())[..., None], 3, axis=2)


def stored(photo: NDArray[np.float64], noise: float = 1.0, seed: int = 0) -> NDArray[np.uint8]:
    noisy = photo + np.random.default_rng(seed).normal(0, noise, photo.shape)
    return np.clip(np.floor(noisy + 0.5), 0, 255).astype(np.uint8)


def share(phone: NDArray[np.uint8], dslr: NDArray[np.uint8]) -> float:
    return float(foreign_shares(phone[None], dslr[None])[0])


def test_two_cameras_of_one_scene_share_everything() -> None:
    true = scene(1)
    dslr = stored(true, 1.0, 1)
    for phone in (
        stored(true, 6.0, 2),  # noise
        stored(0.4 * true + 90, 2.0, 3),  # contrast and brightness
        stored(gaussian_filter(true, (0.8, 0.8, 0)), 2.0, 4),  # sharpness
        stored(255 * (true / 255).clip(0, 1) ** 0.6 * [0.7, 1.0, 0.9], 2.0, 5),  # tones and white balance
    ):
        assert share(phone, dslr) < LIMIT / 2


def test_jpeg_is_not_taken_for_content() -> None:
    true = scene(2, sigma=3, contrast=15)
    coded = cv2.imencode(".jpg", stored(true, 3.0), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    assert share(cv2.imdecode(coded, cv2.IMREAD_COLOR), stored(true, 1.0, 1)) < LIMIT / 2


def test_noise_without_texture_is_no_content() -> None:
    flat = np.full((SIZE, SIZE, 3), 120.0)
    assert share(stored(flat, 8.0, 1), stored(flat, 3.0, 2)) == 0


@pytest.mark.parametrize("side", [25, 35])  # 6 and 12 % of the area
@pytest.mark.parametrize("sigma", [1.5, 4.0])
@pytest.mark.parametrize("in_phone", [False, True])
def test_a_square_of_something_else_is_found_anywhere(side: int, sigma: float, in_phone: bool) -> None:
    rng = np.random.default_rng(3)
    for seed in range(8):
        first, second = scene(10 + seed, 3), scene(10 + seed, 3)
        y, x = rng.integers(0, SIZE - side + 1, 2)
        second[y : y + side, x : x + side] = scene(50 + seed, sigma, 20)[y : y + side, x : x + side]
        pair = (stored(second, 2), stored(first, 1, 1)) if in_phone else (stored(first, 2), stored(second, 1, 1))
        assert share(*pair) > LIMIT


def test_what_is_missing_in_one_photo_is_found() -> None:
    full, empty = scene(4), scene(4)
    empty[30:55, 40:65] = empty[30:55, 40:65].mean()
    inside = 21 * 21 / 25**2  # what no neighbourhood of the square's rim reaches out of
    assert share(stored(full), stored(empty)) > inside
    assert share(stored(empty), stored(full)) > inside


def test_weak_panes_behind_a_strong_frame_count() -> None:
    """A bright lattice that is aligned, and panes of a quarter of its contrast that show something else."""
    lattice = (np.arange(SIZE) % 20 < 5)[:, None] | (np.arange(SIZE) % 20 < 5)
    panes = [np.where(lattice[..., None], 230.0, scene(seed, 1.5, 15) - 60) for seed in (5, 6)]
    same, other = (stored(pane, 1, seed) for seed, pane in enumerate(panes))
    assert np.corrcoef(same[..., 1].ravel(), other[..., 1].ravel())[0, 1] > 0.9
    assert share(same, other) > LIMIT
    assert share(same, stored(panes[0], 1, 7)) == 0


def test_two_colours_of_one_luminance_may_swap_places() -> None:
    """Stripes of red and grey; which is the brighter one differs between the cameras."""
    red = (np.arange(SIZE) % 16 < 8)[None, :, None]
    phone = np.where(red, [200.0, 60.0, 60.0], [95.0, 95.0, 95.0]) * np.ones((SIZE, 1, 1))
    dslr = np.where(red, [255.0, 40.0, 40.0], [115.0, 115.0, 115.0]) * np.ones((SIZE, 1, 1))
    brighter = [p[0, 0] @ [0.299, 0.587, 0.114] > p[0, 8] @ [0.299, 0.587, 0.114] for p in (phone, dslr)]
    assert brighter == [True, False]
    assert share(stored(phone), stored(dslr)) == 0
    grey = [np.repeat((p @ [0.299, 0.587, 0.114])[..., None], 3, axis=2) for p in (phone, dslr)]
    assert share(stored(grey[0]), stored(grey[1])) > LIMIT


def test_no_patches_give_no_shares() -> None:
    empty = np.empty((0, SIZE, SIZE, 3), np.uint8)
    assert foreign_shares(empty, empty).shape == (0,)

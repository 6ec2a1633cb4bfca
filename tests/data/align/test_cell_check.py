"""Cells that show another content than their patch are told apart; noise, gain and gradients are allowed for."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from dped_data.align.cell_check import _quantile, cells_disagree, noise_by_level
from dped_data.align.kernels.displaced_content import LEVELS

SIZE, COUNT = 48, 6
NOT_FOREIGN = np.zeros(COUNT, bool)


def faint_behind_frames(displaced: dict[int, int], rows: dict[int, int] | None = None) -> tuple[np.ndarray, ...]:
    """Patches side by side: a bright frame around faint texture, which lies some pixels off in some of them.

    Args:
        displaced: pixels by patch; rows: how many rows of it, by patch (default: all).
    """
    random = np.random.default_rng(0)
    faint = gaussian_filter(random.normal(0, 1, (SIZE + 40, COUNT * SIZE + 40)), 2)
    faint = 60 + faint * (5 / faint.std())
    phone = faint[20:-20, 20:-20].copy()
    dslr = phone.copy()
    for patch, pixels in displaced.items():
        part, most = slice(patch * SIZE, (patch + 1) * SIZE), (rows or {}).get(patch, SIZE)
        dslr[:most, part] = faint[20 : 20 + most, 20 + pixels + part.start : 20 + pixels + part.stop]
    y, x = np.mgrid[: phone.shape[0], : phone.shape[1]]
    frame = ((y % SIZE) // 6 % 4 == 0) | ((x % SIZE) // 6 % 4 == 0)
    photos = []
    for grey in (phone, 0.8 * dslr + 10):
        framed = gaussian_filter(np.where(frame, 200.0, grey), 0.7) + random.normal(0, 0.5, grey.shape)
        photos.append(np.repeat(framed.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    corners = np.array([[k * SIZE, 0] for k in range(COUNT)], np.int32)
    halves = [np.stack([photo[:, x : x + SIZE] for x, _ in corners]) for photo in photos]
    return photos[0], corners, *halves


def test_the_faint_content_that_moved_behind_its_frame_is_seen() -> None:
    disagree = cells_disagree(*faint_behind_frames({2: 4}), NOT_FOREIGN)
    assert disagree.tolist() == [False, False, True, False, False, False]


def test_what_lies_elsewhere_is_looked_for_next_to_it() -> None:
    rows = {3: 12, 5: 10}
    assert not cells_disagree(*faint_behind_frames({3: 4, 5: 4}, rows), NOT_FOREIGN).any()
    near_2 = cells_disagree(*faint_behind_frames({2: 4, 3: 4, 5: 4}, rows), NOT_FOREIGN)
    assert near_2.tolist() == [False, False, True, True, False, False]  # 5 is too far from 2
    other_way = cells_disagree(*faint_behind_frames({2: -4, 3: 4, 5: 4}, rows), NOT_FOREIGN)
    assert other_way.tolist() == [False, False, True, False, False, False]


def test_foreign_patches_stay_foreign_and_tell_of_their_neighbours() -> None:
    photos = faint_behind_frames({2: 4, 3: 4}, {3: 12})
    known = np.arange(COUNT) == 2
    assert cells_disagree(*photos, known).tolist() == [False, False, True, True, False, False]
    assert cells_disagree(*photos, ~NOT_FOREIGN).all()


def test_the_steps_of_a_dark_photo_are_no_other_content() -> None:
    y, x = np.mgrid[:SIZE, : COUNT * SIZE]
    scene = 90 + np.where(x < SIZE, 4, 40) * np.sin(x / 8) * np.cos(y / 9)
    dark, bright = (np.repeat((scale * scene).round().astype(np.uint8)[..., None], 3, axis=2) for scale in (0.2, 1.0))
    corners = np.array([[k * SIZE, 0] for k in range(COUNT)], np.int32)
    halves = [np.stack([photo[:, x : x + SIZE] for x, _ in corners]) for photo in (dark, bright)]
    assert not cells_disagree(dark, corners, *halves, NOT_FOREIGN).any()


def test_no_patches_are_no_disagreement() -> None:
    nothing = np.zeros((0, SIZE, SIZE, 3), np.uint8)
    assert (
        cells_disagree(
            np.zeros((99, 99, 3), np.uint8), np.zeros((0, 2), np.int32), nothing, nothing, np.zeros(0, bool)
        ).size
        == 0
    )


def test_noise_is_measured_at_each_grey_level() -> None:
    random = np.random.default_rng(1)
    level = np.linspace(20, 235, 8)[:, None, None]
    sd = np.linspace(1, 5, 8)[:, None, None]
    noise = noise_by_level((level + random.normal(0, 1, (8, 96, 96)) * sd).clip(0, 255).round().astype(np.uint8))
    expected = np.interp((np.arange(LEVELS) + 0.5) * 256 / LEVELS, level[:, 0, 0], sd[:, 0, 0] ** 2)
    assert np.abs(noise[2:14] / expected[2:14] - 0.75).max() < 0.35  # the smoothest fifth lies below the mean


def test_quantiles_are_numpys_to_the_last_digit() -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 30, 37):
        for share in (0.0, 0.2, 0.37, 0.5, 0.9, 1.0):
            values = random.random(count)
            assert _quantile(values, share) == np.quantile(values, share)

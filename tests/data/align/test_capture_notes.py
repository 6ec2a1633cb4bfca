from __future__ import annotations

import numpy as np
from planted_scene import identity, photo

from dped_data.align.capture_notes import compare_tones
from dped_data.align.smooth_map import smooth_map_of_homography
from dped_data.photos.colour import linear_light

SAME = smooth_map_of_homography(np.eye(3), (400, 300), (400, 300))


def test_gains_per_channel_are_found_in_linear_light() -> None:
    phone = photo(identity, (400, 300)) // 2 + 40
    light = linear_light(phone) * np.array([1.3, 1.0, 0.7])
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    dslr = np.clip(np.floor(encoded * 255 + 0.5), 0, 255).astype(np.uint8)
    notes = compare_tones(phone, dslr, SAME)
    np.testing.assert_allclose(notes.gain_rgb, (1.3, 1.0, 0.7), rtol=0.01)
    assert notes.phone_clipped == 0


def test_clipped_shares_are_counted_on_either_side() -> None:
    phone, dslr = np.full((300, 400, 3), 100, np.uint8), np.full((300, 400, 3), 100, np.uint8)
    phone[:, :100, 1] = 255
    dslr[:150] = 254
    notes = compare_tones(phone, dslr, SAME)
    assert abs(notes.phone_clipped - 0.25) < 0.01 and abs(notes.dslr_clipped - 0.5) < 0.01


def test_without_overlap_there_is_nothing_to_say() -> None:
    away = smooth_map_of_homography(np.array([[1.0, 0, 9000], [0, 1, 0], [0, 0, 1]]), (400, 300), (400, 300))
    notes = compare_tones(np.zeros((300, 400, 3), np.uint8), np.zeros((300, 400, 3), np.uint8), away)
    assert np.isnan(notes.gain_rgb).all() and np.isnan(notes.phone_clipped)

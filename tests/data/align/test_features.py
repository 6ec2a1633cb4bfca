from __future__ import annotations

import numpy as np
import pytest
from planted_scene import distorted, identity, photo

from dped_data.align.features import detect_features, match_features
from dped_data.errors import CaptureRejected
from dped_data.settings import FeatureSettings

SETTINGS = FeatureSettings(detect_megapixels=0.1)


def grey(mapped, size_wh: tuple[int, int]) -> np.ndarray:
    return photo(mapped, size_wh)[:, :, 0].copy()


def test_matches_show_the_same_thing_and_are_not_biased() -> None:
    true = distorted(1.3, 3.0, (20, 10), 0.0, (300, 200))
    phone, dslr = grey(true, (600, 420)), grey(identity, (840, 600))
    matches = match_features(detect_features(phone, SETTINGS), detect_features(dslr, SETTINGS), SETTINGS)
    error = true(matches.phone_xy) - matches.dslr_xy
    good = np.linalg.norm(error, axis=1) < 4
    assert len(error) > 100 and good.mean() > 0.9
    assert np.abs(error[good].mean(axis=0)).max() < 0.15


def test_detection_is_repeatable() -> None:
    image = grey(identity, (500, 400))
    first, second = detect_features(image, SETTINGS), detect_features(image, SETTINGS)
    np.testing.assert_array_equal(first.xy, second.xy)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)


def test_no_keypoint_takes_part_twice() -> None:
    features = detect_features(grey(identity, (500, 400)), SETTINGS)
    doubled = type(features)(np.tile(features.xy, (2, 1)), np.tile(features.descriptors, (2, 1)))
    matches = match_features(doubled, features, SETTINGS)
    assert 0 < len(matches.dslr_xy) <= len(features.xy)


@pytest.mark.parametrize("value", [0, 128])
def test_a_photo_without_texture_is_rejected(value: int) -> None:
    with pytest.raises(CaptureRejected, match="features: too few keypoints") as caught:
        detect_features(np.full((300, 400), value, np.uint8), SETTINGS)
    assert caught.value.measured == 0

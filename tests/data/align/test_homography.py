from __future__ import annotations

import numpy as np
import pytest

from dped_data.align.homography import check_homography, estimate_homography, transfer_error
from dped_data.align.records import Matches
from dped_data.align.smooth_map import project
from dped_data.errors import CaptureRejected
from dped_data.settings import HomographySettings

H = np.array([[1.4, 0.05, 40.0], [-0.04, 1.38, 25.0], [2e-5, -1e-5, 1.0]])
PHONE_WH, DSLR_WH = (840, 600), (1300, 960)
SETTINGS = HomographySettings()


def planted(count: int = 200, false: int = 120, noise: float = 0.5) -> Matches:
    rng = np.random.default_rng(0)
    phone_xy = rng.uniform((0, 0), (839, 599), (count, 2))
    dslr_xy = project(H, phone_xy) + rng.normal(0, noise, (count, 2))
    dslr_xy[count - false :] = rng.uniform((0, 0), DSLR_WH, (false, 2))
    return Matches(phone_xy, dslr_xy)


def test_a_planted_homography_is_recovered_among_false_matches() -> None:
    found = estimate_homography(planted(), PHONE_WH, DSLR_WH, SETTINGS, seed=0)
    corners = np.array([[0.0, 0], [839, 0], [839, 599], [0, 599]])
    assert transfer_error(found.dslr_from_phone, corners, project(H, corners)).max() < 1.5
    assert found.inlier[:80].mean() > 0.9 and found.inlier[80:].mean() < 0.1
    assert 0.2 < found.residual_px < 1.0
    assert found.dslr_from_phone[2, 2] == 1


def test_the_same_seed_gives_the_same_bits() -> None:
    first = estimate_homography(planted(), PHONE_WH, DSLR_WH, SETTINGS, seed=3)
    np.random.default_rng().random(5)
    second = estimate_homography(planted(), PHONE_WH, DSLR_WH, SETTINGS, seed=3)
    np.testing.assert_array_equal(first.dslr_from_phone, second.dslr_from_phone)


def test_random_matches_are_rejected() -> None:
    for count, reason in ((10, "too few matches"), (150, "too few inliers")):
        with pytest.raises(CaptureRejected, match=reason):
            estimate_homography(planted(count, count), PHONE_WH, DSLR_WH, SETTINGS, seed=0)


def test_inliers_on_a_line_are_rejected() -> None:
    x = np.linspace(0, 839, 100)
    phone_xy = np.stack((x, 0.5 * x + np.sin(x)), axis=1)
    with pytest.raises(CaptureRejected, match="homography: "):
        estimate_homography(Matches(phone_xy, project(H, phone_xy)), PHONE_WH, DSLR_WH, SETTINGS, seed=0)


@pytest.mark.parametrize(
    ("h", "reason"),
    [
        (np.array([[-1.0, 0, 839], [0, 1, 0], [0, 0, 1]]), "mirrored"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [-0.002, 0, 1]]), "horizon too close"),
        (np.array([[1.0, 0, 0], [0, 1, 0], [0.02, 0, 1]]), "horizon too close"),
        (np.diag([0.01, 0.01, 1.0]), "change of scale too large"),
        (np.diag([40.0, 40.0, 1.0]), "change of scale too large"),
        (np.array([[1.0, 0, 5000], [0, 1, 0], [0, 0, 1]]), "hardly overlap"),
    ],
)
def test_what_no_rig_can_see_is_rejected_before_anything_is_allocated(h: np.ndarray, reason: str) -> None:
    with pytest.raises(CaptureRejected, match=reason):
        check_homography(h, PHONE_WH, DSLR_WH)


@pytest.mark.parametrize("h", [H, np.array([[-1.4, 0, 1200], [0, -1.4, 900], [0, 0, 1.0]])])
def test_ordinary_and_upside_down_views_pass(h: np.ndarray) -> None:
    check_homography(h, PHONE_WH, DSLR_WH)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_scene import identity, nodes_of, photo

from dped_data.align.far_search import NEAR_PX, search_reach
from dped_data.align.pipeline import align_photos
from dped_data.align.records import AlignedCapture, Matches
from dped_data.align.smooth_map import smooth_map_of_homography
from dped_data.errors import CaptureRejected
from dped_data.settings import BuildSettings

PHONE_WH, DSLR_WH = (480, 360), (672, 504)
SCALE, SIZE, MOVED_PX = 1.4, 40, 45.0
LEFT, RIGHT, TOP = 150, 330, 120
PLANE = smooth_map_of_homography(np.diag([1.4, 1.4, 1.0]), PHONE_WH, DSLR_WH)


def on_object(xy: np.ndarray) -> np.ndarray:
    return (xy[..., 0] > LEFT) & (xy[..., 0] < RIGHT) & (xy[..., 1] > TOP)


def with_object(xy: np.ndarray) -> np.ndarray:
    """A background, and an object that lies twice as far off as the ordinary search reaches."""
    return SCALE * (xy + np.where(on_object(xy)[..., None], (MOVED_PX, 0.0), (0.0, 0.0)))


def align(pair: tuple[np.ndarray, np.ndarray], max_parallax: float) -> AlignedCapture:
    settings = BuildSettings()
    patches = replace(settings.patches, patch_size=SIZE, max_parallax=max_parallax)
    return align_photos(*pair, replace(settings, patches=patches))


@pytest.fixture(scope="module")
def dslr() -> np.ndarray:
    return photo(identity, DSLR_WH, noise=1)


@pytest.fixture(scope="module")
def deep(dslr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return photo(with_object, PHONE_WH, noise=3), dslr


def kept_on_object(aligned: AlignedCapture) -> int:
    """Patches that lie on the object, all of them where they belong."""
    nodes = nodes_of(aligned.patches.phone_xy, SIZE)
    error = np.sqrt((((aligned.patches.dslr_xy - with_object(nodes)) / SCALE) ** 2).sum(axis=-1).mean(axis=(1, 2)))
    assert error.max() < 1
    return int(on_object(nodes).all(axis=(1, 2)).sum())


def test_an_object_beyond_the_ordinary_search_is_found_because_its_matches_show_it(
    deep: tuple[np.ndarray, np.ndarray],
) -> None:
    found = align(deep, 0)
    whole = on_object(nodes_of(found.patches.window_xy, SIZE)).all(axis=(1, 2)).sum()
    assert kept_on_object(found) >= 0.5 * whole >= 5
    assert kept_on_object(align(deep, NEAR_PX)) == 0
    far = align(deep, 120)  # through a coarser level
    assert kept_on_object(far) >= 0.5 * whole
    assert len(far.patches.ncc) > 0.9 * len(found.patches.ncc)


def test_a_scene_without_parallax_stays_as_it_is_however_far_is_searched(dslr: np.ndarray) -> None:
    pair = photo(lambda xy: SCALE * xy, PHONE_WH, noise=3), dslr
    plain, far = align(pair, 0).patches, align(pair, 60).patches
    assert len(plain.ncc) > 50
    for name in ("window_xy", "window_reason", "dslr_xy", "error_px", "dslr"):
        np.testing.assert_array_equal(getattr(far, name), getattr(plain, name))


def matches(moved_px: list[tuple[float, float]], together: bool = True) -> Matches:
    """A hundred matches on the plane, and others in one place that moved so."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(10, 350, (100, 2))
    place = 100 + rng.uniform(0, 20, (len(moved_px), 2)) * (1 if together else 12)
    phone = np.concatenate((xy, place))
    moved = np.concatenate((np.zeros((100, 2)), np.array(moved_px).reshape(-1, 2)))
    return Matches(phone, (phone + moved) * SCALE)


def test_only_matches_that_confirm_one_another_show_parallax() -> None:
    rng = np.random.default_rng(1)
    alike = [(x, 2.0) for x in rng.uniform(49, 50, 12)]
    assert search_reach(PLANE, matches(alike), 0) == pytest.approx(1.1 * 50, abs=1)
    assert search_reach(PLANE, matches(alike), 90) == 90
    assert search_reach(PLANE, matches(alike[:5]), 0) == NEAR_PX  # an ornament that is repeated
    wrong = [(x, y) for x, y in rng.uniform(-200, 200, (40, 2))]
    assert search_reach(PLANE, matches(wrong), 0) == NEAR_PX
    assert search_reach(PLANE, matches(alike, together=False), 0) == NEAR_PX
    assert search_reach(PLANE, Matches(np.empty((0, 2)), np.empty((0, 2))), 0) == NEAR_PX


def test_a_pair_beyond_reach_is_rejected_and_the_reason_says_so() -> None:
    beyond = matches([(50.0, 0.0)] * 60)
    with pytest.raises(CaptureRejected, match="parallax beyond the search") as rejected:
        search_reach(PLANE, beyond, 30)
    assert (rejected.value.stage, rejected.value.measured, rejected.value.limit) == ("refinement", 50.0, 30.0)
    assert search_reach(PLANE, beyond, 0) == pytest.approx(55)
    assert search_reach(PLANE, matches([(50.0, 0.0)] * 40), 30) == 30  # less than a third: the rest can be aligned
    with pytest.raises(CaptureRejected, match="parallax beyond the search"):  # measured, and too far for any search
        search_reach(PLANE, matches([(120.0, 0.0)] * 60), 0)

"""The exact maps of a simulated capture: their ranges, their inverses, what hides what."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dped_data.common.foreign_files import parse_json, typed
from dped_data.simulation import kernels
from dped_data.simulation.geometry import PairGeometry, draw_geometry
from dped_data.simulation.settings import SimulationSettings

PHONE_WH, DSLR_WH = (648, 486), (912, 608)


def drawn(seed: int, **settings: float) -> PairGeometry:
    return draw_geometry(np.random.default_rng(seed), PHONE_WH, DSLR_WH, SimulationSettings(**settings))  # type: ignore[arg-type]


def phone_points(count: int = 400) -> np.ndarray:
    return np.random.default_rng(9).uniform((0, 0), (PHONE_WH[0] - 1, PHONE_WH[1] - 1), (count, 2))


@pytest.mark.parametrize("seed", range(5))
def test_lens_distortion_is_inverted_to_machine_precision(seed: int) -> None:
    packed = drawn(seed, distortion=2.0).packed()
    for lens in (kernels.PHONE, kernels.DSLR):
        for x, y in phone_points(50):
            ideal = kernels.ideal_from_photo(packed, lens, x, y)
            assert kernels.photo_from_ideal(packed, lens, *ideal) == pytest.approx((x, y), abs=1e-9)


def test_drawn_geometry_stays_in_the_stated_ranges() -> None:
    settings = SimulationSettings()
    geometries = [drawn(seed, parallax=15.0) for seed in range(60)]
    assert all(0.01 <= g.phone.k1 <= 0.06 and -0.03 <= g.dslr.k1 <= 0 for g in geometries)
    assert all(1 <= wave.amplitude_px <= 5 for g in geometries for wave in (g.warp_x, g.warp_y))
    turns, views = [], []
    for g in geometries:
        h = np.array(g.homography).reshape(3, 3)
        centre = np.array([(PHONE_WH[0] - 1) / 2, (PHONE_WH[1] - 1) / 2, 1])
        w = h @ centre
        jacobian = (h[:2, :2] - np.outer(w[:2] / w[2], h[2, :2])) / w[2]
        views.append(np.sqrt(np.linalg.det(jacobian)) * PHONE_WH[0] / DSLR_WH[0])
        # the tilt at the centre shears nothing: what is left is a turn and a scale
        turns.append(abs(np.degrees(np.arctan2(jacobian[1, 0], jacobian[0, 0]))))
        assert np.hypot(h[2, 0], h[2, 1]) / w[2] * PHONE_WH[0] / 2 == pytest.approx(0.03, rel=1e-6)
    assert 0.5 <= min(turns) < 0.9 and 2.5 < max(turns) <= 3.0
    assert settings.min_view <= min(views) < 0.8 and 1.0 < max(views) <= settings.max_view
    shifts = [
        np.hypot(o.shift_x, o.shift_y) / v / DSLR_WH[0] * PHONE_WH[0]
        for g, v in zip(geometries, views, strict=True)
        for o in g.objects
    ]
    assert 6.0 <= min(shifts) < 7 and 14 < max(shifts) <= 15.0
    assert {len(g.objects) for g in geometries} == {2, 3, 4}


def test_without_distortion_warp_and_parallax_the_map_is_the_homography() -> None:
    g = drawn(3, distortion=0.0, warp_px=0.0)
    points = phone_points()
    h = np.array(g.homography).reshape(3, 3)
    mapped = np.c_[points, np.ones(len(points))] @ h.T
    np.testing.assert_allclose(g.dslr_from_phone(points).dslr_xy, mapped[:, :2] / mapped[:, 2:], atol=1e-9)


def test_smaller_photos_of_the_same_rig_are_displaced_by_fewer_pixels() -> None:
    full, half = drawn(3, parallax=12.0), drawn(3, parallax=12.0, scale=0.5)
    assert half.warp_x.amplitude_px == pytest.approx(full.warp_x.amplitude_px / 2)
    assert half.objects[0].shift_x == pytest.approx(full.objects[0].shift_x / 2)


def test_nearest_object_wins_and_hides_what_is_behind() -> None:
    g = drawn(1, parallax=15.0, distortion=0.0)
    near = dataclasses.replace(g.objects[0], shift_x=15.0, shift_y=0.0, ripple=(0.0,) * 4, radius_px=60.0)
    far = dataclasses.replace(near, shift_x=6.0, radius_px=80.0, x=near.x + 50)
    g = dataclasses.replace(g, objects=(near, far))
    grid = np.stack(np.meshgrid(np.arange(PHONE_WH[0]), np.arange(PHONE_WH[1])), -1).reshape(-1, 2).astype(float)
    truth = g.dslr_from_phone(grid)
    from_near = np.hypot(*(truth.dslr_xy - (near.x, near.y)).T)
    assert (truth.surface == 1).any() and (truth.surface == 2).any()
    assert (from_near[truth.surface == 1] < 60).all()
    hidden = (from_near < 60) & (truth.surface != 1)
    assert hidden.any() and not truth.visible[hidden].any()
    assert truth.visible[(truth.surface == 1)].all()


def test_points_outside_the_dslr_photo_are_not_visible() -> None:
    g = drawn(2, min_view=1.12, max_view=1.12)
    truth = g.dslr_from_phone(np.array([[1.0, 1.0], [PHONE_WH[0] / 2, PHONE_WH[1] / 2]]))
    assert truth.visible.tolist() == [False, True]


def test_local_scale_is_the_ratio_of_distances() -> None:
    g = drawn(4, distortion=0.0, warp_px=0.0, perspective=0.0, min_view=0.9, max_view=0.9)
    np.testing.assert_allclose(g.local_scale(phone_points(20)), 0.9 * DSLR_WH[0] / PHONE_WH[0], rtol=1e-9)


def test_geometry_survives_json_exactly() -> None:
    g = drawn(5, parallax=12.0)
    assert typed(PairGeometry, parse_json(json.dumps(dataclasses.asdict(g)))) == g

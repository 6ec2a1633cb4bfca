"""A simulated rig on disk: files, times, determinism, scenes, bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from frozen_settings import check_frozen

from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import setting
from dped_data.errors import InputError, UsageError
from dped_data.photos.reading import read_header
from dped_data.photos.writing import write_photo
from dped_data.settings import Camera, Rig
from dped_data.simulation import SimulationSettings, read_truths, simulate_rig
from dped_data.simulation.description import write_description
from dped_data.simulation.geometry import draw_geometry
from dped_data.simulation.scenes import list_photos, make_scene

RIG = Rig("small", "slr", (Camera("pocket", 320, 240), Camera("slr", 450, 300)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "rocket"):
        write_photo(folder / f"{name}.png", getattr(skimage.data, name)())
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and ".dped" not in p.parts)
    return {str(p.relative_to(folder)): sha256_of_file(p) for p in files}


def test_same_settings_same_bytes_for_any_number_of_jobs(photos: Path, tmp_path: Path) -> None:
    settings = SimulationSettings(count=4, parallax=10.0)
    report = simulate_rig(photos, tmp_path / "a", RIG, "pocket", settings, jobs=1)
    simulate_rig(photos, tmp_path / "b", RIG, "pocket", settings, jobs=2)
    simulate_rig(photos, tmp_path / "c", RIG, "pocket", dataclasses.replace(settings, seed=1), jobs=1)
    one = digests(tmp_path / "a")
    assert one == digests(tmp_path / "b")
    assert len(one) == 13 and not set(one.values()) & set(digests(tmp_path / "c").values())
    assert (report.captures, report.photos, report.phone_wh, report.dslr_wh) == (4, 3, (320, 240), (450, 300))


def test_an_interrupted_rendering_goes_on(photos: Path, tmp_path: Path) -> None:
    settings = SimulationSettings(count=4, scale=0.5)
    simulate_rig(photos, tmp_path / "whole", RIG, "pocket", settings, jobs=1)
    whole = digests(tmp_path / "whole")
    simulate_rig(photos, tmp_path / "broken", RIG, "pocket", settings, jobs=1)
    # As a killed run leaves it: no report, a capture without its truth, one without a photo.
    broken = tmp_path / "broken"
    asked = json.loads((broken / "simulation.json").read_text())["asked"]
    write_description(broken, {"asked": asked})
    (broken / "truth" / "0002.json").unlink()
    foreign = broken / "captures" / "slr" / "0002.jpg"
    foreign.write_bytes(b"of another program")
    (broken / "captures" / "slr" / "0003.jpg").unlink()
    with pytest.raises(InputError, match=r"0002\.jpg: was changed since dped wrote it; move it away"):
        simulate_rig(photos, broken, RIG, "pocket", settings, jobs=1)
    assert foreign.read_bytes() == b"of another program"
    foreign.unlink()
    kept = (broken / "captures" / "pocket" / "0001.jpg").stat().st_mtime_ns
    simulate_rig(photos, broken, RIG, "pocket", settings, jobs=1)
    assert digests(broken) == whole
    assert (broken / "captures" / "pocket" / "0001.jpg").stat().st_mtime_ns == kept


def test_photos_have_the_rigs_sizes_and_clocks(photos: Path, tmp_path: Path) -> None:
    settings = SimulationSettings(count=6, scale=0.5, sessions=3, clock_offset_s=100.0, file_names="camera")
    simulate_rig(photos, tmp_path, RIG, "pocket", settings, jobs=1)
    truths = read_truths(tmp_path)
    heads = [[read_header(tmp_path / "captures" / f) for f in (t.phone_file, t.dslr_file)] for t in truths]
    assert {(h.width_px, h.height_px) for h, _ in heads} == {(160, 120)}
    assert {(h.width_px, h.height_px) for _, h in heads} == {(225, 150)}
    times = np.array([[h.time_s for h in pair] for pair in heads], float)
    assert np.abs(times[:, 1] - times[:, 0] - 100.0).max() <= 0.251
    assert (np.diff(times[:, 0]) > 7000).tolist() == [False, True, False, True, False]
    assert all(h.has_subseconds for pair in heads for h in pair)
    assert not {Path(t.phone_file).stem for t in truths} & {Path(t.dslr_file).stem for t in truths}


def test_equal_names_by_default(photos: Path, tmp_path: Path) -> None:
    simulate_rig(photos, tmp_path, RIG, "pocket", SimulationSettings(scale=0.3), jobs=1)
    assert [(t.phone_file, t.dslr_file) for t in read_truths(tmp_path)] == [
        (f"pocket/000{i}.jpg", f"slr/000{i}.jpg") for i in (1, 2, 3)
    ]


def test_each_session_has_photos_of_its_own_when_asked(photos: Path, tmp_path: Path) -> None:
    """Six captures of three photos in two sessions: by turns each session shows all of them."""
    names = [path.name for path in list_photos(photos)]
    settings = SimulationSettings(count=6, sessions=2, scale=0.1, photos_apart=True, parallax=0.0)
    simulate_rig(photos, tmp_path, RIG, "pocket", settings, jobs=1)
    shown = [truth.scene_photos for truth in read_truths(tmp_path)]
    assert {name for scene in shown[:3] for name in scene} == set(names[:1])
    assert {name for scene in shown[3:] for name in scene} == set(names[1:])
    with pytest.raises(UsageError, match="one for each session; add photos, or ask for fewer --sessions"):
        simulate_rig(photos, tmp_path / "more", RIG, "pocket", dataclasses.replace(settings, sessions=60), jobs=1)


def test_a_phone_without_an_error_of_white_balance_weighs_all_channels_alike(photos: Path, tmp_path: Path) -> None:
    """Everything else is drawn as before."""
    settings = SimulationSettings(scale=0.1)
    simulate_rig(photos, tmp_path / "usual", RIG, "pocket", settings, jobs=1)
    simulate_rig(photos, tmp_path / "fixed", RIG, "pocket", dataclasses.replace(settings, white_balance=0.0), jobs=1)
    for usual, fixed in zip(read_truths(tmp_path / "usual"), read_truths(tmp_path / "fixed"), strict=True):
        red, green, blue = usual.phone_look.gains
        assert fixed.phone_look == dataclasses.replace(usual.phone_look, gains=(green, green, green))
        errors = np.array([red, blue]) / green - 1
        assert (np.abs(errors) <= 0.15).all() and (errors != 0).all()


def test_photos_too_small_for_the_camera_make_a_wall(photos: Path) -> None:
    settings = SimulationSettings()
    geometry = draw_geometry(np.random.default_rng(0), (900, 675), (1260, 840), settings)
    scene = make_scene(list_photos(photos), 1, geometry, np.random.default_rng(1))
    assert sorted(scene.photos) == ["astronaut.png", "coffee.png", "rocket.png"]
    small = draw_geometry(np.random.default_rng(0), (320, 240), (450, 300), settings)
    scene = make_scene(list_photos(photos), 1, small, np.random.default_rng(1))
    assert scene.photos == ("coffee.png",) and scene.magnification < 1.6


def test_the_scene_covers_everything_that_both_cameras_see(photos: Path) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        geometry = draw_geometry(rng, (320, 240), (450, 300), SimulationSettings(parallax=15.0))
        scene = make_scene(list_photos(photos), seed, geometry, rng)
        left, top, right, bottom = geometry.ideal_bounds()
        corners = np.array([[left, top, 1], [right, bottom, 1]]) @ scene.textures[0].T
        assert (corners >= 1).all()
        assert (corners <= [scene.pixels.shape[1] - 2, scene.pixels.shape[0] - 2]).all()


def test_a_rig_rendered_before_a_setting_was_added_goes_on_at_its_default(photos: Path, tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Grown(SimulationSettings):
        fog: float = setting(0.0, "fog")

    check_frozen(SimulationSettings, 1)
    simulate_rig(photos, tmp_path / "rig", RIG, "pocket", SimulationSettings(count=1, scale=0.2), jobs=1)
    before = digests(tmp_path / "rig")
    asked = json.loads((tmp_path / "rig" / "simulation.json").read_text())["asked"]
    assert {*SimulationSettings.frozen_defaults.first} < {*asked}
    simulate_rig(photos, tmp_path / "rig", RIG, "pocket", Grown(count=1, scale=0.2), jobs=1)
    assert digests(tmp_path / "rig") == before
    with pytest.raises(InputError, match=r"other settings or photos \(fog: not recorded -> 0.5\)"):
        simulate_rig(photos, tmp_path / "rig", RIG, "pocket", Grown(count=1, scale=0.2, fog=0.5), jobs=1)


def test_bad_input_is_named(photos: Path, tmp_path: Path) -> None:
    settings = SimulationSettings(count=1, scale=0.2)
    with pytest.raises(InputError, match="no such folder"):
        simulate_rig(tmp_path / "missing", tmp_path / "out", RIG, "pocket", settings)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos in it"):
        simulate_rig(tmp_path / "empty", tmp_path / "out", RIG, "pocket", settings)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("text")
    with pytest.raises(InputError, match=r"a\.jpg"):
        simulate_rig(tmp_path / "broken", tmp_path / "out2", RIG, "pocket", settings, jobs=1)
    with pytest.raises(UsageError, match="not part of rig"):
        simulate_rig(photos, tmp_path / "out3", RIG, "sony", settings)
    with pytest.raises(UsageError, match="swap them"):
        simulate_rig(photos, tmp_path / "out4", RIG, "pocket", dataclasses.replace(settings, min_view=1.2))
    simulate_rig(photos, tmp_path / "twice", RIG, "pocket", settings, jobs=1)
    with pytest.raises(InputError, match=r"other settings or photos \(seed: 0 -> 1\); use the same to go on"):
        simulate_rig(photos, tmp_path / "twice", RIG, "pocket", dataclasses.replace(settings, seed=1), jobs=1)
    (tmp_path / "twice" / "simulation.json").unlink()
    with pytest.raises(InputError, match="not empty and not of a rendering"):
        simulate_rig(photos, tmp_path / "twice", RIG, "pocket", settings, jobs=1)
    (tmp_path / "twice" / "simulation.json").write_text("{")
    with pytest.raises(InputError, match=r"simulation\.json: was changed since dped wrote it; move it away"):
        simulate_rig(photos, tmp_path / "twice", RIG, "pocket", settings, jobs=1)
    (tmp_path / "twice" / "truth" / "0001.json").write_text('{"version": 1}')
    with pytest.raises(InputError, match="damaged truth"):
        read_truths(tmp_path / "twice")
    with pytest.raises(InputError, match="no truth"):
        read_truths(tmp_path / "empty")

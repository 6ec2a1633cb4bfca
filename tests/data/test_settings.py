"""Settings come from defaults, then TOML, then flags; what is wrong is named with file, key and nearest known key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from frozen_settings import check_frozen

from dped_data.common.typed_settings import changed_settings, digest_of, setting_fields, settings_dict
from dped_data.errors import UsageError
from dped_data.inspection.settings import load_inspect_settings
from dped_data.settings import (
    FORMAT_VERSION,
    PAPER_RIG,
    BuildSettings,
    Camera,
    Rig,
    load_build_settings,
    rig_folders,
    rig_of,
    rig_toml,
    with_cameras,
)

RIG = """[rig]
name = "city100"
dslr = "nikon"

[rig.cameras]
iphonex = "840x600"
nikon = "1218x870"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_flag_beats_toml_beats_default(tmp_path: Path) -> None:
    toml = write(tmp_path / "s.toml", RIG + "[patches]\npatch_size = 64\nmin_ncc = 0.8\n")
    assert load_build_settings(None, {}).patches.patch_size == 100
    settings = load_build_settings(toml, {"min_ncc": 0.7, "stride": None})
    assert (settings.patches.patch_size, settings.patches.min_ncc, settings.patches.stride) == (64, 0.7, 0)


def test_a_rig_in_toml_replaces_the_papers(tmp_path: Path) -> None:
    settings = load_build_settings(write(tmp_path / "rig.toml", RIG), {})
    assert settings.rig.dslr == "nikon"
    assert settings.rig.phone("iphonex").width_px == 840
    with pytest.raises(UsageError, match="'sony' is not part of rig 'city100'.*iphonex, nikon"):
        settings.rig.phone("sony")
    with pytest.raises(UsageError, match="is the DSLR"):
        settings.rig.phone("nikon")


def test_sizes_are_optional_and_a_rig_comes_back_from_the_file_it_is_written_to(tmp_path: Path) -> None:
    text = "[rig]\ndslr = 'b'\ncameras = ['a', 'b']\n[rig.folders]\na = 'x/a'\nb = '/y'\n[patches]\npatch_size = 64\n"
    path = write(tmp_path / "rig.toml", text)
    settings, folders = load_build_settings(path, {}), rig_folders(path)
    assert settings.rig == rig_of("a", "b") == Rig("rig", "b", (Camera("a"), Camera("b")))
    assert folders == {"a": tmp_path / "x/a", "b": Path("/y").resolve()}
    for rig in (settings.rig, PAPER_RIG):
        odd = {camera.name: Path('/it\'s "odd"\\') / camera.name for camera in rig.cameras}
        changed = dataclasses.replace(settings, rig=rig, alignment="paper", seed=3)
        again = write(tmp_path / "again.toml", rig_toml(changed, odd))
        assert load_build_settings(again, {}) == changed and rig_folders(again) == odd


def test_two_names_are_a_rig() -> None:
    paper = load_build_settings(None, {})
    assert with_cameras(paper, "pixel", "nikon").rig == rig_of("pixel", "nikon")
    assert with_cameras(paper, "sony", "canon") == with_cameras(paper, "sony", None) == paper
    for phone, dslr, words in ((None, "nikon", "add --phone"), ("a", "a", "name two"), ("a/b", "c", "may hold only")):
        with pytest.raises(UsageError, match=words):
            with_cameras(paper, phone, dslr)


def test_the_papers_rig_is_table_1() -> None:
    sizes = {camera.name: (camera.width_px, camera.height_px) for camera in PAPER_RIG.cameras}
    assert sizes == {"iphone": (2048, 1536), "blackberry": (4160, 3120), "sony": (2592, 1944), "canon": (3648, 2432)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[patches]\npatch_sise = 64\n", "unknown setting 'patches.patch_sise'; did you mean 'patches.patch_size'"),
        ("colour = 3\n", "unknown setting 'colour'"),
        ("[patchs]\nstride = 50\n", r"unknown table '\[patchs\]'; did you mean 'patches'\?$"),
        ("[rgi]\ndslr = 'b'\n", r"unknown table '\[rgi\]'; did you mean 'rig'\?$"),
        ("[inspekt]\n", r"unknown table '\[inspekt\]'; did you mean 'inspect'\?$"),
        ("[rig]\ndslr = 'b'\n[rig.camera]\na = '1x1'\n", r"unknown setting 'rig.camera'; did you mean 'cameras'\?"),
        ("[patches]\npatch_size = '64'\n", "patches.patch_size = '64' is str, expected int"),
        ("[patches]\npatch_size = 4\n", "is below the least allowed 16"),
        ("[patches]\nmin_ncc = 1.5\n", "is above the most allowed 1"),
        ("[patches]\nmin_ncc = nan\n", "is below the least allowed -1"),
        ("[patches]\nstride = true\n", "is bool, expected int"),
        ("alignment = 'best'\n", "'best' is not one of refined, paper"),
        ("[patches\n", "not a readable TOML file"),
        ("[rig]\nname = 'a'\ndslr = 'x'\n[rig.cameras]\na = '1x1'\nb = '1x1'\n", "rig.dslr = 'x' must name one of"),
        ("[rig]\ndslr = 'b'\n[rig.cameras]\na = '1x1'\nb = 'big'\n", "must be a size"),
        ("[rig]\ndslr = 'b'\n[rig.cameras]\n'../a' = '1x1'\nb = '1x1'\n", "camera name '../a' may hold only"),
        ("[rig]\ndslr = 'b'\nlens = 'wide'\n[rig.cameras]\na = '1x1'\nb = '1x1'\n", "unknown setting 'rig.lens'"),
        ("[rig]\ndslr = 'b'\ncameras = ['a', 'b']\n[rig.folders]\nc = 'x'\n", "rig.folders.c = 'x' must give one"),
        ("rig = 5\n", "'rig' must be a table"),
        ("[rig]\ndslr = 'b'\n", "at least two cameras"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "s.toml", text)
    with pytest.raises(UsageError, match=words) as caught:
        load_build_settings(path, {})
        rig_folders(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_nobody_reads_is_named_by_each_command(tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", "[inspct]\nleast_share = 0.5\n")
    for load in (load_build_settings, load_inspect_settings):
        with pytest.raises(UsageError, match=r"s.toml: unknown table '\[inspct\]'; did you mean 'inspect'\?"):
            load(path, {})
    for example in (Path(__file__).parents[2] / "examples").glob("*.toml"):
        load_inspect_settings(example, {})


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_build_settings(tmp_path / "none.toml", {})


def test_wrong_flag_names_the_flag() -> None:
    with pytest.raises(UsageError, match="--patch-size: patches.patch_size = 3 is below"):
        load_build_settings(None, {"patch_size": 3})


def test_flag_names_are_unique_and_every_setting_has_help() -> None:
    fields = list(setting_fields(BuildSettings))
    assert len({field.name for field in fields}) == len(fields)
    assert all(field.help and not field.help.endswith(".") for field in fields)


def test_defaults_lie_in_their_own_ranges() -> None:
    for field in setting_fields(BuildSettings):
        assert field.check(field.default, "default") == field.default


def test_the_defaults_of_the_format_version_are_frozen() -> None:
    check_frozen(BuildSettings, FORMAT_VERSION)


def test_digest_depends_on_every_setting_and_the_format() -> None:
    base = BuildSettings()
    digest = digest_of(settings_dict(base), FORMAT_VERSION)
    assert digest == digest_of(settings_dict(BuildSettings()), FORMAT_VERSION)
    changed = dataclasses.replace(base, patches=dataclasses.replace(base.patches, stride=7))
    assert digest != digest_of(settings_dict(changed), FORMAT_VERSION)
    assert digest != digest_of(settings_dict(base), FORMAT_VERSION + 1)
    assert changed_settings(settings_dict(base), settings_dict(changed)) == ["patches.stride: 0 -> 7"]

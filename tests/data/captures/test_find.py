"""Folders become captures: by name, by time, and every other photo has its reason."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from camera_clocks import moments, shoot
from photo_files import png_header
from PIL import ExifTags, Image

from dped_data.captures.find import find_captures
from dped_data.captures.records import ClockFit, Pairing
from dped_data.captures.report import clock_text, pairing_table
from dped_data.captures.split import assign_splits
from dped_data.errors import InputError, UsageError
from dped_data.photos.exif import exif_with_time
from dped_data.settings import PairingSettings, SplitSettings

AUTO = PairingSettings()
BY_TIME = PairingSettings(pairing="time")
BY_NAME = PairingSettings(pairing="name")


def write(folder: Path, name: str, time_s: float | None = None, zone: str = "") -> None:
    """Write a tiny photo with a capture time; another suffix than .jpg or .png gets a file that nobody decodes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff"):
        exif = Image.Exif()
        if time_s is not None:
            exif.load(exif_with_time(time_s))
        if zone:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.OffsetTimeOriginal] = zone
        Image.new("RGB", (8, 6)).save(path, exif=exif)
    else:
        path.write_bytes(b"not decoded here")


def rig(tmp_path: Path, sony: list[str], canon: list[str]) -> Path:
    for camera, names in (("sony", sony), ("canon", canon)):
        for name in names:
            write(tmp_path / camera, name)
    return tmp_path


def pairs(pairing: Pairing) -> dict[str, str]:
    return {c.phone_file: c.dslr_file for c in pairing.captures}


def reasons(pairing: Pairing) -> Mapping[str, str]:
    return {photo.file: photo.reason for photo in pairing.unpaired}


def test_equal_names_pair_whatever_the_suffix(tmp_path: Path) -> None:
    captures = rig(tmp_path, ["a.jpg", "b.PNG", "c.HEIC", "d.Jpeg"], ["a.CR2", "b.tif", "c.DNG", "d.jpg"])
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert pairs(pairing) == {
        "sony/a.jpg": "canon/a.CR2",
        "sony/b.PNG": "canon/b.tif",
        "sony/c.HEIC": "canon/c.DNG",
        "sony/d.Jpeg": "canon/d.jpg",
    }
    assert [c.capture_id for c in pairing.captures] == ["a", "b", "c", "d"]
    assert pairing.method == "name"
    assert pairing.unpaired == ()


def test_nested_folders_pair_by_path_then_by_unique_stem(tmp_path: Path) -> None:
    captures = rig(
        tmp_path,
        ["day1/1.jpg", "day2/1.jpg", "day1/2.jpg", "day2/7.jpg", "8.jpg", "deep/er/9.jpg"],
        ["day1/1.jpg", "day2/1.jpg", "day1/2.jpg", "other/7.jpg", "8.jpg", "9.jpg"],
    )
    pairing = find_captures(captures, "sony", "canon", BY_NAME)
    assert pairs(pairing) == {
        "sony/day1/1.jpg": "canon/day1/1.jpg",
        "sony/day2/1.jpg": "canon/day2/1.jpg",
        "sony/day1/2.jpg": "canon/day1/2.jpg",
        "sony/day2/7.jpg": "canon/other/7.jpg",
        "sony/8.jpg": "canon/8.jpg",
        "sony/deep/er/9.jpg": "canon/9.jpg",
    }
    assert pairing.captures[-1].capture_id == "deep/er/9"


def test_two_photos_with_one_name_are_ambiguous_and_never_guessed(tmp_path: Path) -> None:
    captures = rig(tmp_path, ["1.jpg", "1.png", "2.jpg", "3.jpg"], ["1.jpg", "2.jpg", "2.tif", "3.jpg"])
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert pairs(pairing) == {"sony/3.jpg": "canon/3.jpg"}
    assert set(reasons(pairing)) == {
        "sony/1.jpg", "sony/1.png", "sony/2.jpg", "canon/1.jpg", "canon/2.jpg", "canon/2.tif",
    }  # fmt: skip
    assert reasons(pairing)["sony/1.png"] == "ambiguous: sony/1.jpg, sony/1.png have the same name; keep one of them"
    assert reasons(pairing)["sony/2.jpg"] == "ambiguous: canon/2.jpg, canon/2.tif have the same name; keep one of them"


def test_of_a_shot_with_raw_and_jpeg_one_file_is_taken(tmp_path: Path) -> None:
    captures = rig(
        tmp_path,
        ["1.jpg", "2.HEIC", "2.dng", "3.jpg", "4.jpg"],
        ["1.CR2", "1.JPG", "2.jpg", "3.CR2", "4.png", "4.CR2"],
    )
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert pairs(pairing) == {
        "sony/1.jpg": "canon/1.JPG", "sony/2.HEIC": "canon/2.jpg", "sony/3.jpg": "canon/3.CR2",
    }  # fmt: skip
    assert reasons(pairing)["canon/1.CR2"] == "the same shot as canon/1.JPG, which is taken (--prefer jpeg)"
    assert reasons(pairing)["sony/2.dng"] == "the same shot as sony/2.HEIC, which is taken (--prefer jpeg)"
    assert reasons(pairing)["canon/4.png"].startswith("ambiguous: ")  # somebody's development
    assert pairing.notes[:2] == (  # and that these files are no photos
        "sony: the JPEG is taken of 1 shots that have a RAW file, too (--prefer)",
        "canon: the JPEG is taken of 1 shots that have a RAW file, too (--prefer)",
    )
    raw = find_captures(captures, "sony", "canon", PairingSettings(prefer="raw"))
    assert pairs(raw) == {"sony/1.jpg": "canon/1.CR2", "sony/2.dng": "canon/2.jpg", "sony/3.jpg": "canon/3.CR2"}


def test_name_templates_pair_sets_whose_names_differ_around_the_scene(tmp_path: Path) -> None:
    captures = rig(tmp_path, ["a_LR4.png", "x/b_LR4.png", "_LR4.png", "c.png"], ["a_HR.png", "x/b_HR.png", "c_HR.png"])
    settings = PairingSettings(phone_name="*_LR4", dslr_name="*_HR", pairing="name")
    pairing = find_captures(captures, "sony", "canon", settings)
    assert pairs(pairing) == {"sony/a_LR4.png": "canon/a_HR.png", "sony/x/b_LR4.png": "canon/x/b_HR.png"}
    assert [capture.capture_id for capture in pairing.captures] == ["a", "x/b"]
    assert reasons(pairing) == {
        "sony/_LR4.png": "its name is not like '*_LR4'",
        "sony/c.png": "its name is not like '*_LR4'",
        "canon/c_HR.png": "no photo of sony has the name 'c'",
    }
    letters = rig(tmp_path / "letters", ["img_1.jpg", "img_2.jpg"], ["IMG_1.jpg", "IMG_2.jpg"])
    settings = PairingSettings(phone_name="img_*", dslr_name="IMG_*")
    assert len(find_captures(letters, "sony", "canon", settings).captures) == 2
    for template in ("LR4", "*_*", "x/*"):
        with pytest.raises(UsageError, match="must hold one \\* for the scene's name"):
            find_captures(captures, "sony", "canon", PairingSettings(phone_name=template))


def test_one_stem_in_two_nested_folders_is_ambiguous(tmp_path: Path) -> None:
    captures = rig(tmp_path, ["x/1.jpg", "y/1.jpg", "2.jpg"], ["z/1.jpg", "2.jpg"])
    pairing = find_captures(captures, "sony", "canon", BY_NAME)
    assert pairs(pairing) == {"sony/2.jpg": "canon/2.jpg"}
    for file in ("sony/x/1.jpg", "sony/y/1.jpg", "canon/z/1.jpg"):
        assert reasons(pairing)[file].startswith("ambiguous: the name '1' occurs in several folders (")


def test_a_photo_without_namesake_is_listed(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(20)]
    captures = rig(tmp_path, [*names, "x/extra.jpg"], names)
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert len(pairing.captures) == 20
    assert reasons(pairing) == {"sony/x/extra.jpg": "no photo of canon has the name 'x/extra'"}


def test_hidden_files_and_other_files_are_ignored_and_counted(tmp_path: Path) -> None:
    captures = rig(
        tmp_path,
        ["1.jpg", "._1.jpg", ".hidden/2.jpg", "Thumbs.db", "notes.txt", "sub/1.xmp", "README"],
        ["1.jpg"],
    )
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert pairs(pairing) == {"sony/1.jpg": "canon/1.jpg"}
    assert pairing.notes == (
        "sony: 6 files that are no photos were ignored (1 .db, 1 .txt, 1 .xmp, 1 no suffix, 2 hidden)",
    )


def test_folders_of_systems_hold_no_photos(tmp_path: Path) -> None:
    junk = [
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        "#recycle/2.jpg",
        "x/lost+found/3.jpg",
        "__MACOSX/._1.jpg",
        "Thumbs.db",
    ]
    captures = rig(tmp_path, ["1.jpg", "x/2.jpg", *junk], ["1.jpg", "x/2.jpg", "$RECYCLE.BIN/3.jpg"])
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert [capture.capture_id for capture in pairing.captures] == ["1", "x/2"]
    assert pairing.unpaired == ()
    assert pairing.notes == (
        "sony: 5 files that are no photos were ignored (1 #recycle, 1 .db, 1 @eaDir, 1 __MACOSX, 1 lost+found)",
        "canon: 1 file that is no photo was ignored (1 $RECYCLE.BIN)",
    )


def test_names_that_look_alike_in_unicode_pair_across_cameras_and_never_within_one(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    captures = rig(tmp_path, [composed, "1.jpg"], [decomposed, "1.jpg"])
    assert pairs(find_captures(captures, "sony", "canon", AUTO))[f"sony/{composed}"] == f"canon/{decomposed}"
    write(captures / "sony", decomposed)
    pairing = find_captures(captures, "sony", "canon", BY_NAME)
    assert pairs(pairing) == {"sony/1.jpg": "canon/1.jpg"}
    assert {*reasons(pairing)} == {f"sony/{composed}", f"sony/{decomposed}", f"canon/{decomposed}"}
    assert all(reason.startswith("ambiguous: ") for reason in reasons(pairing).values())


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    captures = rig(tmp_path / "captures", ["1.jpg"], ["1.jpg"])
    write(tmp_path / "elsewhere", "2.jpg")
    (captures / "sony" / "card").symlink_to(tmp_path / "elsewhere")
    (captures / "sony" / "loop").symlink_to(captures / "sony")
    (captures / "canon" / "card").symlink_to(tmp_path / "elsewhere")
    pairing = find_captures(captures, "sony", "canon", AUTO)
    assert list(pairs(pairing)) == ["sony/1.jpg", "sony/card/2.jpg"]


def test_phone_times_are_kept_and_the_order_is_that_of_the_ids(tmp_path: Path) -> None:
    for name, time_s in (("b", 5000.25), ("a", 7000.0), ("c", None)):
        write(tmp_path / "sony", f"{name}.jpg", time_s)
        write(tmp_path / "canon", f"{name}.jpg")
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert [(c.capture_id, c.time_s) for c in pairing.captures] == [("a", 7000.0), ("b", 5000.25), ("c", None)]


def timed_rig(tmp_path: Path, count: int = 40, lost: float = 0.1) -> dict[str, str]:
    """Write the photos of a shoot with unrelated names, an hour and 37 s apart; return the true pairs."""
    rng = np.random.default_rng(count)
    shots = shoot(rng, moments(rng, count, "steady"), offset_s=3637.0, lost=lost, subseconds=(True, False))
    for capture, time_s in zip(shots.phone, shots.phone_s, strict=True):
        write(tmp_path / "sony", f"roll{capture // 15}/DSC{capture % 15:04d}.jpg", time_s)
    for capture, time_s in zip(shots.dslr, shots.dslr_s, strict=True):
        write(tmp_path / "canon", f"IMG_{capture + 7000}.jpg", time_s)
    return {f"sony/roll{i // 15}/DSC{i % 15:04d}.jpg": f"canon/IMG_{i + 7000}.jpg" for i in sorted(shots.both)}


def test_unrelated_names_pair_by_time(tmp_path: Path) -> None:
    truth = timed_rig(tmp_path)
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairing.method == "time"
    assert pairs(pairing) == truth
    assert pairing.clock is not None
    assert pairing.clock.offset_s == pytest.approx(3636.5, abs=0.4)
    assert all(c.time_s is not None for c in pairing.captures)
    lonely = {photo.file for photo in pairing.unpaired}
    assert len(lonely) == 2 * 40 - 2 * len(truth) - (80 - sum(1 for _ in tmp_path.rglob("*.jpg")))
    assert all("within" in reason for reason in reasons(pairing).values())


def test_photos_without_a_time_or_unreadable_are_listed_and_the_rest_is_paired(tmp_path: Path) -> None:
    truth = timed_rig(tmp_path, lost=0.0)
    files = list(truth)
    Image.new("RGB", (8, 6)).save(tmp_path / files[3])
    (tmp_path / files[5]).write_bytes(b"")
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairs(pairing) == {p: d for p, d in truth.items() if p not in (files[3], files[5])}
    assert reasons(pairing)[files[3]] == "no capture time in its EXIF data"
    assert reasons(pairing)[files[5]].startswith("cannot be read: ")
    assert reasons(pairing)[truth[files[3]]].startswith("no photo of sony within ")


@pytest.mark.parametrize("time_s", [946_684_800.0, 2.2e11])
def test_a_photo_of_a_reset_clock_is_listed_and_the_rest_is_paired(tmp_path: Path, time_s: float) -> None:
    truth = timed_rig(tmp_path, lost=0.0)
    write(tmp_path / "canon", "reset.jpg", time_s)
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairs(pairing) == truth
    assert reasons(pairing) == {"canon/reset.jpg": "its capture time lies years from the others: a reset clock?"}


def test_a_copy_of_a_photo_makes_its_capture_ambiguous(tmp_path: Path) -> None:
    truth = timed_rig(tmp_path, lost=0.0)
    phone, dslr = next(iter(truth.items()))
    (tmp_path / "canon" / "copy.jpg").write_bytes((tmp_path / dslr).read_bytes())
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert phone not in pairs(pairing)
    assert reasons(pairing)[phone].startswith("ambiguous: 2 photos of canon within ")
    assert reasons(pairing)[dslr].startswith("ambiguous: ")
    assert len(pairing.captures) == len(truth) - 1


def test_ninety_per_cent_of_equal_names_decide(tmp_path: Path) -> None:
    truth = timed_rig(tmp_path, lost=0.0)
    for index, (phone, dslr) in enumerate([*truth.items()][:36]):
        (tmp_path / phone).rename(tmp_path / "sony" / f"N{index}.jpg")
        (tmp_path / dslr).rename(tmp_path / "canon" / f"N{index}.jpg")
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairing.method == "name"
    assert len(pairing.captures) == 36
    (tmp_path / "canon" / "N0.jpg").rename(tmp_path / "canon" / "renamed.jpg")
    assert find_captures(tmp_path, "sony", "canon", AUTO).method == "time"


def numbered_alike(tmp_path: Path, count: int, missed: int) -> dict[str, str]:
    """Write a shoot whose cameras both count IMG_0001, ..., the phone without shot `missed`; return the true pairs."""
    rng = np.random.default_rng(count)
    shots = shoot(rng, moments(rng, count, "steady"), offset_s=2.0, drift=2e-5, subseconds=(False, False))
    kept = [i for i in range(count) if i != missed]
    for number, i in enumerate(kept, 1):
        write(tmp_path / "sony", f"IMG_{number:04d}.jpg", shots.phone_s[i])
    for i in range(count):
        write(tmp_path / "canon", f"IMG_{i + 1:04d}.jpg", shots.dslr_s[i])
    return {f"sony/IMG_{number:04d}.jpg": f"canon/IMG_{i + 1:04d}.jpg" for number, i in enumerate(kept, 1)}


@pytest.mark.parametrize("missed", [0, 17])
def test_names_of_cameras_that_count_alike_are_not_believed_against_the_times(tmp_path: Path, missed: int) -> None:
    truth = numbered_alike(tmp_path, 40, missed)
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairing.method == "time"
    assert pairs(pairing) == truth
    assert "prove another pairing" in pairing.notes[0]
    insisted = find_captures(tmp_path, "sony", "canon", BY_NAME)
    assert pairs(insisted) == {name: name.replace("sony", "canon") for name in truth}
    assert "use --pairing time" in insisted.notes[0]


def test_a_few_names_that_the_times_contradict_are_rows_with_the_reason(tmp_path: Path) -> None:
    truth = numbered_alike(tmp_path, 40, 37)
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairing.method == "name"
    assert pairs(pairing) == {phone: dslr for phone, dslr in truth.items() if phone.endswith(dslr[-8:])}
    for name in ("IMG_0038.jpg", "IMG_0039.jpg"):
        assert reasons(pairing)[f"sony/{name}"].startswith(
            f"its name is that of canon/{name}, but their times contradict"
        )
        assert reasons(pairing)[f"canon/{name}"].startswith(
            f"its name is that of sony/{name}, but their times contradict"
        )


def test_names_against_times_that_prove_nothing_stop_with_both_options(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index, (phone_s, dslr_s) in enumerate(zip(rng.uniform(0, 1e5, 30), rng.uniform(0, 1e5, 30), strict=True)):
        write(tmp_path / "sony", f"IMG_{index}.jpg", 1.5e9 + phone_s)
        write(tmp_path / "canon", f"IMG_{index}.jpg", 1.5e9 + dslr_s)
    with pytest.raises(
        InputError, match="names and capture times contradict.*--pairing name .*--pairing time"
    ) as error:
        find_captures(tmp_path, "sony", "canon", AUTO)
    assert "\n" not in str(error.value)
    pairing = find_captures(tmp_path, "sony", "canon", BY_NAME)
    assert len(pairing.captures) == 30
    assert "use --pairing time" in pairing.notes[0]


def sessions_rig(tmp_path: Path, odd_s: Mapping[int, float], odd_camera: str = "sony") -> Pairing:
    """Write 40 named captures in four sessions, those of `odd_s` by another clock of one camera; pair them."""
    rng = np.random.default_rng(7)
    true_s = 1.7e9 + np.cumsum(rng.uniform(5, 60, 40)) + np.repeat(np.arange(4), 10) * 7200.0
    for index, moment in enumerate(true_s.tolist()):
        for camera, lead in (("sony", 0.0), ("canon", 100.0)):
            odd = odd_s.get(index, 0.0) if camera == odd_camera else 0.0
            write(tmp_path / camera, f"{index:02d}.jpg", moment + lead + odd)
    return find_captures(tmp_path, "sony", "canon", AUTO)


@pytest.mark.parametrize("camera", ["sony", "canon"])
@pytest.mark.parametrize("which", [(12,), range(20, 40), range(15), (0,), (39,)])
def test_a_clock_that_was_reset_upsets_neither_pairs_nor_split(
    tmp_path: Path, camera: str, which: Sequence[int]
) -> None:
    sound = sessions_rig(tmp_path / "sound", {})
    upset = sessions_rig(tmp_path / "upset", dict.fromkeys(which, -7.5e8), camera)
    assert pairs(upset) == pairs(sound)
    assert not sound.notes and "sessions go by the clock that went on" in upset.notes[0]
    assert assign_splits(upset.captures, SplitSettings()) == assign_splits(sound.captures, SplitSettings())


@pytest.mark.parametrize("camera", ["sony", "canon"])
def test_a_clock_that_was_reset_half_way_is_a_segment_of_its_own(tmp_path: Path, camera: str) -> None:
    rng = np.random.default_rng(11)
    true_s = 1.7e9 + np.cumsum(rng.uniform(5, 60, 50)) + np.repeat(np.arange(5), 10) * 7200.0
    for index, moment in enumerate(true_s.tolist()):
        for name, lead in (("sony", 0.0), ("canon", 100.0)):
            write(tmp_path / name, f"{name}{index:02d}.jpg", moment + lead - 7.5e8 * (camera == name and index >= 26))
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairs(pairing) == {f"sony/sony{i:02d}.jpg": f"canon/canon{i:02d}.jpg" for i in range(50)}
    assert [c.time_s for c in pairing.captures] == pytest.approx(true_s.tolist(), abs=1.0)


def test_an_absurd_date_that_nothing_confirms_is_no_date(tmp_path: Path) -> None:
    for index in range(40):
        write(tmp_path / "sony", f"{index:02d}.jpg", 9.5e8 if index == 20 else 1.7e9 + 60 * index)
        write(tmp_path / "canon", f"{index:02d}.jpg")
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert [c.capture_id for c in pairing.captures if c.time_s is None] == ["20"]
    assert pairing.notes == (
        "1 capture times lie years from the others and are not used (first: sony/20.jpg): a reset clock?",
    )


def test_a_phone_that_crosses_time_zones_keeps_one_clock(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    true_s = 1.7e9 + np.cumsum(rng.uniform(5, 60, 40))
    for index, moment in enumerate(true_s.tolist()):
        zone_h = 2 if index < 25 else 3
        write(tmp_path / "sony", f"a{index:02d}.jpg", moment + 3600 * zone_h, f"+0{zone_h}:00")
        write(tmp_path / "canon", f"b{index:02d}.jpg", moment + 77)
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert pairs(pairing) == {f"sony/a{i:02d}.jpg": f"canon/b{i:02d}.jpg" for i in range(40)}
    write(tmp_path / "sony", "a30.jpg", true_s[30] + 3 * 3600)
    pairing = find_captures(tmp_path, "sony", "canon", AUTO)
    assert len(pairing.captures) == 39
    assert reasons(pairing)["sony/a30.jpg"].startswith("its capture time states no time zone")


def test_too_few_times_tell_the_cure(tmp_path: Path) -> None:
    captures = rig(tmp_path, ["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"])
    with pytest.raises(InputError, match=r"0 of 2 photos of sony .* at least 4 .*--pairing name") as error:
        find_captures(captures, "sony", "canon", AUTO)
    assert "only 0 % of the names are equal" in str(error.value).replace("0%", "0 %")
    assert "\n" not in str(error.value)


def test_regular_intervals_tell_the_cure(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path / "sony", f"a{index}.jpg", 1e9 + 10 * index)
        write(tmp_path / "canon", f"b{index}.jpg", 1e9 + 10 * index + 3637)
    with pytest.raises(InputError, match="regular intervals.*use --pairing name"):
        find_captures(tmp_path, "sony", "canon", AUTO)


def test_names_can_be_forced_although_the_times_would_do(tmp_path: Path) -> None:
    timed_rig(tmp_path)
    assert find_captures(tmp_path, "sony", "canon", BY_NAME).captures == ()


def test_times_can_be_forced_although_the_names_would_do(tmp_path: Path) -> None:
    for index, moment in enumerate(np.cumsum(np.random.default_rng(3).uniform(5, 60, 30))):
        write(tmp_path / "sony", f"{index:02d}.jpg", 1e9 + moment)
        write(tmp_path / "canon", f"{(index + 1) % 30:02d}.jpg", 1e9 + moment + 100)
    pairing = find_captures(tmp_path, "sony", "canon", BY_TIME)
    assert pairs(pairing)["sony/03.jpg"] == "canon/04.jpg"
    assert len(pairing.captures) == 30


def test_the_authors_full_size_layout_prescribes_the_split(tmp_path: Path) -> None:
    for split, count in (("train", 30), ("test", 5)):
        for index in range(count):
            write(tmp_path / split / "iphone", f"{index}.jpg")
            write(tmp_path / split / "canon", f"{index}.jpg")
    pairing = find_captures(tmp_path, "iphone", "canon", AUTO)
    assert len(pairing.captures) == 35
    assert ("test/4", "test/iphone/4.jpg", "test/canon/4.jpg", "test") in [
        (c.capture_id, c.phone_file, c.dslr_file, c.folder_split) for c in pairing.captures
    ]
    splits = assign_splits(pairing.captures, SplitSettings())
    assert splits[:5] == ("test",) * 5
    assert set(splits[5:]) == {"train", "val"}


def test_missing_and_empty_folders_say_what_is_there_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder; put the photos in"):
        find_captures(tmp_path / "nowhere", "sony", "canon", AUTO)
    captures = rig(tmp_path, ["1.jpg"], [])
    (captures / "nikon").mkdir()
    with pytest.raises(InputError, match=r"canon: no such folder, .* it holds the folders nikon, sony; move"):
        find_captures(captures, "sony", "canon", AUTO)
    with pytest.raises(InputError, match=r"nikon: no photos \(the folder is empty\); photos end in .*\.cr2"):
        find_captures(captures, "sony", "nikon", AUTO)
    write(captures / "nikon", "film.mov")
    write(captures / "nikon", ".x.jpg")
    with pytest.raises(InputError, match=r"nikon: no photos \(only 1 x \.mov, 1 hidden\)"):
        find_captures(captures, "sony", "nikon", AUTO)


def test_a_folder_without_permission_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = rig(tmp_path, ["day1/1.jpg"], ["1.jpg"])
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("day1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # a folder mode would not stop root
    with pytest.raises(InputError, match=r"sony/day1: the folder cannot be read \(Permission denied\); permit it"):
        find_captures(captures, "sony", "canon", AUTO)


def test_a_broken_photo_does_not_stop_pairing_by_name(tmp_path: Path) -> None:
    captures = rig(tmp_path, ["1.jpg", "2.jpg", "3.jpg", "4.png"], ["1.jpg", "2.jpg", "3.jpg", "4.png"])
    (captures / "sony" / "1.jpg").write_bytes(b"")
    (captures / "sony" / "2.jpg").write_text("a text file")
    (captures / "sony" / "4.png").write_bytes(png_header(60000, 60000))
    assert [c.time_s for c in find_captures(captures, "sony", "canon", AUTO).captures] == [None] * 4


def test_the_table_is_short_for_thousands_of_captures(tmp_path: Path) -> None:
    rig(tmp_path, [f"{i}.jpg" for i in range(60)] + [f"x{i}.jpg" for i in range(15)], [f"{i}.jpg" for i in range(64)])
    pairing = find_captures(tmp_path, "sony", "canon", BY_NAME)
    text = pairing_table(pairing, assign_splits(pairing.captures, SplitSettings()))
    assert text.splitlines()[0] == "60 captures paired by name, 19 photos without a partner"
    assert "      15  no photo of canon has the name …" in text
    assert "… and 50 more" in text
    assert "… and 9 more" in text
    assert len(text.splitlines()) < 45


def test_the_clocks_are_told_in_words() -> None:
    fit = ClockFit(offset_s=-3637.25, drift=1e-4, reference_s=0.0, residual_s=0.3, pairs=1200)
    assert clock_text(fit) == (
        "the DSLR's is 1 h 0 min 37.2 s behind the phone's and gains +0.360 s per hour; "
        "1,200 pairs agree to 0.30 s (median)"
    )


@pytest.mark.realdata
def test_real_pairs_with_equal_names(shared_data: Path) -> None:
    pairing = find_captures(shared_data / "city100" / "captures", "iphonex", "nikon", AUTO)
    assert [c.capture_id for c in pairing.captures] == [f"{i:03d}" for i in range(1, 13)]
    assert pairing.unpaired == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_captures_folder_that_may_not_be_entered_is_one_clear_line(tmp_path: Path) -> None:
    captures = rig(tmp_path / "captures", ["1.jpg"], ["1.jpg"])
    captures.chmod(0)
    try:
        with pytest.raises(InputError, match="cannot be read"):
            find_captures(captures, "sony", "canon", AUTO)
    finally:
        captures.chmod(0o755)


def test_what_headers_tell_of_failures_and_gain_maps_is_said_once(tmp_path: Path) -> None:
    rig(tmp_path, [], [])
    xmp = b'<x:xmpmeta xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
    for name in ("1", "2", "3"):
        for camera, options in (("sony", {"xmp": xmp}), ("canon", {})):
            (tmp_path / camera).mkdir(exist_ok=True)
            Image.new("RGB", (8, 8)).save(tmp_path / camera / f"{name}.jpg", **options)
    (tmp_path / "canon" / "3.jpg").write_bytes(b"no photo")
    assert find_captures(tmp_path, "sony", "canon", PairingSettings()).notes == (
        "sony: 3 photos have gain maps; their base pictures are taken",
        "canon: 1 photos fail (first: canon/3.jpg: cannot be read: not a photo (no known image format))",
    )

"""Which files of a folder are photos: regular, not hidden, with names that can be stored."""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from no_waiting import no_waiting
from photo_files import smooth_photo
from small_rig import write_rig

from dped_data import build_dataset
from dped_data.captures.find import find_captures
from dped_data.captures.listing import CameraPhotos, fault_of_name, list_folder, shown_name
from dped_data.dataset.capture_table import read_captures
from dped_data.errors import InputError
from dped_data.inspection.verify import verify_dataset
from dped_data.photos.writing import write_photo
from dped_data.settings import PairingSettings, load_build_settings
from dped_data.simulation.scenes import list_photos
from dped_data.study.create import create_study, study_sets

NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")


def listing(folder: Path, without: Path | None = None) -> CameraPhotos:
    return list_folder(folder, ".", "pocket", None, without)


def files(found: CameraPhotos) -> list[str]:
    return [photo.file for photo in found.photos]


def test_what_is_no_regular_file_is_counted_and_not_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")  # may be there again tomorrow: fails by its name
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.txt")
    found = listing(tmp_path)
    assert files(found) == ["./a.jpg", "./gone.jpg", "./link.jpg", "./loop.jpg"]
    assert found.others == Counter({"not a regular file": 2, ".txt": 1})
    assert [path.name for path in list_photos(tmp_path)] == ["a.jpg", "link.jpg"]


def test_hidden_files_and_a_folder_named_are_left_out(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".trash/b.jpg", "out/c.jpg", "out/more/d.jpg", "other/out/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "way").symlink_to("out")
    assert files(listing(tmp_path, tmp_path / "other/../out")) == ["./a.jpg", "./other/out/e.jpg"]
    assert [path.name for path in list_photos(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        (NOT_UTF8, r"caf\xe9.jpg", "its name is not UTF-8; rename it"),
        ("\udcff\n=1.jpg", r"\xff\n=1.jpg", "its name is not UTF-8; rename it"),
    ],
)
def test_names_that_cannot_be_stored_are_listed_with_the_reason(
    tmp_path: Path, name: str, shown: str, reason: str
) -> None:
    (tmp_path / name).touch()
    (tmp_path / "good é ü 日本 \u202e.jpg").touch()
    folder = tmp_path / name.removesuffix(".jpg")
    folder.mkdir()
    (folder / "x.jpg").touch()
    found = listing(tmp_path)
    assert files(found) == ["./good é ü 日本 \u202e.jpg"]
    assert {(photo.file, photo.reason) for photo in found.misnamed} == {
        (f"./{shown}", reason),
        (f"./{shown.removesuffix('.jpg')}/x.jpg", reason),
    }
    assert (fault_of_name(name), shown_name(name), shown_name(shown)) == (reason, shown, shown)


def test_a_build_among_strange_files_is_whole_and_goes_on(tmp_path: Path) -> None:
    captures, toml = write_rig(tmp_path, 3)
    for name in (NOT_UTF8, "a\udcff\rb.jpg"):
        for camera in ("pocket", "slr"):
            (captures / camera / name).write_bytes((captures / camera / "000.jpg").read_bytes())
    os.mkfifo(captures / "pocket/003.jpg")
    (captures / "slr/003.jpg").symlink_to("/dev/zero")
    settings = load_build_settings(toml, {"patch_size": 64, "pairing": "name"})
    with no_waiting():
        pairing = find_captures(captures, "pocket", "slr", PairingSettings(pairing="name"))
    first = build_dataset(captures, tmp_path / "dataset", "pocket", settings, jobs=1)
    again = build_dataset(captures, tmp_path / "dataset", "pocket", settings, jobs=1)
    assert [capture.capture_id for capture in pairing.captures] == ["000", "001", "002"]
    assert sum("1 not a regular file" in note for note in pairing.notes) == 2
    assert [row.capture_id for row in first.rows] == ["000", "001", "002"] and again.reused == 3
    assert len(read_captures(first.folder)) == 3
    unpaired = (first.folder / "unpaired.csv").read_text(encoding="utf-8")
    assert r"pocket/caf\xe9.jpg" in unpaired and r"slr/a\xff\rb.jpg" in unpaired and "rename it" in unpaired
    assert not verify_dataset(tmp_path / "dataset", "pocket", captures=captures, jobs=1).faults


def test_a_study_of_misnamed_photos_names_them(tmp_path: Path) -> None:
    for kind in ("a", "b"):
        (tmp_path / "photos/sony" / kind).mkdir(parents=True)
        write_photo(tmp_path / "photos/sony" / kind / "1.png", smooth_photo())
    os.mkfifo(tmp_path / "photos/sony/a/2.png")
    (tmp_path / "photos/sony/b/2.png").symlink_to("/dev/zero")
    sets = study_sets(tmp_path / "photos", ())
    (tmp_path / "photos/sony/a" / NOT_UTF8).touch()
    with no_waiting(), pytest.raises(InputError, match=r"caf\\xe9\.jpg: its name is not UTF-8; rename it"):
        create_study(sets, tmp_path / "study")
    (tmp_path / "photos/sony/a" / NOT_UTF8).unlink()
    write_photo(tmp_path / "photos/sony/b/1.png", smooth_photo()[::-1])
    with no_waiting():
        assert create_study(sets, tmp_path / "study").study.groups[0].scenes == ("1",)
    odd = tmp_path / "photos/sony" / os.fsdecode(b"\xff")
    with pytest.raises(InputError, match=r"sony/\\xff: its name is not UTF-8; rename it"):
        create_study(sets | {("sony", odd.name): odd}, tmp_path / "study")


def test_folders_may_be_nested_deeper_than_calls(tmp_path: Path) -> None:
    names = ["b.jpg", "c/a.jpg", f"c/{'b/' * 150}a.jpg", "d.jpg", "e/a.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        found = listing(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert files(found) == [f"./{name}" for name in sorted(names)]

"""Two folders of photos, wherever they lie, become a dataset and a report; the same again goes on with it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from small_rig import write_rig

from dped_data.align_folders import AlignReport, align_folders, camera_names
from dped_data.build import build_dataset
from dped_data.dataset.manifest import read_manifest
from dped_data.errors import InputError, UsageError
from dped_data.inspection import as_json, verify_dataset
from dped_data.plan import Plan, choose_phone, plan_build, work_text
from dped_data.settings import BuildSettings, load_build_settings, rig_folders

FLAGS = {"patch_size": 64}


def _bytes_below(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, AlignReport, list[Plan]]:
    """Photos in "x/My phone" and "y/z/slr", one of them broken, and what became of them in "out"."""
    top = tmp_path_factory.mktemp("folders")
    captures, _ = write_rig(top, 3)
    phone, dslr = top / "x/My phone", top / "y/z/slr"
    phone.parent.mkdir(), dslr.parent.mkdir(parents=True)
    shutil.move(captures / "pocket", phone)
    shutil.move(captures / "slr", dslr)
    broken = dslr / "002.jpg"
    broken.write_bytes(broken.read_bytes()[:5000])
    before, plans = _bytes_below(phone, dslr), list[Plan]()
    report = align_folders(phone, dslr, top / "out", FLAGS, jobs=1, show_plan=plans.append)
    assert _bytes_below(phone, dslr) == before, "photos are neither changed nor joined by others"
    return phone, dslr, top / "out", report, plans


def test_photos_in_two_places_become_a_dataset_and_a_report(
    aligned: tuple[Path, Path, Path, AlignReport, list[Plan]],
) -> None:
    _, _, out, report, plans = aligned
    rows = report.build.rows
    assert [(row.phone_file, row.dslr_file, row.status) for row in rows] == [
        (f"x/My phone/{i:03d}.jpg", f"y/z/slr/{i:03d}.jpg", "failed" if i == 2 else "kept") for i in range(3)
    ]
    assert plans[0].photo_sizes == {"My-phone": {"320x240": 3}, "slr": {"448x336": 3}} and not plans[0].warnings
    manifest = read_manifest(out / "dataset/My-phone")
    assert manifest.photo_sizes == {"My-phone": {"320x240": 2}, "slr": {"448x336": 2}}
    assert manifest.folders == {"My-phone": "x/My phone", "slr": "y/z/slr"}
    card = (out / "dataset/My-phone/README.md").read_text()
    assert "| My-phone | phone: input | 320x240 |" in card and "| slr | DSLR: target | 448x336 |" in card
    assert (out / "report/index.html").is_file() and report.inspection is not None
    assert report.exit_status == report.inspection.exit_status
    assert all(photo["time_s"] is not None for photo in as_json(report.inspection)["captures"][:1]), "photos were found"


def test_the_same_again_and_the_long_way_reuse_the_dataset(
    aligned: tuple[Path, Path, Path, AlignReport, list[Plan]],
) -> None:
    phone, dslr, out, report, _ = aligned
    digests = {path: hashlib.sha256(data).digest() for path, data in _bytes_below(out / "dataset").items()}
    again = align_folders(phone, dslr, out, jobs=1)  # the flags are in the file by now
    assert again.build.reused == 3
    settings, folders = load_build_settings(report.rig_file, {}), rig_folders(report.rig_file)
    assert settings.patches.patch_size == 64 and choose_phone(folders, settings.rig) == "My-phone"
    long_way = build_dataset(folders, out / "dataset", "My-phone", settings, jobs=1)
    assert long_way.reused == 3
    manifest = out / "dataset/My-phone/dataset.json"
    below = {camera: phone.parents[1] / folder for camera, folder in rig_folders(manifest).items()}
    by_manifest = build_dataset(below, out / "dataset", "My-phone", load_build_settings(manifest, {}), jobs=1)
    assert by_manifest.reused == 3
    after = {path: hashlib.sha256(data).digest() for path, data in _bytes_below(out / "dataset").items()}
    names = [path for path in digests if ".build" not in path.parts]
    assert [path for path in names if after[path] != digests[path]] == []
    assert verify_dataset(out / "dataset", "My-phone", jobs=1).exit_status == 0


def test_a_plan_says_what_a_build_would_do(
    aligned: tuple[Path, Path, Path, AlignReport, list[Plan]], tmp_path: Path
) -> None:
    phone, dslr, out, report, _ = aligned
    settings, folders = load_build_settings(report.rig_file, {}), rig_folders(report.rig_file)
    before = _bytes_below(out)

    def told(settings: BuildSettings, place: Path, **how: bool) -> str:
        work = plan_build(folders, place, "My-phone", settings, **how).work
        assert work is not None
        return work_text(work).removeprefix(f"  {place / 'My-phone'}: ")

    assert told(settings, out / "dataset") == "0 captures to align, 3 done before and kept"
    assert told(settings, tmp_path) == told(settings, out / "dataset", overwrite=True)
    assert told(settings, tmp_path) == "3 captures to align, 0 done before and kept"
    other = load_build_settings(report.rig_file, {"patch_size": 48})
    assert told(other, out / "dataset").startswith(
        "built with other settings (patches.patch_size: 64 -> 48); only --over"
    )
    for camera in (phone, dslr):
        shutil.copy(camera / "000.jpg", camera / "100.jpg")
        (camera / "001.jpg").rename(tmp_path / f"{camera.name}.jpg")
    try:
        changed = told(settings, out / "dataset")
    finally:
        for camera in (phone, dslr):
            (camera / "100.jpg").unlink()
            (tmp_path / f"{camera.name}.jpg").rename(camera / "001.jpg")
    assert changed.endswith("1 to be removed, their photos are gone")
    assert _bytes_below(out) == before, "a plan writes nothing"


def test_what_a_person_has_changed_in_the_rig_file_holds(
    aligned: tuple[Path, Path, Path, AlignReport, list[Plan]], tmp_path: Path
) -> None:
    phone, dslr, _, report, _ = aligned
    text = report.rig_file.read_text().replace("patch_size = 64", "patch_size = 48")
    (tmp_path / "rig.toml").write_text(text.replace("My-phone", "pocket"))
    other = align_folders(phone, dslr, tmp_path, jobs=1)
    assert other.build.folder == tmp_path / "dataset/pocket" and other.build.manifest.patch_size == 48
    assert (tmp_path / "rig.toml").read_text() == text.replace("My-phone", "pocket"), "and is left as it is"


def test_a_result_of_other_photos_is_not_mixed_with_these(
    aligned: tuple[Path, Path, Path, AlignReport, list[Plan]], tmp_path: Path
) -> None:
    phone, dslr, out, _, _ = aligned
    for folders in ((phone, tmp_path), (dslr, phone)):
        with pytest.raises(UsageError, match=r"rig.toml: is the rig of other photos \(.*z/slr\); choose another --out"):
            align_folders(*folders, out, jobs=1)


@pytest.mark.parametrize(
    ("out", "words"),
    [("x/My phone", "among the photos of"), ("y/z/slr/deep", "among the photos of"), ("y", "lie where")],
)
def test_a_result_among_the_photos_is_refused(tmp_path: Path, out: str, words: str) -> None:
    phone, dslr = tmp_path / "x/My phone", tmp_path / "y/z/slr"
    phone.mkdir(parents=True), dslr.mkdir(parents=True)
    if out == "y":
        dslr = dslr.parent.rename(tmp_path / "y/dataset") / "slr"
    with pytest.raises(UsageError, match=words):
        align_folders(phone, dslr, tmp_path / out)
    assert not _bytes_below(tmp_path)


def test_folders_that_cannot_be_two_cameras(tmp_path: Path) -> None:
    inner = tmp_path / "phone/dslr"
    inner.mkdir(parents=True)
    for folders in ((inner, inner.parent), (inner, inner)):
        with pytest.raises(UsageError, match="give each camera a folder of its own"):
            align_folders(*folders, tmp_path / "out")
    with pytest.raises(InputError, match="nowhere: no such folder; it is to hold the photos of 'nowhere'"):
        align_folders(inner, tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize(
    ("phone", "dslr", "names"),
    [
        ("pixel", "nikon", ("pixel", "nikon")),
        ("a/DCIM", "b/dcim", ("DCIM-phone", "dcim-dslr")),
        ("Pixel 7 (new)", "-é-", ("Pixel-7-new", "dslr")),
        ("手机", ".hidden", ("phone", "hidden")),
        ("x" * 200, "b", ("x" * 80, "b")),
    ],
)
def test_names_of_cameras_come_from_the_folders(phone: str, dslr: str, names: tuple[str, str]) -> None:
    assert camera_names(Path(phone), Path(dslr)) == names


def test_photos_of_another_size_than_declared_are_told(tmp_path: Path) -> None:
    captures, toml = write_rig(tmp_path, 2)
    toml.write_text(toml.read_text().replace("320x240", "4032x3024").replace("448x336", "336x448"))
    plan = plan_build(captures, tmp_path / "dataset", "pocket", load_build_settings(toml, {}))
    assert plan.warnings == (
        "pocket: 2 of 2 photos looked at are 320x240, the rig declares 4032x3024; the photos' own sizes are used. "
        "Are these the photos you mean?",
    )


@pytest.mark.realdata
def test_city100_is_aligned_by_one_call(shared_data: Path, tmp_path: Path) -> None:
    photos = shared_data / "city100/captures"
    report = align_folders(photos / "iphonex", photos / "nikon", tmp_path, jobs=2)
    assert report.build.manifest.totals["kept"] == 12 and report.inspection is not None
    assert report.inspection.verdict != "fail" and (tmp_path / "report/index.html").is_file()

"""The build as a whole: same bytes for any number of jobs, resumes, extends, loses nothing to a bad photo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_rig import write_capture, write_rig

from dped_data import PatchStore, build_dataset
from dped_data.build import BuildReport
from dped_data.common.work_folder import ForeignFileError
from dped_data.dataset.capture_table import read_captures
from dped_data.dataset.places import all_shards
from dped_data.dataset.review_file import read_decisions
from dped_data.dataset.summary import build_text
from dped_data.errors import InputError, UsageError
from dped_data.inspection.verify import verify_dataset
from dped_data.photos.reading import read_photo
from dped_data.plan import PlannedWork, choose_phone, plan_build, plan_dataset
from dped_data.settings import BuildSettings, load_build_settings
from dped_data.work.units import splits_on_disk

COUNT = 6


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Captures folder and TOML of a small rig; tests that change photos copy it."""
    return write_rig(tmp_path_factory.mktemp("rig"), COUNT)


@pytest.fixture(scope="module")
def settings(rig: tuple[Path, Path]) -> BuildSettings:
    return load_build_settings(rig[1], {"patch_size": 64, "captures_per_shard": 2})


@pytest.fixture(scope="module")
def built(rig: tuple[Path, Path], settings: BuildSettings, tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    return build_dataset(rig[0], tmp_path_factory.mktemp("built"), "pocket", settings, jobs=1)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset that must be the same for the same input."""
    files = [folder / "dataset.json", folder / "unpaired.csv", *all_shards(folder)]
    result = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    rows = [row.__dict__ | {"seconds": None} for row in read_captures(folder)]
    return result | {"captures.csv": json.dumps(rows).encode()}


def test_patches_match_and_phone_pixels_are_untouched(rig: tuple[Path, Path], built: BuildReport) -> None:
    assert built.manifest.totals["kept"] == COUNT
    rows = {row.capture_id: row for row in built.rows}
    for split in ("train", "val", "test"):
        store = PatchStore(built.folder, split)  # type: ignore[arg-type]
        phone, dslr = store.read(np.arange(len(store)))
        xy, ids = store.column("phone_xy"), store.capture_ids()
        for k in range(len(store)):
            photo = read_photo(rig[0] / rows[ids[k]].phone_file)
            x, y = xy[k]
            assert np.array_equal(phone[k], photo[y : y + 64, x : x + 64])
            grey = [cv2.cvtColor(p[k], cv2.COLOR_RGB2GRAY).astype(float) for p in (phone, dslr)]
            assert np.corrcoef(grey[0].ravel(), grey[1].ravel())[0, 1] > 0.9


def test_manifest_tells_the_truth(built: BuildReport) -> None:
    manifest = built.manifest
    assert sum(entry.patches for entry in manifest.splits.values()) == manifest.totals["patches"]
    assert manifest.totals["captures"] == COUNT == sum(entry.captures for entry in manifest.splits.values())
    assert read_captures(built.folder) == sorted(read_captures(built.folder), key=lambda row: row.capture_id)
    assert [row.capture_id for row in built.rows] == [row.capture_id for row in read_captures(built.folder)]


def test_two_jobs_give_the_same_bytes(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    report = build_dataset(rig[0], tmp_path, "pocket", settings, jobs=2)
    assert content(report.folder) == content(built.folder)


def test_second_run_does_nothing_again(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    shutil.copytree(built.folder, tmp_path / "pocket")
    before = content(tmp_path / "pocket")
    report = build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1)
    assert report.reused == COUNT
    assert content(tmp_path / "pocket") == before


@pytest.mark.parametrize("damage", ["", "capture_id\nx\n", '"capture_id","status"\n"\0', "\udcff"])
def test_a_damaged_table_is_written_anew_and_every_split_stays(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(built.folder, folder)
    before = content(folder)
    (folder / "captures.csv").write_bytes(damage.encode("utf-8", "surrogateescape"))
    splits = {row.capture_id: row.split for row in built.rows}
    plan = plan_dataset(rig[0], "pocket", settings, folder)
    assert {c.capture_id: s for c, s in zip(plan.pairing.captures, plan.splits, strict=True)} == splits
    assert splits_on_disk(folder) == splits
    assert "taken from their shards" in plan.pairing.notes[-1]
    report = build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1)
    assert report.reused == COUNT and content(folder) == before


@pytest.mark.parametrize("name", ["a\rb", "=1+1", "'x", 'q"\n,'])
def test_a_photo_of_any_name_builds_and_is_read_again(settings: BuildSettings, tmp_path: Path, name: str) -> None:
    captures = tmp_path / "captures"
    for index, title in enumerate((name, "b", "c")):
        write_capture(captures, index, name=title)
    first = build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1)
    assert name in {row.capture_id for row in read_captures(first.folder)}
    assert build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1).reused == 3
    assert verify_dataset(tmp_path / "out", "pocket", jobs=1).exit_status == 0


def test_added_photos_extend_to_what_a_fresh_build_gives(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    captures = tmp_path / "captures"
    shutil.copytree(rig[0], captures)
    shutil.copytree(built.folder, tmp_path / "grown/pocket")
    write_capture(captures, COUNT)
    write_capture(captures, COUNT + 1, name="000b")
    grown = build_dataset(captures, tmp_path / "grown", "pocket", settings, jobs=1)
    assert grown.reused > 0
    fresh = build_dataset(captures, tmp_path / "fresh", "pocket", settings, jobs=1)
    assert content(grown.folder) == content(fresh.folder)
    assert grown.manifest.totals["captures"] == COUNT + 2


def test_other_settings_are_refused_with_the_list_of_changes(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    shutil.copytree(built.folder, tmp_path / "pocket")
    other = load_build_settings(rig[1], {"patch_size": 48, "captures_per_shard": 2})
    before = content(tmp_path / "pocket")
    with pytest.raises(InputError, match=r"patches.patch_size: 64 -> 48.*--overwrite"):
        build_dataset(rig[0], tmp_path, "pocket", other, jobs=1)
    assert content(tmp_path / "pocket") == before
    report = build_dataset(rig[0], tmp_path, "pocket", other, jobs=1, overwrite=True)
    assert report.manifest.patch_size == 48 and report.reused == 0


def test_broken_photos_become_rows_and_a_mended_one_is_built_in(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    captures = tmp_path / "captures"
    shutil.copytree(rig[0], captures)
    good = (captures / "pocket/001.jpg").read_bytes()
    (captures / "pocket/001.jpg").write_bytes(good[: len(good) // 2])
    (captures / "slr/002.jpg").write_bytes(b"")
    (captures / "slr/003.jpg").write_text("not a photo at all")
    shutil.copy(captures / "slr/005.jpg", captures / "slr/004.jpg")
    cv2.imwrite(str(captures / "pocket/005.jpg"), np.full((1, 1, 3), 128, np.uint8))
    report = build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1)
    rows = {row.capture_id: row for row in report.rows}
    assert (rows["001"].status, rows["001"].stage, rows["001"].reason) == (
        "failed",
        "read",
        "phone photo: truncated JPEG",
    )
    assert rows["002"].reason == "dslr photo: empty file (0 bytes)"
    assert rows["003"].reason == "dslr photo: not a photo (no known image format)"
    assert rows["004"].status == rows["005"].status == "rejected"
    assert rows["004"].patches == 0 and rows["004"].reason
    assert rows["000"].status == "kept"
    (captures / "pocket/001.jpg").write_bytes(good)
    for name in ("slr/002.jpg", "slr/003.jpg", "slr/004.jpg", "pocket/005.jpg"):
        shutil.copy(rig[0] / name, captures / name)
    mended = build_dataset(captures, tmp_path / "out", "pocket", settings, jobs=1)
    assert content(mended.folder) == content(built.folder)


def test_kill_9_then_the_same_command_gives_the_same_bytes(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "cli", "build-dataset", "--phone", "pocket", "--captures", str(rig[0])]
    command += ["--rig", str(rig[1]), "--patch-size", "64", "--captures-per-shard", "2", "--jobs", "1"]
    command += ["--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    interrupted = 0
    for _ in range(20):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        finished_before = len(list((tmp_path / "pocket/.build").glob("*.json")))
        while process.poll() is None:  # kill as soon as the run has made progress
            if len(list((tmp_path / "pocket/.build").glob("*.json"))) > finished_before + (finished_before == 0):
                os.killpg(process.pid, signal.SIGKILL)
                interrupted += 1
                break
            time.sleep(0.005)
        if process.wait() == 0:
            break
    else:
        pytest.fail("the build never came to its end")
    assert interrupted >= 2
    assert content(tmp_path / "pocket") == content(built.folder)


def test_two_builds_at_once_are_refused(
    rig: tuple[Path, Path], settings: BuildSettings, built: BuildReport, tmp_path: Path
) -> None:
    from dped_data.work.folder import locked

    with locked(tmp_path / "pocket"), pytest.raises(InputError, match="another command is writing here"):
        build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1)


def test_dataset_among_the_photos_is_refused(rig: tuple[Path, Path], settings: BuildSettings) -> None:
    with pytest.raises(UsageError, match="among the photos"):
        build_dataset(rig[0], rig[0], "pocket", settings, jobs=1)


def test_dry_run_reads_no_pixel(
    rig: tuple[Path, Path], settings: BuildSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dped_data.build.decode_photo", None)
    plan = plan_dataset(rig[0], "pocket", settings)
    assert len(plan.pairing.captures) == len(plan.splits) == COUNT


def test_dry_run_loads_no_numerics(rig: tuple[Path, Path]) -> None:
    arguments = ["build-dataset", "--dry-run", "--captures", str(rig[0]), "--rig", str(rig[1])]
    code = (
        f"import sys; sys.argv = ['dped', *{arguments}]\n"
        "import cli\n"
        "try: cli.main()\n"
        "except SystemExit: print('loaded', sorted({'torch', 'numba', 'cv2', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("loaded []\n"), done.stdout + done.stderr


def test_the_only_phone_is_found_and_several_are_not_guessed(
    rig: tuple[Path, Path], settings: BuildSettings, tmp_path: Path
) -> None:
    assert choose_phone(rig[0], settings.rig) == "pocket"
    with pytest.raises(InputError, match="no such folder.*--captures"):
        choose_phone(tmp_path / "captures", settings.rig)
    with pytest.raises(InputError, match="has no folder of a phone.*it has: pocket, slr"):
        choose_phone(rig[0], BuildSettings().rig)
    for name in ("iphone", "sony"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="holds photos of iphone, sony"):
        choose_phone(tmp_path, BuildSettings().rig)


def test_a_reviewed_capture_is_left_out_and_comes_back_without_aligning_again(
    rig: tuple[Path, Path],
    settings: BuildSettings,
    built: BuildReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(built.folder, tmp_path / "pocket")
    before = content(tmp_path / "pocket")
    review = tmp_path / "review.csv"
    review.write_text("time,capture_id,verdict,note\n2024-05-01T09:30:00Z,001,reject,blurred\n")
    monkeypatch.setattr("dped_data.build.align_capture", None)  # aligning would fail
    report = build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1, review=review)
    rows = {row.capture_id: row for row in report.rows}
    assert (rows["001"].status, rows["001"].stage, rows["001"].patches) == ("rejected", "review", 0)
    stores = [PatchStore(report.folder, split) for split in ("train", "val", "test")]  # type: ignore[arg-type]
    ids = [name for store in stores for name in store.capture_ids()]
    assert "001" not in ids and {"000", "002", "003", "004", "005"} == set(ids)
    assert len(ids) == sum(row.patches for row in built.rows if row.capture_id != "001")
    assert [decision.note for decision in report.manifest.review] == ["blurred"]
    assert report.manifest.digest != built.manifest.digest
    assert "1 reject (review.csv" in build_text("", report.manifest, 0, 0)
    again = build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1)  # decisions belong to the dataset
    assert again.manifest == report.manifest and verify_dataset(tmp_path, "pocket", jobs=1).faults == ()
    anew = build_dataset(rig[0], tmp_path, "pocket", load_build_settings(again.folder / "dataset.json", {}), jobs=1)
    assert anew.manifest == report.manifest  # settings are those that the dataset tells
    review.write_text("time,capture_id,verdict,note\n2024-05-02T09:30:00Z,001,clear,\n")
    build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1, review=review)
    kept = tmp_path / "pocket" / "review.csv"
    assert [d.verdict for d in read_decisions(kept)] == ["reject", "clear"]
    assert content(tmp_path / "pocket") == before
    review.write_text("time;capture_id;verdict;note\n;1;reject;blurred\n")  # as a spreadsheet leaves it
    with pytest.raises(InputError, match="1 of 1 rejected captures do not exist: '1'; is '001' meant"):
        build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1, review=review)
    assert content(tmp_path / "pocket") == before


def test_a_list_of_pairs_that_names_say_as_well_gives_the_same_dataset(
    rig: tuple[Path, Path],
    settings: BuildSettings,
    built: BuildReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(built.folder, tmp_path / "pocket")
    before = content(tmp_path / "pocket")
    monkeypatch.setattr("dped_data.build.align_capture", None)  # aligning would fail
    report = build_dataset(rig[0], tmp_path, "pocket", settings, jobs=1, pairs=built.folder / "captures.csv")
    assert report.reused == len(report.rows) == len(built.rows)
    assert content(tmp_path / "pocket") == before


def test_whole_aligned_photos_show_what_the_phone_saw(
    rig: tuple[Path, Path], built: BuildReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"patch_size": 64, "captures_per_shard": 2, "keep_aligned": True, "overlays": True}
    report = build_dataset(rig[0], tmp_path, "pocket", load_build_settings(rig[1], options), jobs=1)
    files = sorted(path.name for path in (report.folder / "aligned").iterdir())
    assert files == sorted(f"{i:03d}{end}" for i in range(COUNT) for end in (".png", ".valid.png", ".error.png"))
    for index in range(COUNT):
        phone = cv2.cvtColor(read_photo(rig[0] / f"pocket/{index:03d}.jpg"), cv2.COLOR_RGB2GRAY).astype(float)
        aligned = cv2.imread(str(report.folder / f"aligned/{index:03d}.png"), cv2.IMREAD_GRAYSCALE).astype(float)
        valid = cv2.imread(str(report.folder / f"aligned/{index:03d}.valid.png"), cv2.IMREAD_GRAYSCALE) == 255
        error = cv2.imread(str(report.folder / f"aligned/{index:03d}.error.png"), cv2.IMREAD_UNCHANGED)
        assert aligned.shape == phone.shape and valid.mean() > 0.8
        assert np.corrcoef(phone[valid], aligned[valid])[0, 1] > 0.97
        assert (aligned[~valid] == 0).all() and (error[~valid] == 65535).all()
        assert np.median(error[valid]) * 0.001 < 0.3
        squares, both = np.split(read_photo(report.folder / f"overlays/{index:03d}.jpg"), [320 + 8], axis=1)
        assert squares.shape == both.shape == (240, 320 + 8, 3)
        assert np.corrcoef(phone.ravel(), cv2.cvtColor(both[:, 8:], cv2.COLOR_RGB2GRAY).ravel())[0, 1] > 0.98
    assert _shards(report.folder) == _shards(built.folder), "pictures decide nothing of the patches"
    assert report.manifest.pictures == ("aligned", "overlays") and not built.manifest.pictures
    _check_added(built, report, rig, options, tmp_path / "added", monkeypatch)
    fewer = tmp_path / "captures"
    shutil.copytree(rig[0], fewer)
    for camera in ("pocket", "slr"):
        (fewer / f"{camera}/003.jpg").unlink()
    build_dataset(fewer, tmp_path, "pocket", load_build_settings(rig[1], options), jobs=1)
    assert not [*report.folder.rglob("003.png"), *report.folder.rglob("003.jpg"), *report.folder.rglob("003.map")]


def _pictures(folder: Path) -> dict[str, bytes]:
    files = [path for kind in ("aligned", "overlays") for path in (folder / kind).rglob("*.*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _shards(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in all_shards(folder)}


def _check_added(
    built: BuildReport,
    whole: BuildReport,
    rig: tuple[Path, Path],
    options: dict[str, Any],
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pictures that are asked for later are those of a dataset that had them from the start; nothing is aligned."""
    folder = out / "pocket"
    shutil.copytree(built.folder, folder)
    with monkeypatch.context() as context:
        context.setattr("dped_data.align.pipeline.align_photos", None)  # aligning would fail
        settings = load_build_settings(rig[1], options)
        assert plan_build(rig[0], out, "pocket", settings).work == PlannedWork(str(folder), 0, COUNT, 0, COUNT)
        added = build_dataset(rig[0], out, "pocket", settings, jobs=1)
        assert added.reused == COUNT and content(folder) == content(whole.folder)
        assert _pictures(folder) == _pictures(whole.folder)
        (folder / "overlays/001.jpg").unlink()
        plain = load_build_settings(rig[1], {"patch_size": 64, "captures_per_shard": 2})
        build_dataset(rig[0], out, "pocket", plain, jobs=1)  # what it has, it keeps
        assert _pictures(folder) == _pictures(whole.folder) and content(folder) == content(whole.folder)
    asked = load_build_settings(folder / "dataset.json", {})
    assert (asked.shards.keep_aligned, asked.shards.overlays) == (True, True)
    (folder / ".build/maps/002.map").write_bytes(b"damaged")
    (folder / ".build/maps/003.map").unlink()  # as in datasets of earlier versions
    for index in (1, 2, 3):
        (folder / f"overlays/{index:03d}.jpg").unlink()
    (folder / "overlays/001.jpg").write_bytes(b"mine")
    with pytest.raises(ForeignFileError, match=r"overlays/001.jpg: was changed since dped wrote it"):
        build_dataset(rig[0], out, "pocket", plain, jobs=1)
    (folder / "overlays/001.jpg").unlink()
    build_dataset(rig[0], out, "pocket", plain, jobs=1)
    assert _pictures(folder) == _pictures(whole.folder)


def test_flat_patches_are_marked(rig: tuple[Path, Path], tmp_path: Path) -> None:
    options = {"patch_size": 64, "captures_per_shard": 2, "keep_flat": True}
    report = build_dataset(rig[0], tmp_path, "pocket", load_build_settings(rig[1], options), jobs=1)
    store = PatchStore(report.folder, "train")
    flat, ncc = store.column("flat"), store.column("ncc")
    assert flat.dtype == bool and len(flat) == len(store)
    assert (ncc[~flat] > 0.9).all() and (ncc[flat] <= 0.9).all()

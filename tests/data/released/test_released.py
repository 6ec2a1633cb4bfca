"""The authors' folders of patches: in, out, and round again without losing a pixel."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import simplejpeg
from frozen_settings import check_frozen
from make_shards import MASKED, make_dataset
from numpy.typing import NDArray
from PIL import Image

from dped_data.captures.records import SPLITS, Split
from dped_data.common.typed_settings import setting, settings_dict
from dped_data.dataset.capture_table import read_captures
from dped_data.dataset.manifest import read_manifest
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.inspection import inspect_pairs, terminal_text, verify_dataset
from dped_data.inspection.settings import InspectSettings
from dped_data.released import export_dped, import_dped
from dped_data.released.exporting import Layout
from dped_data.released.importing import ImportSettings
from dped_data.settings import FORMAT_VERSION

SIZE = 20
TRAIN, TEST = "training_data", "test_data/patches"


def pair_of_patches(seed: int, size: int = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return two patches of one scene: the second one darker."""
    scene = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return scene, scene // 2


def write_released(root: Path, train: int = 30, test: int = 7, phone: str = "iphone", dslr: str = "canon") -> Path:
    """Write numbered PNG patches in the authors' layout; return the folder above <phone>."""
    for below, count, first in ((TRAIN, train, 0), (TEST, test, 1000)):
        for camera in (phone, dslr):
            (root / phone / below / camera).mkdir(parents=True)
        for index in range(count):
            for camera, patch in zip((phone, dslr), pair_of_patches(first + index), strict=True):
                Image.fromarray(patch).save(root / phone / below / camera / f"{index}.png")
    return root


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a dataset but captures.csv, lock and records (times differ)."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".build" not in path.parts
    }


def all_patches(dataset: Path, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    store = PatchStore(dataset, split)
    return store.read(range(len(store)))


def test_patches_come_in_with_their_pairs_and_their_origin(tmp_path: Path) -> None:
    write_released(tmp_path / "dped")
    report = import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    store = PatchStore(tmp_path / "out" / "iphone", "train")
    assert (len(store), len(PatchStore(report.folder, "test")), len(PatchStore(report.folder, "val"))) == (30, 7, 0)
    for index in range(30):
        phone, dslr = store.read([index])
        expected = pair_of_patches(index)
        np.testing.assert_array_equal(phone[0], expected[0])
        np.testing.assert_array_equal(dslr[0], expected[1])
    assert store.capture_ids() == [f"train/{index}" for index in range(30)]
    assert (report.manifest.source, report.manifest.alignment) == ("imported", "imported")
    assert (report.manifest.dslr, report.manifest.patch_size) == ("canon", SIZE)
    assert report.manifest.totals["patches"] == 37
    assert store.column("ncc") == pytest.approx(np.ones(30), abs=1e-3)
    assert np.all(store.column("phone_xy") == -1)
    assert np.all(np.isnan(store.column("dslr_xy")))
    assert np.all(np.isnan(store.column("error_px")))


def test_the_phones_own_folder_may_be_named(tmp_path: Path) -> None:
    write_released(tmp_path / "dped", train=3, test=0)
    report = import_dped(tmp_path / "dped" / "iphone", "iphone", tmp_path / "out", jobs=1)
    assert report.manifest.totals["patches"] == 3


def test_the_number_of_jobs_does_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dped_data.released.importing.PAIRS_PER_SHARD", 5)
    write_released(tmp_path / "dped")
    one = import_dped(tmp_path / "dped", "iphone", tmp_path / "one", jobs=1)
    two = import_dped(tmp_path / "dped", "iphone", tmp_path / "two", jobs=2)
    assert content(one.folder) == content(two.folder)
    assert len(one.manifest.splits["train"].shards) > 3


def test_broken_patches_are_reported_and_the_rest_is_whole(tmp_path: Path) -> None:
    root = write_released(tmp_path / "dped") / "iphone" / TRAIN
    (root / "iphone" / "3.png").write_bytes((root / "iphone" / "3.png").read_bytes()[:60])
    (root / "canon" / "4.png").write_bytes(b"")
    (root / "canon" / "5.png").write_text("not a photo")
    Image.new("RGB", (SIZE + 1, SIZE)).save(root / "canon" / "6.png")
    (root / "canon" / "7.png").unlink()
    (root / "canon" / "8.jpg").write_bytes(simplejpeg.encode_jpeg(pair_of_patches(8)[1]))
    (root / "canon" / "Thumbs.db").write_bytes(b"x")
    report = import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    failed = {row.capture_id: row.reason for row in report.rows if row.status == "failed"}
    assert failed == {
        "train/3": "phone patch: truncated or damaged photo",
        "train/4": "dslr patch: empty file (0 bytes)",
        "train/5": "dslr patch: not a photo (no known image format)",
        "train/6": f"dslr patch: {SIZE + 1}x{SIZE} pixels, the others have {SIZE}x{SIZE}",
    }
    assert {photo.file for photo in report.unpaired} == {
        "training_data/iphone/7.png",
        "training_data/iphone/8.png",
        "training_data/canon/8.jpg",
        "training_data/canon/8.png",
    }
    assert len(PatchStore(report.folder, "train")) == 30 - 6
    assert [row.capture_id for row in read_captures(report.folder)] == [row.capture_id for row in report.rows]


def test_an_import_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dped_data.released.importing.PAIRS_PER_SHARD", 5)
    write_released(tmp_path / "dped")
    whole = import_dped(tmp_path / "dped", "iphone", tmp_path / "whole", jobs=1)
    cut = import_dped(tmp_path / "dped", "iphone", tmp_path / "cut", jobs=1)
    (cut.folder / "dataset.json").unlink()
    (cut.folder / "train" / "00001.h5").unlink()
    again = import_dped(tmp_path / "dped", "iphone", tmp_path / "cut", jobs=1)
    assert content(again.folder) == content(whole.folder)
    assert 0 < again.reused < 37


def test_a_repaired_patch_is_read_again(tmp_path: Path) -> None:
    broken = write_released(tmp_path / "dped") / "iphone" / TRAIN / "iphone" / "3.png"
    good = broken.read_bytes()
    broken.write_bytes(b"\0" * len(good))
    assert import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1).manifest.totals["failed"] == 1
    broken.write_bytes(good)
    later = time.time() + 10
    os.utime(broken, (later, later))
    assert import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1).manifest.totals["failed"] == 0


def test_another_dataset_is_not_replaced_unasked(tmp_path: Path) -> None:
    write_released(tmp_path / "dped", dslr="canon")
    write_released(tmp_path / "other", dslr="nikon")
    import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    with pytest.raises(InputError, match=r'other settings \(dslr: "canon" -> "nikon"\).*--overwrite'):
        import_dped(tmp_path / "other", "iphone", tmp_path / "out", jobs=1)
    report = import_dped(tmp_path / "other", "iphone", tmp_path / "out", jobs=1, overwrite=True)
    assert report.manifest.dslr == "nikon"


@pytest.mark.parametrize(("dslr", "phone"), [("canon", "iphone"), ("nikon", "pixel.8")])
def test_round_trip_keeps_counts_pairs_and_every_pixel(tmp_path: Path, dslr: str, phone: str) -> None:
    write_released(tmp_path / "dped", phone=phone, dslr=dslr)
    first = import_dped(tmp_path / "dped", phone, tmp_path / "out", jobs=1)
    exported = export_dped(tmp_path / "out", phone, tmp_path / "again", image_format="png", jobs=1)
    second = import_dped(exported.folder.parent, phone, tmp_path / "out2", jobs=1)
    assert exported.pairs == {"train": 30, "val": 0, "test": 7}
    assert second.manifest.dslr == dslr
    for split in SPLITS:
        for before, after in zip(all_patches(first.folder, split), all_patches(second.folder, split), strict=True):
            np.testing.assert_array_equal(before, after)
    canon = exported.folder / TRAIN / "canon"
    assert sorted(path.name for path in canon.iterdir())[:3] == ["0.png", "1.png", "10.png"]


def test_validation_patches_survive_the_round_trip(tmp_path: Path) -> None:
    root = write_released(tmp_path / "dped", train=9, test=2)
    (root / "iphone" / TRAIN).rename(root / "iphone" / "val_data_")
    (root / "iphone" / "val_data").mkdir()
    (root / "iphone" / "val_data_").rename(root / "iphone" / "val_data" / "patches")
    import_dped(root, "iphone", tmp_path / "out", jobs=1)
    exported = export_dped(tmp_path / "out", None, tmp_path / "again", jobs=1)
    assert exported.pairs == {"train": 0, "val": 9, "test": 2}
    assert import_dped(tmp_path / "again", "iphone", tmp_path / "out2", jobs=1).manifest.splits["val"].patches == 9


@pytest.mark.parametrize("layout", ["dped", "folders", "webdataset"])
def test_masks_leave_with_their_patches_and_come_back(tmp_path: Path, layout: Layout) -> None:
    make_dataset(tmp_path / "data" / "toy", train=5, val=2, test=0, size=24, masked=True)
    exported = export_dped(tmp_path / "data", "toy", tmp_path / "out", layout, image_format="png", jobs=1).folder
    wanted = np.full((24, 24), 255)
    wanted[MASKED[1:]] = 0
    if layout == "webdataset":
        with tarfile.open(exported / "train-000001.tar") as file:
            mask = Image.open(io.BytesIO(file.extractfile("00000004.valid.png").read()))  # type: ignore[union-attr]
    else:
        mask = Image.open(exported / ("valid/training_data/4.png" if layout == "dped" else "train/valid/00000004.png"))
    np.testing.assert_array_equal(np.asarray(mask), wanted)
    if layout == "dped":
        report = import_dped(exported, "toy", tmp_path / "again", jobs=1)
        assert report.manifest.totals["kept"] == 7
        for split in ("train", "val"):
            store = PatchStore(report.folder, split)
            assert store.masked and (store.read_valid(range(len(store))) == (wanted > 0)).all()
            assert np.isfinite(store.column("light_ev")).all()
        assert verify_dataset(tmp_path / "again", "toy", jobs=1).faults == ()
        (exported / "valid/training_data/2.png").unlink()
        report = import_dped(exported, "toy", tmp_path / "third", jobs=1)
        assert [row.reason for row in report.rows if row.status == "failed"] == [
            "mask valid/training_data/2.png: cannot be read (No such file or directory)"
        ]


def test_the_authors_layout_holds_jpegs_numbered_from_zero(tmp_path: Path) -> None:
    write_released(tmp_path / "dped")
    import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    exported = export_dped(tmp_path / "out", "iphone", tmp_path / "again", jobs=2)
    assert exported.folder == tmp_path / "again" / "iphone"
    for camera, which in (("iphone", 0), ("canon", 1)):
        names = {path.name for path in (exported.folder / TEST / camera).iterdir()}
        assert names == {f"{index}.jpg" for index in range(7)}
        stored = np.asarray(Image.open(exported.folder / TEST / camera / "3.jpg")).astype(int)
        assert np.abs(stored - pair_of_patches(1003)[which]).mean() < 1.5
    rows = list(csv.DictReader((exported.folder / "patches.csv").open()))
    assert len(rows) == 37
    assert (rows[4]["split"], rows[4]["name"], rows[4]["capture_id"], rows[4]["x"]) == ("train", "4", "train/4", "-1")
    assert exported.files == 2 * 37 + 1
    assert exported.patches == 37


def test_paired_folders_have_equal_names(tmp_path: Path) -> None:
    write_released(tmp_path / "dped")
    import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    folder = export_dped(tmp_path / "out", "iphone", tmp_path / "again", "folders", jobs=1).folder
    assert sorted(path.name for path in folder.iterdir()) == ["patches.csv", "test", "train"]
    names = sorted(path.name for path in (folder / "train" / "lq").iterdir())
    assert names == sorted(path.name for path in (folder / "train" / "gt").iterdir())
    assert names[:2] == ["00000000.png", "00000001.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "train/gt/00000012.png")), pair_of_patches(12)[1])


def test_webdataset_shards_hold_whole_samples_and_the_same_bytes(tmp_path: Path) -> None:
    write_released(tmp_path / "dped")
    import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    folders = [export_dped(tmp_path / "out", "iphone", tmp_path / n, "webdataset", jobs=1).folder for n in ("a", "b")]
    tar = folders[0] / "train-000000.tar"
    assert tar.read_bytes() == (folders[1] / "train-000000.tar").read_bytes()
    with tarfile.open(tar) as file:
        members = {m.name: file.extractfile(m).read() for m in file.getmembers()}  # type: ignore[union-attr]
    assert len(members) == 3 * 30
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(members["00000005.phone.png"]))), pair_of_patches(5)[0]
    )
    assert json.loads(members["00000005.json"]) == {
        "split": "train", "name": "00000005", "capture_id": "train/5", "x": -1, "y": -1,
        "ncc": pytest.approx(1, abs=1e-3), "error_px": None,
    }  # fmt: skip


@pytest.mark.parquet
def test_parquet_is_what_load_dataset_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    from datasets import load_dataset

    folder = make_dataset(tmp_path / "out" / "toy", train=7, val=3, test=0, size=SIZE)
    exports = [export_dped(tmp_path / "out", None, tmp_path / n, "parquet", jobs=1).folder for n in ("a", "b")]
    names = sorted(path.relative_to(exports[0]).as_posix() for path in exports[0].rglob("*") if path.is_file())
    files = [f"data/{name}-of-00002.parquet" for name in ("train-00000", "train-00001")]
    assert names == ["README.md", *files, *(name.replace("train", "validation") for name in files), "patches.csv"]
    for name in files:
        assert (exports[0] / name).read_bytes() == (exports[1] / name).read_bytes()
    sources = {"train": str(exports[0] / "data/train-*"), "validation": str(exports[0] / "data/validation-*")}
    pairs = load_dataset("parquet", data_files=sources, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in pairs.items()} == {"train": 7, "validation": 3}
    store = PatchStore(folder, "train")
    for index in (0, 6):
        row, (phone, dslr) = pairs["train"][index], store[index]
        np.testing.assert_array_equal(np.asarray(row["phone"]), phone)
        np.testing.assert_array_equal(np.asarray(row["dslr"]), dslr)
        assert (row["capture_id"], row["x"], row["y"]) == (store.capture_ids()[index], index, 0)
        assert row["phone_file"] == f"{row['capture_id']}.jpg" and row["ncc"] == 1 and row["error_px"] == 0
    there = load_dataset(str(exports[0]), split="validation", cache_dir=str(tmp_path / "cache"))
    make_dataset(tmp_path / "masked" / "toy", train=2, val=0, test=0, size=SIZE, masked=True)
    masked = export_dped(tmp_path / "masked", None, tmp_path / "c", "parquet", jobs=1).folder
    row = load_dataset(str(masked), split="train", cache_dir=str(tmp_path / "cache"))[1]
    assert (np.asarray(row["valid"])[MASKED[1:]] == 0).all() and np.asarray(row["valid"]).mean() > 150
    assert len(there) == 3 and 'load_dataset("PATH OF THE EXPORT"' in (exports[0] / "README.md").read_text()


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pyarrow: not installed, .* pip install 'dped\[parquet\]'"):
        export_dped(tmp_path, None, tmp_path / "a", "parquet")


def test_an_export_never_replaces_and_never_leaves_a_part(tmp_path: Path) -> None:
    write_released(tmp_path / "dped")
    report = import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    export_dped(tmp_path / "out", "iphone", tmp_path / "again", jobs=1)
    with pytest.raises(InputError, match=r"again/iphone: exists already; remove it or choose another --out"):
        export_dped(tmp_path / "out", "iphone", tmp_path / "again", jobs=1)
    with h5py.File(report.folder / "test" / "00000.h5", "r+") as file:
        del file["ncc"]
    with pytest.raises(InputError, match="damaged shard"):
        export_dped(tmp_path / "out", "iphone", tmp_path / "third", jobs=1)
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("empty", r"holds no released patches of 'iphone' .* it holds: no folders"),
        ("no phone", r"holds no released patches of 'iphone' .* it holds: sony"),
        ("no partner", r"one folder of target patches is expected \(the authors': canon\), found: none"),
        ("two targets", r"found: canon, nikon; leave one of them there"),
        ("no equal names", r"no patch of 'iphone' has the name of one of 'canon'"),
        ("not square", r"0.png: 30x20 pixels; patches are square"),
        ("unreadable", r"the first 2 patches cannot be read \(0.png: not a photo"),
    ],
)
def test_folders_that_cannot_be_used_say_so(tmp_path: Path, change: str, message: str) -> None:
    root = tmp_path / "dped"
    root.mkdir()
    train = root / "iphone" / TRAIN
    if change == "no phone":
        write_released(root, phone="sony")
    elif change != "empty":
        write_released(root, train=2, test=0)
        (root / "iphone" / TEST / "iphone").rmdir()
        (root / "iphone" / TEST / "canon").rmdir()
        (root / "iphone" / TEST).rmdir()
    if change == "no partner":
        (train / "canon").rename(tmp_path / "elsewhere")
    elif change == "two targets":
        (train / "nikon").mkdir()
    elif change == "no equal names":
        for index in range(2):
            (train / "canon" / f"{index}.png").rename(train / "canon" / f"x{index}.png")
    elif change == "not square":
        Image.new("RGB", (30, 20)).save(train / "iphone" / "0.png")
    elif change == "unreadable":
        for index in range(2):
            (train / "iphone" / f"{index}.png").write_bytes(b"")
    with pytest.raises(InputError, match=message) as error:
        import_dped(root, "iphone", tmp_path / "out", jobs=1)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_dataset_is_not_written_among_the_patches(tmp_path: Path) -> None:
    write_released(tmp_path / "dped")
    with pytest.raises(UsageError, match="written among the patches"):
        import_dped(tmp_path / "dped", "iphone", tmp_path / "dped" / "iphone" / "dataset", jobs=1)


def test_ten_thousand_patches_would_take_less_than_a_minute(tmp_path: Path) -> None:
    """A fifteenth of it, in one process: reading, decoding and writing 700 pairs of 100 pixels."""
    for camera in ("iphone", "canon"):
        (tmp_path / "iphone" / TRAIN / camera).mkdir(parents=True)
    coded = [simplejpeg.encode_jpeg(np.ascontiguousarray(p), 95) for p in pair_of_patches(1, 100)]
    for index in range(700):
        for camera, data in zip(("iphone", "canon"), coded, strict=True):
            (tmp_path / "iphone" / TRAIN / camera / f"{index}.jpg").write_bytes(data)
    import_dped(tmp_path, "iphone", tmp_path / "warm-up", jobs=1)
    start = time.process_time()
    import_dped(tmp_path, "iphone", tmp_path / "out", jobs=1)
    assert time.process_time() - start < 60 / 10_000 * 700 * 2 * 2  # two cores, and twice the time on a busy machine


@pytest.mark.realdata
def test_genuine_patches_come_in(shared_data: Path, tmp_path: Path) -> None:
    for source in sorted((shared_data / "dped_patches").glob("iphone_*.png")):
        number, camera = source.stem.rsplit("_", 1)
        folder = tmp_path / "iphone" / TEST / ("iphone" if camera == "phone" else "canon")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(source.read_bytes())
    report = import_dped(tmp_path, "iphone", tmp_path / "out", jobs=1)
    assert read_manifest(report.folder).splits["test"].patches == 10
    ncc = PatchStore(report.folder, "test").column("ncc")
    assert ncc.min() > 0.85


def test_an_imported_dataset_can_be_inspected_though_it_has_no_geometry(tmp_path: Path) -> None:
    for below, count in ((TRAIN, 12), (TEST, 4)):
        for camera, offset in (("iphone", 0), ("canon", 3)):
            (tmp_path / "dped/iphone" / below / camera).mkdir(parents=True)
            for index in range(count):
                noise = np.random.default_rng(index + len(below)).integers(0, 256, (80, 83, 3), np.uint8)
                scene = cv2.GaussianBlur(noise, (0, 0), 1.5)[:, offset : offset + 80]  # three pixels apart
                path = tmp_path / "dped/iphone" / below / camera / f"{index}.png"
                Image.fromarray(np.clip(scene * 2.0 - 128, 0, 255).astype(np.uint8)).save(path)
    import_dped(tmp_path / "dped", "iphone", tmp_path / "out", jobs=1)
    report = inspect_pairs(tmp_path / "out", "iphone", tmp_path / "report", InspectSettings(), jobs=1)
    text = terminal_text(report, 3)
    assert "not in this dataset" in text and "16 kept" in text
    assert report.exit_status == 1 and "verdict: FAIL" in text  # three pixels are measured and too many
    assert (tmp_path / "report" / "index.html").is_file()


def test_an_import_of_before_a_setting_was_added_has_the_same_record_and_digest() -> None:
    @dataclass(frozen=True)
    class Grown(ImportSettings):
        skip_flat: bool = setting(False, "leave out patches of one colour")

    check_frozen(ImportSettings, FORMAT_VERSION)
    before = settings_dict(ImportSettings("imported", "sony", "canon", 100))
    assert before == {"source": "imported", "phone": "sony", "dslr": "canon", "patch_size": 100}
    assert settings_dict(Grown("imported", "sony", "canon", 100)) == before
    assert settings_dict(Grown("imported", "sony", "canon", 100, skip_flat=True)) == {**before, "skip_flat": True}


def test_a_review_leaves_patches_out_until_they_are_cleared(tmp_path: Path) -> None:
    source, review = write_released(tmp_path / "dped", train=3, test=2), tmp_path / "report/review.csv"
    first = import_dped(source, "iphone", tmp_path / "data")
    review.parent.mkdir()
    lines = "time,capture_id,verdict,note\n2026-01-02T03:04:05Z,train/1,reject,blurred\n"
    review.write_text(lines)
    again = import_dped(source, "iphone", tmp_path / "data", review=review)
    assert (first.manifest.totals["patches"], again.manifest.totals["patches"]) == (5, 4)
    assert [row.capture_id for row in again.rows if row.stage == "review"] == ["train/1"]
    assert import_dped(source, "iphone", tmp_path / "data").manifest.totals["patches"] == 4
    inspect_pairs(tmp_path / "data", "iphone", tmp_path / "report", InspectSettings(), jobs=1)
    page = (tmp_path / "report/data/report.js").read_text()
    assert f"dped import-dped {source / 'iphone'} --phone iphone --out {tmp_path / 'data'} --review {review}" in page
    review.write_text(f"{lines}2026-01-02T03:04:06Z,train/1,clear,\n")
    assert import_dped(source, "iphone", tmp_path / "data", review=review).manifest.totals["patches"] == 5
    review.write_text(lines.replace("train/1", "train/9"))
    with pytest.raises(InputError, match="1 of 1 rejected captures do not exist: 'train/9'"):
        import_dped(source, "iphone", tmp_path / "data", review=review)

"""A build that keeps the phone's mosaics: the sensor's own values beside every patch, or a row that says why not."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from make_shards import make_dataset
from small_rig import RIG_TOML, write_raw_capture

from dped_data import PatchStore, build_dataset
from dped_data.build import BuildReport
from dped_data.captures.records import SPLITS
from dped_data.common.files import sha256_of_file
from dped_data.dataset.places import all_shards
from dped_data.dataset.shards import read_shard, write_shard
from dped_data.errors import InputError, UsageError
from dped_data.inspection.verify import verify_dataset
from dped_data.photos.colour import srgb_encode
from dped_data.photos.preview import read_preview
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import write_photo
from dped_data.plan import plan_dataset
from dped_data.settings import BuildSettings, load_build_settings

rawpy = pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
COUNT, SIZE = 3, 64


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captures, two of which have the phone's JPEG, too, and the rig's TOML."""
    folder = tmp_path_factory.mktemp("rig")
    for index in range(COUNT):
        write_raw_capture(folder / "captures", index, jpeg=index < 2, raw_dslr=index == 2)
    (folder / "rig.toml").write_text(RIG_TOML)
    return folder


def settings_of(rig: Path, **flags: object) -> BuildSettings:
    asked = {"patch_size": SIZE, "captures_per_shard": 2, "phone_raw": True, **flags}
    return load_build_settings(rig / "rig.toml", asked)


@pytest.fixture(scope="module")
def built(rig: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    return build_dataset(rig / "captures", tmp_path_factory.mktemp("built"), "pocket", settings_of(rig), jobs=1)


def test_mosaics_are_the_sensors_own_values(rig: Path, built: BuildReport) -> None:
    assert built.manifest.totals["kept"] == COUNT
    for split in SPLITS:
        store = PatchStore(built.folder, split)
        mosaics, phone = store.read_mosaics(np.arange(len(store))), store.read(np.arange(len(store)))[0]
        black, white = store.mosaic_levels()
        assert (white == 4095).all() and (black == [256, 252, 256, 260]).all()  # R, G1, G2, B of GRBG
        assert (store.mosaic_facts("iso") == 100).all()
        for k, (corner, capture) in enumerate(zip(store.column("phone_xy"), store.capture_ids(), strict=True)):
            x, y = corner.tolist()
            file = rig / "captures" / "pocket" / f"{capture}.dng"
            assert np.array_equal(phone[k], read_photo(file)[y : y + SIZE, x : x + SIZE])
            with rawpy.imread(str(file)) as raw:
                cells = raw.raw_image_visible[y : y + SIZE, x : x + SIZE].copy()
                assert "".join("RGBG"[c] for c in raw.raw_colors_visible[y : y + 2, x : x + 2].ravel()) == "RGGB"
            for cell in range(4):
                assert np.array_equal(mosaics[k, ..., cell], cells[cell // 2 :: 2, cell % 2 :: 2])


def test_shards_are_the_same_through_a_copy(built: BuildReport, tmp_path: Path) -> None:
    for shard in all_shards(built.folder):
        captures, attributes = read_shard(shard)
        assert captures[0].mosaic is not None and captures[0].phone_raw_sha256
        written = write_shard(tmp_path / "copy.h5", captures, attributes)
        assert written.sha256 == sha256_of_file(shard)


def test_a_damaged_raw_file_is_a_row_and_one_that_is_missing_is_listed(rig: Path, tmp_path: Path) -> None:
    captures = shutil.copytree(rig / "captures", tmp_path / "captures")
    damaged = captures / "pocket" / "002.dng"
    damaged.write_bytes(damaged.read_bytes()[:-20_000])
    (captures / "pocket" / "000.dng").unlink()
    report = build_dataset(captures, tmp_path, "pocket", settings_of(rig), jobs=1)
    other = build_dataset(captures, tmp_path / "other", "pocket", settings_of(rig), jobs=2)
    assert (other.folder / "dataset.json").read_bytes() == (report.folder / "dataset.json").read_bytes()
    rows = {row.capture_id: row for row in report.rows}
    assert (rows["002"].status, rows["002"].reason) == ("failed", "phone RAW: truncated camera RAW file")
    assert {name: row.status for name, row in rows.items() if name != "002"} == {"001": "kept"}
    listed = (report.folder / "unpaired.csv").read_text()
    assert listed.count("pocket/000.jpg: its shot has no RAW file, --phone-raw needs one") == 2
    assert "pocket/001.jpg" in listed and "the same shot as pocket/001.dng" in listed


def test_the_cameras_jpeg_may_be_what_is_aligned(rig: Path, tmp_path: Path) -> None:
    captures = shutil.copytree(rig / "captures", tmp_path / "captures")
    moved = read_photo(captures / "pocket" / "001.jpg")
    write_photo(captures / "pocket" / "001.jpg", np.roll(moved, 2, axis=0), quality=95)
    settings = settings_of(rig, phone_aligned="jpeg")
    plan = plan_dataset(captures, "pocket", settings)
    assert [(c.phone_file, c.phone_raw_file) for c in plan.pairing.captures] == [
        (f"pocket/00{k}.jpg", f"pocket/00{k}.dng") for k in (0, 1)
    ]
    reasons = {photo.file: photo.reason for photo in plan.pairing.unpaired}
    assert "its shot has no JPEG or HEIC, --phone-aligned jpeg needs one" in reasons["pocket/002.dng"]
    report = build_dataset(captures, tmp_path, "pocket", settings, jobs=1)
    rows = {row.capture_id: row for row in report.rows}
    assert rows["001"].reason == "the phone's JPEG has another geometry than its RAW file"
    assert rows["001"].measured == pytest.approx(2, abs=0.1)
    (shard,) = all_shards(report.folder)
    with h5py.File(shard) as file:
        x, y = file["phone_xy"][0]
        jpeg = read_photo(captures / "pocket" / "000.jpg")
        assert np.array_equal(file["phone"][0], jpeg[y : y + SIZE, x : x + SIZE])
        assert file["phone_raw_file"].asstr()[0] == "pocket/000.dng"
        with rawpy.imread(str(captures / "pocket" / "000.dng")) as raw:
            assert file["phone_raw"][0, 0, 0, 0] == raw.raw_image_visible[y, x]
    assert build_dataset(captures, tmp_path, "pocket", settings, jobs=1).reused == 2
    path = captures / "pocket" / "000.dng"
    data = bytearray(path.read_bytes())
    data[-40_001] ^= 1
    path.write_bytes(data)
    assert build_dataset(captures, tmp_path, "pocket", settings, jobs=1).reused < 2


def test_reports_show_the_developed_file(rig: Path) -> None:
    file = rig / "captures" / "pocket" / "002.dng"
    preview, time_s = read_preview(file, 80)
    assert preview is not None and preview.shape == (60, 80, 3) and time_s is not None
    assert np.abs(preview - cv2.resize(read_photo(file), (80, 60), interpolation=cv2.INTER_AREA).astype(int)).max() <= 1


def test_a_dataset_of_before_has_no_mosaics(tmp_path: Path) -> None:
    store = PatchStore(make_dataset(tmp_path / "pocket", train=2, val=1, test=1), "train")
    assert not store.has_mosaics
    with pytest.raises(UsageError, match="holds no mosaics; build it with --phone-raw"):
        store.read_mosaics([0])
    with pytest.raises(UsageError, match="holds no linear light; build it with --dslr-linear"):
        store.read_linear([0])


def test_mosaics_are_held_against_the_raw_files(rig: Path, built: BuildReport, tmp_path: Path) -> None:
    sound = verify_dataset(built.folder.parent, "pocket", captures=rig / "captures", jobs=1)
    assert sound.faults == () and sound.mosaics == sound.phone_patches == built.manifest.totals["patches"]
    folder = shutil.copytree(built.folder, tmp_path / "pocket")
    with h5py.File(next(all_shards(folder)), "r+") as file:
        file["phone_raw"][2, 3, 4, 1] ^= 1
        file["raw_iso"][...] = 200
    texts = {fault.text for fault in verify_dataset(tmp_path, "pocket", captures=rig / "captures", jobs=1).faults}
    assert {"the mosaic is not that of the RAW file", "raw_iso is not that of the RAW file"} < texts


def test_linear_light_goes_through_the_same_map(rig: Path, tmp_path: Path) -> None:
    report = build_dataset(
        rig / "captures", tmp_path, "pocket", settings_of(rig, dslr_linear=True, captures_per_shard=1), jobs=1
    )
    rows = {row.capture_id: row for row in report.rows}
    assert {rows[name].reason for name in ("000", "001")} == {
        "dslr photo: is no camera RAW file, which --dslr-linear needs"
    }
    store = PatchStore(report.folder, "train")
    linear, dslr = store.read_linear(np.arange(len(store))), store.read(np.arange(len(store)))[1]
    assert linear.dtype == np.uint16 and linear.shape == dslr.shape and len(linear) > 5
    encoded = srgb_encode((linear / 65535).astype(np.float32)) * 255
    difference = np.abs(encoded - dslr)
    assert np.median(difference) < 1 and np.quantile(difference, 0.99) < 12  # means of light and of codes differ
    sound = verify_dataset(tmp_path, "pocket", captures=rig / "captures", jobs=1)
    assert sound.faults == () and sound.dslr_patches == report.manifest.totals["patches"]
    with h5py.File(next(all_shards(report.folder)), "r+") as file:
        file["dslr_linear"][1, 2, 3, 0] ^= 1
    texts = {fault.text for fault in verify_dataset(tmp_path, "pocket", captures=rig / "captures", jobs=1).faults}
    assert "linear light is not that of the photo" in texts


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"alignment": "paper"}, "--phone-raw needs --alignment refined"),
        ({"patch_size": 65}, "--patch-size 65 with --phone-raw: must be even"),
        ({"stride": 33}, "--stride 33 with --phone-raw: must be even"),
    ],
)
def test_settings_that_leave_the_pattern_are_refused(
    rig: Path, tmp_path: Path, flags: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        build_dataset(rig / "captures", tmp_path, "pocket", settings_of(rig, **flags), jobs=1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("raw_white", 0, "'raw_white' holds 0.0 in row 0, allowed are 1 to 65535"),
        ("raw_white", np.nan, "'raw_white' holds nan"),
        ("raw_black", 4095, "a level of black is not below that of white"),
        ("raw_cfa", 1, "'raw_cfa' holds .1, 1, 1, 1., no Bayer pattern"),
        ("raw_orientation", 9, "allowed are 1 to 8"),
        ("raw_margin_xy", -1, "'raw_margin_xy' holds"),
        ("raw_white_balance", np.inf, "'raw_white_balance' holds"),
        ("raw_color_matrix", np.inf, "'raw_color_matrix' holds"),
        ("raw_iso", -1, "'raw_iso' holds -1"),
        ("raw_exposure_s", 1e9, "'raw_exposure_s' holds"),
        ("raw_iso", None, "it holds 'phone_raw' and not 'raw_iso'"),
        ("phone_raw_file", "../a", "phone_raw_file"),
        ("phone_raw", (64, 64), "mosaics of 64 cells for patches of 64 px"),
    ],
)
def test_mosaics_that_no_sensor_has_are_refused(
    built: BuildReport, tmp_path: Path, name: str, value: object, words: str
) -> None:
    folder = shutil.copytree(built.folder, tmp_path / "pocket")
    shard = next(all_shards(folder))
    with h5py.File(shard, "r+") as file:
        if isinstance(value, tuple):
            count = len(file[name])
            del file[name]
            file[name] = np.zeros((count, *value, 4), np.uint16)
        elif value is None:
            del file[name]
        else:
            file[name][...] = value
    with pytest.raises(InputError, match=words):
        read_shard(shard)


def test_unknown_facts_stay_unknown(built: BuildReport, tmp_path: Path) -> None:
    captures, attributes = read_shard(next(all_shards(built.folder)))
    unknown = np.full(3, np.nan, np.float32)
    mosaic = dataclasses.replace(captures[0].mosaic, iso=float("nan"), exposure_s=float("nan"), white_balance=unknown)
    write_shard(tmp_path / "a.h5", [dataclasses.replace(c, mosaic=mosaic) for c in captures], attributes)
    back = read_shard(tmp_path / "a.h5")[0][0].mosaic
    assert back is not None and np.isnan([back.iso, back.exposure_s, *back.white_balance]).all()

"""The layout of the Zurich RAW-to-RGB set: out, in, and round again without losing a value."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_shards import make_dataset
from PIL import Image

from dped_data.captures.records import SPLITS
from dped_data.dataset.shards import read_shard
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.released import export_dped, import_dped
from dped_data.released.zrr import UNSAID, packed, simple_development, unpacked
from dped_train import PatchDataset

SIZE = 16
FACTS = ("black", "white", "cfa", "orientation", "margin_xy", "white_balance", "color_matrix", "iso", "exposure_s")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(
        tmp_path_factory.mktemp("data") / "toy", train=7, val=2, test=3, size=SIZE, mosaics=True, masked=True
    )


@pytest.fixture(scope="module")
def exported(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    return export_dped(dataset.parent, None, out, "zrr", image_format="png", jobs=1).folder


def test_trainers_of_the_zurich_set_read_it(dataset: Path, exported: Path) -> None:
    """As PyNET's loader takes the set apart: numbers from 0, one mosaic a file, red at even rows and columns."""
    store = PatchStore(dataset, "train")
    mosaics, dslr = store.read_mosaics(np.arange(7)), store.read(np.arange(7))[1]
    folders = exported / "train" / "huawei_raw", exported / "train" / "canon"
    assert [sorted(int(path.stem) for path in folder.iterdir()) for folder in folders] == [[*range(7)]] * 2
    for index in range(7):
        raw = np.asarray(Image.open(folders[0] / f"{index}.png"))
        assert raw.dtype == np.uint16 and raw.shape == (SIZE, SIZE)
        red, green_right, green_below, blue = raw[0::2, 0::2], raw[0::2, 1::2], raw[1::2, 0::2], raw[1::2, 1::2]
        assert np.array_equal(np.stack([red, green_right, green_below, blue], -1), mosaics[index])
        assert np.array_equal(np.asarray(Image.open(folders[1] / f"{index}.png")), dslr[index])
    assert not (exported / "train" / "lq").exists() and (exported / "mosaics.csv").is_file()


def test_jpegs_are_what_the_set_has(dataset: Path, tmp_path: Path) -> None:
    folder = export_dped(dataset.parent, None, tmp_path, "zrr", jobs=1).folder
    assert sorted(path.name for path in (folder / "test" / "canon").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]


def test_round_trip_keeps_counts_pairs_and_every_value(dataset: Path, exported: Path, tmp_path: Path) -> None:
    back = import_dped(exported.parent, "toy", tmp_path, jobs=1)
    assert back.manifest.totals["patches"] == 12 and not back.unpaired
    for split in SPLITS:
        stores = [PatchStore(folder, split) for folder in (dataset, back.folder)]
        rows = np.arange(len(stores[0]))
        assert len(stores[1]) == len(rows)
        assert np.array_equal(*(store.read_mosaics(rows) for store in stores))
        assert np.array_equal(*(store.read(rows)[1] for store in stores))
        for name in FACTS:
            assert np.array_equal(*(store.mosaic_facts(name) for store in stores), equal_nan=True), name
    phone = [PatchStore(folder, "train").read([0])[0] for folder in (dataset, back.folder)]
    assert np.corrcoef(*(patch.ravel() for patch in phone))[0, 1] > 0.9  # a simple development of the same mosaic


def test_the_set_itself_has_no_table_and_faults_are_rows(exported: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for camera in ("huawei_raw", "canon"):
            (tmp_path / "zrr" / split / camera).mkdir(parents=True)
            for name in ("0.png", "1.png"):
                data = (exported / split / camera / name).read_bytes()
                (tmp_path / "zrr" / split / camera / name).write_bytes(data)
    Image.new("L", (SIZE, SIZE), 9).save(tmp_path / "zrr" / "train" / "huawei_raw" / "1.png")
    report = import_dped(tmp_path / "zrr", "p20", tmp_path / "out", jobs=1)
    failed = [(row.capture_id, row.reason) for row in report.rows if row.status == "failed"]
    assert failed == [("train/1", "mosaic: is no grey picture of 16 bits")]
    store = PatchStore(report.folder, "train")
    assert np.array_equal(unpacked(store.read_mosaics([0])[0]), cv2.imread(exported / "train/huawei_raw/0.png", -1))
    assert store.mosaic_facts("white").tolist() == [1023] and np.isnan(store.mosaic_facts("white_balance")).all()


def test_a_table_that_is_damaged_is_named(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "zrr").symlink_to(exported)
    table = (exported / "mosaics.csv").read_text()
    (exported / "mosaics.csv").write_text(table.replace("4095", "white", 1))
    try:
        with pytest.raises(InputError, match=r"mosaics.csv: cannot be used .could not convert string to float"):
            import_dped(tmp_path / "zrr", "p20", tmp_path / "out", jobs=1)
    finally:
        (exported / "mosaics.csv").write_text(table)


def test_other_layouts_carry_mosaics(dataset: Path, tmp_path: Path) -> None:
    store = PatchStore(dataset, "train")
    mosaic = unpacked(store.read_mosaics([0])[0])
    folder = export_dped(dataset.parent, None, tmp_path / "f", "folders", jobs=1).folder
    assert np.array_equal(np.asarray(Image.open(folder / "train/mosaic/00000000.png")), mosaic)
    folder = export_dped(dataset.parent, None, tmp_path / "w", "webdataset", jobs=1).folder
    with tarfile.open(folder / "train-000000.tar") as tar:
        names = tar.getnames()[:5]
        assert names == [f"00000000.{kind}" for kind in ("phone.png", "dslr.png", "valid.png", "mosaic.png", "json")]
        files = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(files["00000000.mosaic.png"]))), mosaic)
    told = json.loads(files["00000000.json"])["mosaic"]
    assert told["raw_white"] == 4095 and [told[f"raw_black_{k}"] for k in range(4)] == [256, 250, 262, 256]
    assert export_dped(dataset.parent, None, tmp_path / "d", "dped", jobs=1).folder.is_dir()
    assert not [*(tmp_path / "d").rglob("*mosaic*")]


def test_parquet_carries_mosaics(dataset: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = export_dped(dataset.parent, None, tmp_path, "parquet", jobs=1).folder
    row = parquet.read_table(next((folder / "data").glob("test-00000-*"))).to_pylist()[0]
    mosaic = unpacked(PatchStore(dataset, "test").read_mosaics([0])[0])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["mosaic"]["bytes"]))), mosaic)
    assert json.loads(row["mosaic_facts"])["raw_iso"] == 200


def test_a_dataset_without_mosaics_has_no_such_layout(tmp_path: Path) -> None:
    make_dataset(tmp_path / "toy", train=2, val=0, test=0, size=SIZE)
    with pytest.raises(UsageError, match="--as zrr: .* holds no mosaics; it takes a dataset built with --phone-raw"):
        export_dped(tmp_path, None, tmp_path / "out", "zrr", jobs=1)


def test_a_simple_development_shows_the_colours() -> None:
    colour = np.array([0.2, 0.4, 0.1])
    counts = np.broadcast_to((colour[[0, 1, 1, 2]] * 1023).astype(np.uint16), (8, 8, 4))
    assert np.array_equal(packed(unpacked(counts)), counts)
    grey = simple_development(unpacked(counts), UNSAID)[8, 8]
    assert np.ptp(grey) <= 2
    known = UNSAID.__class__(**{**vars(UNSAID), "white_balance": np.ones(3, np.float32)})
    red, green, blue = simple_development(unpacked(counts), known)[8, 8].astype(int)
    assert abs(red - 124) <= 1 and abs(green - 170) <= 1 and abs(blue - 89) <= 1  # sRGB of 0.2, 0.4, 0.1


def test_torch_datasets_hold_mosaics(dataset: Path) -> None:
    pairs = PatchDataset(dataset, "train", mosaics=True)
    item, store = pairs[3], pairs.store
    light = (store.read_mosaics([3])[0] - np.float32([256, 250, 262, 256])) / (4095 - np.float32([256, 250, 262, 256]))
    assert np.array_equal(item["mosaic"].permute(1, 2, 0).numpy(), light) and item["mosaic"].shape == (4, 8, 8)
    assert "mosaic" not in PatchDataset(dataset, "train")[3]
    with pytest.raises(UsageError, match="a mosaic would not follow the transform"):
        PatchDataset(dataset, "train", mosaics=True, transform=lambda a, b: (a, b))


def test_shards_with_mosaics_are_read_as_they_were_written(dataset: Path) -> None:
    captures, _ = read_shard(dataset / "train" / "00000.h5")
    assert captures[0].phone_raw_file == "train-0-0.dng" and captures[0].patches.phone_raw is not None

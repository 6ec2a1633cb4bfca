"""Every kind of damage to a dataset is named; a sound one is made again from its photos, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from planted_dataset import PHONE, make_dataset

from dped_data.align.target_quality import measure_quality
from dped_data.common.files import sha256_of_file
from dped_data.inspection.verify import VerifyReport, verify_dataset, verify_text
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import write_photo


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    make_dataset(folder / "dataset", count=8, rejected=1, photos=folder / "captures")
    return folder


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "copy")


def verify(folder: Path, photos: bool = True) -> VerifyReport:
    return verify_dataset(folder / "dataset", PHONE, captures=folder / "captures" if photos else None, jobs=1)


def lines(report: VerifyReport) -> list[str]:
    return [fault.text_line for fault in report.faults]


def edit_manifest(folder: Path, edit: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    path = folder / "dataset" / PHONE / "dataset.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def damage_shard(folder: Path, name: str, edit: Callable[[h5py.File], None]) -> None:
    """Change a shard and put its new sha256 into the manifest, so that only the content can give it away."""
    path = folder / "dataset" / PHONE / name
    with h5py.File(path, "r+") as file:
        edit(file)

    def restate(document: dict) -> None:  # type: ignore[type-arg]
        entry = next(e for e in document["splits"][name.split("/")[0]]["shards"] if e["file"] == name)
        entry["sha256"], entry["bytes"] = sha256_of_file(path), path.stat().st_size

    edit_manifest(folder, restate)


def test_sound_dataset_is_made_again_byte_for_byte(sound: Path) -> None:
    report = verify(sound)
    assert lines(report) == []
    assert report.exit_status == 0
    assert report.patches == report.phone_patches == report.dslr_patches == 8 * 19
    assert verify_text(report).endswith("verdict: sound")


def test_without_photos_the_rest_is_checked_and_that_is_said(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound / "dataset", tmp_path / "dataset")
    report = verify_dataset(tmp_path / "dataset", PHONE, jobs=1)
    assert report.exit_status == 0
    assert report.phone_patches == 0
    assert report.not_recreated == {"the photos are not at hand": 8 * 19}


def test_flipped_byte_missing_shard_and_edited_manifest_are_each_named(copy: Path) -> None:
    folder = copy / "dataset" / PHONE
    shard = folder / "train" / "00000.h5"
    with h5py.File(shard) as file:
        place = file["dslr"].id.get_offset() + 5 * 30_000 + 1234  # a pixel of patch 5
    data = bytearray(shard.read_bytes())
    data[place] ^= 0x40
    shard.write_bytes(data)
    (folder / "val" / "00000.h5").unlink()
    edit_manifest(copy, lambda document: document["settings"]["patches"].update(min_ncc=0.5))
    report = verify(copy)
    text = "\n".join(lines(report))
    assert report.exit_status == 1
    assert "train/00000.h5: sha256 differs from the manifest" in text
    assert "train/00000.h5, patch 5 (capture c000): dslr pixels are not those of the photo" in text
    assert "val/00000.h5: missing" in text
    assert "dataset.json: the settings' digest is" in text
    assert not any("test/00000.h5" in line for line in lines(report))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["splits"]["train"].update(patches=1), "train has 1 patches, its shards 114"),
        (lambda d: d["totals"].update(patches=7), "totals say 7 patches"),
        (lambda d: d["totals"].update(rejected=3), "1 rejected, the manifest says 3"),
        (lambda d: d.update(phone="nokia"), "phone is 'nokia', the folder is 'sony'"),
        (lambda d: d["splits"]["test"]["shards"].clear(), "shard test/00000.h5 is on disk but not listed"),
        (lambda d: d["splits"]["val"]["shards"][0].update(sha256="0"), "val/00000.h5: sha256 differs"),
    ],
)
def test_edited_manifest_is_named(copy: Path, edit: Callable[[dict], None], message: str) -> None:  # type: ignore[type-arg]
    edit_manifest(copy, edit)
    assert message in "\n".join(lines(verify(copy, photos=False)))


def _set(name: str, row: int, value: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[name][row] = value

    return edit


def _add_quality(name: str, row: int, value: float) -> Callable[[h5py.File], None]:
    """Add a column that the shard lacks, true but for one row."""

    def edit(file: h5py.File) -> None:
        file[name] = measure_quality(file["phone"][:], file["dslr"][:]).columns()[name]
        file[name][row] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("ncc", 3, 0.5), "patch 3 (capture c000): correlation is not that of the pixels"),
        (_add_quality("sharpness", 5, 0.31), "patch 5 (capture c000): sharpness is not that of the pixels"),
        (_add_quality("light_ev", 5, np.nan), "patch 5 (capture c000): light_ev is not that of the pixels"),
        (_add_quality("dslr_clipped", 5, 0.1), "patch 5 (capture c000): dslr_clipped is not that of the pixels"),
        (_set("ncc", 3, np.nan), "patch 3 (capture c000): correlation is not between -1 and 1"),
        (_set("error_px", 20, -1.0), "patch 20 (capture c001): predicted error is not a positive number"),
        (_set("dslr_xy", 2, np.inf), "patch 2 (capture c000): geometry is not finite"),
        (_set("capture", 4, 99), "damaged shard, 'capture' holds 99 in row 4, allowed are 0 to 3"),
        (_set("phone_xy", 1, (0, 0)), "patch 0 (capture c000): the same window is stored more than once"),
        (_set("phone_xy", 1, (450, 0)), "damaged shard, 'phone_xy' holds [450, 0] in row 1, outside the phone photo"),
        (_set("phone_xy", 1, (3, 0)), "patch 1 (capture c000): phone pixels are not those of the photo"),
        (_set("window_xy", 1, (0, 0)), "1 duplicate windows"),
        (_set("window_reason", 0, 77), "damaged shard, 'window_reason' holds 77 in row 0, allowed are 0 to 10"),
    ],
)
def test_damaged_content_is_named(copy: Path, edit: Callable[[h5py.File], None], message: str) -> None:
    damage_shard(copy, "train/00000.h5", edit)
    assert message in "\n".join(lines(verify(copy, photos="pixels" in message or "geometry" in message)))


def test_changed_photo_is_named_and_missing_one_counted(copy: Path) -> None:
    path = copy / "captures" / PHONE / "c000.png"
    write_photo(path, read_photo(path)[:, ::-1].copy())
    (copy / "captures" / PHONE / "c001.png").unlink()
    report = verify(copy)
    assert "train/00000.h5, patch 0 (capture c000): phone pixels are not those of the photo" in lines(report)
    assert report.not_recreated == {"the photo is missing or cannot be read": 19}


@pytest.mark.parametrize("length", [0, 1000, 200_000])
def test_truncated_shard_is_named(copy: Path, length: int) -> None:
    shard = copy / "dataset" / PHONE / "train" / "00001.h5"
    shard.write_bytes(shard.read_bytes()[:length])
    text = "\n".join(lines(verify(copy, photos=False)))
    assert f"train/00001.h5: {length} bytes, the manifest says" in text
    assert "train/00001.h5: damaged shard" in text

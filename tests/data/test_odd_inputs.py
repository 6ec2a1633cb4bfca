"""Unusual photos build like any other; broken ones give one row, broken folders one line; the rest stays whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from photo_files import adobe_rgb_from_srgb, oriented, png_header
from PIL import ExifTags, Image
from small_rig import pair, write_rig

from dped_data import build_dataset
from dped_data.build import BuildReport
from dped_data.dataset.capture_table import CaptureRow
from dped_data.errors import InputError
from dped_data.photos.writing import write_photo
from dped_data.settings import load_build_settings

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> BuildReport:
    settings = load_build_settings(folder / "rig.toml", {"patch_size": 64, "pairing": "name"})
    return build_dataset(folder / "captures", folder / "dataset", "pocket", settings, jobs=1)


def row_of_000(folder: Path) -> CaptureRow:
    return next(row for row in build(folder).rows if row.capture_id == "000")


def with_orientation(path: Path, upright: NDArray[np.uint8], orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    write_photo(path, oriented(upright, orientation), exif=exif.tobytes())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pair_with_any_orientations_is_aligned(tmp_path: Path, orientation: int) -> None:
    write_rig(tmp_path, 1)
    phone, dslr = pair(0)
    with_orientation(tmp_path / "captures/pocket/000.jpg", phone, orientation)
    with_orientation(tmp_path / "captures/slr/000.jpg", dslr, 9 - orientation)
    row = row_of_000(tmp_path)
    assert row.status == "kept" and row.patches >= 8


def test_portrait_and_landscape_in_one_folder(tmp_path: Path) -> None:
    captures, _ = write_rig(tmp_path, 2)
    for camera, photo in zip(("pocket", "slr"), pair(1), strict=True):
        write_photo(captures / camera / "001.jpg", np.ascontiguousarray(np.rot90(photo)))
    report = build(tmp_path)
    assert [row.status for row in report.rows] == ["kept", "kept"]


@pytest.mark.parametrize("kind", ["grey", "cmyk", "16-bit png", "16-bit tiff", "adobe rgb", "alpha"])
def test_unusual_dslr_photos_are_aligned(tmp_path: Path, kind: str) -> None:
    captures, _ = write_rig(tmp_path, 1)
    _, dslr = pair(0)
    old = captures / "slr/000.jpg"
    old.unlink()
    if kind == "grey":
        Image.fromarray(cv2.cvtColor(dslr, cv2.COLOR_RGB2GRAY)).save(old)
    elif kind == "cmyk":
        Image.fromarray(dslr).convert("CMYK").save(old, quality=95)
    elif kind.startswith("16-bit"):
        cv2.imwrite(str(old.with_suffix(f".{kind[-4:].strip()}")), dslr[..., ::-1].astype(np.uint16) * 257)
    elif kind == "alpha":
        Image.fromarray(np.dstack([dslr, np.full(dslr.shape[:2], 200, np.uint8)])).save(old.with_suffix(".png"))
    else:
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: "R03"}
        write_photo(old, adobe_rgb_from_srgb(dslr), exif=exif.tobytes())
    row = row_of_000(tmp_path)
    assert row.status == "kept" and row.patches >= 8


def test_each_broken_photo_is_one_row_and_the_rest_is_whole(tmp_path: Path) -> None:
    captures, _ = write_rig(tmp_path, 6)
    good = (captures / "pocket/000.jpg").read_bytes()
    (captures / "pocket/000.jpg").write_bytes(good[: len(good) // 2])
    (captures / "pocket/001.jpg").write_bytes(b"")
    (captures / "pocket/002.jpg").write_text("a text file with a photo's name")
    Image.new("RGB", (1, 1)).save(captures / "pocket/003.jpg")
    (captures / "pocket/004.jpg").unlink()
    (captures / "pocket/004.png").write_bytes(png_header(60000, 60000))
    report = build(tmp_path)
    reasons = {row.capture_id: f"{row.status}: {row.reason}" for row in report.rows}
    assert reasons == {
        "000": "failed: phone photo: truncated JPEG",
        "001": "failed: phone photo: empty file (0 bytes)",
        "002": "failed: phone photo: not a photo (no known image format)",
        "003": "rejected: photo smaller than a patch",
        "004": "failed: phone photo: more than 250 megapixels",
        "005": "kept: None",
    }


def test_two_photos_with_one_stem_are_listed_not_guessed(tmp_path: Path) -> None:
    captures, _ = write_rig(tmp_path, 3)
    shutil.copy(captures / "pocket/001.jpg", captures / "pocket/001.JPEG")
    report = build(tmp_path)
    assert [row.capture_id for row in report.rows] == ["000", "002"]
    unpaired = (report.folder / "unpaired.csv").read_text()
    assert "pocket/001.jpg" in unpaired and "pocket/001.JPEG" in unpaired and "slr/001.jpg" in unpaired


@pytest.mark.parametrize("fault", ["missing", "empty"])
def test_a_camera_folder_that_is_missing_or_empty_is_one_line(tmp_path: Path, fault: str) -> None:
    captures, _ = write_rig(tmp_path, 1)
    shutil.rmtree(captures / "slr")
    if fault == "empty":
        (captures / "slr").mkdir()
    with pytest.raises(InputError, match="slr") as caught:
        build(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "dataset").exists()


def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    captures, toml = write_rig(tmp_path, 1)
    (captures / "slr").chmod(0)
    code = (
        "import os, sys\n"
        "import cli, dped_data.build, dped_data.dataset.summary, dped_data.captures.report, dped_data.settings\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"  # root may read everything: be nobody
        "sys.argv = ['dped', *sys.argv[1:]]\n"
        "cli.main()"
    )
    arguments = ["build-dataset", "--captures", str(captures), "--rig", str(toml), "--out", str(tmp_path / "dataset")]
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders are closed to others
        if os.getuid() == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):  # noqa: S108
            folder.chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    (captures / "slr").chmod(0o755)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "slr" in result.stderr and "ermission" in result.stderr

"""Anybody's pairs are found in their layouts and judged as they are: loose patches as patches, photos as captures."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from planted_dataset import PHONE, Fault, make_dataset, photo_pair
from test_remeasure import planted_pairs

from dped_data.common.csv_tables import read_table
from dped_data.errors import InputError
from dped_data.inspection import inspect_pairs, inspect_set
from dped_data.inspection.loose import MOST_PAGES
from dped_data.inspection.pair_layouts import find_pairs, read_pair
from dped_data.inspection.report import InspectReport
from dped_data.inspection.settings import InspectSettings
from dped_data.photos.writing import encode_photo, write_photo
from dped_data.released import export_dped, import_dped

COUNT = 50


@pytest.fixture(autouse=True)
def few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dped_data.inspection.loose_pipeline.MOST_PAGES", 6)


@pytest.fixture(scope="module")
def patches() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pairs of 64 px that lie within 0.2 px, but for the last six: three are shifted, three show another scene."""
    shifts = np.random.default_rng(3).uniform(-0.2, 0.2, (COUNT, 2))
    shifts[-6:-3] = (3.0, 1.0)
    phone, dslr = (side[:, 20:84, 20:84].copy() for side in planted_pairs(shifts))
    dslr[-3:] = dslr[:3]
    return phone, dslr


Half = NDArray[np.uint8]


@pytest.fixture(scope="module")
def sound() -> tuple[Half, Half]:
    shifts = np.random.default_rng(3).uniform(-0.2, 0.2, (COUNT, 2))
    phone, dslr = (side[:, 20:84, 20:84].copy() for side in planted_pairs(shifts))
    return phone, dslr


def put(there: Half, what: Half) -> None:
    there[...] = what.copy()


def move(patches: Half, which: slice, pixels: int) -> None:
    patches[which] = np.roll(patches[which], pixels, axis=2)


def brighter(patches: Half) -> Half:
    return (patches * 2.5).clip(0, 255).astype(np.uint8)


def blurred(patches: Half) -> Half:
    return np.stack([cv2.GaussianBlur(patch, (0, 0), 4.0) for patch in patches])


def larger(patches: Half) -> Half:
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), 0, 1.03)
    return np.stack([cv2.warpAffine(p, matrix, (64, 64), borderMode=cv2.BORDER_REFLECT) for p in patches])


def flat(patches: Half) -> Half:
    mean = patches.mean((1, 2), keepdims=True)
    return ((patches - mean) * 0.02 + mean).astype(np.uint8)


def write_pairs(
    patches: tuple[NDArray[np.uint8], NDArray[np.uint8]], phone: Path, dslr: Path, names: tuple[str, str] = ("", "")
) -> None:
    for folder, side, ending in zip((phone, dslr), patches, names, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        for k, patch in enumerate(side):
            write_photo(folder / f"{k:03d}{ending}.png", patch)


def states(report: InspectReport) -> dict[str, str]:
    return {check.name: check.status for check in report.checks if check.status != "pass"}


def test_loose_patches_are_judged_as_patches(
    patches: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path: Path
) -> None:
    write_pairs(patches, tmp_path / "p", tmp_path / "d")
    report = inspect_set(tmp_path / "p", tmp_path / "d", tmp_path / "report", jobs=1)
    assert report.kind == "patches"
    checks = {check.name: check for check in report.checks}
    assert not {"kept captures", "shifted captures", "residual field", "drift", "coverage", "predicted error"} & {
        *checks
    }
    assert checks["matching content"].status == "warn"  # 3 of 50, 2 % are allowed, 10 % fail
    assert checks["matching content"].measured == pytest.approx(3 / COUNT, abs=0.5 / COUNT)
    assert states(report).keys() <= {"matching content", "remaining shift"}
    worst = [capture.capture_id for capture in report.captures[:6]]
    assert {*worst[:3]} == {"047", "048", "049"} and {*worst[3:]} == {"044", "045", "046"}
    table = [row for _, row in read_table((tmp_path / "report" / "patches.csv").read_text(encoding="utf-8")).rows]
    assert len(table) == COUNT
    assert float(table[45]["shift_x_px"] or "nan") == pytest.approx(3.0, abs=0.1)
    assert (tmp_path / "report" / "pairs" / "00000" / "data.js").is_file()


UNTOLD = ("remaining shift", "matching content", "foreign content", "scale", "systematic shift", "sharpness", "look")
EIGHT = slice(0, 8)
"""Of 50: 16 %, where 10 % fail."""
PLANTED: dict[str, tuple[Callable[[Half, Half], None], dict[str, str]]] = {
    "nothing": (lambda phone, dslr: None, {}),
    "shift": (lambda phone, dslr: move(dslr, EIGHT, 3), {"remaining shift": "fail"}),
    "one shift of all": (
        lambda phone, dslr: move(dslr, slice(None), 1),
        {"remaining shift": "fail", "systematic shift": "fail"},
    ),
    "foreign cells": (
        lambda phone, dslr: put(dslr[EIGHT, :28, :28], dslr[20:28, :28, :28]),
        {"foreign content": "fail"},
    ),
    "few foreign cells": (
        lambda phone, dslr: put(dslr[:2, :28, :28], dslr[20:22, :28, :28]),
        {"foreign content": "warn"},
    ),
    "wrong scene": (lambda phone, dslr: put(dslr[EIGHT], dslr[20:28]), {"matching content": "fail"}),
    "clipped": (lambda phone, dslr: put(dslr[EIGHT], brighter(dslr[EIGHT])), {"exposure": "fail", "look": "fail"}),
    "blurred DSLR": (  # a blur of a quarter of a cell leaves some cells with little in common
        lambda phone, dslr: put(dslr[EIGHT], blurred(dslr[EIGHT])),
        {"sharpness": "fail", "foreign content": "warn"},
    ),
    "another size": (lambda phone, dslr: put(dslr, larger(dslr)), {"scale": "fail"}),
    "few measurable patches": (
        lambda phone, dslr: [put(side[5:], flat(side[5:])) for side in (phone, dslr)] and None,
        dict.fromkeys(UNTOLD, "unknown"),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_of_loose_patches_give_exactly_these_states(
    sound: tuple[Half, Half], tmp_path: Path, name: str
) -> None:
    plant, expected = PLANTED[name]
    phone, dslr = (side.copy() for side in sound)
    plant(phone, dslr)
    write_pairs((phone, dslr), tmp_path / "p", tmp_path / "d")
    assert states(inspect_set(tmp_path / "p", tmp_path / "d", tmp_path / "report", jobs=1)) == expected


def test_pages_are_written_of_the_worst_alone(
    patches: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path: Path
) -> None:
    """100,000 patches must stay under 2,000 files: seven a page, and no more pages than this."""
    write_pairs(patches, tmp_path / "p", tmp_path / "d")
    report = inspect_set(tmp_path / "p", tmp_path / "d", tmp_path / "report", jobs=1)
    assert len([*(tmp_path / "report" / "pairs").iterdir()]) == len(report.captures) == 6
    assert sum(report.summary.patches_by_split.values()) == COUNT
    assert MOST_PAGES * 7 + 40 < 2000


def test_our_own_patches_exported_and_imported_are_not_worse_for_it(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", count=4)
    before = inspect_pairs(tmp_path / "data", PHONE, tmp_path / "before", jobs=1)
    export_dped(tmp_path / "data", PHONE, tmp_path / "released")
    import_dped(tmp_path / "released", PHONE, tmp_path / "again", jobs=1)
    after = inspect_pairs(tmp_path / "again", PHONE, tmp_path / "after", jobs=1)
    assert (before.verdict, after.verdict) == ("pass", "pass")
    assert states(after) == {}
    assert after.summary.ce90_px == pytest.approx(before.summary.ce90_px, abs=0.05)


def test_a_patch_in_two_splits_leaks(patches: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path: Path) -> None:
    phone, dslr = (side[:-6] for side in patches)
    write_pairs((phone[:30], dslr[:30]), tmp_path / "train" / "lq", tmp_path / "train" / "gt")
    write_pairs((phone[30:], dslr[30:]), tmp_path / "test" / "lq", tmp_path / "test" / "gt")
    clean = inspect_set(tmp_path, None, tmp_path / "report", jobs=1)
    assert states(clean) == {} and clean.summary.patches_by_split["test"] == 14
    write_photo(tmp_path / "test" / "lq" / "again.png", phone[7])
    write_photo(tmp_path / "test" / "gt" / "again.png", dslr[7])
    leaking = inspect_set(tmp_path, None, tmp_path / "report", jobs=1)
    assert states(leaking) == {"split leakage": "fail"}
    assert [(leak.first, leak.second) for leak in leaking.summary.leaks] == [("train/007", "test/again")]


def test_photos_are_cut_into_patches_and_judged_as_captures(tmp_path: Path) -> None:
    for k in range(3):
        for camera, photo in zip(
            ("a", "b"), photo_pair(k, Fault(shift_px=(2.0, 0.0) if k == 1 else (0, 0)), (0, 0)), strict=True
        ):
            (tmp_path / camera).mkdir(exist_ok=True)
            write_photo(tmp_path / camera / f"{k}.png", photo)
    report = inspect_set(tmp_path / "a", tmp_path / "b", tmp_path / "report", jobs=1)
    assert report.kind == "captures" and report.captures[0].capture_id == "1"
    assert {check.name: check.captures for check in report.checks}["shifted captures"] == ("1",)


def tar_of(path: Path, files: dict[str, NDArray[np.uint8]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, pixels in files.items():
            data = encode_photo(pixels, ".png")
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("layout", ["suffix", "zrr", "dped", "tar"])
def test_layouts_of_paired_sets_are_found(
    patches: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path: Path, layout: str
) -> None:
    phone, dslr = (side[:4] for side in patches)
    larger = np.stack([cv2.resize(patch, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for patch in dslr])
    root = tmp_path / "set"
    if layout == "suffix":  # RealSR: one folder, the target twice as large
        write_pairs((phone, larger), root / "Test" / "2", root / "Test" / "2", ("_LR2", "_HR"))
    elif layout == "zrr":
        write_pairs((phone, dslr), root / "train" / "huawei_raw", root / "train" / "canon")
        for path in (root / "train" / "huawei_raw").glob("*.png"):
            mosaic = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(float) / 255) ** 2.2 * 1020
            cv2.imwrite(str(path), mosaic.astype(np.uint16))
    elif layout == "dped":
        write_pairs((phone[:2], dslr[:2]), root / "sony/training_data/sony", root / "sony/training_data/canon")
        write_pairs((phone, dslr), root / "sony/test_data/patches/sony", root / "sony/test_data/patches/canon")
    else:
        root.mkdir()
        for split in ("train", "test"):
            tar_of(
                root / f"{split}-000000.tar",
                {f"{k:06d}.{role}.png": side[k] for k in range(4) for role, side in (("phone", phone), ("dslr", dslr))},
            )
    pairs, alone = find_pairs(root, None)
    counts = {split: sum(pair.split == split for pair in pairs) for split in ("train", "test")}
    expected = {"suffix": (0, 4), "zrr": (4, 0), "dped": (2, 4), "tar": (4, 4)}[layout]
    assert (counts["train"], counts["test"], alone) == (*expected, 0)
    one, two, ratio = read_pair(pairs[0])
    assert one.shape == two.shape == (64, 64, 3)
    assert ratio == (2 if layout == "suffix" else 1)
    assert np.corrcoef(one.mean(2).ravel(), two.mean(2).ravel())[0, 1] > 0.8


def test_what_is_no_set_of_pairs_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="no pair found; halves of a pair have the same name"):
        find_pairs(tmp_path / "a", None)
    with pytest.raises(InputError, match="no such folder"):
        find_pairs(tmp_path / "a", tmp_path / "b")
    write_photo(tmp_path / "a" / "1.png", np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").write_bytes(b"no picture")
    report = inspect_set(tmp_path / "a", tmp_path / "b", tmp_path / "report", InspectSettings(), jobs=1)
    assert report.verdict == "fail" and report.summary.captures_by_status == {"kept": 0, "failed": 1}

"""Mosaics are judged by their levels and exposures; datasets without any are not asked."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from make_shards import make_dataset

from dped_data.dataset.places import all_shards
from dped_data.inspection.dataset_reader import open_dataset
from dped_data.inspection.mosaics import judge_mosaics, measure_mosaics
from dped_data.inspection.report import Check
from dped_data.inspection.settings import InspectSettings


def checks_of(folder: Path) -> dict[str, Check]:
    settings = InspectSettings()
    figures = measure_mosaics(folder, open_dataset(folder, None), settings)
    return {check.name: check for check in judge_mosaics(figures, settings)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_dataset(tmp_path / "toy", train=8, val=0, test=4, mosaics=True)
    for shard in all_shards(made):
        with h5py.File(shard, "r+") as file:  # a few cells see no light at all
            file["phone_raw"][:, :2] = file["raw_black"][0].astype(np.uint16)
    return made


def change(folder: Path, split: str, name: str, value: object) -> None:
    with h5py.File(next((folder / split).glob("*.h5")), "r+") as file:
        if name == "phone_raw":
            file[name][0] = value
        else:
            file[name][...] = value


def test_sound_mosaics_pass(folder: Path) -> None:
    checks = checks_of(folder)
    assert {name: check.status for name, check in checks.items()} == dict.fromkeys(
        ("RAW saturation", "RAW black level", "RAW exposures"), "pass"
    )
    assert checks["RAW exposures"].text.startswith("ISO 200 to 200, 0.0078 to 0.0078 s")
    assert checks["RAW saturation"].count == checks["RAW saturation"].of == 8


@pytest.mark.parametrize(
    ("split", "name", "value", "check", "status"),
    [
        ("train", "phone_raw", 4095, "RAW saturation", "warn"),
        ("train", "raw_black", 400.0, "RAW black level", "warn"),
        ("train", "raw_black", 700.0, "RAW black level", "fail"),
        ("test", "raw_iso", 800.0, "RAW exposures", "warn"),
        ("test", "raw_exposure_s", 1 / 2000, "RAW exposures", "fail"),
        ("test", "raw_iso", np.nan, "RAW exposures", "unknown"),
    ],
)
def test_what_is_wrong_is_found(folder: Path, split: str, name: str, value: object, check: str, status: str) -> None:
    change(folder, split, name, value)
    checks = checks_of(folder)
    assert checks[check].status == status
    assert all(other.status == "pass" for other in checks.values() if other.name != check)
    assert status == "unknown" or checks[check].captures


def test_datasets_without_mosaics_are_not_asked(tmp_path: Path) -> None:
    assert checks_of(make_dataset(tmp_path / "toy", train=4, val=0, test=2)) == {}

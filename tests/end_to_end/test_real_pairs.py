"""Real phone-DSLR pairs are aligned, mismatched ones yield nothing, and a rendered rig's error is what we say."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dped_data import PatchStore, build_dataset
from dped_data.align.records import WINDOW_REASONS
from dped_data.align_folders import align_folders
from dped_data.build import BuildReport
from dped_data.captures.records import SPLITS
from dped_data.inspection.remeasure import half_of, remeasure_shifts
from dped_data.settings import PAPER_RIG, BuildSettings, load_build_settings
from dped_data.simulation import SimulationSettings, score_dataset, simulate_rig

pytestmark = pytest.mark.realdata
POOR_TARGET = [WINDOW_REASONS.index(reason) for reason in ("clipped", "blurred", "light")]
EXAMPLES = Path(__file__).parents[2] / "examples"


def copy_pairs(pairs: list[tuple[Path, Path]], captures: Path) -> None:
    """Lay pairs out as captures of the City100 rig."""
    for index, files in enumerate(pairs):
        for camera, file in zip(("iphonex", "nikon"), files, strict=True):
            (captures / camera).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, captures / camera / f"{index:03d}.jpg")


def build_city100(captures: Path, out: Path) -> BuildReport:
    settings = load_build_settings(EXAMPLES / "city100.toml", {"pairing": "name"})
    return build_dataset(captures, out, "iphonex", settings, jobs=1)


def test_every_city100_pair_is_aligned_to_a_tenth_of_a_pixel(shared_data: Path, tmp_path: Path) -> None:
    captures = shared_data / "city100/captures"
    aligned = align_folders(captures / "iphonex", captures / "nikon", tmp_path, {"pairing": "name"}, jobs=1)
    report = aligned.build
    assert aligned.exit_status == 0 and (tmp_path / "report/index.html").is_file()
    assert report.manifest.totals["kept"] == report.manifest.totals["captures"] == 12
    assert report.manifest.totals["patches"] >= 300
    distances, poor = [], 0
    for split in SPLITS:
        store = PatchStore(report.folder, split)
        shifts = remeasure_shifts(*map(half_of, store.read(np.arange(len(store)))))
        for entry in store.shards:
            with store.opened(entry) as file:
                poor += int(np.isin(file["window_reason"][:], POOR_TARGET).sum())
        distances.append(np.linalg.norm(shifts.shift_px[shifts.measured], axis=1))
    assert poor <= 2  # of 400: all are genuine pairs
    distance = np.concatenate(distances)
    assert len(distance) >= 200  # there is texture enough to tell
    assert np.median(distance) <= 0.1


def test_crossed_pairs_yield_nothing(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "city100/captures"
    numbers = range(1, 13)
    pairs = [(folder / f"iphonex/{n:03d}.jpg", folder / f"nikon/{n % 12 + 1:03d}.jpg") for n in numbers]
    copy_pairs(pairs, tmp_path / "captures")
    report = build_city100(tmp_path / "captures", tmp_path / "out")
    assert report.manifest.totals["patches"] == 0
    assert all(row.status == "rejected" and row.stage and row.reason for row in report.rows)


def test_extreme_views_yield_nothing(shared_data: Path, tmp_path: Path) -> None:
    names = ("adam", "cat", "face", "girl")
    pairs = [(shared_data / f"must_reject/{n}A.jpg", shared_data / f"must_reject/{n}B.jpg") for n in names]
    copy_pairs(pairs, tmp_path / "captures")
    report = build_city100(tmp_path / "captures", tmp_path / "out")
    assert report.manifest.totals["patches"] == 0
    assert all(row.status == "rejected" and row.reason for row in report.rows)


def test_a_scene_with_depth_keeps_patches(shared_data: Path, tmp_path: Path) -> None:
    settings = load_build_settings(EXAMPLES / "two_cameras.toml", {})
    report = build_dataset(shared_data / "two_cameras/captures", tmp_path, "kvadra", settings, jobs=1)
    assert report.manifest.totals["patches"] >= 100


def test_a_rendered_rig_is_aligned_to_a_fraction_of_a_pixel(shared_data: Path, tmp_path: Path) -> None:
    simulation = SimulationSettings(count=4, scale=0.6)
    simulate_rig(shared_data / "photos", tmp_path / "rig", PAPER_RIG, "sony", simulation, jobs=1)
    build_dataset(tmp_path / "rig/captures", tmp_path / "out", "sony", BuildSettings(), jobs=1)
    score = score_dataset(tmp_path / "out", tmp_path / "rig", "sony", jobs=1)
    assert score.captures_kept == 4 and score.false_accepts == 0
    assert score.median_px is not None and score.median_px <= 0.1
    assert score.p99_px is not None and score.p99_px <= 0.7
    assert score.within_1 is not None and score.within_1 >= 0.995
    assert score.kept_share is not None and score.kept_share >= 0.65

"""The score of a dataset: errors put into the patches come out again, and windows are counted as stated."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from dped_data.align.records import Patches
from dped_data.common.patch_nodes import node_grid
from dped_data.dataset.capture_table import CaptureRow, write_captures
from dped_data.dataset.manifest import Manifest, ShardEntry, SplitEntry, write_manifest
from dped_data.dataset.shards import ShardCapture, write_shard
from dped_data.errors import InputError
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import write_photo
from dped_data.settings import Camera, Rig
from dped_data.simulation import SimulationSettings, Truth, read_truths, score_dataset, score_table, simulate_rig
from dped_data.simulation.patch_errors import measure_windows

RIG = Rig("small", "slr", (Camera("pocket", 320, 240), Camera("slr", 450, 300)))
SIZE = 40
Errors = Callable[[int], NDArray[np.float64]]


@pytest.fixture(scope="module")
def rig_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rig")
    (folder / "photos").mkdir()
    for name in ("astronaut", "coffee", "rocket"):
        write_photo(folder / "photos" / f"{name}.png", getattr(skimage.data, name)())
    settings = SimulationSettings(parallax=8.0, min_view=0.95, full_well=5000)
    simulate_rig(folder / "photos", folder, RIG, "pocket", settings, jobs=1)
    return folder


def windows_of(truth: Truth) -> NDArray[np.int64]:
    """Every third window of the grid through (5, 3) that shows one surface and lies in both photos."""
    grid = [(x, y) for y in range(3, 200, SIZE) for x in range(5, 280, SIZE)]
    kept = []
    for x, y in grid:
        points = truth.geometry.dslr_from_phone(node_grid(SIZE).reshape(-1, 2) + np.array([x, y]))
        if points.visible.all() and (points.surface == points.surface[0]).all():
            kept.append((x, y))
    return np.array(kept)


def write_dataset(folder: Path, truths: list[Truth], errors: Errors, swapped: bool = False) -> Path:
    """A dataset whose patches lie off the truth by `errors(count)` phone pixels, predicted as 0.1 more than that."""
    folder.mkdir(parents=True)
    (folder / "train").mkdir()
    captures, rows = [], []
    for i, truth in enumerate(truths):
        corners = windows_of(truth)
        nodes = corners[:, None] + node_grid(SIZE).reshape(-1, 2)
        off = errors(len(corners))
        scale = truth.geometry.local_scale(nodes.reshape(-1, 2)).reshape(len(corners), 25, 1)
        direction = np.array([0.6, -0.8])
        dslr_xy = truth.geometry.dslr_from_phone(nodes.reshape(-1, 2)).dslr_xy.reshape(len(corners), 25, 2)
        dslr_xy = dslr_xy + off[:, None, None] * scale * direction
        n = len(corners)
        blank = np.zeros((n, SIZE, SIZE, 3), np.uint8)
        patches = Patches(
            blank, blank, corners.astype(np.int32), dslr_xy.reshape(n, 5, 5, 2), np.zeros((n, 2), np.float32),
            np.zeros(n, np.float32), np.ones(n, np.float32), (off + 0.1).astype(np.float32),
            corners.astype(np.int32), np.zeros(n, np.uint8),
        )  # fmt: skip
        dslr_file = truths[(i + 1) % len(truths)].dslr_file if swapped else truth.dslr_file
        name = Path(truth.phone_file).stem
        captures.append(ShardCapture(name, truth.phone_file, dslr_file, "", "", (0, 0), (0, 0), np.eye(3), patches))
        rows.append(CaptureRow(name, truth.phone_file, dslr_file, "train", "kept", patches=n))
    count = sum(len(c.patches.ncc) for c in captures)
    write_shard(folder / "train" / "00000.h5", captures, {})
    entry = SplitEntry(len(captures), count, (ShardEntry("train/00000.h5", count, 0, ""),))
    empty = SplitEntry(0, 0, ())
    write_manifest(
        folder,
        Manifest(
            "pocket", "slr", SIZE, "built", "refined", "", {}, {}, {"train": entry, "val": empty, "test": empty}, {}, {}
        ),
    )
    write_captures(folder, rows)
    return folder


def test_errors_put_in_come_out(rig_dir: Path, tmp_path: Path) -> None:
    truths = read_truths(rig_dir)
    drawn: list[NDArray[np.float64]] = []

    def errors(count: int) -> NDArray[np.float64]:
        drawn.append(
            np.random.default_rng(len(drawn)).choice([0.02, 0.3, 0.8, 2.0, 7.0], count, p=[0.5, 0.2, 0.1, 0.1, 0.1])
        )
        return drawn[-1]

    score = score_dataset(write_dataset(tmp_path / "dataset" / "pocket", truths, errors), rig_dir, jobs=1)
    put_in = np.concatenate(drawn)
    assert (score.captures, score.captures_kept, score.captures_mismatched) == (3, 3, 0)
    assert score.kept == len(put_in) > 40
    assert score.useful == (put_in < 1).sum()
    assert score.median_px == pytest.approx(np.median(put_in), abs=1e-6)
    assert score.max_px == pytest.approx(7.0, rel=1e-3) and score.worst_node_px == pytest.approx(7.0, rel=1e-3)
    for measured, limit in ((score.within_half, 0.5), (score.within_1, 1), (score.within_5, 5)):
        assert measured == pytest.approx((put_in <= limit).mean())
    assert score.false_accepts == (put_in > 5).sum() > 0
    assert score.straddling == 0
    assert [b.patches for b in score.calibration] == [len(g) for g in np.array_split(put_in, 5)]
    first = score.calibration[0]
    assert first.predicted_rms_px == pytest.approx(0.12, abs=1e-4) and first.true_rms_px == pytest.approx(
        0.02, abs=1e-4
    )
    assert score.useful_yield == pytest.approx(score.useful / score.oracle_windows)
    assert score.kept_share == pytest.approx(score.kept / score.overlap_windows)
    assert json.loads(json.dumps(dataclasses.asdict(score)))["kept"] == score.kept
    table = score_table(score)
    assert f"{score.kept}" in table and "99 %" in table and len(table.splitlines()) == 13


def test_patches_of_mismatched_captures_are_false_accepts(rig_dir: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "pocket", read_truths(rig_dir), np.zeros, swapped=True)
    score = score_dataset(tmp_path, rig_dir, "pocket", jobs=1)
    assert (score.captures, score.captures_mismatched, score.kept) == (0, 3, 0)
    assert score.false_accepts > 40 and score.median_px is None and score.useful_yield is None
    assert "3 mismatched" in score_table(score)
    assert score == score_dataset(folder, rig_dir, jobs=1)


def test_rejected_captures_still_count_their_oracle_windows(rig_dir: Path, tmp_path: Path) -> None:
    truths = read_truths(rig_dir)
    folder = write_dataset(tmp_path / "pocket", truths[:1], np.zeros)
    alone = score_dataset(folder, rig_dir, jobs=1)
    rows = [CaptureRow(Path(t.phone_file).stem, t.phone_file, t.dslr_file, "train", "rejected") for t in truths[1:]]
    first = CaptureRow(Path(truths[0].phone_file).stem, truths[0].phone_file, truths[0].dslr_file, "train", "kept")
    write_captures(folder, [first, *rows])
    score = score_dataset(folder, rig_dir, jobs=1)
    assert (score.captures, score.captures_kept) == (3, 1)
    assert score.kept == alone.kept and score.oracle_windows > 1.5 * alone.oracle_windows


def test_windows_of_the_oracle_lie_in_both_photos_on_one_surface(rig_dir: Path) -> None:
    for truth in read_truths(rig_dir):
        phone, dslr = (read_photo(rig_dir / "captures" / f) for f in (truth.phone_file, truth.dslr_file))
        windows = measure_windows(truth.geometry, phone, dslr, (7, 9), SIZE, SIZE)
        assert set(windows.xy[:, 0] % SIZE) == {7} and set(windows.xy[:, 1] % SIZE) == {9}
        assert windows.oracle.sum() > 5
        for (x, y), oracle, one in zip(windows.xy, windows.oracle, windows.one_surface, strict=True):
            dense = np.stack(np.meshgrid(np.arange(x, x + SIZE), np.arange(y, y + SIZE)), -1).reshape(-1, 2)
            points = truth.geometry.dslr_from_phone(dense.astype(np.float64))
            assert (points.dslr_xy >= 0).all() and (points.dslr_xy <= (449, 299)).all()
            assert one == (points.visible.all() and len(np.unique(points.surface)) == 1)
            assert one or not oracle
        shifted = measure_windows(truth.geometry, np.roll(phone, 6, axis=1), dslr, (7, 9), SIZE, SIZE)
        assert shifted.oracle.sum() < windows.oracle.sum() / 2  # the exact map of another photo correlates no more


def test_without_an_origin_the_grid_starts_at_the_overlap(rig_dir: Path) -> None:
    truth = read_truths(rig_dir)[0]
    phone, dslr = (read_photo(rig_dir / "captures" / f) for f in (truth.phone_file, truth.dslr_file))
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).reshape(-1, 2).astype(np.float64)
    points = truth.geometry.dslr_from_phone(grid).dslr_xy
    inside = ((points >= 0) & (points <= (449, 299))).all(axis=1)
    windows = measure_windows(truth.geometry, phone, dslr, None, SIZE, SIZE)
    assert set(windows.xy[:, 0] % SIZE) == {int(grid[inside, 0].min()) % SIZE}
    assert set(windows.xy[:, 1] % SIZE) == {int(grid[inside, 1].min()) % SIZE}


def test_a_dataset_of_another_rig_is_refused(rig_dir: Path, tmp_path: Path) -> None:
    truth = dataclasses.replace(read_truths(rig_dir)[0], phone_file="pocket/9999.jpg")
    folder = write_dataset(tmp_path / "pocket", [truth], np.zeros)
    with pytest.raises(InputError, match="is not part of the rig"):
        score_dataset(folder, rig_dir, jobs=1)
    with pytest.raises(InputError, match="no dataset there"):
        score_dataset(tmp_path / "nothing", rig_dir, jobs=1)

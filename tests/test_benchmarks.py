"""The benchmark measures what it says: naive patches are placed rightly, and a small run gives its tables."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from comparing import Machine, Run, add_options, finish, this_machine  # noqa: E402
from naive_builder import REACH, SIZE, _turn, crop_to_intersection  # noqa: E402
from naive_score import naive_nodes  # noqa: E402
from stages import STAGES, Clock  # noqa: E402

from dped_data.simulation.geometry import draw_geometry  # noqa: E402
from dped_data.simulation.settings import SimulationSettings  # noqa: E402
from dped_data.simulation.truth import Truth  # noqa: E402


def coordinates(width: int, height: int) -> np.ndarray:
    """A photo whose pixels hold their own x and y."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y, np.zeros_like(x)], axis=-1)


@pytest.mark.parametrize(("angle_deg", "scale"), [(0.0, 1.2), (-1.0, 1.45), (0.5, 1.1)])
def test_naive_patches_are_placed_as_the_naive_builder_cuts_them(angle_deg: float, scale: float) -> None:
    """Photos of coordinates go through the builder's own steps; their patches then say where they come from."""
    view = scale * 420 / 560
    settings = SimulationSettings(distortion=0.0, warp_px=0.0, min_view=view, max_view=view)
    geometry = draw_geometry(np.random.default_rng(4), (420, 320), (560, 420), settings)
    phone_from_dslr = np.linalg.inv(np.array(geometry.homography).reshape(3, 3))
    crops = crop_to_intersection(coordinates(420, 320), coordinates(560, 420), phone_from_dslr)  # type: ignore[arg-type]
    assert crops is not None
    x, y, match_x, match_y = 100, 100, 103, 98
    left, top = x - REACH, y - REACH
    turned = cv2.warpAffine(crops.phone, _turn(x, y, left, top, angle_deg), (SIZE + 2 * REACH, SIZE + 2 * REACH))
    steps = np.round(np.linspace(0, SIZE - 1, 5)).astype(int)
    phone_xy = turned[match_y - top :, match_x - left :][steps][:, steps, :2].reshape(-1, 2)
    dslr_xy = crops.dslr[y:, x:][steps][:, steps, :2].reshape(-1, 2)
    truth = Truth("p/a.jpg", "d/a.jpg", ("a",), 1.0, geometry, None)  # type: ignore[arg-type]
    row = [crops.x, crops.y, x, y, match_x, match_y, angle_deg, 1.0]
    phone_nodes, dslr_nodes = naive_nodes([float(n) for n in row], phone_from_dslr, truth)
    corners = [0, 4, 20, 24]  # the other nodes lie between pixels
    for nodes, measured in ((phone_nodes, phone_xy), (dslr_nodes, dslr_xy)):
        off = nodes[corners] - measured[corners]  # OpenCV rounds places to 1/32 px and areas to less
        assert np.abs(off).max() < 0.15
        assert np.abs(off.mean(axis=0)).max() < 0.06


def test_a_stage_within_another_one_counts_for_itself() -> None:
    clock = Clock()

    def work() -> float:
        return float(sum(np.sqrt(np.arange(50_000.0)).sum() for _ in range(20)))

    inner = clock.timed("inner", work)
    outer = clock.timed("outer", lambda: inner() + inner())
    assert outer() == 2 * work()
    clock.timed("work", work)()
    assert 0 < clock.seconds["outer"] < 0.5 * clock.seconds["inner"]
    assert clock.seconds["inner"] > clock.seconds["work"]
    assert all(callable(getattr(module, name)) for _, module, names in STAGES for name in names)


def test_a_small_run_prints_its_tables(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "alignment.py"), "--families", "homography", "--captures", "2"]
    command += ["--scale", "0.2", "--jobs", "1", "--json", str(tmp_path / "figures.json")]
    command += ["--crossings", "2", "--naive-crossings", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["builder"] for row in figures["results"]] == ["naive", "dped"]
    assert [row["builder"] for row in figures["crossed"]] == ["naive", "dped"]
    dped = figures["results"][-1]
    assert dped["identical"] and dped["score"]["oracle_windows"] > 10 and dped["peak_mb"] > 50
    assert done.stdout.count("| homography") == 4  # figures of both builders, then calibration and contrast of dped
    assert "crossed captures" in done.stdout


HERE = Machine("a processor", ("avx2",), 2, 1, {}, {"torch": "2"})
BEFORE = Run("training", HERE, {"plain": 4.0, "ours": 2.0, "gone": 1.0}, "plain")


def against(before: Run, now: Run, folder: Path) -> int:
    parser = argparse.ArgumentParser()
    add_options(parser)
    file = str(folder / "run.json")
    assert finish(before, parser.parse_args(["--save", file])) == 0
    return finish(now, parser.parse_args(["--against", file]))


@pytest.mark.parametrize(
    ("here", "seconds", "slower"),
    [
        (HERE, {"plain": 4.2, "ours": 2.3}, "ours"),
        (HERE, {"plain": 4.2, "ours": 2.1}, ""),
        (replace(HERE, versions={"torch": "3"}), {"plain": 5.0, "ours": 2.1}, "plain"),
        (replace(HERE, processor="another"), {"plain": 40.0, "ours": 20.0}, ""),
        (replace(HERE, limits={"ONEDNN_MAX_CPU_ISA": "AVX2"}), {"plain": 4.0, "ours": 2.3}, "ours"),
    ],
)
def test_what_became_slower_is_said(
    here: Machine, seconds: dict[str, float], slower: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert against(BEFORE, Run("training", here, seconds, "plain"), tmp_path) == bool(slower)
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines() if line.endswith("  slower")] == slower.split()
    assert "a processor (avx2), 2 cores, 1 threads" in told and "not measured now: gone" in told


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is of training, this one of kernels"):
        against(BEFORE, replace(BEFORE, benchmark="kernels"), tmp_path)
    with pytest.raises(SystemExit, match="seconds of another machine say nothing here"):
        against(replace(BEFORE, yardstick=""), Run("training", replace(HERE, threads=2), {"ours": 1.0}), tmp_path)


def test_the_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    machine = this_machine(2)
    assert machine.processor and machine.versions["python"] == sys.version.split()[0]
    assert "2 threads, ONEDNN_MAX_CPU_ISA=AVX2" in str(machine)

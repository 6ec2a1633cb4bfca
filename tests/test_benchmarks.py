"""The benchmark measures what it says: naive patches are placed rightly, and a small run gives its tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from naive_builder import REACH, SIZE, _turn, crop_to_intersection  # noqa: E402
from naive_score import naive_nodes  # noqa: E402

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

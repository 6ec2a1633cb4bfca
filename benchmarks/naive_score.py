"""Score the patches of naive_builder.py (or of a script with the same command line and output) against the truth."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
from naive_builder import SIZE
from numpy.typing import NDArray

from dped_data.common.patch_nodes import node_grid
from dped_data.photos.reading import read_photo
from dped_data.simulation.patch_errors import measure_windows, patch_errors
from dped_data.simulation.score import CaptureScore, Score, combine
from dped_data.simulation.truth import CAPTURES_FOLDER, Truth, read_truths


@dataclass(frozen=True)
class NaiveRun:
    """What a run of the naive builder gave: rows per stem, homography (DSLR to phone) per stem, seconds per pair."""

    rows: dict[str, list[list[float]]]
    homographies: dict[str, NDArray[np.float64]]
    seconds: list[float]


def run_naive(script: Path, phone_dir: Path, dslr_dir: Path, out: Path) -> NaiveRun:
    """Run the naive builder in a process of its own, with the threads it likes, and read what it wrote."""
    command = [sys.executable, str(script), str(phone_dir), str(dslr_dir), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with h5py.File(out) as file:
        table = json.loads(file.attrs["rows"])
    log = json.loads(Path(f"{out}.log.json").read_text())
    rows: dict[str, list[list[float]]] = {entry["pair"]: [] for entry in log}
    for stem, *numbers in table:
        rows[stem].append([float(n) for n in numbers])
    homographies = {entry["pair"]: np.array(entry["H"]) for entry in log if entry.get("H") is not None}
    return NaiveRun(rows, homographies, [float(entry["total"]) for entry in log])


def score_naive(run: NaiveRun, rig_dir: Path) -> Score:
    """Score a run on a simulated rig; the oracle's windows are those of the naive builder's own grid."""
    return combine([_score_capture(run, truth, rig_dir) for truth in read_truths(rig_dir)])


def _score_capture(run: NaiveRun, truth: Truth, rig_dir: Path) -> CaptureScore:
    stem = Path(truth.phone_file).stem
    phone, dslr = (read_photo(rig_dir / CAPTURES_FOLDER / f) for f in (truth.phone_file, truth.dslr_file))
    rows = run.rows[stem]
    origin = (int(rows[0][0]), int(rows[0][1])) if rows else None
    windows = measure_windows(truth.geometry, phone, dslr, origin, SIZE, SIZE)
    nodes = [naive_nodes(row, run.homographies[stem], truth) for row in rows]
    phone_xy = np.array([phone_nodes for phone_nodes, _ in nodes]).reshape(-1, 25, 2)
    dslr_xy = np.array([dslr_nodes for _, dslr_nodes in nodes]).reshape(-1, 25, 2)
    errors = patch_errors(truth.geometry, phone_xy, dslr_xy)
    nothing = np.empty(0)  # the naive builder predicts no error
    return CaptureScore(
        errors.rms_px, errors.worst_px, errors.one_surface, nothing, len(windows.xy), int(windows.oracle.sum())
    )


def naive_nodes(
    row: list[float], phone_from_dslr: NDArray[np.float64], truth: Truth
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where a naive patch's nodes lie: (25, 2) in the phone photo and (25, 2) in the DSLR photo.

    The phone patch was cut at (match x, match y) from the phone crop turned about the window's middle; the DSLR patch
    at (window x, window y) from the crop of the warped DSLR photo, shrunk to phone pixels.
    """
    crop_x, crop_y, x, y, match_x, match_y, angle_deg = row[:7]
    nodes = node_grid(SIZE).reshape(-1, 2)
    turn = cv2.getRotationMatrix2D((x + SIZE / 2 - 0.5, y + SIZE / 2 - 0.5), angle_deg, 1.0)
    back = cv2.invertAffineTransform(turn)
    phone_xy = (nodes + np.array([match_x, match_y])) @ back[:, :2].T + back[:, 2] + (crop_x, crop_y)
    lens, dslr = truth.geometry.phone, truth.geometry.dslr
    scale = 1 / math.sqrt(abs(np.linalg.det(phone_from_dslr[:2, :2])))
    w, h = dslr.width_px, dslr.height_px
    outline = np.array([[[0, 0], [w, 0], [w, h], [0, h]]], np.float32)
    corners = cv2.perspectiveTransform(outline, phone_from_dslr)[0]
    right, bottom = int(min(lens.width_px, *corners[1:3, 0])), int(min(lens.height_px, *corners[2:, 1]))
    first = np.array([int(crop_x * scale), int(crop_y * scale)])
    cut = np.array([int(right * scale), int(bottom * scale)]) - first
    shrink = cut / np.array([right - crop_x, bottom - crop_y])
    warped_xy = (nodes + np.array([x, y]) + 0.5) * shrink - 0.5 + first
    back_to_dslr = np.linalg.inv(np.diag([scale, scale, 1.0]) @ phone_from_dslr)
    return phone_xy, cv2.perspectiveTransform(warped_xy[None], back_to_dslr)[0]

"""What all captures share is told from what each has of its own: shift, field, drift, calibration, look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rice

from dped_data.align.records import WINDOW_REASONS
from dped_data.dataset.capture_table import CaptureRow
from dped_data.inspection.ranking import rank_captures
from dped_data.inspection.records import CaptureFigures, ListedCapture, Look, PatchSample
from dped_data.inspection.report import Check, Summary
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.summary import summarise
from dped_data.inspection.verdict import judge

SIZE, WIDTH, HEIGHT = 100, 1200, 900
CORNERS = np.array([(x, y) for y in range(0, HEIGHT, SIZE) for x in range(0, WIDTH, SIZE)], np.int32)


def figures(number: int, shift_px: NDArray[np.float64], time_s: float | None = None) -> CaptureFigures:
    """A capture with one measured patch per window, shifted by `shift_px` (a vector, or one per patch)."""
    count = len(CORNERS)
    rng = np.random.default_rng(number)
    measured = np.broadcast_to(shift_px, (count, 2)) + rng.normal(0, 0.05, (count, 2))
    row = CaptureRow(f"c{number:03d}", "p.jpg", "d.jpg", "train", "kept", windows=count, patches=count)
    error_px = np.full(count, 0.07, np.float32)
    sample = PatchSample(
        position=np.arange(count),
        phone_xy=CORNERS,
        error_px=error_px,
        before_px=np.full((count, 2), np.nan, np.float32),
        shift_px=measured.astype(np.float32),
        deviation_px=np.full(count, 0.01, np.float32),
        correlation=np.full(count, 0.95, np.float32),
        measured=np.ones(count, bool),
        matched=np.ones(count, bool),
        contrast=np.full(count, 20, np.float32),
        looked=np.ones(count, bool),
        told=np.ones(count, bool),
        foreign=np.zeros(count, np.int32),
        scale=np.zeros(count, np.float32),
        sharpness=np.ones(count, np.float32),
    )
    ratio = rng.normal(1.1, 0.01, 3)
    look = Look(np.array([100.0, 110, 120]), np.array([100.0, 110, 120]) * ratio, 0.01, 0.01, np.eye(3, 4))
    return CaptureFigures(
        listed=ListedCapture(row, number, "train/00000.h5", 0),
        phone_wh=(WIDTH, HEIGHT),
        ncc=np.full(count, 0.97, np.float32),
        error_px=error_px,
        windows=(count, *[0] * (len(WINDOW_REASONS) - 1)),
        sample=sample,
        look=look,
        view=None,
        time_s=time_s,
    )


def judged(captures: list[CaptureFigures]) -> tuple[Summary, dict[str, Check]]:
    settings = InspectSettings()
    summary = summarise(captures, SIZE, settings)
    _, checks = judge(summary, rank_captures(captures, summary, settings), settings)
    return summary, {check.name: check for check in checks}


def test_without_faults_everything_passes_and_the_prediction_is_calibrated() -> None:
    summary, checks = judged([figures(k, np.zeros(2), 60.0 * k) for k in range(12)])
    assert {check.status for check in checks.values()} == {"pass"}
    assert summary.ce90_px == pytest.approx(0.05 * 2.146, rel=0.1)  # 90 % of a normal vector
    assert summary.calibration == pytest.approx(1.0, abs=0.1)
    assert summary.drift_px is not None
    assert summary.drift_px < 0.1


def test_before_and_after_are_told_of_the_same_patches() -> None:
    captures = [figures(k, np.array([0.1, 0.0])) for k in range(6)]
    assert judged(captures)[0].gain is None  # nothing is known of before
    known = np.where(CORNERS[:, :1] < WIDTH / 2, (-2.0, 0.0), (np.nan, np.nan)).astype(np.float32)
    halves = []
    for f in captures:
        assert f.sample is not None
        halves.append(replace(f, sample=replace(f.sample, before_px=known)))
    summary, _ = judged(halves)
    assert summary.gain is not None
    assert summary.gain.count == 6 * len(CORNERS) // 2
    assert summary.gain.before_px == pytest.approx(2.0)
    assert summary.gain.after_px == pytest.approx(rice.ppf(0.9, 2, scale=0.05), rel=0.1)
    left, right = summary.field[0], summary.field[-1]
    assert (left.before_dx_px, left.before_dy_px) == (-2.0, 0.0)
    assert (right.before_dx_px, right.before_dy_px) == (None, None)


def test_drift_over_the_shooting_is_measured_in_pixels() -> None:
    ramp = [figures(k, np.array([0.0, 0.8 * k / 15]), 60.0 * k) for k in range(16)]
    summary, checks = judged(ramp)
    assert summary.drift_px == pytest.approx(0.8, abs=0.05)
    assert checks["drift"].status == "fail"
    untimed = [replace(f, time_s=None) for f in ramp]
    assert judged(untimed)[0].drift_px is None


def test_lens_fault_shows_in_the_field_and_not_as_a_shared_shift() -> None:
    """Barrel distortion: the corners point inwards, the middle stays."""
    centre = (CORNERS + SIZE / 2 - np.array([WIDTH, HEIGHT]) / 2) / (WIDTH / 2)
    radial = -1.2 * centre * (centre**2).sum(1, keepdims=True)
    summary, checks = judged([figures(k, radial) for k in range(8)])
    assert checks["residual field"].status == "fail"
    assert checks["systematic shift"].status == "pass"
    corner = summary.field[0]
    assert corner.dx_px > 0.3  # top left points to the middle
    assert corner.dy_px > 0.2


def test_one_shifted_capture_is_not_called_systematic() -> None:
    captures = [figures(k, np.array([2.0, 0.0]) if k == 3 else np.zeros(2)) for k in range(8)]
    _, checks = judged(captures)
    assert checks["systematic shift"].status == "pass"
    assert checks["shifted captures"].captures == ("c003",)


def test_few_captures_are_never_called_systematic() -> None:
    summary, checks = judged([figures(k, np.array([1.0, 0.0])) for k in range(3)])
    assert summary.systematic_px is None
    assert {*checks["shifted captures"].captures} == {"c000", "c001", "c002"}


def test_colour_outlier_is_named() -> None:
    captures = [figures(k, np.zeros(2)) for k in range(9)]
    look = captures[4].look
    assert look is not None
    captures[4] = replace(captures[4], look=replace(look, dslr_rgb=look.dslr_rgb * (1.5, 1, 0.8)))
    _, checks = judged(captures)
    assert checks["look"].captures == ("c004",)
    assert checks["look"].status == "warn"


def test_prediction_that_is_far_too_good_is_named() -> None:
    too_good = np.full(len(CORNERS), 0.005, np.float32)
    bold = []
    for capture in (figures(k, np.zeros(2)) for k in range(6)):
        assert capture.sample is not None
        bold.append(replace(capture, error_px=too_good, sample=replace(capture.sample, error_px=too_good)))
    assert judged(bold)[1]["predicted error"].status == "warn"


def test_dataset_without_captures_is_judged_and_fails() -> None:
    summary, checks = judged([])
    assert summary.ce90_px is None
    assert checks["patches"].status == "fail"

"""Planted faults are found, named and ranked first; a clean dataset passes."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from planted_dataset import DSLR, PHONE, Fault, make_dataset

from dped_data.errors import InputError, UsageError
from dped_data.inspection.dataset_reader import open_dataset, stored_captures
from dped_data.inspection.pipeline import inspect_captures, inspect_pairs, redraw_report
from dped_data.inspection.records import ListedCapture, StoredCapture
from dped_data.inspection.report import Check, Histogram, InspectReport
from dped_data.inspection.report_files import as_json
from dped_data.inspection.settings import InspectSettings, load_inspect_settings
from dped_data.inspection.terminal import sparkline, terminal_text
from dped_data.photos.preview import read_preview

FAULTS = {2: Fault(shift_px=(3.0, 0.0)), 5: Fault(scene=40), 7: Fault(exposure=2.5)}


def check_named(report: InspectReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> InspectReport:
    folder = tmp_path_factory.mktemp("clean")
    return inspect_pairs(make_dataset(folder / "dataset"), PHONE, folder / "report", jobs=1)


@pytest.fixture(scope="module")
def faulty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    make_dataset(folder / "dataset", count=12, faults=FAULTS, rejected=2)
    return folder


@pytest.fixture(scope="module")
def faulty(faulty_folder: Path) -> InspectReport:
    return inspect_pairs(faulty_folder / "dataset", PHONE, faulty_folder / "report", jobs=1)


def test_clean_dataset_passes(clean: InspectReport) -> None:
    assert clean.verdict == "pass"
    assert clean.exit_status == 0
    assert {check.name for check in clean.checks if check.status != "pass"} == {"drift"}  # no photos, so no times
    assert (clean.weakest, check_named(clean, "drift").status) == ("drift", "unknown")
    assert clean.summary.ce90_px is not None
    assert clean.summary.ce90_px < 0.05
    assert clean.summary.windows_by_reason["texture"] == 8
    assert not any(capture.flags for capture in clean.captures)


def test_planted_faults_are_named_and_come_first(faulty: InspectReport) -> None:
    assert faulty.verdict == "fail"
    assert faulty.exit_status == 1
    flags = {capture.capture_id: capture.flags for capture in faulty.captures[:3]}
    assert flags.keys() == {"c002", "c005", "c007"}
    assert "shifted" in flags["c002"]
    assert "no match" in flags["c005"]
    assert {"clipped", "brightness"} <= {*flags["c007"]}
    assert not any(capture.flags for capture in faulty.captures[5:])
    assert check_named(faulty, "shifted captures").captures == ("c002",)
    assert check_named(faulty, "shifted captures").measured == pytest.approx(3.0, abs=0.03)
    assert check_named(faulty, "matching content").captures == ("c005",)
    assert check_named(faulty, "exposure").captures == ("c007",)
    assert check_named(faulty, "systematic shift").status == "pass"


def test_rejected_captures_come_after_harmful_ones_with_their_reason(faulty: InspectReport) -> None:
    rejected = faulty.captures[3:5]
    assert [capture.capture_id for capture in rejected] == ["r000", "r001"]
    assert rejected[0].reason == "homography: too few inliers"
    assert faulty.summary.reasons == {"homography: too few inliers": 2}


def test_shift_beyond_the_search_does_not_pass_as_unmeasurable(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", count=5, faults={1: Fault(shift_px=(11.0, 0.0))})
    report = inspect_pairs(dataset, PHONE, tmp_path / "report", jobs=1)
    assert report.captures[0].capture_id == "c001"
    assert "no match" in report.captures[0].flags
    assert report.verdict == "fail"


def test_shift_of_all_captures_is_named_systematic(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", shared_shift=(1.0, 0.0))
    report = inspect_pairs(dataset, PHONE, tmp_path / "report", jobs=1)
    check = check_named(report, "systematic shift")
    assert check.status == "fail"
    assert check.text.startswith("SYSTEMATIC")
    assert report.summary.systematic_px == pytest.approx((1.0, 0.0), abs=0.02)
    assert report.summary.random_px == pytest.approx(0.0, abs=0.05)
    assert not check_named(report, "shifted captures").captures  # the fault is the rig's, not the captures'


def test_one_scene_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    """The first capture (train) and the last (test) show the same scene, the camera turned by a few pixels."""
    dataset = make_dataset(tmp_path / "dataset", faults={7: Fault(again=0)})
    report = inspect_pairs(dataset, PHONE, tmp_path / "report", jobs=1)
    assert [(leak.first, leak.second) for leak in report.summary.leaks] == [("c000", "c007")]
    assert check_named(report, "split leakage").status == "fail"


def test_limits_come_from_the_settings(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", shared_shift=(1.0, 0.0))
    lax = replace(
        InspectSettings(),
        ce90_warn_px=2,
        ce90_fail_px=3,
        systematic_warn_px=2,
        systematic_fail_px=3,
        calibration_warn=99,
    )
    assert inspect_pairs(dataset, PHONE, tmp_path / "report", lax, jobs=1).verdict == "pass"


def test_limits_come_from_the_rigs_file_and_flags_beat_it(tmp_path: Path) -> None:
    toml = tmp_path / "rig.toml"
    toml.write_text("[rig]\n[inspect]\nce90_fail_px = 0.5\nleast_share = 0\n", encoding="utf-8")
    settings = load_inspect_settings(toml, {"least_share": 0.1})
    assert settings == replace(InspectSettings(), ce90_fail_px=0.5, least_share=0.1)
    toml.write_text("[inspect]\nce90_fial_px = 0.5\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"rig.toml: \[inspect\]: unknown setting 'ce90_fial_px'; did you mean 'ce90_fail"
    ):
        load_inspect_settings(toml, {})
    toml.write_text("inspect = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match="'inspect' must be a table"):
        load_inspect_settings(toml, {})


def test_a_report_is_drawn_again_by_other_limits_without_measuring(
    faulty_folder: Path, faulty: InspectReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dped_data.inspection.pipeline.inspect_captures", None)  # measuring would fail
    dataset, out = faulty_folder / "dataset", faulty_folder / "redrawn"
    shutil.copytree(faulty_folder / "report", out)
    shutil.rmtree(out / "assets")
    lax = InspectSettings(capture_warn_px=9, capture_fail_px=10)
    report = redraw_report(dataset, PHONE, out, lax)
    assert check_named(report, "shifted captures").status == "pass"
    assert check_named(report, "exposure").status == check_named(faulty, "exposure").status
    assert "shifted" not in {flag for capture in report.captures for flag in capture.flags}
    assert (out / "index.html").is_file() and (out / "assets" / "page.css").is_file()
    back = redraw_report(dataset, PHONE, out, InspectSettings())
    assert as_json(replace(back, page=faulty.page)) == as_json(faulty)
    with pytest.raises(UsageError, match="--sample-patches asks for other measurements"):
        redraw_report(dataset, PHONE, out, InspectSettings(sample_patches=8))
    with pytest.raises(InputError, match=r"verdict.json: no report there to draw again"):
        redraw_report(dataset, PHONE, faulty_folder / "nothing")


@pytest.mark.parametrize(("patches", "decoded"), [(0, True), (12, True), (13, False), (19, False)])
def test_a_dslr_photo_is_decoded_unless_patches_cover_more_than_three_fifths_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patches: int, decoded: bool
) -> None:
    """Of the 20 places for a patch in a photo; nothing of what lies around a few patches could be seen without it."""
    photos, read = tmp_path / "photos", list[str]()
    dataset = make_dataset(tmp_path / "dataset", count=1, photos=photos)

    def reading(path: Path, most_px: int) -> tuple[NDArray[np.uint8] | None, float | None]:
        read.append(path.parent.name)
        return read_preview(path, most_px)

    def first_ones(file: h5py.File, captures: Sequence[ListedCapture]) -> list[StoredCapture]:
        """As many patches as there are to be, as if the others had been dropped."""
        (stored,) = stored_captures(file, captures)
        kept = {name: getattr(stored, name)[:patches] for name in ("rows", "phone_xy", "shift_px", "ncc", "error_px")}
        return [replace(stored, **kept)]

    monkeypatch.setattr("dped_data.inspection.pipeline.read_preview", reading)
    monkeypatch.setattr("dped_data.inspection.pipeline.stored_captures", first_ones)
    inspect_pairs(dataset, PHONE, tmp_path / "report", captures=photos, jobs=1)
    assert read == [PHONE, *[DSLR] * decoded]


def test_result_does_not_depend_on_the_number_of_processes(faulty_folder: Path, faulty: InspectReport) -> None:
    again = inspect_pairs(faulty_folder / "dataset", PHONE, faulty_folder / "again", jobs=2)
    assert as_json(replace(again, page=faulty.page)) == as_json(faulty)


def test_little_is_held_of_each_capture(faulty_folder: Path, tmp_path: Path) -> None:
    """The parent holds this for every capture of the dataset at once: 10,000 of them must stay far below 500 MB."""
    folder, settings = faulty_folder / "dataset" / PHONE, InspectSettings(sample_patches=4)
    listed = open_dataset(folder, None).captures
    assert len(pickle.dumps(listed)) < 1_000 * len(listed)
    first = [capture for capture in listed if capture.shard == listed[0].shard]
    for measured in inspect_captures(folder, first, None, settings, tmp_path):
        patches = len(measured.ncc)
        assert patches == 19 and len(pickle.dumps(measured)) < 7_500 + 8 * patches


def test_verdict_file_says_what_the_report_says(faulty_folder: Path, faulty: InspectReport) -> None:
    document = json.loads((faulty_folder / "report" / "verdict.json").read_text(encoding="utf-8"))
    assert document == as_json(faulty)
    assert document["verdict"] == "fail"
    assert {"name", "status", "measured", "warn", "fail", "captures"} <= document["checks"][0].keys()


def test_terminal_text_shows_checks_histograms_and_worst_first(faulty: InspectReport) -> None:
    text = terminal_text(faulty, worst=3)
    lines = text.splitlines()
    assert "verdict: FAIL" in lines[0]
    assert lines[-1].startswith("report: ")
    assert {line[:4] for line in lines[-5:-2]} == {"c002", "c005", "c007"}
    assert "2  homography: too few inliers" in text
    assert "█" in text
    assert max(map(len, lines[1:-1])) <= 80


def test_sparkline_hides_no_value() -> None:
    assert sparkline(Histogram(0, 1, (0, 1, 1000)), columns=3) == " ▁█"
    assert len(sparkline(Histogram(0, 1, (1,) * 40), columns=20)) == 20


def test_missing_dataset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no dataset here \(dataset.json is missing\)"):
        inspect_pairs(tmp_path, PHONE, tmp_path / "report")
    with pytest.raises(InputError, match="no such folder; pass the captures folder"):
        inspect_pairs(make_dataset(tmp_path), PHONE, tmp_path / "report", captures=tmp_path / "nowhere")

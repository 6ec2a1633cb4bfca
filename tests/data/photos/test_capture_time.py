"""When a photo was taken: which date counts, what counts as none, fractions and zones."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from photo_files import write_dng
from PIL import ExifTags, Image

from dped_data.photos.exif import CaptureTime, capture_time
from dped_data.photos.reading import read_header

Tag = ExifTags.Base
MOMENT = datetime(2024, 5, 4, 10, 11, 12, tzinfo=UTC).timestamp()
STATED = "2024:05:04 10:11:12"


def stated(**tags: object) -> CaptureTime:
    """Read what a file with these tags says; DateTime and what begins with Root stand in the first directory."""
    exif = Image.Exif()
    for name, value in tags.items():
        place = exif if name == "DateTime" or name.startswith("Root") else exif.get_ifd(ExifTags.IFD.Exif)
        place[Tag[name.removeprefix("Root")]] = value
    return capture_time(_written_and_read(exif))


def _written_and_read(exif: Image.Exif) -> Image.Exif:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    return Image.open(file).getexif()


def test_the_moment_of_the_shutter_comes_first_then_of_digitizing_then_of_the_file() -> None:
    other = "2030:01:01 00:00:00"
    assert stated(DateTimeOriginal=STATED, DateTimeDigitized=other, DateTime=other) == (MOMENT, False, None)
    assert stated(DateTimeDigitized=STATED, DateTime=other) == (MOMENT, False, None)
    assert stated(DateTime=STATED) == (MOMENT, False, None)
    assert stated(RootDateTimeOriginal=STATED, DateTime=other) == (MOMENT, False, None)  # as RAW files have it
    assert stated() == (None, False, None)


@pytest.mark.parametrize(
    "absent",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "",
        "\0" * 19,
        "2024:02:31 10:11:12",
        "no date",
        "0001:01:01 00:00:00",
    ],
)
def test_blank_zero_and_impossible_dates_count_as_absent(absent: str) -> None:
    assert stated(DateTimeOriginal=absent, DateTimeDigitized=STATED) == (MOMENT, False, None)
    assert stated(DateTimeOriginal=absent, DateTimeDigitized=absent, DateTime=STATED) == (MOMENT, False, None)
    assert stated(DateTimeOriginal=absent, DateTime=absent).time_s is None


@pytest.mark.parametrize(
    ("text", "fraction_s", "offset_s"),
    [
        ("2024-05-04T10:11:12", 0.0, None),
        ("2024-05-04T10:11:12.5+02:00", 0.5, 7200.0),
        ("2024:05:04 10:11:12.25", 0.25, None),
        ("2024:05:04 10:11:12,250", 0.25, None),
        ("2024:05:04 10:11:12Z", 0.0, 0.0),
        ("2024/05/04 10:11:12 -0330", 0.0, -12600.0),
        ("2024:05:04 10:11:12+05", 0.0, 18000.0),
        ("2024: 5: 4 10:11:12", 0.0, None),
        ("2024:05:04 10:11:12+99:00", 0.0, None),
    ],
)
def test_dates_as_programs_write_them(text: str, fraction_s: float, offset_s: float | None) -> None:
    assert stated(DateTimeOriginal=text) == (MOMENT + fraction_s, fraction_s > 0, offset_s)


def test_fraction_and_zone_are_those_of_the_date_that_counts() -> None:
    others = {"SubsecTime": "9", "OffsetTime": "+09:00", "SubsecTimeOriginal": "5", "OffsetTimeOriginal": "+02:00"}
    assert stated(DateTimeOriginal=STATED, DateTime=STATED, **others) == (MOMENT + 0.5, True, 7200.0)
    assert stated(DateTime=STATED, **others) == (MOMENT + 0.9, True, 32400.0)
    assert stated(DateTimeOriginal=STATED, SubsecTimeOriginal="  ", OffsetTimeOriginal="   :  ") == (
        MOMENT, False, None,
    )  # fmt: skip
    assert stated(DateTimeOriginal=f"{STATED}.75+01:00", SubsecTimeOriginal="5", OffsetTimeOriginal="-05:30") == (
        MOMENT + 0.5, True, -19800.0,
    )  # fmt: skip


def test_headers_state_time_and_zone(tmp_path: Path) -> None:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[Tag.DateTimeOriginal], details[Tag.OffsetTimeOriginal] = STATED, "+02:00"
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
    header = read_header(tmp_path / "a.jpg")
    assert (header.time_s, header.has_subseconds, header.utc_offset_s) == (MOMENT, False, 7200.0)
    write_dng(tmp_path / "a.dng")
    assert read_header(tmp_path / "a.dng").utc_offset_s is None
    assert read_header(tmp_path / "a.dng").time_s == 1_500_000_000


@pytest.mark.realdata
def test_files_of_known_dates(shared_data: Path) -> None:
    found = {path.stem: read_header(path) for path in sorted((shared_data / "bug_files").glob("date_*.jpg"))}
    assert {name: (header.time_s, header.utc_offset_s) for name, header in found.items()} == {
        "date_digitized_only": (MOMENT, None),
        "date_iso": (MOMENT + 0.5, 7200.0),
        "date_offset": (MOMENT, 7200.0),
        "date_original_zero": (MOMENT, None),
    }

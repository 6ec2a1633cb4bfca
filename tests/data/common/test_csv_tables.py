"""Tables come back as they were written, whatever stands in them, and no cell of them is a formula."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from dped_data.captures.records import Unpaired
from dped_data.common.csv_tables import Formatted, csv_text, read_table
from dped_data.dataset.capture_table import CaptureRow, read_captures, write_captures, write_unpaired
from dped_data.dataset.review_file import Decision, append_decision, read_decisions, read_review
from dped_data.errors import InputError

NAMES = ("plain", "a\rb", "a\r", "a\nb", "a\r\nb", 'say "x"', "a,b", "=1+1", "+x", "-x", "@x", "\tx", "'", "''x", "'=x",
         "é日本", "\ufeffx", " lead", "a;b", "nan", "-0.5")  # fmt: skip
ROW = CaptureRow("001", "p/1.jpg", "d/1.jpg", "train", "kept", patches=3, median_ncc=-0.25, keypoints=10)


def test_any_text_comes_back_and_none_is_a_formula() -> None:
    text = csv_text(NAMES, [NAMES, NAMES[::-1]])
    table = read_table(text)
    assert table.columns == NAMES  # the header is told by its place, its cells are ours
    rows = [[*row.values()] for _, row in table.rows]
    assert rows == [[*NAMES], [*NAMES[::-1]]]
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_numbers_stay_numbers() -> None:
    text = csv_text(["a", "b", "c"], [[-1, -0.5, Formatted("-0.25")]])
    assert text == '"a","b","c"\n"-1","-0.5","-0.25"\n'


@pytest.mark.parametrize("name", NAMES)
def test_captures_of_any_name_come_back(tmp_path: Path, name: str) -> None:
    row = replace(ROW, capture_id=name, phone_file=f"p/{name}", dslr_file=name, stage=name, reason=name)
    write_captures(tmp_path, [row, ROW])
    assert read_captures(tmp_path) == [row, ROW]


def test_a_table_of_the_version_before_is_read_as_before(tmp_path: Path) -> None:
    text = "capture_id,phone_file,dslr_file,split,status,reason,gain_r,measured,patches\n"
    text += "'=a,p/'=a.jpg,\"d,1.jpg\",train,kept,,nan,inf,5\n"
    (tmp_path / "captures.csv").write_text(text)
    (row,) = read_captures(tmp_path)
    assert (row.capture_id, row.phone_file, row.dslr_file) == ("'=a", "p/'=a.jpg", "d,1.jpg")
    assert (row.gain_r, row.measured, row.patches) == (None, None, 5)


def test_what_is_unknown_is_an_empty_cell(tmp_path: Path) -> None:
    write_captures(tmp_path, [replace(ROW, gain_r=float("nan"), measured=float("inf"))])
    (row,) = read_captures(tmp_path)
    assert row.gain_r is None and row.measured is None
    assert "nan" not in (tmp_path / "captures.csv").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phone_file": "../private/x.jpg"}, "line 3: phone_file '../private/x.jpg' leads out"),
        ({"dslr_file": "/etc/passwd"}, "line 3: dslr_file '/etc/passwd' leads out"),
        ({"capture_id": "../../x"}, "line 3: capture_id '../../x' leads out"),
        ({"capture_id": "001"}, "line 3: capture '001' stands twice"),
        ({"patches": -1}, "line 3: patches -1 is no count"),
        ({"patches": 10**30}, "line 3: patches 1000000000000000000000000000000 is no count"),
        ({"overlap": 1e300}, r"line 3: overlap 1e\+300 is beyond 1e\+15"),
        ({"status": "fine"}, "line 3: status 'fine' is not one of kept, rejected, failed"),
        ({"split": "all"}, "line 3: split 'all' is not one of"),
        ({"reason": "x" * 200_000}, "line 3: field larger than field limit"),
    ],
)
def test_untrue_cells_are_named_with_their_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_captures(tmp_path, [ROW, replace(ROW, **{"capture_id": "002", **change})])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        read_captures(tmp_path)


def test_unpaired_photos_of_any_name_are_listed(tmp_path: Path) -> None:
    write_unpaired(tmp_path, [Unpaired(name, "=x") for name in NAMES])
    rows = read_table((tmp_path / "unpaired.csv").read_bytes().decode()).rows
    assert [row["file"] for _, row in rows] == [*NAMES]


def decide(path: Path, name: str) -> None:
    append_decision(path, Decision("2024-05-01T09:30:00Z", name, "reject", "=note"))


@pytest.mark.parametrize("name", NAMES)
def test_a_review_cut_off_anywhere_goes_on(tmp_path: Path, name: str) -> None:
    whole, path = tmp_path / "whole.csv", tmp_path / "review.csv"
    decide(whole, "first")
    size = whole.stat().st_size
    decide(whole, name)
    data = whole.read_bytes()
    assert read_review(whole) == {"first", name}
    for length in range(size, len(data)):
        path.write_bytes(data[:length])
        decide(path, "last")
        decisions = read_decisions(path)
        assert [d.capture_id for d in decisions if d.capture_id != name] == ["first", "last"], length


def test_a_review_of_the_version_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("time,capture_id,verdict,note\nt,'=a,reject,\nt,b,rej")
    decide(path, "'c")
    decide(path, "d\re")
    assert read_review(path) == {"'=a", "'c", "d\re"}

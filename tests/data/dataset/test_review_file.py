"""A review is append-only, survives a crash, and its last word counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dped_data.dataset.review_file import (
    Decision,
    append_decision,
    check_ids,
    read_decisions,
    read_review,
    rejected_by,
    review_text,
    standing,
    with_added,
)
from dped_data.errors import InputError


def decide(path: Path, name: str, verdict: str, note: str = "") -> None:
    append_decision(path, Decision("2024-05-01T09:30:00Z", name, verdict, note))  # type: ignore[arg-type]


def test_last_decision_counts(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    decide(path, "day1/a", "reject")
    decide(path, "b", "reject", 'blurred, "really"\nbad')
    decide(path, "c", "accept")
    decide(path, "day1/a", "accept")
    decide(path, "d", "reject")
    decide(path, "d", "clear")
    assert read_review(path) == {"b"}
    decisions = read_decisions(path)
    assert len(decisions) == 6
    assert decisions[1].note == 'blurred, "really" bad'
    assert path.read_text(encoding="utf-8").splitlines()[0] == '"time","capture_id","verdict","note"'


def test_decision_cut_off_by_a_crash_does_not_count_and_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    decide(path, "a", "reject")
    whole = path.read_bytes()
    path.write_bytes(whole + b"2024-05-01T09:31:00Z,b,accept")
    assert read_review(path) == {"a"}
    path.write_bytes(whole[:-1])  # not even the newline arrived
    decide(path, "c", "reject")
    assert read_review(path) == {"a", "c"}


def test_review_edited_in_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes("\ufeffcapture_id,verdict\r\nb,accept\r\nstraße/1,reject".encode())
    assert read_review(path) == {"straße/1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\nworld\n", "not a review; its first line must be time,capture_id,verdict,note"),
        ("capture_id,verdict\na,maybe\n", "line 2: verdict 'maybe' is not one of accept, reject, clear"),
        ("capture_id,verdict\n,reject\n", "line 2: no capture_id"),
        ("", "not a review"),
    ],
)
def test_damaged_review_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_review(path)


def test_missing_review_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; `dped inspect-pairs --review` writes it"):
        read_review(tmp_path / "review.csv")


def test_a_quotation_mark_in_a_note_costs_no_decision(tmp_path: Path) -> None:
    """A review may be written with a text editor."""
    path = tmp_path / "review.csv"
    rows = ["time,capture_id,verdict,note", '2024-01-01T00:00:00Z,001,reject,a 5" scratch', ",002,reject,mine"]
    for end in ("\n", ""):
        path.write_text("\n".join(rows) + end)
        for name in ("003", "004"):
            append_decision(path, Decision("2024-01-02T00:00:00Z", name, "reject", 'my 3" note'))
        assert read_review(path) == {"001", "002", "003", "004"}
        assert path.read_text().startswith("\n".join(rows))


@pytest.mark.parametrize("content", [b"shopping,price\nmilk,3\nunfinished", b"\0\0\0", b"text"])
def test_what_is_no_review_is_not_added_to(tmp_path: Path, content: bytes) -> None:
    path, link = tmp_path / "others.txt", tmp_path / "review.csv"
    path.write_bytes(content)
    link.symlink_to(path)
    decision = Decision("2024-01-02T00:00:00Z", "003", "reject", "")
    with pytest.raises(InputError, match="not a review"):
        append_decision(path, decision)
    with pytest.raises(InputError, match="is a link"):
        append_decision(link, decision)
    assert path.read_bytes() == content


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_review_that_a_spreadsheet_wrote_is_read_and_gone_on_with(tmp_path: Path, separator: str, mark: str) -> None:
    path = tmp_path / "review.csv"
    rows = [
        ["time", "capture_id", "verdict", "note"],
        ["", "002", "reject", "soft, and dark"],
        ["", "003", "accept", ""],
    ]
    cells = [[f'"{cell}"' if separator in cell else cell for cell in row] for row in rows]
    path.write_bytes((mark + "".join(f"{separator.join(row)}\r\n" for row in cells)).encode())
    assert read_review(path) == {"002"}
    decide(path, "003", "reject", "a; b, c")
    assert read_review(path) == {"002", "003"}
    assert [d.note for d in read_decisions(path)] == ["soft, and dark", "", "a; b, c"]


def test_rejections_without_effect_are_named(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    check_ids(path, {"002"}, {"001", "002"})
    check_ids(path, set(), {"001"})
    with pytest.raises(
        InputError, match=r"review.csv: 1 of 2 rejected captures do not exist: '2'; is '002' meant, which"
    ):
        check_ids(path, {"2", "001"}, {"001", "002", "003"})
    with pytest.raises(InputError, match=r"do not exist: 'img_7'; is 'IMG_0007' meant"):
        check_ids(path, {"img_7"}, {"IMG_0007"})
    with pytest.raises(InputError, match="1 of 1 rejected captures do not exist: 'x'. Correct the capture_id there"):
        check_ids(path, {"x"}, {"001"})


def test_a_review_that_is_handed_in_again_brings_nothing_back(tmp_path: Path) -> None:
    rejects = [Decision("1", "a", "reject", "blurred"), Decision("1", "b", "reject", "")]
    undone = Decision("2", "a", "clear", "")
    kept = with_added(with_added([], rejects), [undone])
    assert with_added(kept, rejects) == kept == [*rejects, undone]
    assert rejected_by(kept) == {"b"} and standing(kept) == (rejects[1],)
    again = Decision("3", "a", "reject", "blurred")
    assert rejected_by(with_added(kept, [again])) == {"a", "b"}
    (tmp_path / "review.csv").write_text(review_text(kept), encoding="utf-8")
    assert read_decisions(tmp_path / "review.csv") == kept


def test_decisions_without_a_time_count_where_they_change_the_last_word() -> None:
    reject, clear = Decision("", "a", "reject", ""), Decision("", "a", "clear", "")
    assert with_added([reject], [reject]) == [reject]
    assert with_added([reject, clear], [reject]) == [reject, clear, reject]

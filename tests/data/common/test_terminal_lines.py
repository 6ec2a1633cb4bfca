"""What tables need to fit a terminal."""

from __future__ import annotations

from dped_data.common.terminal_lines import COLUMNS, shortened, wrapped


def test_paragraphs_stand_behind_their_head() -> None:
    lines = wrapped("word " * 40 + "/a/path/that/is/longer-than-a-line/" + "x" * 80, "note: ")
    assert lines[0].startswith("note: word") and all(line.startswith("      ") for line in lines[1:])
    assert max(map(len, lines[:-1])) <= COLUMNS and lines[-1].strip().startswith("/a/path")
    assert wrapped("", "note: ") == ["note:"]


def test_names_keep_their_ends() -> None:
    assert shortened("a/b.jpg", 7) == "a/b.jpg" and shortened("aa/b.jpg", 7) == "…/b.jpg"

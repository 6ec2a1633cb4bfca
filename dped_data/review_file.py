"""review.csv: a person's verdict on captures, one row per decision, the last one counts (leaf)."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dped_data.errors import InputError
from dped_data.files import sync_folder

Verdict = Literal["accept", "reject", "clear"]
VERDICTS: tuple[Verdict, ...] = ("accept", "reject", "clear")
COLUMNS = ("time", "capture_id", "verdict", "note")
MAX_NOTE = 2000


@dataclass(frozen=True)
class Decision:
    """One decision of a person.

    Attributes:
        time: when, as ISO 8601 text in UTC, such as "2024-05-01T09:30:00Z".
        capture_id: the capture.
        verdict: "accept", "reject", or "clear", which takes an earlier decision back.
        note: free text in one line, may be empty.
    """

    time: str
    capture_id: str
    verdict: Verdict
    note: str


def read_review(path: Path) -> frozenset[str]:
    """Return the ids of the captures that a review rejects: those whose last decision is "reject".

    Raises:
        InputError: missing, or not a review file; the message names the line at fault.
    """
    return frozenset(name for name, decision in latest(read_decisions(path)).items() if decision.verdict == "reject")


def read_decisions(path: Path) -> list[Decision]:
    """Return all decisions in the order in which they were made; InputError as in `read_review`.

    A last line that lacks both its newline and some of its cells is what a cut-off write leaves behind, and is ignored.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # spreadsheet programs write the mark
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; dped inspect-pairs --review writes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a review in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if not {"capture_id", "verdict"} <= {*(reader.fieldnames or ())}:
        raise InputError(f"{path}: not a review; its first line must be {','.join(COLUMNS)}")
    rows = [(reader.line_num, row) for row in reader]
    if rows and not text.endswith("\n") and None in rows[-1][1].values():
        rows.pop()
    return [_decision(row, path, line) for line, row in rows]


def latest(decisions: Iterable[Decision]) -> Mapping[str, Decision]:
    """Return the last decision on each capture."""
    return {decision.capture_id: decision for decision in decisions}


def append_decision(path: Path, decision: Decision) -> None:
    """Add a decision to a review, made durable before this returns; the file is begun if it is missing.

    One write of a whole line in append mode: a reader never sees half a decision that counts, and an older decision is
    never touched. A cut-off line of an earlier crash is ended first.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        head = _line(COLUMNS) if size == 0 else ""
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            head = "\n"
        fields = (decision.time, decision.capture_id, decision.verdict, one_line(decision.note))
        os.write(descriptor, (head + _line(fields)).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def one_line(note: str) -> str:
    """Return a note without line breaks and control characters, at most MAX_NOTE characters long."""
    return " ".join("".join(c if c.isprintable() else " " for c in note).split())[:MAX_NOTE]


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _decision(row: Mapping[str, str | None], path: Path, line: int) -> Decision:
    name, verdict = row.get("capture_id") or "", (row.get("verdict") or "").strip()
    for known in VERDICTS:
        if verdict == known and name:
            return Decision(row.get("time") or "", name, known, row.get("note") or "")
    if not name:
        raise InputError(f"{path}, line {line}: no capture_id")
    raise InputError(f"{path}, line {line}: verdict '{verdict}' is not one of {', '.join(VERDICTS)}")

"""review.csv: a person's verdict on captures, one row per decision, the last one counts."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dped_data.captures.records import Capture
from dped_data.common.csv_tables import MARK, csv_line, is_escaped, read_table, separator_of
from dped_data.common.files import sync_folder
from dped_data.common.foreign_files import read_limited
from dped_data.common.names import path_inside, shown
from dped_data.errors import InputError

Verdict = Literal["accept", "reject", "clear"]
VERDICTS: tuple[Verdict, ...] = ("accept", "reject", "clear")
COLUMNS = ("time", "capture_id", "verdict", "note")
MAX_NOTE = 2000
_IDS_SHOWN = 5
_MOST_BYTES = 2**26
"""Ours: of a review; some 30,000 decisions with the longest notes."""


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
    """Return the ids of the captures that a review rejects; InputError as in `read_decisions`."""
    return rejected_by(read_decisions(path))


def rejected_by(decisions: Iterable[Decision]) -> frozenset[str]:
    """Return the ids of the captures whose last decision is "reject"."""
    return frozenset(name for name, decision in latest(decisions).items() if decision.verdict == "reject")


def standing(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the last decision on each capture, by id, without those that were taken back."""
    last = latest(decisions)
    return tuple(last[name] for name in sorted(last) if last[name].verdict != "clear")


def with_added(decisions: Sequence[Decision], added: Iterable[Decision]) -> list[Decision]:
    """Return `decisions` with those of another review after them, each once.

    One that is there already is not made again: a review file is handed in as often as somebody builds, and must not
    bring back what was taken back since. A decision without a time is known by what it says: it counts if it changes
    the last word on its capture.
    """
    result, known, last = [*decisions], {*decisions}, dict(latest(decisions))
    for decision in added:
        before = last.get(decision.capture_id)
        told = before is not None and (before.verdict, before.note) == (decision.verdict, decision.note)
        if decision in known if decision.time else told:
            continue
        result.append(decision)
        known.add(decision)
        last[decision.capture_id] = decision
    return result


def review_text(decisions: Iterable[Decision]) -> str:
    """Return a review with these decisions, as `read_decisions` reads it."""
    return csv_line(COLUMNS) + "".join(csv_line((d.time, d.capture_id, d.verdict, d.note)) for d in decisions)


def decisions_on(captures: Iterable[Capture], path: Path | None) -> list[Decision]:
    """Return the decisions of a review, none without one; InputError: it is none, or rejects others than `captures`."""
    decisions = read_decisions(path) if path else []
    if path:
        check_ids(path, rejected_by(decisions), {capture.capture_id for capture in captures})
    return decisions


def check_ids(path: Path, rejected: Collection[str], known: Collection[str]) -> None:
    """Raise InputError for captures that a review rejects and that are not `known`: it would have no effect on them.

    Spreadsheets turn 002 into 2.
    """
    strange = sorted({*rejected} - {*known})
    if strange:
        near = next((name for name in sorted(known) if _bare(name) == _bare(strange[0])), None)
        meant = f"; is {shown(near)} meant, which a spreadsheet has changed? " if near else ". "
        raise InputError(
            f"{path}: {len(strange)} of {len(rejected)} rejected captures do not exist: "
            f"{', '.join(map(shown, strange[:_IDS_SHOWN]))}{', ...' if len(strange) > _IDS_SHOWN else ''}{meant}"
            "Correct the capture_id there, or take the line out"
        )


def _bare(name: str) -> str:
    """Return an id without what spreadsheets change: leading zeros, spaces around, the form of its letters."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", unicodedata.normalize("NFC", name).strip()).casefold()


def read_decisions(path: Path) -> list[Decision]:
    """Return all decisions in the order in which they were made.

    A last line that lacks its newline and some of its cells, or ends within one, is what a cut-off write leaves behind,
    and is ignored.

    Raises:
        InputError: missing, or not a review file; the message names the line at fault.
    """
    try:
        text = read_limited(path, _MOST_BYTES).decode()
        table = read_table(text, strict=False, separator=separator_of(text))
        rows = [*table.rows]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `dped inspect-pairs --review` writes it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a review in UTF-8") from None
    if not {"capture_id", "verdict"} <= {*table.columns}:
        raise InputError(f"{path}: not a review; its first line must be {','.join(COLUMNS)}")
    if _is_cut_off(text, rows):
        rows.pop()
    return [_decision(row, path, line) for line, row in rows]


def _is_cut_off(text: str, rows: Sequence[tuple[int, Mapping[str, str | None]]]) -> bool:
    """Whether the last row is what a write that was cut off has left: without its end, and not whole.

    Only its own text decides: people write notes with a quotation mark in them.
    """
    if not rows:
        return False
    last = _text_of_last(text, rows)
    is_open = is_escaped(text) and last.count('"') % 2 == 1
    is_short = None in rows[-1][1].values()
    if text.endswith("\n"):  # the end of a line may lie within a cell
        return is_open and is_short and last.startswith('"')
    return is_open or is_short


def _text_of_last(text: str, rows: Sequence[tuple[int, Mapping[str, str | None]]]) -> str:
    lines = [*io.StringIO(text, newline="")]
    return "".join(lines[rows[-2][0] if len(rows) > 1 else 1 :])


def latest(decisions: Iterable[Decision]) -> Mapping[str, Decision]:
    """Return the last decision on each capture."""
    return {decision.capture_id: decision for decision in decisions}


def append_decision(path: Path, decision: Decision) -> None:
    """Add a decision to a review, made durable before this returns; the file is begun if it is missing.

    One write of a whole line in append mode: a reader never sees half a decision that counts, and an older decision is
    never touched. What an earlier crash left of a line is taken away first. A review of an earlier version, without
    quotation marks, goes on as it was begun.

    Raises:
        InputError: what is there is a link, no regular file, or no review. OSError: it cannot be written.
    """
    if path.is_symlink():
        raise InputError(f"{path}: is a link, which is not written to; name the file itself")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        _check_review(path, descriptor)
        before = os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "surrogateescape")
        whole = _without_cut_off(before)
        if whole != before:
            os.ftruncate(descriptor, len(whole.encode("utf-8", "surrogateescape")))
        fields = (decision.time, decision.capture_id, decision.verdict, one_line(decision.note))
        line = csv_line(fields, escaped=is_escaped(whole), separator=separator_of(whole))
        head = "" if whole.endswith("\n") else "\n" if whole else csv_line(COLUMNS)
        data = (head + line).encode()
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def _check_review(path: Path, descriptor: int) -> None:
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"{path}: not a regular file; move it away")
    beginning = os.pread(descriptor, 4096, 0).decode("utf-8", "surrogateescape")
    whole, header = csv_line(COLUMNS), (beginning.removeprefix(MARK).splitlines() or [""])[0]
    if not (whole.startswith(beginning) or {"capture_id", "verdict"} <= {*re.split(r'["\s,;]+', header)}):
        raise InputError(f"{path}: not a review; its first line must be {','.join(COLUMNS)}")


def _without_cut_off(text: str) -> str:
    """Return a review without the line that a crash cut off."""
    try:
        rows = [*read_table(text, strict=False, separator=separator_of(text)).rows]
    except ValueError:
        return text
    if not rows:
        return "" if csv_line(COLUMNS).startswith(text) and not text.endswith("\n") else text
    return text.removesuffix(_text_of_last(text, rows)) if _is_cut_off(text, rows) else text


def one_line(note: str) -> str:
    """Return a note without line breaks and control characters, at most MAX_NOTE characters long."""
    return " ".join("".join(c if c.isprintable() else " " for c in note).split())[:MAX_NOTE]


def _decision(row: Mapping[str, str | None], path: Path, line: int) -> Decision:
    name, verdict = row.get("capture_id") or "", (row.get("verdict") or "").strip()
    if not name:
        raise InputError(f"{path}, line {line}: no capture_id")
    path_inside(name, f"{path}, line {line}: capture_id")
    for known in VERDICTS:
        if verdict == known:
            return Decision(row.get("time") or "", name, known, row.get("note") or "")
    raise InputError(f"{path}, line {line}: verdict {shown(verdict)} is not one of {', '.join(VERDICTS)}")

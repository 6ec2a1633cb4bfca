"""Answers in SQLite: what `AnswerStore.answer` has returned survives a killed process and a power cut."""

from __future__ import annotations

import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dped_data.common.hints import hint
from dped_data.common.names import shown as shown_value
from dped_data.common.token_server import new_token
from dped_data.errors import InputError
from dped_data.study.answers_file import (
    MOVE_AWAY,
    NO_STUDY,
    check_files,
    check_schema,
    file_identity,
    is_empty,
    open_reader,
    open_writer,
)
from dped_data.study.order import shown_questions
from dped_data.study.records import Answer, ShownQuestion, Study
from dped_data.study.study_file import ANSWERS_NAME, study_digest

_ADD = "INSERT INTO answers VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"
_THE_SAME = """
SELECT 1 FROM answers WHERE number = ? AND subject = ? AND place = ? AND group_name = ? AND scene = ?
    AND left_class = ? AND right_class = ? AND chosen_class = ? AND answered = ?
"""
_ALL = "SELECT * FROM answers ORDER BY number"
_OF_SUBJECT = "SELECT * FROM answers WHERE subject = ? ORDER BY number"
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that are mistaken for another when read aloud or copied by hand."""
_ID_LENGTH = 12
_SUBJECT = re.compile(f"[{_LETTERS}]{{{_ID_LENGTH}}}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
"""What the program writes; whatever else stands in a file of answers was put there by somebody."""


class AnswerStore:
    """The answers to one study, for any number of threads.

    Rows are only ever added: an answer that a subject changes stays as history, the last one counts.

    Attributes:
        path: the file.
        token: part of the study's address, kept here so that the address outlives the server.
    """

    def __init__(self, folder: Path, study: Study, *, read_only: bool = False) -> None:
        """Open or make the answers beside a study.

        Args:
            folder: the study's folder.
            study: the study in it.
            read_only: nothing is written and nothing made, so that the disk need not be writable.
        Raises:
            InputError: they belong to another study, were not written by this program or cannot be opened; or there
                are none, to read only.
        """
        self.path, self._study = folder / ANSWERS_NAME, study
        self._lock = threading.Lock()
        self._orders: dict[str, tuple[ShownQuestion, ...]] = {}
        check_files(self.path)
        if read_only and is_empty(self.path):
            raise InputError(f"{self.path}: no answers yet; run `{hint('study serve', folder)}`")
        with self._faults():
            check_schema(self.path)
            self._database = open_reader(self.path) if read_only else open_writer(self.path)
        self._file = file_identity(self.path)
        try:
            with self._faults():
                self.token = self._checked_token(study_digest(study), read_only)
        except BaseException:
            self._database.close()
            raise

    def _checked_token(self, digest: str, read_only: bool) -> str:
        """Return the token of the address, made first if there is none; InputError for answers to another study."""
        if not read_only:
            self._database.execute(
                "INSERT INTO study SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM study)", (digest, new_token())
            )
            self._database.execute("UPDATE study SET digest = ? WHERE digest = ?", (digest, NO_STUDY))
        rows = self._database.execute("SELECT digest, token FROM study").fetchall()
        if [row[0] for row in rows] not in ([digest], [NO_STUDY]):
            raise InputError(f"{self.path}: answers to another study; {MOVE_AWAY} to begin anew")
        self._check_text(rows[0][1], _TOKEN, "its token")
        return str(rows[0][1])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def new_subject(self) -> str:
        """Add a subject and return its id, which is random and says nothing of the person."""
        subject = "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))
        with self._lock, self._faults():
            row = (subject, _now())
            self._database.execute("INSERT INTO subjects VALUES (?, ?)", row)
            self._check_on_disk("SELECT 1 FROM subjects WHERE id = ? AND started = ?", row)
        return subject

    def questions(self, subject: str) -> tuple[ShownQuestion, ...] | None:
        """Return the questions as this subject sees them; None for an id that was never given."""
        if not subject.isascii():  # half a character pair would not even go into a query
            return None
        with self._lock, self._faults():
            if subject in self._orders:
                return self._orders[subject]
            known = self._database.execute("SELECT 1 FROM subjects WHERE id = ?", (subject,)).fetchone()
        if known is None:
            return None
        return self._orders.setdefault(subject, shown_questions(self._study, subject))

    def choices(self, subject: str) -> dict[int, str]:
        """Return what the subject chose so far: place of the question in its order -> class."""
        return {place: chosen for _, place, chosen, _ in self._rows(_OF_SUBJECT, subject)}

    def answer(self, subject: str, place: int, shown: ShownQuestion, chosen: str) -> None:
        """Store an answer; when this returns, it is on disk.

        Args:
            subject: an id from `new_subject`.
            place: of the question in the subject's order, from 0.
            shown: `questions(subject)[place]`.
            chosen: `shown.left` or `shown.right`.
        Raises:
            InputError: it cannot be stored, such as on a full disk.
        """
        asked = shown.question
        row = (subject, place, asked.group, asked.scene, shown.left, shown.right, chosen, _now())
        with self._lock, self._faults():
            number = self._database.execute(_ADD, row).lastrowid
            self._check_on_disk(_THE_SAME, (number, *row))

    def subjects(self) -> tuple[str, ...]:
        """Return the ids of all subjects, in the order in which they began."""
        with self._lock, self._faults():
            rows = self._database.execute("SELECT id, started FROM subjects ORDER BY started, id").fetchall()
        for subject, started in rows:
            self._check_text(subject, _SUBJECT, "a subject")
            self._check_text(started, _TIME, "a subject's start")
        return tuple(subject for subject, _ in rows)

    def answers(self) -> tuple[Answer, ...]:
        """Return the answers that count, the last one to each question, by subject and place."""
        last: dict[tuple[str, int], Answer] = {}
        for subject, place, chosen, time in self._rows(_ALL):
            before = last.get((subject, place))
            if before is not None and before.chosen == chosen:
                continue  # sent again, such as after a disk that was full: what was refused may be there nevertheless
            shown = self._orders[subject][place]
            given = 1 if before is None else before.given + 1
            last[subject, place] = Answer(subject, shown.question, shown.left, chosen, time, given)
        return tuple(last[key] for key in sorted(last))

    def _rows(self, query: str, *values: str) -> list[tuple[str, int, str, str]]:
        """Subject, place, chosen class and time of answers, oldest first; InputError for what the study did not ask."""
        with self._lock, self._faults():
            rows = self._database.execute(query, values).fetchall()
        found = []
        for number, subject, place, *described, chosen, time in rows:
            where = f"answer {number}:"
            self._check_text(subject, _SUBJECT, f"{where} its subject")
            self._check_text(time, _TIME, f"{where} its time")
            order = self.questions(subject)
            if order is None:
                raise self._made_up(f"{where} no subject", subject)
            if type(place) is not int or not 0 <= place < len(order):
                raise self._made_up(f"{where} no question", place)
            shown = order[place]
            if described != [shown.question.group, shown.question.scene, shown.left, shown.right]:
                raise self._made_up(f"{where} not what the study asks at place {place}:", described)
            if chosen not in (shown.left, shown.right):
                raise self._made_up(f"{where} no class that was shown", chosen)
            found.append((subject, place, chosen, time))
        return found

    def _check_text(self, value: object, pattern: re.Pattern[str], what: str) -> None:
        if not (isinstance(value, str) and pattern.fullmatch(value)):
            raise self._made_up(f"{what} cannot be", value)

    def _made_up(self, fault: str, value: object) -> InputError:
        return InputError(
            f"{self.path}: {fault} {shown_value(value)}; dped did not write this: restore the file from a copy, or "
            f"{MOVE_AWAY}"
        )

    def _check_on_disk(self, query: str, row: tuple[str | int | None, ...]) -> None:
        """Raise InputError unless a new reader finds the row in the same file, which may have been moved or emptied."""
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=20)) as reader:
            found = reader.execute(query, row).fetchone()
        if found is None or file_identity(self.path) != self._file:
            raise InputError(f"{self.path}: was replaced while it is in use; restore it, or start the server again")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: {error}") from None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Answers in SQLite: what `AnswerStore.answer` has returned survives a killed process and a power cut."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dped_data.errors import InputError
from dped_data.study.order import shown_questions
from dped_data.study.records import Answer, ShownQuestion, Study
from dped_data.study.study_file import ANSWERS_NAME, study_digest
from dped_data.token_server import new_token

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (digest TEXT NOT NULL, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subjects (id TEXT PRIMARY KEY, started TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL REFERENCES subjects (id),
    place INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    scene TEXT NOT NULL,
    left_class TEXT NOT NULL,
    right_class TEXT NOT NULL,
    chosen_class TEXT NOT NULL,
    answered TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_of_subject ON answers (subject, place);
"""
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that are mistaken for another when read aloud or copied by hand."""
_ID_LENGTH = 12


class AnswerStore:
    """The answers to one study, for any number of threads.

    Rows are only ever added: an answer that a subject changes stays as history, the last one counts.

    Attributes:
        path: the file.
        token: part of the study's address, kept here so that the address outlives the server.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        """Open or make the answers beside a study; InputError if they belong to another study or cannot be opened."""
        self.path, self._study = folder / ANSWERS_NAME, study
        self._lock = threading.Lock()
        self._orders: dict[str, tuple[ShownQuestion, ...]] = {}
        with self._faults():
            self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=20)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # an answer is on disk before it is acknowledged
            self._database.executescript(_SCHEMA)
            digest = study_digest(study)
            self._database.execute(
                "INSERT INTO study SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM study)", (digest, new_token())
            )
            stored, token = self._database.execute("SELECT digest, token FROM study").fetchone()
        if stored != digest:
            raise InputError(f"{self.path}: answers to another study; move the file away to begin anew")
        self.token = str(token)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def new_subject(self) -> str:
        """Add a subject and return its id, which is random and says nothing of the person."""
        subject = "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))
        with self._lock, self._faults():
            self._database.execute("INSERT INTO subjects VALUES (?, ?)", (subject, _now()))
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
        query = "SELECT place, chosen_class FROM answers WHERE subject = ? ORDER BY number"
        with self._lock, self._faults():
            return {int(place): str(chosen) for place, chosen in self._database.execute(query, (subject,))}

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
            self._database.execute(
                "INSERT INTO answers (subject, place, group_name, scene, left_class, right_class, chosen_class,"
                " answered) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def subjects(self) -> tuple[str, ...]:
        """Return the ids of all subjects, in the order in which they began."""
        with self._lock, self._faults():
            return tuple(str(row[0]) for row in self._database.execute("SELECT id FROM subjects ORDER BY started, id"))

    def answers(self) -> tuple[Answer, ...]:
        """Return the answers that count, the last one to each question, by subject and place."""
        query = """
            SELECT subject, place, chosen_class, answered, COUNT(*) OVER question FROM answers
            WINDOW question AS (PARTITION BY subject, place) ORDER BY subject, place, number
        """
        with self._lock, self._faults():
            rows = self._database.execute(query).fetchall()
        last = {(subject, place): (chosen, answered, given) for subject, place, chosen, answered, given in rows}
        found = []
        for (subject, place), (chosen, answered, given) in last.items():
            shown = self.questions(subject)
            assert shown is not None, "answers refer to subjects"
            found.append(Answer(subject, shown[place].question, shown[place].left, chosen, answered, given))
        return tuple(found)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: {error}") from None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Answers in SQLite: what `AnswerStore.answer` has returned survives a killed process and a power cut."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
_NO_STUDY = ""
"""Digest of no study yet: one without answers was replaced."""
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
            _check_schema(self.path)
            self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=20)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # an answer is on disk before it is acknowledged
            self._database.executescript(_SCHEMA)
            digest = study_digest(study)
            self._database.execute(
                "INSERT INTO study SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM study)", (digest, new_token())
            )
            self._database.execute("UPDATE study SET digest = ? WHERE digest = ?", (digest, _NO_STUDY))
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
            self._check_on_disk("SELECT 1 FROM subjects WHERE id = ?", subject)
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
            number = self._database.execute(
                "INSERT INTO answers (subject, place, group_name, scene, left_class, right_class, chosen_class,"
                " answered) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            self._check_on_disk("SELECT 1 FROM answers WHERE number = ?", number)

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

    def _check_on_disk(self, query: str, value: str | int | None) -> None:
        """Raise InputError unless a new reader of the file finds the row: somebody may have moved or emptied it."""
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=20)) as reader:
            if reader.execute(query, (value,)).fetchone() is None:
                raise InputError(f"{self.path}: was replaced while it is in use; restore it, or start the server again")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: {error}") from None


def _check_schema(path: Path) -> None:
    """Raise InputError where a file of that name holds other tables than ours; nothing is written to it."""
    if not path.exists() or not path.stat().st_size:
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"study", "subjects", "answers"} <= tables:
        raise InputError(f"{path}: is not a file of answers; move it away, or choose another place")


def check_unanswered(folder: Path) -> None:
    """Raise InputError if a folder holds answers, or a file of that name that is no file of answers."""
    path = folder / ANSWERS_NAME
    try:
        _check_schema(path)
        answers = _count(path) if path.exists() and path.stat().st_size else 0
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read ({error}); choose another --out") from None
    if answers:
        raise InputError(f"{folder}: holds {answers} answers, which a new study would lose; choose another --out")


def _count(path: Path) -> int:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT COUNT(*) FROM answers").fetchone()[0])


def forget_study(folder: Path) -> None:
    """Let a file without answers belong to the study that comes next. Call while the folder is held."""
    path = folder / ANSWERS_NAME
    if path.exists() and path.stat().st_size:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("UPDATE study SET digest = ?", (_NO_STUDY,))
            database.execute("DELETE FROM subjects")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Answers that somebody else made up are refused in one line, and no file of answers is lost by its parts."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from study_photos import CLASSES, answer_all, make_study, prefers

from dped_data.errors import InputError
from dped_data.study import answers_file
from dped_data.study.create import create_study, study_sets
from dped_data.study.report import report_study
from dped_data.study.server import StudyServer
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study

NAME = "answers.sqlite3"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with the answers of one subject."""
    folder, study = make_study(tmp_path_factory.mktemp("made"))
    with closing(AnswerStore(folder, study)) as store:
        answer_all(store, prefers(*CLASSES))
    return folder


@pytest.fixture
def answered(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


ROWS = {
    "answers of nobody": ("no subject", "UPDATE answers SET subject = 'zzzzzzzzzzzz' WHERE number = 1"),
    "an id of another form": ("its subject cannot be", "UPDATE answers SET subject = 'b' WHERE number = 1"),
    "a blob as answers' id": ("its subject cannot be", "UPDATE answers SET subject = x'ff00' WHERE number = 1"),
    "a place too far": ("no question 999", "UPDATE answers SET place = 999 WHERE number = 1"),
    "a place before the first": ("no question -1", "UPDATE answers SET place = -1 WHERE number = 1"),
    "a place in words": ("no question 'x'", "UPDATE answers SET place = 'x' WHERE number = 1"),
    "half a place": ("no question 0.5", "UPDATE answers SET place = 0.5 WHERE number = 1"),
    "another place": ("not what the study asks", "UPDATE answers SET place = (place + 1) % 9"),
    "another scene": ("not what the study asks", "UPDATE answers SET scene = 'elsewhere' WHERE number = 1"),
    "no class": ("no class that was shown", "UPDATE answers SET chosen_class = char(27) || '[31m' WHERE number = 1"),
    "a blob as class": ("no class that was shown", "UPDATE answers SET chosen_class = x'ff00' WHERE number = 1"),
    "no time": ("its time cannot be", "UPDATE answers SET answered = x'ff00' WHERE number = 1"),
    "text that is none": ("its time cannot be", "UPDATE answers SET answered = CAST(x'ff' AS TEXT) WHERE number = 1"),
    "a row without end": ("too big", "UPDATE answers SET answered = zeroblob(2000000) WHERE number = 1"),
    "a blob as subject": ("a subject cannot be", "INSERT INTO subjects VALUES (x'ff00', '')"),
    "a subject's name": ("a subject cannot be", "INSERT INTO subjects VALUES ('sübj', '')"),
    "a subject's start": ("a subject's start cannot be", "UPDATE subjects SET started = 5"),
    "a token of more": ("its token cannot be", "UPDATE study SET token = 'é/../'"),
    "a blob as token": ("its token cannot be", "UPDATE study SET token = x'ff00'"),
    "no token": ("its token cannot be", "UPDATE study SET token = ''"),
    "two studies": ("answers to another study", "INSERT INTO study SELECT * FROM study"),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_that_the_study_did_not_ask_for_are_refused(answered: Path, what: str) -> None:
    words, statement = ROWS[what]
    change(answered, statement)
    with pytest.raises(InputError) as caught:
        report_study(answered)
    assert words in str(caught.value) and "answers.sqlite3" in str(caught.value)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_subjects_choices_are_held_against_the_study_too(answered: Path) -> None:
    change(answered, "UPDATE answers SET place = 999 WHERE number = 1")
    with (
        closing(AnswerStore(answered, read_study(answered))) as store,
        pytest.raises(InputError, match="no question 999"),
    ):
        store.choices(store.subjects()[0])


SCHEMAS: dict[str, tuple[str, ...]] = {
    "a trigger": ("CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",),
    "a view": ("CREATE VIEW v AS SELECT * FROM answers",),
    "a view in place of a table": (
        "ALTER TABLE answers RENAME TO kept",
        "CREATE VIEW answers AS SELECT * FROM kept",
    ),
    "other columns": ("DROP TABLE answers", "CREATE TABLE answers (number, subject, place, chosen_class, answered)"),
    "one column more": ("ALTER TABLE answers ADD COLUMN more TEXT",),
    "a rule that replaces": ("CREATE UNIQUE INDEX one ON answers (subject, place, number)",),
    "another table": ("CREATE TABLE mine (notes TEXT)",),
    "no table of subjects": ("DROP TABLE subjects",),
    "a trigger under a name of the system": (
        "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET name = 'sqlite_stat1', type = 'table' WHERE name = 't'",
    ),
}


@pytest.mark.parametrize("what", SCHEMAS)
def test_a_file_whose_schema_is_not_ours_is_refused_and_not_written_to(answered: Path, what: str) -> None:
    change(answered, *SCHEMAS[what])
    before = (answered / NAME).read_bytes()
    with pytest.raises(InputError, match="not a file of answers|malformed"):
        report_study(answered)
    with pytest.raises(InputError, match="not a file of answers|malformed"):
        StudyServer(answered, port=0)
    with pytest.raises(InputError, match="not a file of answers|malformed"):
        answers_file.check_unanswered(answered)
    assert (answered / NAME).read_bytes() == before


def test_figures_that_other_tools_leave_do_not_matter(answered: Path) -> None:
    change(answered, "ANALYZE", "VACUUM")
    assert len(report_study(answered).answers) == 9


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "link to nothing"])
def test_answers_are_regular_files_of_the_studys_folder(answered: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    file, elsewhere = answered / f"{NAME}{suffix}", tmp_path / "elsewhere"
    shutil.move(answered / NAME, elsewhere)
    if suffix:
        shutil.copy(elsewhere, answered / NAME)
    before = elsewhere.read_bytes()
    {
        "link": lambda: file.symlink_to(elsewhere),
        "pipe": lambda: os.mkfifo(file),
        "folder": file.mkdir,
        "link to nothing": lambda: file.symlink_to(tmp_path / "nothing"),
    }[kind]()
    uses: tuple[Callable[[], object], ...] = (
        lambda: report_study(answered),
        lambda: StudyServer(answered, port=0),
        lambda: answers_file.check_unanswered(answered),
    )
    for use in uses:
        with pytest.raises(InputError, match="is a link or no regular file"):
            use()
    assert elsewhere.read_bytes() == before and not (tmp_path / "nothing").exists()


def killed(folder: Path, tmp_path: Path) -> Path:
    """A copy of a study as a kill leaves it: the newest answers stand in the journal alone."""
    with closing(AnswerStore(folder, read_study(folder))) as store:
        answer_all(store, prefers(*CLASSES))
        copy = Path(shutil.copytree(folder, tmp_path / "killed"))
    assert (copy / f"{NAME}-wal").stat().st_size
    return copy


@pytest.mark.parametrize("database", ["moved", "emptied"])
def test_a_journal_without_its_database_is_not_thrown_away(answered: Path, tmp_path: Path, database: str) -> None:
    folder = killed(answered, tmp_path)
    (folder / NAME).rename(folder / "kept.sqlite3")
    if database == "emptied":
        (folder / NAME).touch()
    for use in (report_study, lambda place: StudyServer(place, port=0)):
        with pytest.raises(
            InputError, match=r"holds answers .* move answers\.sqlite3\* \(all files of that name\) away"
        ):
            use(folder)
    with pytest.raises(InputError, match="holds answers"):
        answers_file.check_unanswered(folder)
    (folder / "kept.sqlite3").replace(folder / NAME)
    assert len(report_study(folder).answers) == 18


def test_a_study_is_not_made_over_a_journal(tmp_path: Path) -> None:
    folder, _ = make_study(tmp_path)
    (folder / f"{NAME}-journal").write_bytes(b"pages")
    with pytest.raises(InputError, match="holds answers"):
        create_study(study_sets(tmp_path / "sets", ()), folder)
    assert (folder / f"{NAME}-journal").read_bytes() == b"pages"


def test_a_kill_while_the_file_is_made_leaves_one_that_is_used(tmp_path: Path) -> None:
    folder, _ = make_study(tmp_path)
    with closing(sqlite3.connect(folder / NAME)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # the first that is done; all tables follow at once
    assert (folder / NAME).stat().st_size
    made = create_study(study_sets(tmp_path / "sets", ()), folder).study
    with closing(AnswerStore(folder, made)) as store:
        answer_all(store, prefers(*CLASSES))
    assert len(report_study(folder).answers) == 9


def on_a_read_only_disk(path: Path, mode: str) -> sqlite3.Connection:
    """Connect as there: SQLite can make no memory to share beside a database, and says so as for a missing one."""
    missing = path.with_name("missing")
    file = path if "immutable" in mode else missing
    return sqlite3.connect(f"{file.as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False)


def test_a_report_of_a_study_on_a_disk_that_cannot_be_written(
    answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = killed(answered, tmp_path)
    before = {path.name: path.read_bytes() for path in answered.iterdir() if path.is_file()}
    monkeypatch.setattr(answers_file, "_connect", on_a_read_only_disk)
    assert len(report_study(answered).answers) == 18
    assert {path.name: path.read_bytes() for path in answered.iterdir() if path.is_file()} == before
    with pytest.raises(InputError, match="-wal: holds answers that cannot be read where nothing can be written"):
        report_study(folder)


def test_a_report_writes_nothing_into_the_database(answered: Path, tmp_path: Path) -> None:
    folder = killed(answered, tmp_path)
    before = [(folder / f"{NAME}{suffix}").read_bytes() for suffix in ("", "-wal")]
    assert len(report_study(folder).answers) == 18
    assert [(folder / f"{NAME}{suffix}").read_bytes() for suffix in ("", "-wal")] == before
    (folder / NAME).unlink()
    (folder / f"{NAME}-wal").unlink()
    with pytest.raises(InputError, match="no answers yet"):
        report_study(folder)
    assert not (folder / NAME).exists()

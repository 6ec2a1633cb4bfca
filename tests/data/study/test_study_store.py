"""Answers are kept: at once, for good, with their history, whoever writes at the same time."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from study_photos import CLASSES, answer_all, make_study, prefers

from dped_data.errors import InputError
from dped_data.study.create import create_study, study_sets
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study


def test_answers_come_back_from_another_process_of_the_server(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    first = AnswerStore(folder, study)
    subject = answer_all(first, prefers(*CLASSES), 4)
    later = AnswerStore(folder, study)  # the first was never closed, as after a kill
    assert later.token == first.token
    assert later.questions(subject) == first.questions(subject)
    assert later.choices(subject) == first.choices(subject)
    assert len(later.answers()) == 4
    first.close()
    later.close()


def test_an_answer_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        assert store._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_the_last_answer_counts_and_the_others_stay(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        subject = answer_all(store, prefers("dslr", "enhanced", "original"))
        shown = store.questions(subject)
        assert shown is not None
        better = store.choices(subject)[3]
        worse = shown[3].left if better == shown[3].right else shown[3].right
        store.answer(subject, 3, shown[3], worse)
        assert store.choices(subject)[3] == worse
        changed = [answer for answer in store.answers() if answer.given > 1]
        assert [(a.question, a.chosen, a.given) for a in changed] == [(shown[3].question, worse, 2)]
        assert len(store.answers()) == 9
    with closing(sqlite3.connect(folder / "answers.sqlite3")) as database:
        query = "SELECT chosen_class FROM answers WHERE place = 3 ORDER BY number"
        assert [row[0] for row in database.execute(query)] == [better, worse]


def test_a_choice_that_is_sent_again_is_no_change(tmp_path: Path) -> None:
    """An answer may be on disk and yet refused, such as on a full disk: the page sends it until it is acknowledged."""
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        subject = answer_all(store, prefers(*CLASSES), 2)
        shown = store.questions(subject)
        assert shown is not None
        first, preferred = store.choices(subject)[0], store.choices(subject)[1]
        left, right = shown[1].left, shown[1].right
        store.answer(subject, 0, shown[0], first)
        for chosen in (left, right, right, left, left):
            store.answer(subject, 1, shown[1], chosen)
        by_place = {answer.question: (answer.chosen, answer.given) for answer in store.answers()}
    assert by_place[shown[0].question] == (first, 1)
    assert by_place[shown[1].question] == (left, 3 if preferred == left else 4)  # left and right are random


def test_many_subjects_at_once_from_two_servers(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    stores = [AnswerStore(folder, study) for _ in range(2)]
    threads = [
        threading.Thread(target=answer_all, args=(stores[k % 2], prefers(*CLASSES[k % 3 :], *CLASSES[: k % 3])))
        for k in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores:
        assert len(store.answers()) == 6 * 9
        assert len(set(store.subjects())) == 6
        store.close()


def test_unknown_subjects_have_no_questions(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        for nobody in ("", "nobody", "\ud800", "'; DROP TABLE answers; --", "\0"):
            assert store.questions(nobody) is None


def test_answers_to_another_study_are_refused(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        answer_all(store, prefers(*CLASSES))
    create_study(study_sets(tmp_path / "sets", ()), tmp_path / "other", scenes=2)
    (folder / "study.json").write_bytes((tmp_path / "other" / "study.json").read_bytes())
    with pytest.raises(InputError, match="answers to another study"):
        AnswerStore(folder, read_study(folder))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    (folder / "answers.sqlite3").write_bytes(b"my own notes, and they are long" * 100)
    with pytest.raises(InputError, match=r"answers\.sqlite3: file is not a database"):
        AnswerStore(folder, study)


@pytest.mark.parametrize("what", ["removed", "emptied", "replaced", "fuller"])
def test_nothing_is_acknowledged_that_is_not_on_disk_under_its_name(tmp_path: Path, what: str) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        subject = answer_all(store, prefers(*CLASSES), 2)
        shown = store.questions(subject)
        assert shown is not None
        if what == "removed":
            for path in folder.glob("answers.sqlite3*"):
                path.unlink()
        elif what == "emptied":
            os.truncate(store.path, 0)
            for path in folder.glob("answers.sqlite3-*"):
                path.unlink()
        elif what == "replaced":
            for path in folder.glob("answers.sqlite3*"):
                path.rename(path.with_name(f"moved-{path.name}"))
            AnswerStore(folder, study).close()
        else:  # a copy that goes further, so that the next number is taken there as well
            with closing(sqlite3.connect(store.path)) as reader, closing(sqlite3.connect(tmp_path / "copy")) as copy:
                reader.backup(copy)
            for path in folder.glob("answers.sqlite3*"):
                path.rename(path.with_name(f"moved-{path.name}"))
            (tmp_path / "copy").rename(store.path)
            with closing(AnswerStore(folder, study)) as fuller:
                answer_all(fuller, prefers(*CLASSES))
        with pytest.raises(InputError, match="answers.sqlite3"):
            store.answer(subject, 2, shown[2], shown[2].left)
        with pytest.raises(InputError, match="answers.sqlite3"):
            store.new_subject()


def test_a_strangers_database_is_not_written_to(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(sqlite3.connect(folder / "answers.sqlite3")) as database:
        database.execute("CREATE TABLE answers (mine TEXT)")
        database.commit()
    before = (folder / "answers.sqlite3").read_bytes()
    with pytest.raises(
        InputError, match=r"is not a file of answers .*; move answers\.sqlite3\* \(all files of that name\) away"
    ):
        AnswerStore(folder, study)
    with pytest.raises(InputError, match="is not a file of answers"):
        create_study(study_sets(tmp_path / "sets", ()), folder)
    assert (folder / "answers.sqlite3").read_bytes() == before
    assert read_study(folder) == study


def test_a_study_made_anew_keeps_what_is_not_of_a_study(tmp_path: Path) -> None:
    folder, _ = make_study(tmp_path)
    AnswerStore(folder, read_study(folder)).close()  # served once, and nobody came
    for name in ("notes.txt", "report/bars.png", "photos/mine.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"mine")
    made = create_study(study_sets(tmp_path / "sets", ()), folder, scenes=2).study
    assert {path.name for path in (folder / "photos").iterdir()} == {"mine.jpg", *(p.file for p in made.photos)}
    assert all((folder / name).read_bytes() == b"mine" for name in ("notes.txt", "report/bars.png", "photos/mine.jpg"))
    with closing(AnswerStore(folder, made)) as store:
        answer_all(store, prefers(*CLASSES), 1)
    with pytest.raises(InputError, match="holds 1 answers"):
        create_study(study_sets(tmp_path / "sets", ()), folder)

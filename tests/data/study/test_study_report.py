"""The report finds the truth that the answers were made from, and says what it counted."""

from __future__ import annotations

import base64
import csv
import json
import math
import random
import re
import subprocess
from collections import Counter
from contextlib import closing
from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from dped_command import dped
from study_photos import CLASSES, LEVELS, answer_all, make_study, prefers

from dped_data.errors import InputError
from dped_data.study.bars import draw_bars
from dped_data.study.records import Answer, Question, ShownQuestion, Study, StudyGroup
from dped_data.study.report import StudyReport, report_answers, report_study
from dped_data.study.report_files import report_text, write_report
from dped_data.study.store import AnswerStore

ROOT = Path(__file__).parents[3]
GROUP = StudyGroup("sony", ("a", "b"), ("one",))
PAIR = Study("", 0, (GROUP,), ())


def votes(first: int, second: int) -> list[Answer]:
    """Answers to the one question of PAIR, each of another subject."""
    question = Question("sony", "one", "a", "b")
    chosen = ["a"] * first + ["b"] * second
    return [Answer(f"s{k}", question, "ab"[k % 2], name, "2020", 1) for k, name in enumerate(chosen)]


def pair_report(first: int, second: int) -> StudyReport:
    answers = votes(first, second)
    return report_answers(PAIR, [answer.subject for answer in answers], answers)


@pytest.mark.parametrize(
    ("first", "second", "low", "high", "p_value"),
    [  # Wilson (1927) intervals and binomial tails, worked out by hand from their formulas
        (8, 2, 0.4902, 0.9433, 112 / 1024),
        (10, 0, 0.7225, 1.0, 2 / 1024),
        (5, 5, 0.2366, 0.7634, 1.0),
        (0, 3, 0.0, 0.5615, 0.25),
    ],
)
def test_intervals_and_tests_are_the_known_ones(
    first: int, second: int, low: float, high: float, p_value: float
) -> None:
    (comparison,) = pair_report(first, second).comparisons
    assert comparison.preference is not None
    assert comparison.preference.share == first / (first + second)
    assert comparison.preference.low == pytest.approx(low, abs=5e-5)
    assert comparison.preference.high == pytest.approx(high, abs=5e-5)
    assert comparison.p_value == pytest.approx(p_value, rel=1e-9)


def test_three_subjects_of_known_preference_are_counted_exactly(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path, ("iphone", "sony"), scenes=3)
    with closing(AnswerStore(folder, study)) as store:
        answer_all(store, prefers("enhanced", "dslr", "original"))
        answer_all(store, prefers("dslr", "enhanced", "original"))
        answer_all(store, lambda shown: shown.left)
        left_is_first = Counter[tuple[str, str, str]]()
        for answer in store.answers():
            if answer.subject == store.subjects()[2]:
                key = (answer.question.group, answer.question.first, answer.question.second)
                left_is_first[key] += answer.chosen == answer.question.first
    report = report_study(folder)
    assert [astuple(entry)[1:] for entry in report.subjects] == [(18, 0, True)] * 3
    for c in report.comparisons:
        scripted = {("original", "enhanced"): 0, ("original", "dslr"): 0, ("enhanced", "dslr"): 3}[c.first, c.second]
        assert (c.answers, c.subjects) == (9, 3)
        assert c.first_chosen == scripted + left_is_first[c.group, c.first, c.second]
    for group in ("iphone", "sony"):
        classes = [entry for entry in report.classes if entry.group == group]
        assert sum(entry.chosen for entry in classes) == 27
        assert sum(entry.of_all.share for entry in classes if entry.of_all) == pytest.approx(1)
        assert [entry.shown for entry in classes] == [18, 18, 18]
        assert sum(s.first_chosen for s in report.scenes if s.group == group) == sum(
            c.first_chosen for c in report.comparisons if c.group == group
        )
    assert report.left.share == pytest.approx(sum(a.chosen == a.left for a in report.answers) / 54)


def test_made_tastes_are_recovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """42 subjects who choose by chance with known odds, as many as in the paper: shares and intervals are right."""
    folder, study = make_study(tmp_path, scenes=9)
    worth = {"original": -1.0, "enhanced": 0.6, "dslr": 0.6}
    rng = np.random.default_rng(3)

    def odds(first: str, second: str) -> float:
        return 1 / (1 + math.exp(worth[second] - worth[first]))

    def by_chance(shown: ShownQuestion) -> str:
        return shown.left if rng.random() < odds(shown.left, shown.right) else shown.right

    # Subjects' ids decide what they are shown. One interval in twenty misses the truth; in this draw none does.
    monkeypatch.setattr("dped_data.study.store.secrets", random.Random(1))  # noqa: S311
    with closing(AnswerStore(folder, study)) as store:
        store._database.execute("PRAGMA synchronous = OFF")  # only the figures matter here
        for _ in range(42):
            answer_all(store, by_chance)
    report = report_study(folder)
    for c in report.comparisons:
        truth = odds(c.first, c.second)
        assert c.answers == 42 * 9 and c.preference and c.by_subject and c.p_value is not None
        assert c.preference.share == pytest.approx(truth, abs=3 * math.sqrt(truth * (1 - truth) / c.answers))
        assert c.preference.low < truth < c.preference.high
        assert c.by_subject.low < truth < c.by_subject.high
        assert (c.p_value < 1e-6) == ("original" in (c.first, c.second))


def test_subjects_who_differ_widen_the_interval_over_subjects() -> None:
    """Ten subjects of one mind each, 7 against 3, are ten observations and not ninety."""
    scenes = tuple(f"s{k}" for k in range(9))
    study = Study("", 0, (StudyGroup("sony", ("a", "b"), scenes),), ())
    answers = [
        Answer(f"p{who}", question, "a", "a" if who < 7 else "b", "2020", 1)
        for who in range(10)
        for question in study.questions
    ]
    (comparison,) = report_answers(study, [f"p{k}" for k in range(10)], answers).comparisons
    wilson, over = comparison.preference, comparison.by_subject
    assert wilson is not None and over is not None
    assert wilson.share == over.share == 0.7
    assert over.high - over.low > 2.5 * (wilson.high - wilson.low)
    assert over.low == pytest.approx(0.4, abs=0.11)  # the binomial of ten: quantiles at 0.4 and 1.0


def test_incomplete_subjects_are_counted_or_left_out_and_said(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        with pytest.raises(InputError, match="no answers to count from 0 subjects"):
            report_study(folder)
        store.new_subject()
        answer_all(store, prefers(*CLASSES), 4)
        with pytest.raises(InputError, match="the furthest has 4 of 9 answers, leave out --complete-only"):
            report_study(folder, complete_only=True)
        answer_all(store, prefers(*CLASSES))
    report = report_study(folder)
    assert len(report.answers) == 13
    assert "3 subjects, 9 questions each: 1 complete, 1 incomplete (4 answers; counted), 1 without an answer" in (
        report_text(report)
    )
    complete = report_study(folder, complete_only=True)
    assert len(complete.answers) == 9
    assert "left out" in report_text(complete)


def test_comparisons_without_an_answer_say_so(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path, ("iphone", "sony"))
    with closing(AnswerStore(folder, study)) as store:
        answer_all(store, prefers(*CLASSES), 1)
    report = report_study(folder)
    assert sum(c.answers for c in report.comparisons) == 1
    assert report_text(report).count("no answers") >= 5
    write_report(report, tmp_path / "report")


def test_files_hold_the_same_figures(tmp_path: Path) -> None:
    folder, study = make_study(tmp_path)
    with closing(AnswerStore(folder, study)) as store:
        subjects = [answer_all(store, prefers("dslr", "enhanced", "original")) for _ in range(5)]
    report = report_study(folder)
    out = write_report(report, tmp_path / "report")
    rows = {path.stem: list(csv.DictReader(path.open())) for path in out.glob("*.csv")}
    assert set(rows) == {"comparisons", "classes", "scenes", "subjects", "answers"}
    for row, c in zip(rows["comparisons"], report.comparisons, strict=True):
        assert (row["first"], row["second"], int(row["answers"])) == (c.first, c.second, 15)
        assert c.preference and float(row["share"]) == pytest.approx(c.preference.share, abs=1e-4)
        assert float(row["high_over_subjects"]) == 0.0  # all of one mind: the first class of each pair never wins
    assert [row["class"] for row in rows["classes"]] == list(CLASSES)
    assert len(rows["answers"]) == 45 and {row["subject"] for row in rows["answers"]} == {*subjects}
    assert len(rows["scenes"]) == 9
    for name, columns in (("comparisons", "lllrrrrrrrrr"), ("classes", "llrrrrrrrr"), ("scenes", "llllrr")):
        printed = (out / f"{name}.tex").read_text().splitlines()
        assert printed[0] == rf"\begin{{tabular}}{{{columns}}}"
        assert len(printed) == len(rows[name]) + 6
    picture = cv2.imread(str(out / "bars.png"))
    assert picture is not None and picture.shape[1] > 600


def test_the_page_tells_which_scenes_were_won_and_shows_them(tmp_path: Path) -> None:
    """Two who like the enhanced photo always, and one who likes the DSLR's in scene0 and scene1."""
    folder, study = make_study(tmp_path, scenes=3)

    def torn(shown: ShownQuestion) -> str:
        liked = "dslr" if shown.question.scene in ("scene0", "scene1") else "enhanced"
        return prefers(liked, *(name for name in CLASSES if name != liked))(shown)

    with closing(AnswerStore(folder, study)) as store:
        for chooser in (torn, torn, prefers("enhanced", "dslr", "original")):
            answer_all(store, chooser)
    text = (write_report(report_study(folder), tmp_path / "report", folder) / "index.html").read_text()
    assert "scenes: 1 won by enhanced, 2 by dslr, 0 even" in re.sub(r"\s+", " ", text)
    part = text[text.index("<h3>enhanced against dslr") :]
    scenes = re.findall(r"<figcaption>(\w+) (\d)</figcaption>|<p class=\"quiet\">(scene\d)</p>", part)
    assert [" ".join(filter(None, found)) for found in scenes] == [
        *("enhanced 3", "dslr 0", "scene2", "enhanced 1", "dslr 2", "scene0", "enhanced 1", "dslr 2", "scene1")
    ]
    winners = re.findall(r"<figure class=\"winner\"><img src=\"data:image/jpeg;base64,([^\"]+)\"", part)
    levels = [cv2.imdecode(np.frombuffer(base64.b64decode(w), np.uint8), cv2.IMREAD_COLOR).mean() for w in winners]
    assert levels == pytest.approx([LEVELS[name] for name in ("enhanced", "dslr", "dslr")], abs=3)
    assert len(text) < 200_000 and "http" not in text


def test_names_of_classes_and_scenes_cannot_become_markup_or_commands(tmp_path: Path) -> None:
    group = StudyGroup("a & b", ("<b>x", "50% \\input{y}_z"), ("<script>",))
    study = Study("", 0, (group,), ())
    answers = [Answer("s", study.questions[0], group.classes[0], group.classes[0], "2020", 1)]
    out = write_report(report_answers(study, ["s"], answers), tmp_path / "report")
    page, printed = (out / "index.html").read_text(), (out / "comparisons.tex").read_text()
    assert "<script>" not in page and "<b>" not in page and "&lt;script&gt;" in page
    assert r"50\% \textbackslash{}input\{y\}\_z" in printed and r"a \& b" in printed


def test_bars_show_the_shares_and_come_out_the_same(tmp_path: Path) -> None:
    """The coloured lengths of the first bar, measured in the picture, are the shares."""
    report = pair_report(30, 10)
    drawn = draw_bars(report, "svg")
    assert drawn == draw_bars(report, "svg")
    text = drawn.decode()
    for words in ("sony", "a | b", "75%", "25%", "p = 0.002, n = 40", "all"):
        assert f">{words}<" in text, words
    picture = cv2.imdecode(np.frombuffer(draw_bars(report, "png"), np.uint8), cv2.IMREAD_COLOR)
    blue, orange = (np.all(picture == colour, axis=2).sum(axis=1).max() for colour in ([178, 114, 0], [0, 159, 230]))
    assert blue / (blue + orange) == pytest.approx(0.75, abs=0.01)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return dped("study", *arguments, cwd=cwd)


def test_the_commands_in_a_folder_that_follows_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    make_study(tmp_path / "made")
    (tmp_path / "made" / "sets").rename(tmp_path / "study-photos")
    missing = run("report", cwd=tmp_path)
    assert missing.returncode == 1 and "dped study create" in missing.stderr
    made = run("create", "--scenes", "2", "--seed", "3", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "study: 6 questions, 6 photos" in made.stdout and "dped study serve study" in made.stdout
    early = run("report", cwd=tmp_path)
    assert early.returncode == 1 and early.stderr.count("\n") == 1 and "no answers yet" in early.stderr
    from dped_data.study.study_file import read_study

    with closing(AnswerStore(tmp_path / "study", read_study(tmp_path / "study"))) as store:
        answer_all(store, prefers(*CLASSES))
    report = run("report", "--json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    document = json.loads(report.stdout)
    assert [c["answers"] for c in document["comparisons"]] == [2, 2, 2]
    assert (tmp_path / "study/report/bars.svg").exists()
    assert "chosen over all comparisons" in run("report", cwd=tmp_path).stdout
    wrong = run("create", "--set", "nonsense", cwd=tmp_path)
    assert wrong.returncode == 2 and "write GROUP/CLASS=FOLDER" in wrong.stderr
    again = run("create", cwd=tmp_path)
    assert again.returncode == 1 and "holds 6 answers" in again.stderr

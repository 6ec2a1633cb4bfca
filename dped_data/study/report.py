"""What the answers to a study say: shares of every comparison with intervals and exact tests (section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from dped_data.errors import InputError
from dped_data.study.records import Answer, Study, StudyGroup
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study

CONFIDENCE = 0.95
LEAST_SUBJECTS = 5
"""Ours: with fewer subjects, drawing subjects anew says little of how much subjects differ."""
_DRAWS = 4000


@dataclass(frozen=True)
class Interval:
    """A share in [0, 1] and the interval that holds the true one with 95 % confidence."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One pair of classes: one of the first bars of a subfigure of Figure 10.

    Attributes:
        group, first, second: what was compared.
        answers: questions answered, all subjects and scenes together.
        first_chosen: how often `first` was preferred.
        preference: share of `first`, with the Wilson interval. It takes answers as independent of each other.
        by_subject: the same share, with the interval from drawing subjects anew with replacement (percentiles): wider
            where subjects differ in taste. None with fewer than LEAST_SUBJECTS subjects.
        p_value: exact two-sided binomial test of "the choice is random" (share 0.5).
        subjects: how many subjects answered.
    """

    group: str
    first: str
    second: str
    answers: int
    first_chosen: int
    preference: Interval | None
    by_subject: Interval | None
    p_value: float | None
    subjects: int


@dataclass(frozen=True)
class ClassShare:
    """One class over all comparisons of its group: a part of the last bar of a subfigure of Figure 10.

    Attributes:
        group, class_name: which.
        shown: answered questions that showed it.
        chosen: how often it was preferred.
        of_all: share of all answers of the group in which it was chosen, the paper's last bar.
        when_shown: share of the answers to questions that showed it.
    """

    group: str
    class_name: str
    shown: int
    chosen: int
    of_all: Interval | None
    when_shown: Interval | None


@dataclass(frozen=True)
class SceneCount:
    """One pair of classes on one scene: how often it was answered, how often `first` was chosen."""

    group: str
    first: str
    second: str
    scene: str
    answers: int
    first_chosen: int


@dataclass(frozen=True)
class SubjectProgress:
    """How far a subject came.

    Attributes:
        subject: anonymous id.
        answered: questions with an answer.
        changed: questions whose answer was changed.
        is_counted: whether the report counts the answers.
    """

    subject: str
    answered: int
    changed: int
    is_counted: bool


@dataclass(frozen=True)
class StudyReport:
    """Everything the answers say.

    Attributes:
        title: of the study.
        questions: that each subject is asked.
        subjects: everybody who started, in order.
        complete_only: whether subjects who did not answer everything were left out.
        comparisons, classes, scenes: the figures, in order of the study.
        left: share of answers that chose the left photo; far from 0.5 a habit, which the balanced sides even out.
        answers: the answers that count, for analyses of one's own.
    """

    title: str
    questions: int
    subjects: tuple[SubjectProgress, ...]
    complete_only: bool
    comparisons: tuple[Comparison, ...]
    classes: tuple[ClassShare, ...]
    scenes: tuple[SceneCount, ...]
    left: Interval
    answers: tuple[Answer, ...]


def report_study(folder: Path, *, complete_only: bool = False) -> StudyReport:
    """Read all answers to the study in a folder and count them; a server may run meanwhile, nothing is written.

    Args:
        folder: the study's folder.
        complete_only: leave subjects out who did not answer every question; otherwise every answer counts.
    Raises:
        InputError: no study there, no answer to count, or answers that this study did not ask for.
    """
    study = read_study(folder)
    with closing(AnswerStore(folder, study, read_only=True)) as store:
        answers, subjects = store.answers(), store.subjects()
    return report_answers(study, subjects, answers, complete_only=complete_only)


def report_answers(
    study: Study, subjects: Sequence[str], answers: Sequence[Answer], *, complete_only: bool = False
) -> StudyReport:
    """Count the answers of these subjects; InputError if there is none to count."""
    total = len(study.questions)
    progress = []
    for subject in subjects:
        own = [answer for answer in answers if answer.subject == subject]
        is_counted = len(own) == total if complete_only else bool(own)
        progress.append(SubjectProgress(subject, len(own), sum(answer.given > 1 for answer in own), is_counted))
    counted_subjects = {entry.subject for entry in progress if entry.is_counted}
    counted = tuple(answer for answer in answers if answer.subject in counted_subjects)
    if not counted:
        most = max((entry.answered for entry in progress), default=0)
        reason = f"; the furthest has {most} of {total} answers, leave out --complete-only" if most else ""
        raise InputError(f"no answers to count from {len(subjects)} subjects{reason}")
    left = _interval(sum(answer.chosen == answer.left for answer in counted), len(counted))
    assert left is not None, "there are answers"
    return StudyReport(
        title=study.title,
        questions=total,
        subjects=tuple(progress),
        complete_only=complete_only,
        comparisons=tuple(_comparison(g, pair, counted) for g in study.groups for pair in g.pairs),
        classes=tuple(_class_share(g, name, counted) for g in study.groups for name in g.classes),
        scenes=tuple(_scene(g, pair, scene, counted) for g in study.groups for pair in g.pairs for scene in g.scenes),
        left=left,
        answers=counted,
    )


def _of_pair(group: StudyGroup, pair: tuple[str, str], answers: Sequence[Answer]) -> list[Answer]:
    asked = [(a, a.question) for a in answers]
    return [a for a, question in asked if question.group == group.name and (question.first, question.second) == pair]


def _comparison(group: StudyGroup, pair: tuple[str, str], answers: Sequence[Answer]) -> Comparison:
    own = _of_pair(group, pair, answers)
    chosen = sum(answer.chosen == pair[0] for answer in own)
    p_value = float(binomtest(chosen, len(own), 0.5).pvalue) if own else None
    subjects = len({answer.subject for answer in own})
    return Comparison(
        group.name, *pair, len(own), chosen, _interval(chosen, len(own)), _by_subject(own, pair[0]), p_value, subjects
    )


def _interval(successes: int, trials: int) -> Interval | None:
    """The share with its Wilson interval, which keeps its coverage near 0 and 1 and at few trials."""
    if not trials:
        return None
    found = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))


def _by_subject(answers: Sequence[Answer], first: str) -> Interval | None:
    """The share with its percentile interval over subjects drawn anew, seeded: same answers, same figures."""
    counts: dict[str, list[int]] = {}
    for answer in answers:
        entry = counts.setdefault(answer.subject, [0, 0])
        entry[0] += answer.chosen == first
        entry[1] += 1
    if len(counts) < LEAST_SUBJECTS:
        return None
    table = np.array(list(counts.values()))
    drawn = table[np.random.default_rng(0).integers(0, len(table), (_DRAWS, len(table)))].sum(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [tail, 100 - tail])
    return Interval(float(table[:, 0].sum() / table[:, 1].sum()), float(low), float(high))


def _class_share(group: StudyGroup, class_name: str, answers: Sequence[Answer]) -> ClassShare:
    own = [answer for answer in answers if answer.question.group == group.name]
    shown = [answer for answer in own if class_name in (answer.question.first, answer.question.second)]
    chosen = sum(answer.chosen == class_name for answer in shown)
    return ClassShare(
        group.name, class_name, len(shown), chosen, _interval(chosen, len(own)), _interval(chosen, len(shown))
    )


def _scene(group: StudyGroup, pair: tuple[str, str], scene: str, answers: Sequence[Answer]) -> SceneCount:
    own = [answer for answer in _of_pair(group, pair, answers) if answer.question.scene == scene]
    return SceneCount(group.name, *pair, scene, len(own), sum(answer.chosen == pair[0] for answer in own))

"""The order in which a subject sees questions and sides: shuffled anew for every subject."""

from __future__ import annotations

import hashlib

from dped_data.study.records import Question, ShownQuestion, Study


def shown_questions(study: Study, subject: str) -> tuple[ShownQuestion, ...]:
    """Return all questions in the subject's order, each with the subject's sides.

    "All pairs are shuffled randomly for every subject, as is the sequence of displayed images" (section 4.3). Each
    comparison shows its first class on the left in half of the scenes (to within one), so that a subject who prefers
    a side does not prefer a class by that. Seed and id alone decide, by sha256: a subject goes on in the same order
    on any machine and with any version of Python.
    """

    def rank(what: str, question: Question) -> bytes:
        text = "\0".join((str(study.seed), subject, what, question.group, question.scene, question.first))
        return hashlib.sha256(f"{text}\0{question.second}".encode()).digest()

    questions, shown = study.questions, []
    for group in study.groups:
        for pair in group.pairs:
            asked = [q for q in questions if q.group == group.name and (q.first, q.second) == pair]
            asked.sort(key=lambda question: rank("side", question))
            start = rank("start", asked[0])[0]
            for place, question in enumerate(asked):
                sides = (question.first, question.second) if (place + start) % 2 else (question.second, question.first)
                shown.append(ShownQuestion(question, *sides))
    return tuple(sorted(shown, key=lambda entry: rank("order", entry.question)))

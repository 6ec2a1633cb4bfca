"""What a user study consists of: groups of classes, scenes, photos, and the questions that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class StudyGroup:
    """One experiment of a study: every pair of its classes is compared on every scene (paper, section 4.3).

    Attributes:
        name: such as the phone's.
        classes: kinds of pictures, such as original, enhanced, dslr; at least two.
        scenes: names of the scenes, each of which has a photo of every class.
    """

    name: str
    classes: tuple[str, ...]
    scenes: tuple[str, ...]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All pairs of classes, in order of the classes."""
        return tuple(combinations(self.classes, 2))


@dataclass(frozen=True)
class StudyPhoto:
    """A photo of a study.

    Attributes:
        group, class_name, scene: what it shows.
        file: name in the study's folder `photos`; it and the file tell nothing of the class.
        width_px, height_px: size, upright.
        source: name of the file it was made from.
    """

    group: str
    class_name: str
    scene: str
    file: str
    width_px: int
    height_px: int
    source: str


@dataclass(frozen=True)
class Question:
    """Which of two classes' photos of a scene looks better?"""

    group: str
    scene: str
    first: str
    second: str


@dataclass(frozen=True)
class Study:
    """A study as study.json describes it.

    Attributes:
        title: shown to the subjects; empty for none.
        seed: decides the order of questions and sides together with the subject's id.
        groups: the experiments.
        photos: all photos.
    """

    title: str
    seed: int
    groups: tuple[StudyGroup, ...]
    photos: tuple[StudyPhoto, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """Every pair of classes on every scene of every group: 27 for 9 scenes and 3 classes."""
        return tuple(
            Question(group.name, scene, first, second)
            for group in self.groups
            for first, second in group.pairs
            for scene in group.scenes
        )


@dataclass(frozen=True)
class ShownQuestion:
    """A question as one subject sees it: `left` and `right` are its two classes, in this subject's order."""

    question: Question
    left: str
    right: str


@dataclass(frozen=True)
class Answer:
    """The answer of a subject to a question that counts: the last one given.

    Attributes:
        subject: anonymous id.
        question: what was asked.
        left: the class that was shown on the left.
        chosen: the class that was preferred.
        time: when, UTC, ISO 8601.
        given: 1, and one more for every change by going back; the same choice sent again is none.
    """

    subject: str
    question: Question
    left: str
    chosen: str
    time: str
    given: int

"""Photo sets and studies with a known truth, for the tests of the user study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dped_data.study.create import create_study
from dped_data.study.records import ShownQuestion, Study
from dped_data.study.store import AnswerStore

CLASSES = ("original", "enhanced", "dslr")
LEVELS = {"original": 60, "enhanced": 130, "dslr": 200}
"""Mean grey level of each class's photos, by which a test tells them apart as a subject does: by looking."""
SIZES = {"original": (120, 90), "enhanced": (120, 90), "dslr": (180, 130)}

Chooser = Callable[[ShownQuestion], str]


def write_photo_sets(
    folder: Path, groups: Sequence[str] = ("sony",), scenes: int = 3, classes: Sequence[str] = CLASSES
) -> dict[tuple[str, str], Path]:
    """Write FOLDER/GROUP/CLASS/sceneK.png and return the folders; every photo has its class's level, with texture."""
    sets = {}
    for g, group in enumerate(groups):
        for c, name in enumerate(classes):
            place = folder / group / name
            place.mkdir(parents=True)
            sets[group, name] = place
            width, height = SIZES.get(name, (100, 80))
            for k in range(scenes):
                rng = np.random.default_rng((g, c, k))
                level = LEVELS.get(name, 100) + rng.integers(-20, 21, (height, width, 3))
                Image.fromarray(level.astype(np.uint8)).save(place / f"scene{k}.png")
    return sets


def make_study(folder: Path, groups: Sequence[str] = ("sony",), scenes: int = 3, seed: int = 0) -> tuple[Path, Study]:
    """Make FOLDER/study from photo sets and return its folder and what it holds."""
    sets = write_photo_sets(folder / "sets", groups, scenes)
    return folder / "study", create_study(sets, folder / "study", seed=seed).study


def prefers(*order: str) -> Chooser:
    """A subject who always takes the class that comes first in `order`."""
    return lambda shown: min(shown.left, shown.right, key=order.index)


def answer_all(store: AnswerStore, chooser: Chooser, count: int | None = None) -> str:
    """Let a new subject answer its first `count` questions (all if None); return its id."""
    subject = store.new_subject()
    questions = store.questions(subject)
    assert questions is not None
    for place, shown in enumerate(questions[:count]):
        store.answer(subject, place, shown, chooser(shown))
    return subject

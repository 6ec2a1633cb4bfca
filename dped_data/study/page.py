"""The study's report as one HTML file: bars, tables, and the scenes won and lost, in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import simplejpeg

from dped_data.common.printed_page import embedded, page_templates
from dped_data.photos.preview import read_preview
from dped_data.study.bars import COLOURS
from dped_data.study.report import CONFIDENCE, LEAST_SUBJECTS, Comparison, SceneCount, StudyReport
from dped_data.study.study_file import PHOTOS_FOLDER, photo_fault, read_study

MOST_SCENES = 12
"""Of a comparison, those that are shown in pictures: the most clearly won and lost. All of them are in scenes.csv."""
_PICTURE_PX = 280
_Pictures = dict[tuple[str, str, str], str]


@dataclass(frozen=True)
class PicturedComparison:
    """A comparison with its scenes: how many its first class won, lost and shared, and the clearest in pictures."""

    comparison: Comparison
    won: int
    lost: int
    even: int
    shown: tuple[SceneCount, ...]


def study_page(report: StudyReport, folder: Path | None) -> str:
    """Return the page; photos of the study in `folder` that cannot be read are left out, all of them without it.

    A scene is won by the class that most of those chose who were asked.
    """
    names = list(dict.fromkeys(entry.class_name for entry in report.classes))
    groups = [
        (
            group,
            [_pictured(c, report.scenes) for c in report.comparisons if c.group == group],
            [entry for entry in report.classes if entry.group == group and entry.of_all],
        )
        for group in dict.fromkeys(c.group for c in report.comparisons)
    ]
    shown = [entry for _, comparisons, _ in groups for entry in comparisons]
    return (
        page_templates("dped_data.study", "templates")
        .get_template("report.html")
        .render(
            report=report,
            complete=sum(s.answered == report.questions for s in report.subjects),
            groups=groups,
            colours={name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)},
            pictures=_pictures(folder, shown) if folder is not None else {},
            confidence=f"{CONFIDENCE:.0%}",
            least_subjects=LEAST_SUBJECTS,
        )
    )


def _pictured(comparison: Comparison, scenes: Sequence[SceneCount]) -> PicturedComparison:
    key = (comparison.group, comparison.first, comparison.second)
    own = [s for s in scenes if (s.group, s.first, s.second) == key and s.answers]
    leads = {s.scene: 2 * s.first_chosen - s.answers for s in own}
    ordered = sorted(own, key=lambda s: -leads[s.scene] / s.answers)
    half = MOST_SCENES // 2
    shown = ordered if len(ordered) <= MOST_SCENES else [*ordered[:half], *ordered[-half:]]
    values = list(leads.values())
    return PicturedComparison(
        comparison=comparison,
        won=sum(lead > 0 for lead in values),
        lost=sum(lead < 0 for lead in values),
        even=values.count(0),
        shown=tuple(shown),
    )


def _pictures(folder: Path, comparisons: Sequence[PicturedComparison]) -> _Pictures:
    """Addresses of small pictures by group, class and scene."""
    wanted = {(s.group, name, s.scene) for entry in comparisons for s in entry.shown for name in (s.first, s.second)}
    pictures = {}
    for photo in read_study(folder).photos:
        key = (photo.group, photo.class_name, photo.scene)
        if key not in wanted or photo_fault(folder, photo.file) is not None:
            continue
        pixels, _ = read_preview(folder / PHOTOS_FOLDER / photo.file, _PICTURE_PX)
        if pixels is not None:
            pictures[key] = embedded(simplejpeg.encode_jpeg(pixels, 80, "RGB", "420"), "jpeg")
    return pictures

"""The pictures of a reproduction: made once, kept until a model, the data or a setting changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dped_data.common.ownership import remove
from dped_train.reproduction.cached_result import kept
from dped_train.reproduction.candidates import DPED, Candidate
from dped_train.reproduction.measure import Bench, Row, dataset_facts, listing, weights_digest
from dped_train.reproduction.scenes import scenes
from dped_train.reproduction.sheets import artefact_sheet, blurred_sheet, method_sheet, write_picture

SHEET_ROWS = 4
ARTEFACT_PATCHES = 200
_Scenes = tuple[tuple[str, ...], ...]
Labelled = tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class Figures:
    """The pictures' files.

    Attributes:
        blurred, losses, artefacts: figures 5, 19 and 12.
        methods: the trained methods of table 2 on patches.
        scenes: for each test photo the labels and files of all its versions: phone, methods, DSLR.
        ours: the label of DPED's row.
    """

    blurred: Path
    losses: Path
    artefacts: Path
    methods: Path
    scenes: tuple[Labelled, ...]
    ours: str

    def files(self) -> tuple[Path, ...]:
        """All files."""
        sheets = (self.blurred, self.losses, self.artefacts, self.methods)
        return (*sheets, *(path for scene in self.scenes for _, path in scene))


def figures(bench: Bench, second: Sequence[tuple[Candidate, Row]], compared: Sequence[Row]) -> Figures:
    """Draw figures 5, 8, 9, 12, 13 to 18 and 19.

    Args:
        bench: dataset, folder, budget.
        second: the rows of table 2 with their candidates: shown on whole photos.
        compared: the rows that figure 19 shows on patches.
    """
    folder, settings = bench.out / "figures", bench.settings
    ours = next(row for candidate, row in second if candidate.name.startswith(DPED))
    sheets = {number[:2]: folder / f"figure-{number}.png" for number in ("05", "08-patches", "12", "19")}

    def make() -> dict[str, _Scenes]:
        store = bench.test()
        write_picture(sheets["05"], blurred_sheet(store, SHEET_ROWS))
        rows = [row for _, row in second]
        write_picture(sheets["08"], method_sheet(store, rows, SHEET_ROWS, settings.device))
        write_picture(sheets["12"], artefact_sheet(store, ours, ARTEFACT_PATCHES, settings.device))
        write_picture(sheets["19"], method_sheet(store, compared, SHEET_ROWS, settings.device))
        shown = []
        for number, scene in enumerate(scenes(store, second, settings.scenes, settings.photo_px, settings.device)):
            photos = {"phone": scene.phone, **scene.made, "dslr": scene.dslr}
            for name, photo in photos.items():
                write_picture(folder / _scene_file(number, name), photo)
            shown.append(tuple(photos))
        return {"scenes": tuple(shown)}

    facts = {
        "dataset": dataset_facts(bench),
        "settings": [settings.scenes, settings.photo_px],
        "rows": [[c.name, weights_digest(row.model), listing(c.external)] for c, row in second],
        "compared": [[row.label, weights_digest(row.model)] for row in compared],
    }
    labels = {**{row.name: row.label for _, row in second}, "phone": "phone", "dslr": "DSLR"}
    done = folder / "figures.json"
    for _ in range(2):  # a second time only where a picture that was kept has gone
        made = kept(done, facts, make, dict[str, _Scenes])
        result = Figures(
            blurred=sheets["05"],
            losses=sheets["19"],
            artefacts=sheets["12"],
            methods=sheets["08"],
            scenes=tuple(
                tuple((labels[name], folder / _scene_file(number, name)) for name in names if name in labels)
                for number, names in enumerate(made.get("scenes", ()))
            ),
            ours=ours.label,
        )
        if all(path.is_file() for path in result.files()):
            break
        remove(done)
    return result


def _scene_file(number: int, name: str) -> str:
    return f"scene-{number}-{name}.jpg"

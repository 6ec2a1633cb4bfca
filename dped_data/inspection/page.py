"""Write the report's page: index.html, its assets, and the data of the overview. Opens from disk, without network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from dped_data.common.files import atomic_write_bytes, atomic_write_text, written_state
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json
from dped_data.common.ownership import remove, remove_recorded
from dped_data.common.written_record import Written, recorded_files
from dped_data.inspection.capture_page import CAPTURES_FOLDER, FILES
from dped_data.inspection.records import Dataset

PAGE_NAME = "index.html"
VERDICT_NAME = "verdict.json"
TABLE_NAME = "patches.csv"
"""Of loose patches: every one of them, with what was measured."""
_REPORT_NAME = "report.js"
_BEGINNING = b"dped.receiveReport("
_SCRIPTS = ("core", "review", "charts", "pictures", "overview", "table", "compare", "detail", "start", "plot.umd.min")
_SHARED = ("d3.min.js", "viewer.js")
"""What the pages of the user study use as well."""
_ASSETS = ("page.css", "LICENCES.txt", *(f"{name}.js" for name in _SCRIPTS), *_SHARED)


NAMES = (
    *(PAGE_NAME, VERDICT_NAME, "assets/", "data/", f"{CAPTURES_FOLDER}/", f"data/{_REPORT_NAME}"),
    TABLE_NAME,
    *(f"assets/{name}" for name in _ASSETS),
    *(f"{CAPTURES_FOLDER}/[0-9][0-9][0-9][0-9][0-9]/{name}" for name in FILES),
)
"""What a report may hold."""


def files_of_the_version_before(out: Path) -> dict[Path, Written] | None:
    """The files of a report that a version without a record made; None where there is none, or a part of one only."""
    try:
        verdict = read_json(out / VERDICT_NAME, MOST_LIST_BYTES)
        data = (out / "data" / _REPORT_NAME).read_bytes()
    except (OSError, ValueError):
        return None
    if not isinstance(verdict, dict) or not {"verdict", "checks", "captures"} <= {*verdict}:
        return None
    if not data.startswith(_BEGINNING):
        return None
    known = (path for name in NAMES if not name.endswith("/") for path in out.glob(name))
    return {path: written_state(path) for path in known if path.is_file()}


def prepare_folder(out: Path) -> None:
    """Remove an earlier report's page and captures, and nothing else. Call while the folder is held.

    The page goes first and is written last, so that whoever finds one finds a whole report.
    """
    remove(out / PAGE_NAME)
    remove_recorded(recorded_files(out / CAPTURES_FOLDER))


def write_page(out: Path, report: Mapping[str, Any], dataset: Dataset) -> Path:
    """Write the page around the captures' folders, index.html last; return its path.

    Args:
        out: the report's folder.
        report: the report as plain dicts (`as_json`).
        dataset: for what the report does not say of it.
    """
    assets = out / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (out / "data").mkdir(exist_ok=True)
    source, shared = files("dped_data.inspection") / "assets", files("dped_data.common") / "viewer"
    for name in _ASSETS:
        atomic_write_bytes(assets / name, ((shared if name in _SHARED else source) / name).read_bytes())
    document = {
        **report,
        "patch_size": dataset.patch_size,
        "alignment": dataset.alignment,
        "photos": _photos(out, dataset),
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    atomic_write_text(out / "data" / _REPORT_NAME, f"{_BEGINNING.decode()}{text});\n")
    atomic_write_bytes(out / PAGE_NAME, (source / PAGE_NAME).read_bytes())
    return out / PAGE_NAME


def _photos(out: Path, dataset: Dataset) -> str:
    """Where the page finds the photos: relative to itself, so that both can be moved together; "" when nowhere."""
    if dataset.captures_folder is None:
        return ""
    try:
        return Path(os.path.relpath(dataset.captures_folder.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return dataset.captures_folder.resolve().as_uri()

"""simulation.json: what a rig was asked to be, written first, so that an interrupted rendering goes on (leaf)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dped_data.errors import InputError
from dped_data.files import atomic_write_text, remove_temporaries
from dped_data.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.settings_machinery import changed_settings
from dped_data.simulation.truth import CAPTURES_FOLDER, TRUTH_FOLDER, Truth, read_truth, truth_path

DESCRIPTION_NAME = "simulation.json"


def begin(out: Path, asked: Mapping[str, Any], cameras: tuple[str, str]) -> None:
    """Make the folders of a rendering ready and note what it was asked for; or check that it was asked for the same.

    Raises:
        InputError: `out` holds photos that no rendering left there, or one that was asked for something else.
    """
    path = out / DESCRIPTION_NAME
    try:
        before = typed(dict[str, Any], read_json(path, MOST_LIST_BYTES)["asked"])
    except FileNotFoundError:
        before = None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); remove {out} or choose another --out") from None
    folders = [out / CAPTURES_FOLDER / camera for camera in cameras] + [out / TRUTH_FOLDER]
    if before is None:
        for folder in (out / CAPTURES_FOLDER, out / TRUTH_FOLDER):
            if folder.exists() and any(folder.iterdir()):
                raise InputError(f"{folder}: not empty and not of a rendering; choose another --out or remove it")
    elif changes := changed_settings(before, asked):
        raise InputError(
            f"{out}: holds a rig that was rendered with other settings or photos ({'; '.join(changes)}); "
            "use the same to go on, choose another --out, or remove it"
        )
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder)
    if before is None:
        write_description(out, {"asked": asked})


def write_description(out: Path, document: Mapping[str, Any]) -> None:
    """Write OUT/simulation.json, whole or not at all."""
    atomic_write_text(out / DESCRIPTION_NAME, json.dumps(document, indent=1) + "\n")


def finished_truth(out: Path, phone_file: str, dslr_file: str) -> Truth | None:
    """Return the truth of a capture that an earlier run finished: it is written last, after both photos."""
    try:
        truth = read_truth(truth_path(out, phone_file))
    except (InputError, OSError):
        return None
    photos = [out / CAPTURES_FOLDER / file for file in (phone_file, dslr_file)]
    same = (truth.phone_file, truth.dslr_file) == (phone_file, dslr_file)
    return truth if same and all(photo.is_file() for photo in photos) else None

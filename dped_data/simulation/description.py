"""simulation.json: what a rig was asked to be, written first, so that an interrupted rendering goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from dped_data.common.files import atomic_write_text, written_state
from dped_data.common.folder_lock import held
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.common.typed_settings import changed_settings
from dped_data.common.written_record import Written
from dped_data.errors import InputError
from dped_data.simulation.truth import CAPTURES_FOLDER, TRUTH_FOLDER, Truth, read_truth, truth_path

DESCRIPTION_NAME = "simulation.json"


@contextmanager
def rendering(out: Path, asked: Mapping[str, Any], files: Sequence[str]) -> Iterator[None]:
    """Hold the folder of a rendering, made ready, and note what it was asked for; or check that it was the same.

    Args:
        out: the folder.
        asked: everything that decides the rendering.
        files: the photos that it will write, relative to the captures folder.
    Raises:
        InputError: another command writes there, or `out` holds a rig that was asked for something else.
            ForeignFileError: it holds photos or truths that no rendering left there.
    """
    written = [f"{CAPTURES_FOLDER}/{file}" for file in files]
    written += [f"{TRUTH_FOLDER}/{Path(file).stem}.json" for file in files]
    folders = sorted({str(Path(file).parent) for file in written})
    names = [DESCRIPTION_NAME, f"{CAPTURES_FOLDER}/", *(f"{folder}/" for folder in folders), *map(escape, written)]
    with held(out, "simulate-rig", names, adopt=_files_of_the_version_before):
        before = _asked_before(out)
        if before is None:  # whatever is there was rendered with settings that nobody knows
            for place in (out / CAPTURES_FOLDER, out / TRUTH_FOLDER):
                if place.exists() and any(place.iterdir()):
                    raise InputError(f"{place}: not empty and not of a rendering; choose another --out or remove it")
        if before is not None and (changes := changed_settings(before, asked)):
            raise InputError(
                f"{out}: holds a rig that was rendered with other settings or photos ({'; '.join(changes)}); "
                "use the same to go on, choose another --out, or remove it"
            )
        if before is None:
            write_description(out, {"asked": asked})
        for folder in folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        yield


def _asked_before(out: Path) -> dict[str, Any] | None:
    path = out / DESCRIPTION_NAME
    try:
        asked: dict[str, Any] = typed(dict[str, Any], read_json(path, MOST_LIST_BYTES)["asked"])
        return asked
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); remove {out} or choose another --out") from None


def _files_of_the_version_before(out: Path) -> dict[Path, Written] | None:
    """The files of a rig that a version without a record rendered: what it was asked for, and what truths name."""
    try:
        if _asked_before(out) is None:
            return None
    except InputError:
        return None
    files = [out / DESCRIPTION_NAME]
    for path in sorted((out / TRUTH_FOLDER).glob("*.json")):
        with suppress(InputError, OSError):
            truth = read_truth(path)
            photos = [out / CAPTURES_FOLDER / file for file in (truth.phone_file, truth.dslr_file)]
            files += [path, *(photo for photo in photos if photo.is_file())]
    return {path: written_state(path) for path in files}


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

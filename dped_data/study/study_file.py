"""study.json: the description of a study, beside its photos; never served."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import stat
from pathlib import Path
from typing import Any

from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.common.hints import hint
from dped_data.common.names import plain_name, shown
from dped_data.errors import InputError
from dped_data.photos.files import LARGEST_FILE
from dped_data.study.records import Study

STUDY_NAME = "study.json"
PHOTOS_FOLDER = "photos"
ANSWERS_NAME = "answers.sqlite3"
PHOTO_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
"""Suffixes of a study's photos, and what a browser is told of them."""
_FORMAT_VERSION = 1
_MOST_PX, _MOST_QUESTIONS = 2**20, 100_000
"""Ours: a photo's side, and what a study may ask; 27 questions take a subject some minutes."""


def study_text(study: Study) -> str:
    """Return the text of study.json."""
    document = {"format_version": _FORMAT_VERSION, **dataclasses.asdict(study)}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def study_digest(study: Study) -> str:
    """Return the sha256 (hexadecimal) of everything that study.json says."""
    return hashlib.sha256(study_text(study).encode()).hexdigest()


def read_study(folder: Path) -> Study:
    """Read the study in a folder.

    Raises:
        InputError: there is none, study.json is damaged or of another version, or photos are missing, too large or
            no files of the study's own folder.
    """
    path = folder / STUDY_NAME
    try:
        document = read_json(path, MOST_LIST_BYTES)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; make a study with `{hint('study create', '--out', path.parent)}`"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); make the study again") from None
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != _FORMAT_VERSION:
        raise InputError(f"{path}: format version {shown(version)}, this program reads {_FORMAT_VERSION}")
    try:
        study = _study(document)
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: not a study ({error}); make the study again") from None
    for photo in study.photos:
        fault = photo_fault(folder, photo.file)
        if fault is not None:
            raise InputError(f"{folder / PHOTOS_FOLDER / photo.file}: {fault}; copy the study's folder whole")
    return study


def photo_fault(folder: Path, name: str) -> str | None:
    """Say why a photo of a study cannot be shown to others; None where it can.

    A study may come from anybody, and a link in it would lead to any file of this machine.
    """
    photos = folder / PHOTOS_FOLDER
    try:
        state = (photos / name).lstat()
        is_inside = photos.resolve() == folder.resolve() / PHOTOS_FOLDER
    except OSError:
        return "missing"
    if not (is_inside and stat.S_ISREG(state.st_mode)):
        return "a link or no regular file"
    return f"more than {LARGEST_FILE // 2**30} GiB" if state.st_size > LARGEST_FILE else None


def _study(document: dict[str, Any]) -> Study:
    study = typed(Study, {name: value for name, value in document.items() if name != "format_version"})
    for photo in study.photos:
        plain_name(photo.file, "photo")
        if Path(photo.file).suffix not in PHOTO_TYPES:
            raise ValueError(f"photo {shown(photo.file)} ends in none of {', '.join(PHOTO_TYPES)}")
        if not (1 <= photo.width_px <= _MOST_PX and 1 <= photo.height_px <= _MOST_PX):
            raise ValueError(f"a photo of {photo.width_px}x{photo.height_px} pixels")
    asked = sum(math.comb(len(group.classes), 2) * len(group.scenes) for group in study.groups)
    if not 1 <= asked <= _MOST_QUESTIONS:
        raise ValueError(f"{asked} questions, 1 to {_MOST_QUESTIONS} are allowed")
    described = [(photo.group, photo.class_name, photo.scene) for photo in study.photos]
    needed = [(g.name, name, scene) for g in study.groups for name in g.classes for scene in g.scenes]
    if sorted(described) != sorted({*needed}) or len(needed) != len(described):
        raise ValueError("its photos are not those of its groups")
    return study

"""study.json: the description of a study, beside its photos; never served (leaf)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from dped_data.errors import InputError
from dped_data.study.records import Study, StudyGroup, StudyPhoto

STUDY_NAME = "study.json"
PHOTOS_FOLDER = "photos"
ANSWERS_NAME = "answers.sqlite3"
_FORMAT_VERSION = 1


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
        InputError: there is none, study.json is damaged or of another version, or photos are missing.
    """
    path = folder / STUDY_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make a study with 'dped study create'") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); make the study again") from None
    version = document.get("format_version") if isinstance(document, dict) else None
    if version != _FORMAT_VERSION:
        raise InputError(f"{path}: format version {version}, this program reads {_FORMAT_VERSION}")
    try:
        study = _study(document)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a study ({error!r}); make the study again") from None
    for photo in study.photos:
        if not (folder / PHOTOS_FOLDER / photo.file).is_file():
            raise InputError(f"{folder / PHOTOS_FOLDER / photo.file}: missing; copy the study's folder whole")
    return study


def _study(document: dict[str, Any]) -> Study:
    groups = tuple(StudyGroup(g["name"], tuple(g["classes"]), tuple(g["scenes"])) for g in document["groups"])
    study = Study(document["title"], document["seed"], groups, tuple(StudyPhoto(**p) for p in document["photos"]))
    described = {(photo.group, photo.class_name, photo.scene) for photo in study.photos}
    needed = {(g.name, name, scene) for g in groups for name in g.classes for scene in g.scenes}
    if described != needed or not study.questions:
        raise ValueError("its photos are not those of its groups")
    if any(Path(photo.file).name != photo.file for photo in study.photos):
        raise ValueError("a photo's name leads out of its folder")
    return study

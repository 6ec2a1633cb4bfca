"""The truth of a simulated rig on disk: one JSON file per capture that holds its exact map (leaf)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dped_data.errors import InputError
from dped_data.files import atomic_write_text
from dped_data.simulation.geometry import PairGeometry, geometry_from_dict
from dped_data.simulation.optics import CameraLook

CAPTURES_FOLDER = "captures"
TRUTH_FOLDER = "truth"
TRUTH_VERSION = 1


@dataclass(frozen=True)
class Truth:
    """One simulated capture.

    Attributes:
        phone_file, dslr_file: paths relative to the captures folder.
        scene_photos, magnification: see Scene.
        geometry: the exact map.
        phone_look: what the phone did to the light; the map does not need it.
    """

    phone_file: str
    dslr_file: str
    scene_photos: tuple[str, ...]
    magnification: float
    geometry: PairGeometry
    phone_look: CameraLook


def write_truth(rig_dir: Path, truth: Truth) -> None:
    """Write `rig_dir/truth/<stem of the phone photo>.json`; JSON keeps every float64 exactly."""
    values = {"version": TRUTH_VERSION, **dataclasses.asdict(truth)}
    atomic_write_text(truth_path(rig_dir, truth.phone_file), json.dumps(values, indent=1) + "\n")


def truth_path(rig_dir: Path, phone_file: str) -> Path:
    """The truth of the capture whose phone photo is `phone_file`."""
    return rig_dir / TRUTH_FOLDER / f"{Path(phone_file).stem}.json"


def read_truths(rig_dir: Path) -> list[Truth]:
    """Return the truth of every capture of a simulated rig, sorted by file name.

    Raises:
        InputError: `rig_dir` holds no truth, or a file of it is damaged.
    """
    files = sorted((rig_dir / TRUTH_FOLDER).glob("*.json"))
    if not files:
        raise InputError(f"{rig_dir}: no truth/*.json in it; pass the folder that `dped simulate-rig --out` wrote")
    return [read_truth(file) for file in files]


def read_truth(file: Path) -> Truth:
    """Return the truth in one file; InputError if it is damaged."""
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if values["version"] != TRUTH_VERSION:
            raise InputError(
                f"{file}: truth version {values['version']}, expected {TRUTH_VERSION}; render the rig again"
            )
        look = values["phone_look"]
        return Truth(
            values["phone_file"],
            values["dslr_file"],
            tuple(values["scene_photos"]),
            values["magnification"],
            geometry_from_dict(values["geometry"]),
            CameraLook(**{**look, "gains": tuple(look["gains"])}),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: damaged truth ({error}); render the rig again") from None

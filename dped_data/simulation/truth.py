"""The truth of a simulated rig on disk: one JSON file per capture that holds its exact map."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from dped_data.common.files import atomic_write_text
from dped_data.common.foreign_files import MOST_FACTS_BYTES, read_json, typed
from dped_data.common.names import path_inside, shown
from dped_data.errors import InputError
from dped_data.simulation.geometry import PairGeometry
from dped_data.simulation.optics import CameraLook

CAPTURES_FOLDER = "captures"
TRUTH_FOLDER = "truth"
TRUTH_VERSION = 1
_MOST_PX, _MOST_OBJECTS = 2**16, 64
"""Ours: a photo's side, and near objects; a rig has four at most."""


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
        raise InputError(f"{rig_dir}: no truth/*.json in it; pass the folder that `dped simulate-rig` wrote")
    return [read_truth(file) for file in files]


def read_truth(file: Path) -> Truth:
    """Return the truth in one file; InputError if it is damaged."""
    try:
        values = read_json(file, MOST_FACTS_BYTES)
        version = values.pop("version")
        if version != TRUTH_VERSION:
            raise InputError(f"{file}: truth version {shown(version)}, expected {TRUTH_VERSION}; render the rig again")
        return _checked(typed(Truth, values), file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: damaged truth ({error}); render the rig again") from None


def _checked(truth: Truth, file: Path) -> Truth:
    """Return a truth whose numbers can be true; InputError or ValueError where they cannot."""
    for name in (truth.phone_file, truth.dslr_file):
        path_inside(name, f"{file}: photo")
    for lens in (truth.geometry.phone, truth.geometry.dslr):
        if not (1 <= lens.width_px <= _MOST_PX and 1 <= lens.height_px <= _MOST_PX and lens.focal_px > 0):
            raise ValueError(f"a photo of {lens.width_px}x{lens.height_px} px, 1 to {_MOST_PX} are allowed")
    if len(truth.geometry.homography) != 9 or len(truth.geometry.objects) > _MOST_OBJECTS:
        raise ValueError("its geometry is not that of two photos")
    return truth

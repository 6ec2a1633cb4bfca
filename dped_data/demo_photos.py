"""The photos of `dped demo`: those that ship with scikit-image and can stand for scenes (leaf)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dped_data.errors import InputError
from dped_data.files import atomic_write_bytes
from dped_data.folder_lock import held
from dped_data.ownership import remove_if_empty, remove_recorded, remove_work_folder
from dped_data.work_folder import DATASET_WORK_FOLDER, WORK_FOLDER, is_marked
from dped_data.written_record import recorded_files

_NAMES = (  # photographs with texture; the rest of the package's pictures are drawings, scans or micrographs
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
_MADE = ("rig", "dataset/sony", "report", "runs/sony", "enhanced", "photos", "")
"""What the commands of a demo fill, below its folder."""


@contextmanager
def demo_folder(folder: Path) -> Iterator[None]:
    """Hold the demo's folder, rid of what an earlier demo made, with the scene photos in FOLDER/photos.

    Raises:
        InputError: another demo is at work there, or the folder holds something that no demo made.
    """
    if folder.is_dir() and any(folder.iterdir()) and not is_marked(folder / WORK_FOLDER):
        raise InputError(f"{folder}: not empty and not made by a demo; choose another --out, or remove it")
    with held(folder, "demo", ("photos/", *(f"photos/{name}" for name in _NAMES))):
        for made in _MADE:
            remove_recorded(recorded_files(folder / made))
        for made in _MADE[:-1]:
            for work in (WORK_FOLDER, DATASET_WORK_FOLDER):
                remove_work_folder(folder / made / work)
            remove_if_empty(folder / made)
        copy_photos(folder / "photos")
        yield


def copy_photos(folder: Path) -> None:
    """Copy the scene photos into a folder, which is made if it is missing."""
    import skimage

    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        atomic_write_bytes(folder / name, (Path(skimage.__file__).parent / "data" / name).read_bytes())

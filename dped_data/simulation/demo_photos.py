"""The photos of `dped demo`: those that ship with scikit-image and can stand for scenes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dped_data.common.files import atomic_write_bytes
from dped_data.common.folder_lock import held
from dped_data.common.ownership import remove_if_empty, remove_recorded, remove_work_folder
from dped_data.common.work_folder import DATASET_WORK_FOLDER, WORK_FOLDER, is_marked
from dped_data.common.written_record import recorded_files
from dped_data.errors import InputError

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
_MADE = (
    *(("rig", WORK_FOLDER), ("dataset/sony", DATASET_WORK_FOLDER), ("report", WORK_FOLDER), ("runs/sony", WORK_FOLDER)),
    ("enhanced", WORK_FOLDER),
)
"""What the commands of a demo fill, below its folder, and the work folders there."""
_SHEET = "phone_enhanced_dslr.png"
_MARK = f"{WORK_FOLDER}/demo"
_EARLIER_MARK = ".dped-demo"


@contextmanager
def demo_folder(folder: Path) -> Iterator[None]:
    """Hold the demo's folder, rid of what an earlier demo made, with the scene photos in FOLDER/photos.

    Raises:
        InputError: the folder holds something that no demo made, or something is at work in it.
    """
    if (folder / _EARLIER_MARK).exists():
        raise InputError(f"{folder}: made by a demo of an earlier version; remove it, or choose another --out")
    if folder.is_dir() and any(folder.iterdir()) and not (is_marked(folder / WORK_FOLDER) and _is_demo(folder)):
        raise InputError(f"{folder}: not empty and not made by a demo; choose another --out, or remove it")
    with held(folder, "demo", ("photos/", *(f"photos/{name}" for name in _NAMES))):
        (folder / _MARK).touch()
        for made, work_name in _MADE:
            _clear(folder / made, work_name)
        remove_recorded([folder / _SHEET])
        copy_photos(folder / "photos")
        yield


def _is_demo(folder: Path) -> bool:
    return (folder / _MARK).is_file()


def _clear(folder: Path, work_name: str) -> None:
    """Remove what a command has written in a folder, unless one is at work there."""
    if not is_marked(folder / work_name):
        return
    with held(folder, "demo", work_name=work_name):
        remove_recorded(recorded_files(folder))
    remove_work_folder(folder / work_name)
    remove_if_empty(folder)


def copy_photos(folder: Path) -> None:
    """Copy the scene photos into a folder, which is made if it is missing."""
    import skimage

    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        atomic_write_bytes(folder / name, (Path(skimage.__file__).parent / "data" / name).read_bytes())

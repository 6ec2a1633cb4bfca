"""The photos of `dped demo`: those that ship with scikit-image and can stand for scenes (leaf)."""

from __future__ import annotations

import shutil
from pathlib import Path

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
_MARK = ".dped-demo"


def prepare_demo(folder: Path) -> None:
    """Empty the demo's folder of what an earlier demo made and put the scene photos into FOLDER/photos.

    Raises:
        InputError: the folder holds something that no demo made.
    """
    if folder.exists():
        if any(folder.iterdir()) and not (folder / _MARK).exists():
            raise InputError(f"{folder}: not empty and not made by a demo; choose another --out")
        shutil.rmtree(folder)
    (folder / "photos").mkdir(parents=True)
    (folder / _MARK).touch()
    import skimage

    for name in _NAMES:
        shutil.copyfile(Path(skimage.__file__).parent / "data" / name, folder / "photos" / name)

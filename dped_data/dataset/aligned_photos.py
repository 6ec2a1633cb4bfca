"""The files of whole aligned photos: photo, validity, predicted error. docs/format.md describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.common.files import atomic_write_bytes
from dped_data.common.ownership import check_free, remove_recorded
from dped_data.dataset.places import ALIGNED_FOLDER, aligned_names

ERROR_UNIT_PX = 0.001
UNKNOWN_ERROR = 65535
_PNG_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 2]  # ours: five times as fast as the default, a tenth larger


def write_aligned(
    folder: Path, capture_id: str, photo: NDArray[np.uint8], valid: NDArray[np.bool_], error_px: NDArray[np.float32]
) -> None:
    """Write FOLDER/aligned/ID.png, ID.valid.png and ID.error.png, each whole or not at all.

    Args:
        folder: the dataset.
        capture_id: names the files; its "/" become folders.
        photo: (H, W, 3) uint8 RGB, the DSLR photo in the phone's frame.
        valid: (H, W) bool.
        error_px: (H, W), phone pixels; stored in thousandths, 65535 where it is larger or not finite.
    """
    coded = np.minimum(np.nan_to_num(error_px / ERROR_UNIT_PX, nan=UNKNOWN_ERROR, posinf=UNKNOWN_ERROR), UNKNOWN_ERROR)
    pictures = (cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), valid.astype(np.uint8) * 255, np.rint(coded).astype(np.uint16))
    for name, picture in zip(aligned_names([capture_id]), pictures, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, cv2.imencode(".png", picture, _PNG_EFFORT)[1].tobytes())


def aligned_paths(folder: Path, ids: Iterable[str]) -> Iterator[Path]:
    """Yield where the files of captures lie below the dataset in `folder`, whether or not they are there."""
    return (folder / name for name in aligned_names(ids))


def check_aligned(folder: Path, ids: Iterable[str]) -> None:
    """Raise ForeignFileError where somebody else's file has a name that the captures `ids` need."""
    for path in aligned_paths(folder, ids):
        check_free(path, by_size=True)


def remove_aligned(folder: Path, kept: Iterable[str]) -> None:
    """Remove the files of captures that are not among `kept`; files of others stay."""
    wanted = {*aligned_paths(folder, kept)}
    files = (folder / ALIGNED_FOLDER).rglob("*.png")
    remove_recorded(path for path in sorted(files) if path not in wanted)

"""The pictures of whole captures: aligned photos with their validity and predicted error, and overlays.

docs/format.md describes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.common.files import atomic_write_bytes, write_bytes
from dped_data.common.foreign_files import read_limited
from dped_data.common.ownership import check_free, remove_in_work, remove_recorded
from dped_data.dataset.places import ALIGNED_FOLDER, MAPS_FOLDER, OVERLAYS_FOLDER, PICTURES, picture_names
from dped_data.photos.writing import encode_photo

ERROR_UNIT_PX = 0.001
UNKNOWN_ERROR = 65535
_PNG_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 2]  # ours: five times as fast as the default, a tenth larger
_OVERLAY_PX, _SQUARES, _GAP_PX, _QUALITY = 1600, 12, 16, 90
"""Ours: longer side of each half of an overlay, squares along it, the space between the halves, JPEG quality."""
_MOST_MAP_BYTES = 2**26
"""Ours; that of a photo of 200 megapixels has 2 MB."""


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
    for name, picture in zip(picture_names([capture_id], [ALIGNED_FOLDER]), pictures, strict=True):
        _write(folder / name, cv2.imencode(".png", picture, _PNG_EFFORT)[1].tobytes())


def write_overlay(
    folder: Path, capture_id: str, phone: NDArray[np.uint8], photo: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> None:
    """Write FOLDER/overlays/ID.jpg: on the left squares of phone and DSLR photo in turn, on the right both blended.

    Args:
        folder, capture_id, photo, valid: as in `write_aligned`.
        phone: (H, W, 3) uint8 RGB; it stands alone where the DSLR photo is not valid.
    """
    (name,) = picture_names([capture_id], [OVERLAYS_FOLDER])
    _write(folder / name, encode_photo(overlay(phone, photo, valid), ".jpg", quality=_QUALITY))


def overlay(phone: NDArray[np.uint8], photo: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the picture of `write_overlay`, (h, w, 3) uint8 RGB; arguments as there."""
    height, width = phone.shape[:2]
    shrink = min(1.0, _OVERLAY_PX / max(height, width))
    size_wh = max(1, round(width * shrink)), max(1, round(height * shrink))
    dslr = np.where(valid[..., None], photo, phone)
    one, other = (cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA) for whole in (phone, dslr))
    side = max(1, -(-max(size_wh) // _SQUARES))
    row, column = (np.arange(length) // side for length in (size_wh[1], size_wh[0]))
    squares = np.where(((row[:, None] + column) % 2)[..., None] == 0, one, other)
    gap = np.full((size_wh[1], _GAP_PX, 3), 255, np.uint8)
    return np.hstack([squares, gap, cv2.addWeighted(one, 0.5, other, 0.5, 0)]).astype(np.uint8)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, data)


def write_map(folder: Path, capture_id: str, proof: str, data: bytes) -> None:
    """Keep the map of a capture in the work folder; `proof` says what it belongs to, in one word."""
    path = folder / MAPS_FOLDER / f"{capture_id}.map"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _head(proof, data) + b"\n" + data)


def read_map(folder: Path, capture_id: str, proof: str) -> bytes | None:
    """Return the map that was kept of a capture; None where there is none that is whole and belongs to `proof`."""
    try:
        data = read_limited(folder / MAPS_FOLDER / f"{capture_id}.map", _MOST_MAP_BYTES)
    except (OSError, ValueError):
        return None
    head, _, rest = data.partition(b"\n")
    return rest if head == _head(proof, rest) else None


def _head(proof: str, data: bytes) -> bytes:
    return f"{proof} {hashlib.sha256(data).hexdigest()}".encode()


def check_pictures(folder: Path, ids: Iterable[str], kinds: Collection[str]) -> None:
    """Raise ForeignFileError where somebody else's file has a name that the captures `ids` need."""
    for name in picture_names(ids, kinds):
        check_free(folder / name, by_size=True)


def remove_pictures(folder: Path, kept: Collection[str]) -> None:
    """Remove pictures and maps of captures that are not among `kept`; files of others stay."""
    wanted = {folder / name for name in picture_names(kept)}
    files = [path for kind, suffixes in PICTURES.items() for path in (folder / kind).rglob(f"*{suffixes[0]}")]
    remove_recorded(path for path in sorted(files) if path not in wanted)
    maps = {folder / MAPS_FOLDER / f"{name}.map" for name in kept}
    for path in sorted((folder / MAPS_FOLDER).rglob("*.map")):
        if path not in maps:
            remove_in_work(path)

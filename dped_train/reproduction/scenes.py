"""Parts of whole test photos, as the phone, each method and the DSLR show them (figures 8, 9 and 13 to 18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.common.patch_nodes import node_grid
from dped_data.common.spread_rows import spread_rows
from dped_data.dataset.store import PatchStore
from dped_data.photos.reading import read_photo
from dped_train.devices import chosen_device
from dped_train.enhancing.overlapping_strips import photo_enhancer
from dped_train.evaluate.automatic_levels import automatic_levels, with_levels
from dped_train.evaluate.capture_photos import CapturePhotos, capture_photos
from dped_train.evaluate.external_photos import ExternalPhotos
from dped_train.networks.file import load_enhancer
from dped_train.reproduction.candidates import Candidate
from dped_train.reproduction.measure import Row

Photo = NDArray[np.uint8]
MAP_BYTES = 500_000_000


@dataclass(frozen=True)
class Scene:
    """One part of a test photo.

    Attributes:
        capture_id: of which capture.
        phone, dslr: (h, w, 3) uint8 RGB; the DSLR's photo brought to the phone's pixels, black where it has none.
        made: what each candidate made of it, by the candidate's name.
    """

    capture_id: str
    phone: Photo
    dslr: Photo
    made: dict[str, Photo]


def scenes(
    store: PatchStore, candidates: Sequence[tuple[Candidate, Row]], count: int, side_px: int, device: str
) -> list[Scene]:
    """Show `count` test photos, spread over the captures.

    None where the dataset's photos are not at hand, or where it was imported as patches: their photos are unknown.
    """
    known = bool(np.isfinite(store.column("dslr_xy")).all())
    files = capture_photos(store) if known else {}
    captures = np.array(store.capture_ids())
    shown = [capture for capture in files if capture in captures]
    chosen = [shown[place] for place in spread_rows(len(shown), count)]
    externals = {c.name: ExternalPhotos(c.external, store) for c, _ in candidates if c.external is not None}
    result = []
    for capture in chosen:
        rows = np.flatnonzero(captures == capture)
        photo = read_photo(files[capture].phone, files[capture].raw)
        part = _part(photo, store.column("phone_xy")[rows], store.patch_size, side_px)
        phone = np.ascontiguousarray(photo[part])
        made = {}
        for candidate, row in candidates:
            if candidate.baseline:
                made[candidate.name] = with_levels(phone, automatic_levels(photo))
            elif candidate.external is not None:
                made[candidate.name] = np.ascontiguousarray(externals[candidate.name].photo(capture)[part])
            elif row.model is not None:
                made[candidate.name] = _enhanced(row, phone, device)
        result.append(Scene(capture, phone, _dslr(store, rows, files[capture], part), made))
    return result


def _part(photo: Photo, corners_xy: NDArray[np.int32], patch: int, side_px: int) -> tuple[slice, slice]:
    """The part to show: within what the patches cover, at most `side_px` long, around the middle."""
    slices = []
    for axis in (1, 0):
        low, high = int(corners_xy[:, axis].min()), int(corners_xy[:, axis].max()) + patch
        limit = side_px if (photo.shape[0] < photo.shape[1]) == (axis == 0) else side_px * 3 // 4
        middle, size = (low + high) // 2, min(high - low, limit)
        slices.append(slice(max(middle - size // 2, 0), max(middle - size // 2, 0) + size))
    return slices[0], slices[1]


@torch.no_grad()
def _enhanced(row: Row, phone: Photo, device: str) -> Photo:
    assert row.model is not None
    place = chosen_device(device)
    made = photo_enhancer(load_enhancer(row.model), torch.float32, place).enhance(phone, MAP_BYTES)
    return np.rint(made.clip(0, 1) * 255).astype(np.uint8)


def _dslr(store: PatchStore, rows: NDArray[np.int64], files: CapturePhotos, part: tuple[slice, slice]) -> Photo:
    """The DSLR's view of the part: by the homography that fits all patches of the capture best, for the eye only."""
    size = store.patch_size
    phone_xy = (
        store.column("phone_xy")[rows][:, None, None] + node_grid(size) - [part[1].start, part[0].start]
    ).reshape(-1, 2)
    dslr_xy = store.column("dslr_xy")[rows].reshape(-1, 2)
    height, width = part[0].stop - part[0].start, part[1].stop - part[1].start
    matrix, _ = cv2.findHomography(phone_xy, dslr_xy, cv2.RANSAC, 3.0)
    if matrix is None:
        return np.zeros((height, width, 3), np.uint8)
    photo = read_photo(files.dslr, files.raw)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale > 1:  # against aliasing, as the photo gets smaller
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.4 * float(np.sqrt(scale**2 - 1)) + 1e-3), np.uint8)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(photo, matrix, (width, height), flags=flags), np.uint8)

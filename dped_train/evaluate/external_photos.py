"""Phone photos that another program enhanced, so that its patches can be measured like ours."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError
from dped_data.photos.formats import PHOTO_SUFFIXES, RAW_SUFFIXES
from dped_data.photos.reading import read_photo

_SUFFIXES = sorted(PHOTO_SUFFIXES, key=lambda suffix: (suffix in RAW_SUFFIXES, suffix != ".png", suffix))
"""Every photo's; the first file that is there counts: a lossless one first, RAW last, which only a camera writes."""


class ExternalPhotos:
    """Patches cut from whole photos in a folder, at the positions of the store's phone patches.

    A photo is found by its capture's id, or without the folders in it where that is one photo's name only: who enhances
    `original_images/test/iphone` has no folder `test` in the result.

    Raises:
        InputError: no such folder, or the photo of a capture is missing.
    """

    def __init__(self, folder: Path, store: PatchStore) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; --external takes a folder of enhanced phone photos")
        self.folder, self.size = folder, store.patch_size
        self.capture_ids, self.corners_xy = store.capture_ids(), store.column("phone_xy")
        needed = sorted(set(self.capture_ids))
        self._named = Counter(PurePosixPath(capture).name for capture in needed)
        self.files = {capture: self._find(capture) for capture in needed}
        missing = [capture for capture in needed if self.files[capture] is None]
        if missing:
            raise InputError(
                f"{folder}: {len(missing)} of {len(needed)} photos are missing, the first is {missing[0]} "
                f"({', '.join(_SUFFIXES)}); enhance the photos of all captures of the split"
            )
        self.sizes_wh = _phone_sizes(store)
        self._open: tuple[str, NDArray[np.uint8]] | None = None

    def patches(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The patches at `rows` of the store, (n, S, S, 3); InputError where a photo is too small for one."""
        cut = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for place, row in enumerate(rows):
            (x, y), photo = self.corners_xy[row], self.photo(self.capture_ids[row])
            found = photo[y : y + self.size, x : x + self.size]
            if found.shape != cut.shape[1:]:
                raise InputError(
                    f"{self.files[self.capture_ids[row]]}: {photo.shape[1]}x{photo.shape[0]} pixels do not reach the "
                    f"patch at x={x} y={y}; an enhanced photo must have the size of the phone's"
                )
            cut[place] = found
        return cut

    def photo(self, capture: str) -> NDArray[np.uint8]:
        """The whole enhanced photo of a capture, (H, W, 3) uint8 RGB; InputError where its size is not the phone's."""
        if self._open is None or self._open[0] != capture:  # rows come capture by capture
            file = self.files[capture]
            assert file is not None
            photo = read_photo(file)
            wanted, found = self.sizes_wh.get(capture), (photo.shape[1], photo.shape[0])
            if wanted is not None and found != wanted:
                raise InputError(
                    f"{file}: {found[0]}x{found[1]} pixels, the phone's photo has {wanted[0]}x{wanted[1]}; an enhanced "
                    "photo must be neither cut, turned nor scaled"
                )
            self._open = (capture, photo)
        return self._open[1]

    def _find(self, capture: str) -> Path | None:
        suffixes = (*_SUFFIXES, *(suffix.upper() for suffix in _SUFFIXES))
        name = PurePosixPath(capture).name
        stems = (capture, name) if self._named[name] == 1 else (capture,)
        candidates = (self.folder / f"{stem}{suffix}" for stem in stems for suffix in suffixes)
        return next((file for file in candidates if file.is_file()), None)


def _phone_sizes(store: PatchStore) -> dict[str, tuple[int, int]]:
    """Width and height of the captures' phone photos, where the dataset knows them."""
    sizes = {}
    for entry in store.shards:
        with store.opened(entry) as file:
            for capture, (width, height) in zip(file["captures"].asstr()[:], file["phone_size_wh"][:], strict=True):
                if width and height:
                    sizes[str(capture)] = (int(width), int(height))
    return sizes

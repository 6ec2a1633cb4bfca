"""The whole photos behind a dataset's patches, where they are still at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dped_data.dataset.places import captures_folder
from dped_data.dataset.store import PatchStore
from dped_data.photos.raw import RawSettings, raw_settings_of


@dataclass(frozen=True)
class CapturePhotos:
    """The two photos of one capture: files that exist, and how they are developed where they are RAW."""

    phone: Path
    dslr: Path
    raw: RawSettings


def capture_photos(store: PatchStore) -> dict[str, CapturePhotos]:
    """The photos of the store's captures by capture id, sorted; captures whose photos are gone are left out."""
    folder = captures_folder(store.folder)
    raw = raw_settings_of(store.manifest.settings)
    found: dict[str, CapturePhotos] = {}
    for entry in store.shards if folder is not None else ():
        with store.opened(entry) as file:
            names = [file[name].asstr()[:] for name in ("captures", "phone_file", "dslr_file")]
        for capture, phone, dslr in zip(*names, strict=True):
            assert folder is not None
            photos = CapturePhotos(folder / str(phone), folder / str(dslr), raw)
            if phone and dslr and photos.phone.is_file() and photos.dslr.is_file():
                found[str(capture)] = photos
    return dict(sorted(found.items()))

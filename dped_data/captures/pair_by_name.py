"""Photos of two cameras that belong together because they have the same name."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dped_data.captures.listing import CameraPhotos, ListedPhoto
from dped_data.captures.records import Unpaired
from dped_data.errors import UsageError
from dped_data.photos.formats import HEIF_SUFFIXES, JPEG_SUFFIXES, RAW_SUFFIXES

_FILES_SHOWN = 3
Preferred = Literal["jpeg", "raw"]
"""Which file stands for a shot that a camera stored as both."""
_OF_CAMERAS = JPEG_SUFFIXES | HEIF_SUFFIXES
"""What cameras store beside a RAW file; a PNG or TIFF of its name is somebody's development of it."""


@dataclass(frozen=True)
class PhotoPairs:
    """Pairs (phone, DSLR) in the order of the phone's photos, every photo without a partner, notes for the person."""

    pairs: tuple[tuple[ListedPhoto, ListedPhoto], ...]
    unpaired: tuple[Unpaired, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Names:
    """The photos of a camera by path without suffix, and by stem."""

    camera: str
    by_key: Mapping[str, Sequence[ListedPhoto]]
    by_stem: Mapping[str, Sequence[ListedPhoto]]

    @staticmethod
    def of(camera: CameraPhotos) -> _Names:
        by_key, by_stem = defaultdict(list), defaultdict(list)
        for photo in camera.photos:
            by_key[photo.key].append(photo)
            by_stem[photo.stem].append(photo)
        return _Names(camera.camera, dict(by_key), dict(by_stem))


def share_of_equal_names(phone: CameraPhotos, dslr: CameraPhotos) -> float:
    """Return which share of the names in the folder with fewer of them also exists in the other folder, 0 to 1."""
    few, many = sorted((_Names.of(phone), _Names.of(dslr)), key=lambda names: len(names.by_key))
    equal = sum(key in many.by_key or photos[0].stem in many.by_stem for key, photos in few.by_key.items())
    return equal / len(few.by_key) if few.by_key else 0.0


def pair_by_name(phone: CameraPhotos, dslr: CameraPhotos) -> PhotoPairs:
    """Pair photos with the same path below their camera's folder, else with the same stem if it is unique in both.

    Suffixes do not count. A name that two photos of one camera have is ambiguous: none of them is paired.
    """
    phones, dslrs = _Names.of(phone), _Names.of(dslr)
    pairs: list[tuple[ListedPhoto, ListedPhoto]] = []
    for key, photos in phones.by_key.items():
        stem = photos[0].stem
        partners = dslrs.by_key.get(key)
        if partners is None and len(phones.by_stem[stem]) == 1:
            partners = dslrs.by_stem.get(stem)
        if partners is not None and len(photos) == len(partners) == 1:
            pairs.append((photos[0], partners[0]))
    paired = {photo.file for pair in pairs for photo in pair}
    unpaired = [
        Unpaired(photo.file, _reason(photo, phones, dslrs)) for photo in phone.photos if photo.file not in paired
    ]
    unpaired += [
        Unpaired(photo.file, _reason(photo, dslrs, phones)) for photo in dslr.photos if photo.file not in paired
    ]
    return PhotoPairs(tuple(pairs), tuple(unpaired))


def one_file_per_shot(camera: CameraPhotos, prefer: Preferred) -> tuple[CameraPhotos, list[Unpaired]]:
    """Return the camera without the RAW files of shots stored as JPEG or HEIC, too, or without the latter."""
    passed: dict[str, Unpaired] = {}
    for photos in _Names.of(camera).by_key.values():
        kinds = {_is_raw(photo): photo for photo in photos}
        if len(photos) == len(kinds) == 2 and Path(kinds[False].file).suffix.lower() in _OF_CAMERAS:
            taken, other = kinds[prefer == "raw"], kinds[prefer != "raw"]
            passed[other.file] = Unpaired(
                other.file, f"the same shot as {taken.file}, which is taken (--prefer {prefer})"
            )
    left = tuple(photo for photo in camera.photos if photo.file not in passed)
    return replace(camera, photos=left), [*passed.values()]


def by_template(camera: CameraPhotos, template: str) -> tuple[CameraPhotos, list[Unpaired]]:
    """Return the camera with photos named by what stands for * in a template such as "*_LR4", and those unlike it.

    Raises:
        UsageError: the template has not one *.
    """
    before, star, after = (unicodedata.normalize("NFC", part) for part in template.partition("*"))
    if not star or "*" in after or "/" in template:
        raise UsageError(f"name template '{template}' must hold one * for the scene's name, such as '*_LR4'")
    named: list[ListedPhoto] = []
    unlike: list[Unpaired] = []
    for photo in camera.photos:
        stem = photo.stem
        if len(stem) > len(before + after) and stem.startswith(before) and stem.endswith(after):
            folder = photo.key.removesuffix(stem)
            named.append(replace(photo, key=folder + stem[len(before) : len(stem) - len(after)]))
        else:
            unlike.append(Unpaired(photo.file, f"its name is not like '{template}'"))
    return replace(camera, photos=tuple(named)), unlike


def _is_raw(photo: ListedPhoto) -> bool:
    return Path(photo.file).suffix.lower() in RAW_SUFFIXES


def namesakes(camera: CameraPhotos) -> dict[str, Unpaired]:
    """Return, by file, the photos of one camera that share their path without suffix with another, with the reason."""
    groups = [photos for photos in _Names.of(camera).by_key.values() if len(photos) > 1]
    return {photo.file: Unpaired(photo.file, _same_name(photos)) for photos in groups for photo in photos}


def _reason(photo: ListedPhoto, own: _Names, other: _Names) -> str:
    if len(own.by_key[photo.key]) > 1:
        return _same_name(own.by_key[photo.key])
    if len(other.by_key.get(photo.key, ())) > 1:
        return _same_name(other.by_key[photo.key])
    if photo.stem in other.by_stem:
        files = _listed((*own.by_stem[photo.stem], *other.by_stem[photo.stem]))
        return f"ambiguous: the name '{photo.stem}' occurs in several folders ({files}); name the folders alike"
    return f"no photo of {other.camera} has the name '{photo.key}'"


def _same_name(photos: Sequence[ListedPhoto]) -> str:
    return f"ambiguous: {_listed(photos)} have the same name; keep one of them"


def _listed(photos: Iterable[ListedPhoto]) -> str:
    files = [photo.file for photo in photos]
    return ", ".join(files[:_FILES_SHOWN]) + (
        f" and {len(files) - _FILES_SHOWN} more" if len(files) > _FILES_SHOWN else ""
    )

"""The folder of a dataset as a whole: its lock, the settings it was begun with, its tables and manifest."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dped_data.align.records import CONTRAST_CLASSES
from dped_data.captures.records import SPLITS, Unpaired
from dped_data.common.files import atomic_write_text, written_state
from dped_data.common.folder_lock import held
from dped_data.common.ownership import keep_changed, remove
from dped_data.common.remote_folder import is_remote, same_or_inside
from dped_data.common.typed_settings import changed_settings, digest_of, settings_dict
from dped_data.common.written_record import Written
from dped_data.dataset.aligned_photos import remove_pictures
from dped_data.dataset.capture_table import CaptureRow, read_captures, write_captures, write_unpaired
from dped_data.dataset.card import write_dataset_card
from dped_data.dataset.layout import open_shard
from dped_data.dataset.manifest import (
    Manifest,
    ShardEntry,
    SplitEntry,
    dataset_digest,
    read_manifest,
    settings_in,
    settings_on_disk,
    write_manifest,
)
from dped_data.dataset.places import (
    ALIGNED_FOLDER,
    MANIFEST_NAME,
    PICTURES,
    REVIEW_NAME,
    SETTINGS_NAME,
    SOURCE_NAME,
    TABLES,
    WORK_FOLDER,
    all_shards,
    picture_names,
    unit_records,
)
from dped_data.dataset.review_file import Decision
from dped_data.errors import InputError, UsageError
from dped_data.settings import FORMAT_VERSION, BuildSettings
from dped_data.work.crash_log import remove_watches
from dped_data.work.units import Unit, UnitRecord, check_shards, make_folders, number_shards, read_record, shards_by_key

_LIBRARIES = ("dped", "h5py", "numba", "numpy", "opencv-contrib-python", "pillow", "scipy", "simplejpeg")


_OWN_NAMES = tuple(f"{name}/" for name in (*SPLITS, *PICTURES))
_SETTINGS_FIELDS = ({"rig", "patches"}, {"source", "phone", "patch_size"})
"""By which the settings of a build and those of an import are known."""


@contextmanager
def locked(folder: Path, command: str = "build-dataset") -> Iterator[None]:
    """Hold the dataset's folder, as `folder_lock.held` does; errors as there.

    Tables that a person has changed are no reason to stop in a dataset: `finish` sets them aside and writes new ones.
    """
    with held(
        folder,
        command,
        _OWN_NAMES,
        tables=(*TABLES, REVIEW_NAME),
        work_name=WORK_FOLDER,
        adopt=_files_of_the_version_before,
    ):
        yield


def _files_of_the_version_before(folder: Path) -> dict[Path, Written] | None:
    """What a version that kept no record has noted of its files elsewhere: in the records of units and the manifest.

    None where the folder is no dataset of it. What the notes say is held against each file before anything is lost.
    """
    settings = settings_in(folder / SETTINGS_NAME, None)
    if settings is None and not any((folder / WORK_FOLDER).glob("*")):  # it may be deleted: then the manifest tells
        settings = settings_in(folder / MANIFEST_NAME, "settings")
    if settings is None or not any(fields <= {*settings} for fields in _SETTINGS_FIELDS):
        return None
    files = {folder / name: written_state(folder / name) for name in TABLES[1:] if (folder / name).is_file()}
    with suppress(InputError):
        names = picture_names((row.capture_id for row in read_captures(folder)), [ALIGNED_FOLDER])
        for path in (folder / name for name in names):
            if path.is_file():
                files[path] = written_state(path)
    for key, path in shards_by_key(folder).items():
        if (record := read_record(folder, key)) is not None:
            files[path] = Written(record.bytes, record.sha256)
    with suppress(InputError):
        splits = read_manifest(folder).splits.values()
        files[folder / MANIFEST_NAME] = written_state(folder / MANIFEST_NAME)
        files |= {folder / s.file: Written(s.bytes, s.sha256) for split in splits for s in split.shards}
    return files


def check_place(folder: Path | str, captures: Path | str) -> None:
    """Raise UsageError if dataset and photos would share a folder; both may be addresses in a store."""
    if _is_inside(folder, captures):
        raise UsageError(f"{folder}: the dataset would be written among the photos; choose an --out outside {captures}")
    for name in (*SPLITS, *PICTURES, WORK_FOLDER):
        if _is_inside(captures, f"{folder}/{name}"):
            raise UsageError(
                f"{captures}: the photos lie where the dataset keeps its own files ({folder}/{name}); "
                "choose another --out, or move the photos"
            )


def _is_inside(place: Path | str, other: Path | str) -> bool:
    if is_remote(place) or is_remote(other):
        return is_remote(place) and is_remote(other) and same_or_inside(str(place), str(other))
    return Path(place).resolve().is_relative_to(Path(other).resolve())


def prepare(folder: Path, captures: Path | str, new: Mapping[str, Any], overwrite: bool) -> str:
    """Make the folder ready for a build with the settings `new` and return their digest. Call under the lock.

    Raises:
        InputError: the folder holds a dataset built with other settings and `overwrite` is not set; the message lists
            what changed.
    """
    old = settings_on_disk(folder)
    changes = changed_settings(old, new) if old is not None else []
    if old is not None and (changes or overwrite):
        if not overwrite:
            raise InputError(
                f"{folder}: holds a dataset built with other settings ({'; '.join(changes)}); "
                f"use the same settings to go on{_as_before(old, new)}, --overwrite to build it anew, or another --out"
            )
        _remove(folder)
    make_folders(folder)
    check_shards(folder)
    remove_watches(folder)
    atomic_write_text(folder / SETTINGS_NAME, json.dumps(new, indent=1, sort_keys=True) + "\n")
    atomic_write_text(
        folder / SOURCE_NAME,
        (str(captures) if is_remote(captures) else _relative(Path(captures), folder)) + "\n",
    )
    return digest_of(new, FORMAT_VERSION)


def _as_before(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The flags by which a dataset goes on that was built before some settings were added."""
    flags = []
    for key, before in BuildSettings.frozen_defaults.added.items():
        section, _, name = key.rpartition(".")
        tables = [table.get(section, {}) if section else table for table in (old, new)]
        if name not in tables[0] and name in tables[1]:
            shown = f"{before:g}" if type(before) is float else before
            flags.append(f"--{name.replace('_', '-')} {shown}")
    return f" (it was built as with {' '.join(flags)})" if flags else ""


def _remove(folder: Path) -> None:
    """Remove the dataset's own files and nothing else; tables that a person has changed are set aside."""
    check_shards(folder)
    for name in TABLES:
        keep_changed(folder / name)
        remove(folder / name)
    for shard in all_shards(folder):
        remove(shard)
    for record in unit_records(folder):
        remove(record)
    remove_pictures(folder, ())


def _relative(captures: Path, folder: Path) -> str:
    try:
        return os.path.relpath(captures.resolve(), folder.resolve())
    except ValueError:  # another drive
        return str(captures.resolve())


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from: the fields of its manifest (see manifest.Manifest) that no shard decides."""

    phone: str
    dslr: str
    patch_size: int
    source: str
    alignment: str
    settings: Mapping[str, Any]
    folders: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()


def built_origin(
    phone: str, settings: BuildSettings, folders: Mapping[str, str] | None = None, pictures: tuple[str, ...] = ()
) -> Origin:
    """Return the origin of a dataset that is built from photos; `folders` as in PhotoFolders."""
    size, recorded = settings.patches.patch_size, settings_dict(settings)
    return Origin(phone, settings.rig.dslr, size, "built", settings.alignment, recorded, folders or {}, pictures)


def finish(
    folder: Path,
    origin: Origin,
    units: Sequence[Unit],
    records: Mapping[str, UnitRecord],
    unpaired: Sequence[Unpaired],
    review: Sequence[Decision] = (),
    set_aside: Collection[str] = (),
) -> tuple[Manifest, tuple[CaptureRow, ...]]:
    """Number the shards, write captures.csv, unpaired.csv, then the manifest and its card. Call under the lock."""
    for name in TABLES:
        keep_changed(folder / name)
    remove(folder / MANIFEST_NAME)  # a manifest never describes shards that are being renamed
    names = number_shards(folder, units, records, set_aside)
    rows = tuple(replace(row, split=unit.split) for unit in units for row in records[unit.key].rows)
    rows = tuple(sorted(rows, key=lambda row: row.capture_id))
    splits: dict[str, SplitEntry] = {
        split: _split_entry([u for u in units if u.split == split], records, names) for split in SPLITS
    }
    states = Counter(row.status for row in rows)
    totals = {
        "captures": len(rows),
        "kept": states["kept"],
        "rejected": states["rejected"],
        "failed": states["failed"],
        "unpaired_photos": len(unpaired),
        "windows": sum(row.windows or 0 for row in rows),
        "patches": sum(row.patches for row in rows),
    }
    for kind in CONTRAST_CLASSES:
        for what in ("windows", "patches"):
            totals[f"{kind}_{what}"] = sum(getattr(row, f"{kind}_{what}") or 0 for row in rows)
    reasons = Counter(f"{row.stage}: {row.reason}" for row in rows if row.status != "kept")
    manifest = Manifest(
        phone=origin.phone,
        dslr=origin.dslr,
        patch_size=origin.patch_size,
        source=origin.source,
        alignment=origin.alignment,
        digest=dataset_digest(origin.settings, review),
        settings=origin.settings,
        versions=library_versions(),
        splits=splits,
        totals=totals,
        rejections=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        review=tuple(review),
        photo_sizes=_photo_sizes(folder, origin, splits),
        folders=origin.folders,
        pictures=origin.pictures,
    )
    write_captures(folder, rows)
    write_unpaired(folder, unpaired)
    write_manifest(folder, manifest)
    write_dataset_card(folder, manifest)
    return manifest, rows


def _photo_sizes(folder: Path, origin: Origin, splits: Mapping[str, SplitEntry]) -> dict[str, dict[str, int]]:
    """Return camera -> "WIDTHxHEIGHT" -> photos, of the captures in the shards; those of unknown size are left out."""
    counts = {origin.phone: Counter[str](), origin.dslr: Counter[str]()}
    for entry in (shard for split in splits.values() for shard in split.shards):
        with open_shard(folder / entry.file) as file:
            for camera, name in ((origin.phone, "phone_size_wh"), (origin.dslr, "dslr_size_wh")):
                sizes = file[name][:] if name in file else ()
                counts[camera].update(f"{width}x{height}" for width, height in sizes if width)
    return {camera: dict(sorted(count.items())) for camera, count in counts.items() if count}


def _split_entry(units: Sequence[Unit], records: Mapping[str, UnitRecord], names: Mapping[str, str]) -> SplitEntry:
    filled = [records[unit.key] for unit in units if records[unit.key].patches]
    shards = tuple(ShardEntry(names[r.key], r.patches, r.bytes, r.sha256) for r in filled)
    return SplitEntry(sum(len(u.captures) for u in units), sum(r.patches for r in filled), shards)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide the pixels, by package name; those not installed are left out."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions

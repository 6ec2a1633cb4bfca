"""The folder of a dataset as a whole: its lock, the settings it was begun with, its tables and manifest (leaf)."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dped_data.capture_table import CAPTURES_NAME, UNPAIRED_NAME, CaptureRow, write_captures, write_unpaired
from dped_data.dataset_card import write_dataset_card
from dped_data.errors import InputError, UsageError
from dped_data.files import atomic_write_text
from dped_data.foreign_files import MOST_LIST_BYTES, read_json
from dped_data.manifest import MANIFEST_NAME, Manifest, ShardEntry, SplitEntry, write_manifest
from dped_data.records import CONTRAST_CLASSES, SPLITS, Unpaired
from dped_data.remote import is_remote
from dped_data.settings import FORMAT_VERSION, BuildSettings
from dped_data.settings_machinery import changed_settings, digest_of, settings_dict
from dped_data.unit_watch import remove_watches
from dped_data.work_units import WORK_FOLDER, Unit, UnitRecord, all_shards, clean_up, number_shards

_SETTINGS_NAME = "settings.json"
_SOURCE_NAME = "captures_folder"
_LIBRARIES = ("dped", "h5py", "numba", "numpy", "opencv-contrib-python", "pillow", "scipy", "simplejpeg")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the dataset's lock, which the system releases when the process dies; InputError if another build has it."""
    try:
        (folder / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / WORK_FOLDER / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(f"{folder}: another build is writing here; wait for it, or choose another --out") from None
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); choose another --out or change its permissions"
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_place(folder: Path | str, captures: Path | str) -> None:
    """Raise UsageError if the dataset would be written among the photos; both may be addresses in a store."""
    if is_remote(folder) or is_remote(captures):
        inside = f"{folder}/".startswith(f"{str(captures).rstrip('/')}/")
    else:
        inside = Path(folder).resolve().is_relative_to(Path(captures).resolve())
    if inside:
        raise UsageError(f"{folder}: the dataset would be written among the photos; choose an --out outside {captures}")


def prepare(folder: Path, captures: Path | str, new: Mapping[str, Any], overwrite: bool) -> str:
    """Make the folder ready for a build with the settings `new` and return their digest. Call under the lock.

    Raises:
        InputError: the folder holds a dataset built with other settings and `overwrite` is not set; the message lists
            what changed.
    """
    old = _settings_of(folder)
    changes = changed_settings(old, new) if old is not None else []
    if old is not None and (changes or overwrite):
        if not overwrite:
            raise InputError(
                f"{folder}: holds a dataset built with other settings ({'; '.join(changes)}); "
                "use the same settings to go on, --overwrite to build it anew, or another --out"
            )
        _remove(folder)
    clean_up(folder)
    remove_watches(folder)
    atomic_write_text(folder / WORK_FOLDER / _SETTINGS_NAME, json.dumps(new, indent=1, sort_keys=True) + "\n")
    atomic_write_text(
        folder / WORK_FOLDER / _SOURCE_NAME,
        (str(captures) if is_remote(captures) else _relative(Path(captures), folder)) + "\n",
    )
    return digest_of(new, FORMAT_VERSION)


def _settings_of(folder: Path) -> dict[str, Any] | None:
    """Settings that the folder's content was built with; None for an empty or foreign folder."""
    for path, key in ((folder / WORK_FOLDER / _SETTINGS_NAME, None), (folder / MANIFEST_NAME, "settings")):
        try:
            table = read_json(path, MOST_LIST_BYTES)
            settings = table[key] if key else table
            if isinstance(settings, dict):
                return settings
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _remove(folder: Path) -> None:
    """Remove the dataset's own files and nothing else."""
    for name in (MANIFEST_NAME, CAPTURES_NAME, UNPAIRED_NAME):
        (folder / name).unlink(missing_ok=True)
    for shard in all_shards(folder):
        shard.unlink()
    for record in (folder / WORK_FOLDER).glob("*.json"):
        record.unlink()


def _relative(captures: Path, folder: Path) -> str:
    try:
        return os.path.relpath(captures.resolve(), folder.resolve())
    except ValueError:  # another drive
        return str(captures.resolve())


def captures_folder(folder: Path) -> Path | None:
    """Return the folder of photos that a dataset was built from, or None if it is not known or not there."""
    try:
        path = folder / (folder / WORK_FOLDER / _SOURCE_NAME).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return path if path.is_dir() else None


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from: the fields of its manifest (see manifest.Manifest) that no shard decides."""

    phone: str
    dslr: str
    patch_size: int
    source: str
    alignment: str
    settings: Mapping[str, Any]


def built_origin(phone: str, settings: BuildSettings) -> Origin:
    """Return the origin of a dataset that is built from photos."""
    size = settings.patches.patch_size
    return Origin(phone, settings.rig.dslr, size, "built", settings.alignment, settings_dict(settings))


def finish(
    folder: Path,
    origin: Origin,
    units: Sequence[Unit],
    records: Mapping[str, UnitRecord],
    unpaired: Sequence[Unpaired],
    set_aside: Collection[str] = (),
) -> tuple[Manifest, tuple[CaptureRow, ...]]:
    """Number the shards, write captures.csv, unpaired.csv, then the manifest and its card. Call under the lock."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)  # a manifest never describes shards that are being renamed
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
        digest=digest_of(origin.settings, FORMAT_VERSION),
        settings=origin.settings,
        versions=library_versions(),
        splits=splits,
        totals=totals,
        rejections=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )
    write_captures(folder, rows)
    write_unpaired(folder, unpaired)
    write_manifest(folder, manifest)
    write_dataset_card(folder, manifest)
    return manifest, rows


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

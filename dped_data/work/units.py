"""The plan of a build and what of it is already done: units of captures, their records, resuming.

A unit is a fixed group of captures that becomes one shard. Its key is the sha256 of the settings digest and of the
captures' files and sizes, so that a unit is reused exactly when nothing that decides its content has changed.
Groups end where a hash of the capture's id says so, not by counting: a capture that is added or removed changes its
own group only, wherever it sorts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dped_data.captures.records import SPLITS, Capture, Split
from dped_data.common.files import atomic_write_text
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.common.names import path_inside
from dped_data.common.ownership import check_free, move, remove, set_aside
from dped_data.common.written_record import Written, is_ours, written_as
from dped_data.dataset.capture_table import CaptureRow, checked_row, row_for_json
from dped_data.dataset.layout import captures_of_shard, unit_of_shard
from dped_data.dataset.places import (
    WORK_FOLDER,
    all_shards,
    shard_name,
    shard_set_aside_name,
    unit_record_name,
    unit_records,
    unnumbered_shard_name,
)
from dped_data.errors import InputError, PhotoError
from dped_data.photos.files import MTIME, FileState, file_state, sha256_of_photo


@dataclass(frozen=True)
class Unit:
    """A group of captures that becomes one shard of `split`."""

    key: str
    split: Split
    captures: tuple[Capture, ...]


@dataclass(frozen=True)
class UnitRecord:
    """What a finished unit yielded; its file in the work folder is what makes the unit count as done.

    Attributes:
        key: of the unit.
        patches: patches in its shard; 0 means that there is no shard.
        bytes, sha256: of the shard file.
        photo_sha256: file -> sha256 of the photos as they were read; "" for one that could not be read.
        rows: the captures' rows, their split left empty.
        photo_mtime_ns: file -> time of its last change as in PhotoReader.
        photo_state: file -> its state as in PhotoReader; none in records of earlier versions.
        stored_tag: the store's own mark of the shard's object after it was sent; "" without a store.
    """

    key: str
    patches: int
    bytes: int
    sha256: str
    photo_sha256: dict[str, str]
    rows: tuple[CaptureRow, ...]
    photo_mtime_ns: dict[str, int] = field(default_factory=dict)
    photo_state: dict[str, FileState] = field(default_factory=dict)
    stored_tag: str = ""


def plan_units(
    captures: Sequence[Capture], splits: Sequence[Split], root: Path, digest: str, captures_per_shard: int
) -> list[Unit]:
    """Group the captures of each split, in order, into units of `captures_per_shard` on average, at most twice that."""
    units: list[Unit] = []
    for split in SPLITS:
        group: list[Capture] = []
        members = [c for c, s in zip(captures, splits, strict=True) if s == split]
        for index, capture in enumerate(members):
            group.append(capture)
            boundary = _hash(capture.capture_id) % captures_per_shard == 0 or len(group) == 2 * captures_per_shard
            if boundary or index == len(members) - 1:
                units.append(Unit(_key(group, root, digest), split, tuple(group)))
                group = []
    return units


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _key(captures: Iterable[Capture], root: Path, digest: str) -> str:
    members = []
    for c in captures:
        files = [c.phone_file, c.dslr_file]
        if c.phone_raw_file not in (None, c.phone_file):
            files.append(c.phone_raw_file)
        members.append([c.capture_id, *files, *(_size(root / file) for file in files)])
    return hashlib.sha256(json.dumps([digest, members]).encode()).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def write_record(folder: Path, record: UnitRecord) -> None:
    """Declare a unit done. Call after its shard has been written."""
    table = {**asdict(record), "rows": [row_for_json(row) for row in record.rows]}
    atomic_write_text(folder / unit_record_name(record.key), json.dumps(table) + "\n")


def read_record(folder: Path, key: str) -> UnitRecord | None:
    """Return the record of a unit, or None if it has none that can be read."""
    try:
        table = read_json(folder / unit_record_name(key), MOST_LIST_BYTES, unknown_as_none=True)
        record = typed(UnitRecord, table)
        for row in record.rows:
            checked_row(row)
        for file in (*record.photo_sha256, *record.photo_mtime_ns, *record.photo_state):
            path_inside(file, "photo")
    except (OSError, ValueError, InputError):
        return None
    return record if record.key == key and record.patches >= 0 and record.bytes >= 0 else None


def make_folders(folder: Path) -> None:
    """Make the folders of a dataset. Call under its lock."""
    for name in (*SPLITS, WORK_FOLDER):
        (folder / name).mkdir(exist_ok=True)


def shards_by_key(folder: Path) -> dict[str, Path]:
    """Find the shards on disk, numbered or not, by the unit key they carry; unreadable ones are left out."""
    found: dict[str, Path] = {}
    for path in all_shards(folder):
        if (unit := unit_of_shard(path)) is not None:
            found[unit] = path
    return found


def splits_on_disk(folder: Path) -> dict[str, Split]:
    """Return the split of every capture whose shard lies in a split's folder, and of the others of a recorded unit."""
    found: dict[str, Split] = {}
    for path in shards_by_key(folder).values():
        for split in SPLITS:
            if path.parent == folder / split:
                found |= dict.fromkeys(captures_of_shard(path), split)
    for path in unit_records(folder):
        record = read_record(folder, path.stem)
        names = [row.capture_id for row in record.rows] if record else []
        if known := [found[name] for name in names if name in found]:
            found |= dict.fromkeys(names, known[0])
    return found


def check_shards(folder: Path) -> None:
    """Set aside shards that are not as they were written; ForeignFileError where somebody else's file has such a name.

    Those that can be opened are held against the record by their length, so that this takes no time.
    """
    readable = set(shards_by_key(folder).values())
    for path in all_shards(folder):
        by_size = path in readable
        if not is_ours(path, by_size=by_size) and written_as(path) and not path.is_symlink():
            set_aside(path)
        else:
            check_free(path, by_size=by_size)


def finished_units(folder: Path, units: Iterable[Unit], root: Path, retry_failed: bool) -> dict[str, UnitRecord]:
    """Return the records of the units that need no work: recorded, shard in place, photos unchanged.

    A photo whose size, time, inode or inode's time is not what it was when it was read is read again and compared by
    its sha256; where that is the same, the record takes note of the new state. One that could not be read then and can
    be now makes its unit count as not done. With `retry_failed`, so do units that
    hold a failed capture.
    """
    done: dict[str, UnitRecord] = {}
    for key, record in recorded_units(folder, units).items():
        if retry_failed and any(row.status == "failed" for row in record.rows):
            continue
        states = _states_of_unchanged(record, folder / unit_record_name(key), root)
        if states is None:
            continue
        if states != record.photo_state:  # touched only: not to be read again at every run
            record = replace(record, photo_state=states)
            write_record(folder, record)
        done[key] = record
    return done


def recorded_units(folder: Path, units: Iterable[Unit]) -> dict[str, UnitRecord]:
    """Return the records of units whose shards are in place; whether photos have changed since is not looked at."""
    shards = shards_by_key(folder)
    found: dict[str, UnitRecord] = {}
    for unit in units:
        record = read_record(folder, unit.key)
        if record is None or (record.patches and unit.key not in shards):
            continue
        if not record.patches or shards[unit.key].stat().st_size == record.bytes:
            found[unit.key] = record
    return found


def _states_of_unchanged(record: UnitRecord, path: Path, root: Path) -> dict[str, FileState] | None:
    """Return what is to be noted of a unit's photos, by file; None if one of them is another than when it was read."""
    written = path.stat().st_mtime_ns
    states = dict(record.photo_state)
    for file, sha256 in record.photo_sha256.items():
        try:
            if not _is_touched(record, file, file_state(root / file), written):
                continue
            now, state = sha256_of_photo(root / file)
        except (OSError, PhotoError):
            continue  # the plan has seen the same: sizes are part of the key
        if now != sha256:
            return None
        if file in record.photo_state:
            states[file] = state
    return states


def _is_touched(record: UnitRecord, file: str, now: FileState, written_ns: int) -> bool:
    """Whether a photo may be another one; records without states know its time only, the oldest ones their own."""
    if file in record.photo_state:
        return now != record.photo_state[file]
    then = record.photo_mtime_ns.get(file)
    return now[MTIME] >= written_ns if then is None else now[MTIME] != then


def number_shards(
    folder: Path, units: Sequence[Unit], records: Mapping[str, UnitRecord], set_aside: Collection[str] = ()
) -> dict[str, str]:
    """Give the shards of `units` their final names and remove all others; return key -> file relative to `folder`.

    Shards whose keys are in `set_aside` are kept in the work folder, out of the dataset, with their records.

    Interrupted at any point, a second call ends in the same state, since shards are known by the key they carry.
    """
    shards = shards_by_key(folder)
    names: dict[str, str] = {}
    for split in SPLITS:
        filled = [u for u in units if u.split == split and records[u.key].patches]
        names |= {unit.key: shard_name(split, index) for index, unit in enumerate(filled)}
    for path in all_shards(folder):
        if path not in shards.values():
            remove(path)
    for key, path in shards.items():
        if key in set_aside:
            move(path, folder / shard_set_aside_name(key))
        elif key not in names:
            remove(path)
        elif path != folder / names[key]:  # out of the way first: its number may be another's place still
            move(path, folder / unnumbered_shard_name(names[key].split("/")[0], key), _written(records[key]))
    for key, name in names.items():
        waiting = folder / unnumbered_shard_name(name.split("/")[0], key)
        if waiting.exists():
            move(waiting, folder / name, _written(records[key]))
    for path in unit_records(folder):
        if path.stem not in records and path.stem not in set_aside:
            remove(path)
    return names


def _written(record: UnitRecord) -> Written:
    return Written(record.bytes, record.sha256)

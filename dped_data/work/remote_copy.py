"""A dataset in a remote store and its copy on this machine: fetch what is there, publish what was built.

The copy in the cache is a dataset like any other. Objects are sent whole; dataset.json is removed first and sent last,
so that it never describes shards that are not there. Only objects that are proven to be a build's work are replaced or
removed (OwnObjects); the card, which people complete, is brought here and up to date before it is sent back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dped_data.captures.records import SPLITS
from dped_data.common.cache import cache_folder, locked_cache
from dped_data.common.files import sha256_of_file
from dped_data.common.folder_lock import LOCK_NAME
from dped_data.common.hints import hint
from dped_data.common.markdown_card import CARD_NAME, NEW_CARD_NAME
from dped_data.common.names import plain_name
from dped_data.common.ownership import remove_in_work
from dped_data.common.progress import progress
from dped_data.common.remote_folder import RemoteFile, RemoteFolder, check_name, is_plain, remote_folder
from dped_data.common.work_folder import MARK_NAME
from dped_data.dataset.capture_table import read_captures
from dped_data.dataset.card import write_dataset_card
from dped_data.dataset.manifest import Manifest, read_manifest
from dped_data.dataset.places import (
    CAPTURES_NAME,
    MANIFEST_NAME,
    PICTURES,
    REVIEW_NAME,
    SETTINGS_NAME,
    STORE_RECORD_NAME,
    TABLES,
    UNPAIRED_NAME,
    WORK_FOLDER,
    fetched_shard_name,
    is_own_name,
    picture_names,
    shard_name,
    shard_names_of_unit,
    unit_record_name,
    unit_records,
    unnumbered_shard_name,
)
from dped_data.errors import InputError, UsageError
from dped_data.work.remote_record import ObjectState, OwnObjects, foreign, is_unit_object, written
from dped_data.work.units import Unit, UnitRecord, read_record, shards_by_key, write_record

_STAYS = (MARK_NAME, LOCK_NAME)
"""Of the work folder of a copy that is thrown away."""


def fetch_dataset(target: RemoteFolder, folder: Path) -> OwnObjects:
    """Bring the copy in `folder` to the state of the store, so that a build can go on from there; under its lock.

    Finished units that the copy has and the store lacks stay: they were built here, and are sent with the next
    publication. A copy that was built with other settings than the store's is thrown away. Fetched shards whose sha256
    is not the one in their record are thrown away as well, to be built again; what is returned knows their sha256.

    Returns:
        Which objects there are a build's work.

    Raises:
        InputError: the manifest, a table, the settings or the record there are not a build's work.
    """
    own = OwnObjects(target, folder)
    own.refuse_foreign((*TABLES, REVIEW_NAME, SETTINGS_NAME, NEW_CARD_NAME))
    files = {name: file for name, file in own.files.items() if is_own_name(name)}
    stored = target.read(SETTINGS_NAME) if SETTINGS_NAME in files else b""
    if (folder / SETTINGS_NAME).exists() and (folder / SETTINGS_NAME).read_bytes() != stored:
        _empty(folder)
    for name, file in files.items():
        small = name in (*TABLES, REVIEW_NAME) or (name.startswith(f"{WORK_FOLDER}/") and name.endswith(".json"))
        if small and not _is_newer(folder / name, file):
            target.fetch(name, folder / name)
    wanted = _missing_shards(own, folder, files)
    fetched = {}
    for name in progress(wanted, total=len(wanted), label=f"shards from {target.url}", unit="shard"):
        place = folder / fetched_shard_name(name)
        target.fetch(name, place)
        fetched[place] = name
    keys = {path: key for key, path in shards_by_key(folder).items()}
    for path, name in fetched.items():
        record = read_record(folder, keys[path]) if path in keys else None
        if own.learn(name, path) != (record.sha256 if record else None):
            remove_in_work(path)
    own.know_units(folder)
    return own


def _empty(folder: Path) -> None:
    for path in [*folder.iterdir(), *(folder / WORK_FOLDER).iterdir()]:
        if path != folder / WORK_FOLDER and path.name not in _STAYS:
            remove_in_work(path)


def _is_newer(path: Path, file: RemoteFile) -> bool:
    try:
        state = path.stat()
    except OSError:
        return False
    return state.st_size == file.size and state.st_mtime_ns >= file.changed_ns


def _missing_shards(own: OwnObjects, folder: Path, files: Collection[str]) -> list[str]:
    """Name the objects that hold shards of recorded units of which the copy has none."""
    names = own.by_sha256()
    here = shards_by_key(folder)
    wanted: set[str] = set()
    for path in unit_records(folder):
        record = read_record(folder, path.stem)
        if record is None or not record.patches or record.key in here:
            continue
        found = [name for name in (*shard_names_of_unit(record.key), names.get(record.sha256, "")) if name in files]
        # An interrupted publication of a version without a record left shards under unexplained numbers: look at all.
        wanted |= set(found[:1]) if found else {name for name in files if name[-3:] == ".h5"}
    return sorted(wanted)


def begin_remote(
    own: OwnObjects, folder: Path, units: Sequence[Unit], left: Sequence[Unit], pictures: Sequence[str]
) -> None:
    """Tell the store with which settings a build begins; an --overwrite removes the manifest of what it replaces.

    Args:
        own, folder: the objects at the address, and its copy on this machine.
        units: of the whole dataset; `left`: those that this build will work on.
        pictures: kinds of pictures of whole captures that the build also writes.
    Raises:
        InputError: an object that is not a build's work has a name that this build may need. Nothing is changed then.
    """
    own.refuse_foreign(_needed(units, left, pictures))
    settings = written(folder / SETTINGS_NAME)
    begun = own.holds(SETTINGS_NAME, settings)
    replaced = MANIFEST_NAME in own.files and not (folder / MANIFEST_NAME).exists()
    if replaced or not begun or STORE_RECORD_NAME not in own.files:
        own.write_record({SETTINGS_NAME: settings})
    if replaced:
        own.remove(MANIFEST_NAME)
    if not begun:
        own.send(folder / SETTINGS_NAME, SETTINGS_NAME, settings)


def _needed(units: Sequence[Unit], left: Sequence[Unit], pictures: Sequence[str]) -> Iterator[str]:
    """Every name that a build may write, as far as it can be known before the work."""
    yield from (*TABLES, REVIEW_NAME, SETTINGS_NAME, NEW_CARD_NAME)
    for split in SPLITS:
        yield from (shard_name(split, index) for index in range(sum(unit.split == split for unit in units)))
    for unit in left:
        yield from (unnumbered_shard_name(unit.split, unit.key), unit_record_name(unit.key))
    yield from picture_names((capture.capture_id for unit in units for capture in unit.captures), pictures)


def send_unit(target: RemoteFolder, folder: Path, unit: Unit, record: UnitRecord) -> None:
    """Send a finished unit: its shard, and then the record that declares it done, with the store's tag of the shard.

    What lies there under their names must be an earlier try at the same unit, which its key in it proves.
    """
    if record.patches:
        path = folder / unnumbered_shard_name(unit.split, unit.key)
        sent = _send_unit_file(target, folder, path, unit.key)
        record = replace(record, stored_tag=sent.tag)
        write_record(folder, record)
    _send_unit_file(target, folder, folder / unit_record_name(unit.key), unit.key)


def _send_unit_file(target: RemoteFolder, folder: Path, path: Path, key: str) -> RemoteFile:
    name = path.relative_to(folder).as_posix()
    there = target.state(name)
    if there is not None and not is_unit_object(target, name, key):
        raise foreign(target, name)
    return target.send(path, name, there)


def publish(target: RemoteFolder, folder: Path) -> None:
    """Bring the finished dataset in `folder` to the store, and remove what an earlier one left; under its lock.

    Raises:
        InputError: an object that is not a build's work has a name that the dataset needs; no shard is changed then.
    """
    manifest = read_manifest(folder)
    card, card_state = _merge_card(target, folder, manifest)
    own = OwnObjects(target, folder)
    listed = {s.file: ObjectState(s.bytes, s.sha256) for split in manifest.splits.values() for s in split.shards}
    local = {name: listed.get(name) or written(folder / name) for name in _local_files(folder, manifest)}
    changed = {name: what for name, what in local.items() if not own.holds(name, what)}
    own.require(changed)
    kept = {*local, *picture_names((row.capture_id for row in read_captures(folder) if row.patches), manifest.pictures)}
    obsolete = [name for name in own.known() if name not in kept and own.proven(name)]
    if changed or obsolete:
        own.write_record({**changed, MANIFEST_NAME: local[MANIFEST_NAME]})
        if MANIFEST_NAME in own.files:
            own.remove(MANIFEST_NAME)
        _send(own, folder, {name: what for name, what in changed.items() if name != MANIFEST_NAME})
        own.send(folder / MANIFEST_NAME, MANIFEST_NAME, local[MANIFEST_NAME])
        for name in obsolete:
            own.remove(name)
    if card != (folder / CARD_NAME).read_bytes():
        target.send(folder / CARD_NAME, CARD_NAME, card_state)
    own.keep_only(local, kept - set(local))
    own.write_record({})


def _merge_card(target: RemoteFolder, folder: Path, manifest: Manifest) -> tuple[bytes | None, RemoteFile | None]:
    """Bring the card that people complete in the store here and up to date; return what it was, and its state."""
    state = target.state(CARD_NAME)
    if state is None:
        return None, None
    target.fetch(CARD_NAME, folder / CARD_NAME)
    card = (folder / CARD_NAME).read_bytes()
    write_dataset_card(folder, manifest)
    return card, state


def _local_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Name what the copy holds of the dataset, its card left out."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not is_own_name(name) or not path.is_file():
            continue
        kind = name.partition("/")[0]
        if name != CARD_NAME and (kind not in PICTURES or kind in manifest.pictures):
            yield name


def _send(own: OwnObjects, folder: Path, what: Mapping[str, ObjectState]) -> None:
    """Send files; shards that workers have sent under their unit's key are copied inside the store."""
    keys = {path: key for key, path in shards_by_key(folder).items()}
    for name in progress(sorted(what), total=len(what), label=f"to {own.target.url}", unit="file"):
        unnumbered = unnumbered_shard_name(name.split("/")[0], keys.get(folder / name, ""))
        if name != unnumbered and own.is_tagged(unnumbered, what[name]):
            own.copy(unnumbered, name, what[name])
        else:
            own.send(folder / name, name, what[name])


def local_dataset(data: Path | str, phone: str | None, cache: Path | None = None) -> Path:
    """Return a local folder of datasets or dataset for `data`: itself, or a copy of the one at a remote address.

    Whole shards are fetched once and checked against the sha256 in the manifest.

    Raises:
        InputError: no dataset there, or a shard that is not what the manifest says; UsageError: several, and no name.
    """
    source = remote_folder(data)
    if source is None:
        return Path(data)
    if phone is None:
        heads = (name.rpartition("/") for name in source.files() if is_plain(name))
        phones = [head for head, _, tail in heads if tail == MANIFEST_NAME and head and "/" not in head]
        if len(phones) > 1:
            raise UsageError(f"{data}: datasets of several phones ({', '.join(phones)}); choose one with --phone NAME")
        phone = phones[0] if phones else ""
    source = source.child(plain_name(phone, "--phone", UsageError)) if phone else source
    files = source.files()
    if MANIFEST_NAME not in files:
        raise InputError(
            f"{source.url}: no dataset there ({MANIFEST_NAME} is missing); "
            f"`{hint('build-dataset', '--out', str(data))}` makes one"
        )
    name = phone or source.url.rsplit("/", 1)[-1]
    check_name(name, source.url)
    base = cache_folder(source.url, cache)
    with locked_cache(base, "data"):
        _fetch_whole(source, files, base / "data" / name)
    return base / "data" / name


def _fetch_whole(source: RemoteFolder, files: Collection[str], folder: Path) -> None:
    for name in (CAPTURES_NAME, UNPAIRED_NAME, MANIFEST_NAME):
        if name in files:
            source.fetch(name, folder / name)
    shards = [shard for split in read_manifest(folder).splits.values() for shard in split.shards]
    for shard in progress(shards, total=len(shards), label=f"shards from {source.url}", unit="shard"):
        path = folder / shard.file
        if path.is_file() and sha256_of_file(path) == shard.sha256:
            continue
        source.fetch(shard.file, path)
        if sha256_of_file(path) != shard.sha256:
            remove_in_work(path)
            raise InputError(f"{source.url}/{shard.file}: not what {MANIFEST_NAME} says; build the dataset there again")

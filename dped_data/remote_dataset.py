"""A dataset in a remote store and its copy on this machine: fetch what is there, publish what was built (leaf).

The copy in the cache is a dataset like any other. Objects are sent whole; dataset.json is removed first and sent last,
so that it never describes shards that are not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from dped_data.capture_table import CAPTURES_NAME, UNPAIRED_NAME
from dped_data.errors import InputError, UsageError
from dped_data.files import TEMPORARY_PREFIX, sha256_of_file
from dped_data.manifest import MANIFEST_NAME, read_manifest
from dped_data.names import plain_name
from dped_data.progress import progress
from dped_data.records import SPLITS
from dped_data.remote import RemoteFile, RemoteFolder, cache_folder, is_remote
from dped_data.work_units import WORK_FOLDER, Unit, UnitRecord, read_record, record_path, shards_by_key, unfinished_path

_SETTINGS = f"{WORK_FOLDER}/settings.json"
_LOCK = f"{WORK_FOLDER}/lock"
_FETCHED = ".unit-fetched-"


def fetch_dataset(target: RemoteFolder, folder: Path) -> None:
    """Bring the copy in `folder` to the state of the store, so that a build can go on from there; under its lock.

    Finished units that the copy has and the store lacks stay: they were built here, and are sent with the next
    publication. A copy that was built with other settings than the store's is thrown away. Fetched shards whose sha256
    is not the one in their record are thrown away as well, and built again.
    """
    files = target.files()
    stored = target.read(_SETTINGS) if _SETTINGS in files else b""
    if (folder / _SETTINGS).exists() and (folder / _SETTINGS).read_bytes() != stored:
        _empty(folder)
    for name, file in files.items():
        table = name in (CAPTURES_NAME, UNPAIRED_NAME, MANIFEST_NAME)
        small = table or (name.startswith(f"{WORK_FOLDER}/") and name.endswith(".json"))
        if small and not _is_newer(folder / name, file):
            target.fetch(name, folder / name)
    wanted = _missing_shards(target, folder, files)
    fetched = []
    for name in progress(wanted, total=len(wanted), label=f"shards from {target.url}", unit="shard"):
        split, _, file_name = name.rpartition("/")
        place = folder / (split if split in SPLITS else SPLITS[0]) / f"{_FETCHED}{file_name.lstrip('.')}"
        target.fetch(name, place)
        fetched.append(place)
    keys = {path: key for key, path in shards_by_key(folder).items()}
    for path in fetched:
        record = read_record(folder, keys[path]) if path in keys else None
        if record is None or record.sha256 != sha256_of_file(path):
            path.unlink()


def _empty(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name != WORK_FOLDER:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted((folder / WORK_FOLDER).iterdir()):
        if path != folder / _LOCK:
            path.unlink()


def _is_newer(path: Path, file: RemoteFile) -> bool:
    try:
        state = path.stat()
    except OSError:
        return False
    return state.st_size == file.size and state.st_mtime_ns >= file.changed_ns


def _missing_shards(target: RemoteFolder, folder: Path, files: Mapping[str, RemoteFile]) -> list[str]:
    """Name the objects that hold shards of recorded units of which the copy has none."""
    names = {sha256: name for name, sha256 in _published(target).items()} if MANIFEST_NAME in files else {}
    here = shards_by_key(folder)
    wanted: set[str] = set()
    for path in sorted((folder / WORK_FOLDER).glob("*.json")):
        record = read_record(folder, path.stem)
        if record is None or not record.patches or record.key in here:
            continue
        places = [*(f"{split}/.unit-{record.key}.h5" for split in SPLITS), f"{WORK_FOLDER}/{record.key}.h5"]
        found = [name for name in (*places, names.get(record.sha256, "")) if name in files]
        # A publication that was interrupted has left shards under numbers that no manifest explains: look at all.
        wanted |= set(found[:1]) if found else {name for name in files if name[-3:] == ".h5"}
    return sorted(wanted)


def _published(target: RemoteFolder) -> dict[str, str]:
    """The shards that the store's manifest names: file -> sha256; {} without a manifest that can be read."""
    try:
        document = json.loads(target.read(MANIFEST_NAME))
        return {s["file"]: s["sha256"] for split in document["splits"].values() for s in split["shards"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def begin_remote(target: RemoteFolder, folder: Path) -> None:
    """Tell the store with which settings a build begins; an --overwrite removes the manifest of what it replaces."""
    if not (folder / MANIFEST_NAME).exists():
        target.remove(MANIFEST_NAME)
    target.send(folder / _SETTINGS, _SETTINGS)


def send_unit(target: RemoteFolder, folder: Path, unit: Unit, record: UnitRecord) -> None:
    """Send a finished unit: its shard, and then the record that declares it done."""
    if record.patches:
        path = unfinished_path(folder, unit)
        target.send(path, path.relative_to(folder).as_posix())
    path = record_path(folder, unit.key)
    target.send(path, path.relative_to(folder).as_posix())


def publish(target: RemoteFolder, folder: Path) -> None:
    """Make the store hold what the finished dataset in `folder` holds, and nothing else; under its lock."""
    files, published = target.files(), _published(target)
    target.remove(MANIFEST_NAME)
    sha256 = {s.file: s.sha256 for split in read_manifest(folder).splits.values() for s in split.shards}
    keys = {path: key for key, path in shards_by_key(folder).items()}
    kept = set(_local_files(folder))
    for name in progress(sorted(kept - {MANIFEST_NAME}), label=f"to {target.url}", unit="file"):
        path = folder / name
        unnumbered = f"{name.split('/')[0]}/.unit-{keys.get(path, '')}.h5"
        if name in sha256 and published.get(name) == sha256[name] and name in files:
            continue
        if name in sha256 and unnumbered in files and files[unnumbered].size == path.stat().st_size:
            target.copy(unnumbered, name)
        else:
            target.send(path, name)
    target.send(folder / MANIFEST_NAME, MANIFEST_NAME)
    for name in sorted(set(files) - kept):
        target.remove(name)


def _local_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != _LOCK and path.suffix != ".log" and not path.name.startswith(TEMPORARY_PREFIX):
            yield name


def local_dataset(data: Path | str, phone: str | None, cache: Path | None = None) -> Path:
    """Return a local folder of datasets or dataset for `data`: itself, or a copy of the one at a remote address.

    Whole shards are fetched once and checked against the sha256 in the manifest.

    Raises:
        InputError: no dataset there, or a shard that is not what the manifest says; UsageError: several, and no name.
    """
    if not is_remote(data):
        return Path(data)
    source = RemoteFolder(str(data))
    if phone is None:
        phones = [
            name.split("/")[0] for name in source.files() if name.count("/") == 1 and name.endswith(MANIFEST_NAME)
        ]
        if len(phones) > 1:
            raise UsageError(f"{data}: datasets of several phones ({', '.join(phones)}); choose one with --phone NAME")
        phone = phones[0] if phones else ""
    source = source.child(plain_name(phone, "--phone", UsageError)) if phone else source
    files = source.files()
    if MANIFEST_NAME not in files:
        raise InputError(f"{source.url}: no dataset there ({MANIFEST_NAME} is missing); `dped build-dataset` makes one")
    folder = cache_folder(source.url, cache) / "data" / (phone or source.url.rstrip("/").rsplit("/", 1)[-1])
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
            path.unlink()
            raise InputError(f"{source.url}/{shard.file}: not what {MANIFEST_NAME} says; build the dataset there again")
    return folder

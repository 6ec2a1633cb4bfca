"""dataset.json: what a dataset holds and where it comes from (leaf). docs/format.md describes every field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dped_data.errors import InputError, UsageError
from dped_data.files import atomic_write_text
from dped_data.records import SPLITS
from dped_data.settings import FORMAT_VERSION

MANIFEST_NAME = "dataset.json"
FORMAT_NAME = "dped-dataset"


@dataclass(frozen=True)
class ShardEntry:
    """One shard: `file` relative to the dataset ("train/00000.h5"), patches, bytes, sha256 of the file."""

    file: str
    patches: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitEntry:
    """One split: captures assigned to it, patches kept, and its shards in order."""

    captures: int
    patches: int
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of dataset.json.

    Attributes:
        phone, dslr: camera names.
        patch_size: side of the patches, pixels.
        source: "built" from photos, or "imported" from patches that others cut (then without geometry).
        alignment: "refined", "paper", or "imported".
        digest: sha256 of `settings` and the format version.
        settings: all settings of the build, the rig included.
        versions: library versions that decide the pixels.
        splits: by name, train, val and test.
        totals: counts of captures by status, unpaired photos, windows and patches.
        rejections: "stage: reason" -> number of captures.
    """

    phone: str
    dslr: str
    patch_size: int
    source: str
    alignment: str
    digest: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    splits: Mapping[str, SplitEntry]
    totals: Mapping[str, int]
    rejections: Mapping[str, int]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write FOLDER/dataset.json, whole or not at all; the same manifest gives the same bytes."""
    document = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(manifest)}
    atomic_write_text(folder / MANIFEST_NAME, json.dumps(document, indent=1) + "\n")


def find_dataset(data: Path, phone: str | None) -> Path:
    """Return the folder of `phone`'s dataset below `data`, of the only one there, or `data` where it is a dataset.

    Raises:
        InputError: no dataset there. UsageError: several, and no name to choose one.
    """
    itself = (data / MANIFEST_NAME).is_file()
    data = data if data.name else data.resolve()  # the folder's name is used
    if phone is not None:
        folder = data / phone
        if not (folder / MANIFEST_NAME).is_file():
            if itself and read_manifest(data).phone == phone:
                return data
            raise InputError(f"{folder}: no dataset there ({MANIFEST_NAME} is missing); `dped build-dataset` makes one")
        return folder
    if itself:
        return data
    folders = sorted(path.parent for path in data.glob(f"*/{MANIFEST_NAME}"))
    if not folders:
        raise InputError(
            f"{data}: no dataset in it (*/{MANIFEST_NAME}); `dped build-dataset` makes one, --data names its folder"
        )
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise UsageError(f"{data}: datasets of several phones ({names}); choose one with --phone NAME")
    return folders[0]


def read_manifest(folder: Path) -> Manifest:
    """Read and check FOLDER/dataset.json.

    Raises:
        InputError: no dataset there, another format or version, a field missing or of the wrong type, or a shard whose
            path leaves the dataset.
    """
    path = folder / MANIFEST_NAME
    document = _read_document(path)
    real: dict[Path, Path] = {}
    try:
        splits: dict[str, SplitEntry] = {name: _split(document["splits"][name], path, real) for name in SPLITS}
        manifest = Manifest(
            phone=_typed(document, "phone", str),
            dslr=_typed(document, "dslr", str),
            patch_size=_typed(document, "patch_size", int),
            source=_typed(document, "source", str),
            alignment=_typed(document, "alignment", str),
            digest=_typed(document, "digest", str),
            settings=_typed(document, "settings", dict),
            versions=_typed(document, "versions", dict),
            splits=splits,
            totals=_typed(document, "totals", dict),
            rejections=_typed(document, "rejections", dict),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged manifest ({error}); build the dataset again with --overwrite") from None
    return manifest


def _read_document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent}: no dataset here ({path.name} is missing); "
            "run dped build-dataset first, or name the dataset with --data and --phone"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged manifest ({error}); build the dataset again with --overwrite") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
        raise InputError(f"{path}: not the manifest of a dped dataset")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {version}, this program reads version {FORMAT_VERSION}; "
            "build the dataset again or use the release of dped that wrote it"
        )
    return document


def _typed(table: Mapping[str, Any], key: str, kind: type) -> Any:
    value = table[key]
    if type(value) is not kind:
        raise TypeError(f"'{key}' is {type(value).__name__}, expected {kind.__name__}")
    return value


def _split(table: Mapping[str, Any], path: Path, real: dict[Path, Path]) -> SplitEntry:
    shards = tuple(
        ShardEntry(
            _inside(_typed(s, "file", str), path, real),
            _typed(s, "patches", int),
            _typed(s, "bytes", int),
            _typed(s, "sha256", str),
        )
        for s in _typed(table, "shards", list)
    )
    return SplitEntry(_typed(table, "captures", int), _typed(table, "patches", int), shards)


def _inside(file: str, manifest: Path, real: dict[Path, Path]) -> str:
    """Return `file` if it stays inside the dataset's folder, links included; else raise InputError.

    `real` remembers the folders' places without links: with thousands of shards these look-ups would be what takes
    time.
    """
    pure = PurePosixPath(file)
    if pure.is_absolute() or ".." in pure.parts or "\\" in file or "\0" in file:
        raise _tampered(file, manifest)
    path, folder = manifest.parent / pure, manifest.parent
    for place in (folder, path.parent):
        if place not in real:
            real[place] = place.resolve()
    place = path.resolve() if path.is_symlink() else real[path.parent]
    if not place.is_relative_to(real[folder]):
        raise _tampered(file, manifest)
    return file


def _tampered(file: str, manifest: Path) -> InputError:
    return InputError(f"{manifest}: shard '{file}' lies outside the dataset; the manifest was tampered with")

"""dataset.json: what a dataset holds and where it comes from. docs/format.md describes every field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dped_data.captures.records import SPLITS
from dped_data.common.files import atomic_write_text
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_json, typed
from dped_data.common.hints import data_words, hint
from dped_data.common.names import path_inside, plain_name, shown
from dped_data.common.typed_settings import digest_of
from dped_data.dataset.places import ALIGNED_FOLDER, MANIFEST_NAME, PICTURES, SETTINGS_NAME, unit_records
from dped_data.dataset.review_file import Decision
from dped_data.errors import InputError, UsageError
from dped_data.settings import FORMAT_VERSION, Rig

FORMAT_NAME = "dped-dataset"
_MOST_SIDE, _MOST_PATCHES, _MOST_BYTES = 2**13, 2**31, 2**50
"""Ours: pixels of a patch's side, patches and bytes of a shard; a count of anything is not larger either."""


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
        digest: sha256 of `settings`, the format version and `review` (`dataset_digest`).
        settings: all settings of the build, the rig included.
        versions: library versions that decide the pixels.
        splits: by name, train, val and test.
        totals: counts of captures by status, unpaired photos, windows and patches.
        rejections: "stage: reason" -> number of captures.
        review: what people decided on captures, by capture; see `review_file.standing`.
        photo_sizes: camera -> "WIDTHxHEIGHT" -> photos, of the captures in the shards; empty where they do not say.
        folders: camera -> its folder below the captures folder; empty where that is the camera's name.
        pictures: kinds of pictures of whole captures that it has, see `places.PICTURES`.
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
    review: tuple[Decision, ...] = ()
    photo_sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()


def dataset_digest(settings: Mapping[str, Any], review: Sequence[Decision] = ()) -> str:
    """Return the digest of a dataset; without decisions of people it is that of its settings, which shards carry."""
    decided = {"review": [asdict(decision) for decision in review]} if review else {}
    return digest_of({**settings, **decided}, FORMAT_VERSION)


_FIELDS = frozenset(entry.name for entry in fields(Manifest))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write FOLDER/dataset.json, whole or not at all; the same manifest gives the same bytes."""
    document = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, **asdict(manifest)}
    for name in ("review", "photo_sizes", "folders", "pictures"):  # as in datasets of before there were any
        if not document[name]:
            del document[name]
    atomic_write_text(folder / MANIFEST_NAME, json.dumps(document, indent=1) + "\n")


def pictures_of(folder: Path) -> tuple[str, ...]:
    """Return the kinds of pictures that the dataset in `folder` has; none where no manifest can be read."""
    try:
        document = read_json(folder / MANIFEST_NAME, MOST_LIST_BYTES)
        stated = typed(tuple[str, ...], document.get("pictures", []))
        counted = document.get("settings", {}).get("shards", {}).get("keep_aligned") is True  # of an earlier version
    except (OSError, ValueError, AttributeError):
        return ()
    return tuple(kind for kind in PICTURES if kind in stated or (counted and kind == ALIGNED_FOLDER))


def is_masked(manifest: Manifest) -> bool:
    """Whether the dataset was built with --mask-cells, or imported with masks: its shards hold `valid`."""
    patches = manifest.settings.get("patches")
    return bool(manifest.settings.get("masked") or (isinstance(patches, dict) and patches.get("mask_cells")))


def has_mosaics(manifest: Manifest) -> bool:
    """Whether the dataset was built with --phone-raw, or imported with mosaics: its shards hold `phone_raw`."""
    raw = manifest.settings.get("raw")
    return bool(manifest.settings.get("mosaics") or (isinstance(raw, dict) and raw.get("phone_raw")))


def has_linear(manifest: Manifest) -> bool:
    """Whether the dataset was built with --dslr-linear: its shards hold `dslr_linear`."""
    raw = manifest.settings.get("raw")
    return isinstance(raw, dict) and bool(raw.get("dslr_linear"))


def find_dataset(data: Path, phone: str | None) -> Path:
    """Return the folder of `phone`'s dataset below `data`, of the only one there, or `data` where it is a dataset.

    Raises:
        InputError: no dataset there. UsageError: several, and no name to choose one.
    """
    itself = (data / MANIFEST_NAME).is_file()
    data = data if data.name else data.resolve()  # the folder's name is used
    if phone is not None:
        folder = data / plain_name(phone, "--phone", UsageError)
        if not (folder / MANIFEST_NAME).is_file():
            if itself and read_manifest(data).phone == phone:
                return data
            _check_not_begun(folder)
            raise InputError(
                f"{folder}: no dataset there ({MANIFEST_NAME} is missing); "
                f"`{hint('build-dataset', '--phone', phone, *data_words(data, '--out'))}` makes one"
            )
        return folder
    if itself:
        return data
    folders = sorted(path.parent for path in data.glob(f"*/{MANIFEST_NAME}"))
    if not folders:
        for begun in (data, *sorted(path for path in data.glob("*") if path.is_dir())):
            _check_not_begun(begun)
        raise InputError(
            f"{data}: no dataset in it (*/{MANIFEST_NAME}); "
            f"`{hint('build-dataset', *data_words(data, '--out'))}` makes one, --data names its folder"
        )
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise UsageError(f"{data}: datasets of several phones ({names}); choose one with --phone NAME")
    return folders[0]


def settings_on_disk(folder: Path) -> dict[str, Any] | None:
    """Return the settings that the folder's content is built with, finished or not; None for one of other content."""
    own = settings_in(folder / SETTINGS_NAME, None)
    return own if own is not None else settings_in(folder / MANIFEST_NAME, "settings")


def settings_in(path: Path, key: str | None) -> dict[str, Any] | None:
    """Return the table in a JSON file, or the one it has at `key`; None where there is none."""
    try:
        table = read_json(path, MOST_LIST_BYTES)
        settings = table[key] if key else table
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings if isinstance(settings, dict) else None


def _check_not_begun(folder: Path) -> None:
    """Raise InputError where a dataset was begun that has no manifest yet."""
    if settings_in(folder / SETTINGS_NAME, None) is not None and not (folder / MANIFEST_NAME).exists():
        raise InputError(
            f"{folder}: a dataset that is not finished: its build was interrupted, or is still at work "
            f"({len(unit_records(folder))} groups of captures are done, {MANIFEST_NAME} comes last); run the command "
            "that began it again, it goes on from there"
        )


def read_manifest(folder: Path) -> Manifest:
    """Read and check FOLDER/dataset.json.

    Raises:
        InputError: no dataset there, another format or version, a field missing or of the wrong type, or a shard whose
            path leaves the dataset.
    """
    path = folder / MANIFEST_NAME
    document = _read_document(path)
    known = {name: value for name, value in document.items() if name in _FIELDS}
    try:
        manifest = _checked(typed(Manifest, known))
    except ValueError as error:
        raise InputError(f"{path}: damaged manifest ({error}); build the dataset again with --overwrite") from None
    for name in ("phone", "dslr"):
        plain_name(getattr(manifest, name), f"{path}: {name}")
    real: dict[Path, Path] = {}
    for split in SPLITS:
        for shard in manifest.splits[split].shards:
            _inside(shard.file, path, real)
    return manifest


def _read_document(path: Path) -> Mapping[str, Any]:
    try:
        document = read_json(path, MOST_LIST_BYTES)
    except FileNotFoundError:
        _check_not_begun(path.parent)
        raise InputError(
            f"{path.parent}: no dataset here ({path.name} is missing); "
            f"`{hint('build-dataset')}` makes one; or name the dataset with --data and --phone"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged manifest ({error}); build the dataset again with --overwrite") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
        raise InputError(f"{path}: not the manifest of a dped dataset")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {shown(version)}, this program reads version {FORMAT_VERSION}; "
            "build the dataset again or use the release of dped that wrote it"
        )
    return document


def _checked(manifest: Manifest) -> Manifest:
    """Return a manifest whose numbers can be true; ValueError says which one cannot."""
    if not 1 <= manifest.patch_size <= _MOST_SIDE:
        raise ValueError(f"patch_size {manifest.patch_size}, 1 to {_MOST_SIDE} are allowed")
    if missing := sorted({*SPLITS} ^ {*manifest.splits}):
        raise ValueError(f"splits: {shown(missing[0])} is missing or unknown")
    counts = {**manifest.totals, **manifest.rejections}
    for split, entry in manifest.splits.items():
        counts |= {f"{split}: captures": entry.captures, f"{split}: patches": entry.patches}
        for shard in entry.shards:
            if not (0 <= shard.patches <= _MOST_PATCHES and 0 <= shard.bytes <= _MOST_BYTES):
                raise ValueError(f"{shown(shard.file)} with {shard.patches} patches in {shard.bytes} bytes")
    for name, count in counts.items():
        if not 0 <= count <= _MOST_BYTES:
            raise ValueError(f"{shown(name)} {count} is no count")
    if "rig" in manifest.settings and manifest.source == "built":
        typed(Rig, manifest.settings["rig"])
    patches = manifest.settings.get("patches", {})
    stride = patches.get("stride", 0) if isinstance(patches, dict) else None
    if type(stride) is not int or not 0 <= stride <= _MOST_SIDE:
        raise ValueError(f"settings: patches.stride {shown(stride)}, 0 to {_MOST_SIDE} are allowed")
    return manifest


def _inside(file: str, manifest: Path, real: dict[Path, Path]) -> None:
    """Raise InputError unless `file` stays inside the dataset's folder, links included.

    `real` remembers the folders' places without links: with thousands of shards these look-ups would be what takes
    time.
    """
    if "\\" in file:
        raise _tampered(file, manifest)
    try:
        path, folder = manifest.parent / path_inside(file, "shard"), manifest.parent
    except InputError:
        raise _tampered(file, manifest) from None
    for place in (folder, path.parent):
        if place not in real:
            real[place] = place.resolve()
    place = path.resolve() if path.is_symlink() else real[path.parent]
    if not place.is_relative_to(real[folder]):
        raise _tampered(file, manifest)


def _tampered(file: str, manifest: Path) -> InputError:
    return InputError(f"{manifest}: shard {shown(file)} lies outside the dataset; the manifest was tampered with")

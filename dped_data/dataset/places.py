"""Every name of a dataset, once: where its files lie below its folder, on disk and in a store alike.

Names are relative to the dataset, with "/" between folders. docs/format.md describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from dped_data.captures.records import SPLITS, Split
from dped_data.common.markdown_card import CARD_NAME, NEW_CARD_NAME
from dped_data.common.remote_folder import is_plain
from dped_data.common.work_folder import DATASET_WORK_FOLDER

MANIFEST_NAME = "dataset.json"
CAPTURES_NAME = "captures.csv"
UNPAIRED_NAME = "unpaired.csv"
REVIEW_NAME = "review.csv"
"""What people decided on the captures: the only file of a dataset that is theirs as much as ours."""
TABLES = (MANIFEST_NAME, CAPTURES_NAME, UNPAIRED_NAME)

WORK_FOLDER = DATASET_WORK_FOLDER
SETTINGS_NAME = f"{WORK_FOLDER}/settings.json"
"""The settings that a dataset was begun with, before there is a manifest."""
SOURCE_NAME = f"{WORK_FOLDER}/captures_folder"
"""Where the photos are."""
STORE_RECORD_NAME = f"{WORK_FOLDER}/written.json"
"""In a store: every object that builds have written there."""

ALIGNED_FOLDER, OVERLAYS_FOLDER = "aligned", "overlays"
PICTURES = {ALIGNED_FOLDER: (".png", ".valid.png", ".error.png"), OVERLAYS_FOLDER: (".jpg",)}
"""Pictures of whole captures: the folder of each kind, and what a capture's files there end in."""
MAPS_FOLDER = f"{WORK_FOLDER}/maps"
"""Where every point of a phone photo lies in the DSLR's, for pictures that are asked for later; a file per capture."""

_UNNUMBERED = ".unit-"
_FETCHED = f"{_UNNUMBERED}fetched-"
_LOG_SUFFIX = ".log"
_KEY = "[0-9a-f]" * 64  # a sha256, as a pattern of file names
_SPLITS = "|".join(SPLITS)
_NUMBERED = re.compile(rf"(?:{_SPLITS})/\d{{5,}}\.h5")
_OWN = re.compile(
    rf"{_NUMBERED.pattern}"
    rf"|(?:{WORK_FOLDER}/|(?:{_SPLITS})/\{_UNNUMBERED})(?P<key>[0-9a-f]{{64}})\.(?:h5|json)"
    rf"|{ALIGNED_FOLDER}/.+\.png|{OVERLAYS_FOLDER}/.+\.jpg"
    rf"|{'|'.join(map(re.escape, (*TABLES, REVIEW_NAME, CARD_NAME, NEW_CARD_NAME, SETTINGS_NAME)))}"
)


def shard_name(split: Split, index: int) -> str:
    """The shard of a finished dataset, by its number in the split."""
    return f"{split}/{index:05d}.h5"


def unnumbered_shard_name(split: str, key: str) -> str:
    """Where a worker leaves the shard of the unit `key` until all are done and get their numbers."""
    return f"{split}/{_UNNUMBERED}{key}.h5"


def shard_names_of_unit(key: str) -> list[str]:
    """Where the shard of the unit `key` may lie before it has its number, or without one."""
    return [*(unnumbered_shard_name(split, key) for split in SPLITS), shard_set_aside_name(key)]


def is_numbered_shard(name: str) -> bool:
    """Whether this is the name of a shard that has its number."""
    return _NUMBERED.fullmatch(name) is not None


def shard_set_aside_name(key: str) -> str:
    """Where the shard of a unit waits that is left out of the dataset, but may come back."""
    return f"{WORK_FOLDER}/{key}.h5"


def fetched_shard_name(name: str) -> str:
    """Where a shard called `name` in a store is brought to, until it is known what it holds."""
    split, _, file = name.rpartition("/")
    return f"{split if split in SPLITS else SPLITS[0]}/{_FETCHED}{file.lstrip('.')}"


def unit_record_name(key: str) -> str:
    """The record that declares a unit done."""
    return f"{WORK_FOLDER}/{key}.json"


def crash_log_name(key: str) -> str:
    """What the workers on a unit note, until it is done."""
    return f"{WORK_FOLDER}/{key}{_LOG_SUFFIX}"


def unit_of_name(name: str) -> str | None:
    """The key of the unit whose shard or record is called `name`; None for other files."""
    match = _OWN.fullmatch(name)
    return match["key"] if match else None


def is_own_name(name: str) -> bool:
    """Tell whether a dataset may hold a file of this name; nothing else in a store is read, sent or removed by name."""
    return is_plain(name) and _OWN.fullmatch(name) is not None


def picture_names(capture_ids: Iterable[str], kinds: Collection[str] = tuple(PICTURES)) -> Iterator[str]:
    """Yield the files of pictures of whole captures, of some kinds, whether or not they are there."""
    return (f"{kind}/{name}{suffix}" for name in capture_ids for kind in kinds for suffix in PICTURES[kind])


def all_shards(folder: Path) -> Iterator[Path]:
    """Yield every shard: numbered and unnumbered ones in the split folders, those set aside in the work folder.

    HDF5 files under other names are no shards of this dataset, whoever put them there.
    """
    for split in SPLITS:
        yield from sorted(path for path in (folder / split).glob("[0-9]*.h5") if path.stem.isdigit())
        yield from sorted((folder / split).glob(f"{_UNNUMBERED}*.h5"))
    yield from sorted((folder / WORK_FOLDER).glob(f"{_KEY}.h5"))


def unit_records(folder: Path) -> list[Path]:
    """The records of units that are there."""
    return sorted((folder / WORK_FOLDER).glob(f"{_KEY}.json"))


def crash_logs(folder: Path) -> list[Path]:
    """The logs of units that are there."""
    return sorted((folder / WORK_FOLDER).glob(f"*{_LOG_SUFFIX}"))


def captures_folder(folder: Path) -> Path | None:
    """Return the folder of photos that a dataset was built from, or None if it is not known or not there."""
    try:
        path = folder / (folder / SOURCE_NAME).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return path if path.is_dir() else None

"""Where the DPED authors put their patches.

    <phone>/training_data/{<phone>,canon}/N.jpg
    <phone>/test_data/patches/{<phone>,canon}/N.jpg

Patches of one scene have the same number. The authors have no validation patches; ours lie in val_data/patches, where
their code does not look, and masks of ours in valid/training_data/N.png and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dped_data.captures.records import Split
from dped_data.errors import InputError

SPLIT_FOLDERS: Mapping[Split, str] = {
    "train": "training_data",
    "val": "val_data/patches",
    "test": "test_data/patches",
}
AUTHORS_DSLR = "canon"
MASKS = "valid"
"""Folder beside training_data and test_data that mirrors them with the masks; ours, the authors have none."""


def mask_folder(split: Split) -> str:
    """Return where the masks of a split's patches lie."""
    return f"{MASKS}/{SPLIT_FOLDERS[split]}"


def find_released(folder: Path, phone: str) -> Path:
    """Return the folder that holds the phone's training_data and test_data: FOLDER/<phone> or FOLDER itself.

    Raises:
        InputError: neither does; the message says what is there.
    """
    for candidate in (folder / phone, folder):
        if any((candidate / below).is_dir() for below in SPLIT_FOLDERS.values()):
            return candidate
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one that holds {phone}/training_data")
    there = sorted(path.name for path in folder.iterdir() if path.is_dir())
    raise InputError(
        f"{folder}: holds no released patches of '{phone}' ({phone}/training_data and {phone}/test_data/patches), "
        f"it holds: {', '.join(there) or 'no folders'}; choose another --phone or another folder"
    )


def find_dslr(root: Path, phone: str) -> str:
    """Return the name of the target camera: the other folder beside the phone's in every split.

    Raises:
        InputError: the phone's folder has no such neighbour, or several.
    """
    names: set[str] = set()
    for below in SPLIT_FOLDERS.values():
        if (root / below).is_dir():
            folders = (path for path in (root / below).iterdir() if path.is_dir() and not path.is_symlink())
            names |= {path.name for path in folders if not path.name.startswith(".")}
    if phone not in names:
        raise InputError(
            f"{root}: no folder '{phone}' below training_data; it has: {', '.join(sorted(names)) or 'none'}"
        )
    names.discard(phone)
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        raise InputError(
            f"{root}: beside '{phone}' one folder of target patches is expected (the authors': {AUTHORS_DSLR}), "
            f"found: {found}; leave one of them there"
        )
    return names.pop()

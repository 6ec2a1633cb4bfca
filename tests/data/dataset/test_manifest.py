"""Finding a dataset: by its phone, as the only one, or as the folder itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dped_data.dataset.manifest import find_dataset, read_manifest
from dped_data.errors import InputError, UsageError
from dped_data.work.folder import Origin, finish, locked, prepare


def make_empty_dataset(folder: Path, phone: str) -> Path:
    folder.mkdir(parents=True)
    finish(folder, Origin(phone, "canon", 64, "built", "refined", {}), [], {}, [])
    return folder


def test_a_dataset_is_found_by_its_phone_or_as_the_only_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no dataset in it .*`dped build-dataset --out \S+` makes one"):
        find_dataset(tmp_path, None)
    folder = make_empty_dataset(tmp_path / "iphone", "iphone")
    assert find_dataset(tmp_path, None) == find_dataset(tmp_path, "iphone") == folder
    with pytest.raises(InputError, match=r"sony: no dataset there \(dataset.json is missing\)"):
        find_dataset(tmp_path, "sony")
    make_empty_dataset(tmp_path / "blackberry", "blackberry")
    with pytest.raises(UsageError, match=r"several phones \(blackberry, iphone\); choose one with --phone"):
        find_dataset(tmp_path, None)


def test_the_folder_of_a_dataset_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_empty_dataset(tmp_path / "renamed", "iphone")
    assert find_dataset(folder, None) == find_dataset(folder, "iphone") == folder
    with pytest.raises(InputError, match=rf"renamed{os.sep}sony: no dataset there"):
        find_dataset(folder, "sony")
    monkeypatch.chdir(folder)
    assert find_dataset(Path(), None) == folder


def test_a_dataset_that_was_only_begun_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "data/sony"
    with locked(folder):
        prepare(folder, tmp_path / "captures", {"rig": {}, "patches": {}}, overwrite=False)
    for look in (
        lambda: find_dataset(tmp_path / "data", None),
        lambda: find_dataset(tmp_path / "data", "sony"),
        lambda: find_dataset(folder, None),
        lambda: read_manifest(folder),
    ):
        with pytest.raises(InputError, match=r"sony: a dataset that is not finished: .* \(0 groups .* began it again"):
            look()

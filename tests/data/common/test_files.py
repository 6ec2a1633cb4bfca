"""A file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dped_data.common.files import atomic_path, atomic_write_text, sha256_of_file, write_bytes
from dped_data.common.work_folder import WORK_FOLDER


def names(folder: Path) -> list[str]:
    """What a person sees in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.name != WORK_FOLDER)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"] and not list((tmp_path / WORK_FOLDER / "tmp").iterdir())


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.txt"
    with pytest.raises(FileNotFoundError) as raised:
        atomic_write_text(path, "text")
    assert raised.value.filename == str(path)
    with pytest.raises(OSError, match="full") as raised, atomic_path(tmp_path / "b.txt"):
        raise OSError(28, "full")  # what a write itself says names no file
    assert raised.value.filename == str(tmp_path / "b.txt")
    with pytest.raises(FileNotFoundError) as raised:
        write_bytes(path, b"text")
    assert raised.value.filename == str(path)


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".txt")
    atomic_write_text(path, "text")
    assert names(tmp_path) == [path.name]


def test_sha256_is_the_standards(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

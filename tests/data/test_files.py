"""A file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dped_data.files import (
    TEMPORARY_PREFIX,
    atomic_path,
    atomic_write_text,
    remove_temporaries,
    sha256_of_file,
    write_bytes,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.txt"
    with pytest.raises(FileNotFoundError) as raised:
        atomic_write_text(path, "text")
    assert raised.value.filename == str(path)
    with pytest.raises(OSError, match="full") as raised, atomic_path(tmp_path / "b.txt"):
        raise OSError(28, "full")  # what a write itself says names no file
    assert raised.value.filename == str(tmp_path / "b.txt")
    with pytest.raises(OSError, match="No space") as raised:
        write_bytes(Path("/dev/full"), b"text")
    assert raised.value.filename == "/dev/full"


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}123-a.h5").write_text("half")
    atomic_write_text(tmp_path / "b.txt", "whole")
    remove_temporaries(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_sha256_is_the_standards(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

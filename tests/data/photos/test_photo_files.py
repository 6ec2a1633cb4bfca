"""Only regular files of a sane size are opened as photos, and a file that was replaced is in another state."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from no_waiting import no_waiting
from photo_files import smooth_photo

from dped_data.errors import PhotoError
from dped_data.photos.files import LARGEST_FILE, file_state, read_bytes, read_photo_file, sha256_of_photo
from dped_data.photos.preview import read_preview
from dped_data.photos.reading import read_header, read_photo
from dped_data.photos.writing import carried_exif, write_photo
from dped_data.study.clean_copy import clean_copy
from dped_data.work.photo_reader import PhotoReader


def as_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the system takes short names of sockets only
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def as_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


STRANGE: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "link to a pipe": as_link_to_a_pipe,
    "socket": as_socket,
    "link to a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("suffix", [".jpg", ".dng"])
def test_what_is_no_regular_file_is_refused_at_once_by_all_that_read_photos(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    STRANGE[kind](path)
    readers: list[Callable[[], object]] = [
        lambda: read_photo(path),
        lambda: read_header(path),
        lambda: read_bytes(path),
        lambda: sha256_of_photo(path),
        lambda: clean_copy(path),
        lambda: PhotoReader(tmp_path).read(path.name),
    ]
    with no_waiting():
        for read in readers:
            with pytest.raises(PhotoError, match="not a regular file"):
                read()
        assert read_preview(path, 100) == (None, None)
        assert carried_exif(path, (1, 1)) is None


def test_a_file_too_large_for_a_photo_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.touch()
    os.truncate(path, LARGEST_FILE + 1)  # sparse
    for read in (read_photo, read_header, sha256_of_photo):
        with pytest.raises(PhotoError, match="more than 2 GiB"):
            read(path)


def test_a_name_that_no_file_can_have_is_a_photo_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path / "a\0.jpg")


def test_a_file_replaced_under_its_size_and_time_is_in_another_state(tmp_path: Path) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    write_photo(path, smooth_photo())
    data, state = read_photo_file(path)
    assert state == file_state(path) == sha256_of_photo(path)[1]
    other.write_bytes(data[::-1])
    shutil.copystat(path, other)
    other.replace(path)
    assert (state[:2], state) != (file_state(path)[:2], file_state(path)) and state[:2] == file_state(path)[:2]
    path.write_bytes(data)  # in place, and the time turned back
    before = file_state(path)
    with path.open("rb+") as file:
        file.write(b"x")
    os.utime(path, ns=(before[1], before[1]))
    assert before[:3] == file_state(path)[:3] and before != file_state(path)

"""The cache on this machine: only marked folders are ours, whatever DPED_CACHE names."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from remote_store import BUCKET, Rig, build, content, put, upload

from dped_data.captures.remote_headers import header_mirror
from dped_data.common.cache import TAG_NAME, cache_folder, locked_cache
from dped_data.common.ownership import remove_in_work
from dped_data.common.remote_folder import RemoteFolder
from dped_data.common.work_folder import MARK_NAME
from dped_data.errors import InputError
from dped_data.work.remote_copy import local_dataset

pytestmark = pytest.mark.usefixtures("built_here")

URL = f"{BUCKET}/data/pocket"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_strangers_folder_is_left_by_every_command(
    rig: Rig, local: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = upload(rig[0])
    cache = tmp_path / "mine"
    for name in ("notes.txt", "data/pocket/dataset.json", "headers/slr/000.jpg", "pocket/train/00000.h5", TAG_NAME):
        path = cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    before = files(cache)
    monkeypatch.setenv("DPED_CACHE", str(cache))
    build(rig, captures, f"{BUCKET}/data")
    assert content(local_dataset(f"{BUCKET}/data", None)) == local
    assert {name: data for name, data in files(cache).items() if name in before} == before


def test_a_folder_without_our_mark_is_refused(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = upload(rig[0])
    build(rig, captures, f"{BUCKET}/data")
    other = tmp_path / "other"
    monkeypatch.setenv("DPED_CACHE", str(other))
    theirs = {url: other / cache_folder(url).name for url in (URL, captures)}
    for text in (None, "Signature: 8a477f597d28d172789f06886806bc55\n", "mine"):
        for folder in theirs.values():
            shutil.rmtree(folder)
            for name in ("pocket/train/.unit-x.h5", "data/pocket/notes.txt", "headers/slr/000.jpg"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(b"mine")
            if text is not None:
                (folder / TAG_NAME).write_text(text)
        before = files(other)
        for use in (
            lambda: build(rig, rig[0], f"{BUCKET}/data"),
            lambda: header_mirror(RemoteFolder(captures)),
            lambda: local_dataset(f"{BUCKET}/data", "pocket"),
        ):
            with pytest.raises(InputError, match="is not marked as a cache of dped's.*DPED_CACHE") as told:
                use()
            assert "\n" not in str(told.value)
        assert files(other) == before


def test_the_mark_is_made_once_also_after_it_was_cut_off(tmp_path: Path) -> None:
    folder = cache_folder(URL, tmp_path)
    tag, mark = (folder / TAG_NAME).read_text(), (folder / MARK_NAME).read_text()
    assert tag.splitlines()[0] == "Signature: 8a477f597d28d172789f06886806bc55" and "dped" in tag
    (folder / "x").write_bytes(b"")
    assert cache_folder(URL + "/", tmp_path) == folder
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / f"{MARK_NAME}-host-123").write_text(mark[:5])
    assert cache_folder(URL, tmp_path) == folder
    assert (folder / TAG_NAME).read_text() == tag and (folder / MARK_NAME).read_text() == mark


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = cache_folder(URL, tmp_path / "cache")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "x").write_bytes(b"mine")
    (folder / "folder").symlink_to(theirs)
    (folder / "file").symlink_to(theirs / "x")
    remove_in_work(folder / "folder")
    remove_in_work(folder / "file")
    assert files(theirs) == {"x": b"mine"} and sorted(p.name for p in folder.iterdir()) == [TAG_NAME, MARK_NAME, "tmp"]


def test_a_linked_folder_in_the_cache_is_refused_before_anything_is_written(
    rig: Rig, local: dict[str, bytes], tmp_path: Path
) -> None:
    captures = upload(rig[0])
    _put_dataset(local)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "captures.csv").write_bytes(b"mine")
    for url, name, use in (
        (URL, "data", lambda: local_dataset(f"{BUCKET}/data", "pocket")),
        (URL, "data/pocket/train", lambda: local_dataset(f"{BUCKET}/data", "pocket")),
        (URL, "pocket", lambda: build(rig, captures, f"{BUCKET}/data")),
        (URL, "data/pocket/dataset.json", lambda: local_dataset(f"{BUCKET}/data", "pocket")),
        (captures, "headers/slr", lambda: header_mirror(RemoteFolder(captures))),
    ):
        place = cache_folder(url) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            remove_in_work(place)
        place.symlink_to(theirs)
        with pytest.raises(InputError, match=f"{name}: is a link.*remove the link"):
            use()
        assert files(theirs) == {"captures.csv": b"mine"} and len(list(theirs.iterdir())) == 1
        place.unlink()


def _put_dataset(local: dict[str, bytes]) -> None:
    for name, data in local.items():
        put(f"{URL}/{name}", data)


def test_a_folder_in_a_files_place_in_the_cache_is_named(local: dict[str, bytes]) -> None:
    _put_dataset(local)
    data = local_dataset(f"{BUCKET}/data", "pocket")
    for name in ("dataset.json", "train/00000.h5"):
        (data / name).unlink()
        (data / name / "notes").mkdir(parents=True)
        with pytest.raises(InputError, match=f"data/pocket/{name}: is a folder, where a file is .*move it away"):
            local_dataset(f"{BUCKET}/data", "pocket")
        (data / name / "notes").rmdir()
        (data / name).rmdir()
    remove_in_work(data)
    data.write_bytes(b"")
    with pytest.raises(InputError, match=r"data/pocket: the cache cannot be used .*DPED_CACHE"):
        local_dataset(f"{BUCKET}/data", "pocket")


def test_a_cache_that_cannot_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="the cache cannot be used .*DPED_CACHE"):
        cache_folder(URL, tmp_path / "file")

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("DPED_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match="no home folder to keep a cache in; let DPED_CACHE"):
        cache_folder(URL)


def test_two_that_fetch_the_same_take_turns(rig: Rig, local: dict[str, bytes]) -> None:
    captures = upload(rig[0])
    _put_dataset(local)
    for url, what, fetch in (
        (URL, "data", lambda: content(local_dataset(f"{BUCKET}/data", "pocket"))),
        (captures, "headers", lambda: header_mirror(RemoteFolder(captures))),
    ):
        done: list[object] = []
        second = threading.Thread(target=lambda fetch=fetch, done=done: done.append(fetch()))
        with locked_cache(cache_folder(url), what):
            second.start()
            second.join(0.5)
            assert second.is_alive() and not done
        second.join(60)
        assert done


@pytest.mark.parametrize("phone", ["../../x", "/abs", "a\\b", "..", "a\nb"])
def test_a_phone_is_a_name(phone: str) -> None:
    with pytest.raises(InputError, match="is not a plain name"):
        local_dataset(f"{BUCKET}/data", phone)

"""Captures from and datasets in a remote store: a local S3 server stands for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from dped_command import dped
from remote_store import BUCKET, CAPTURES, build, content, drop, put, stored, upload

from dped_data import PatchStore, build_dataset
from dped_data.captures.remote_headers import header_mirror
from dped_data.common.remote_folder import RemoteFolder, _opened, check_name
from dped_data.errors import InputError, UsageError
from dped_data.settings import BuildSettings
from dped_data.work import remote_copy as remote_dataset
from dped_data.work.remote_copy import local_dataset


def test_from_store_to_store_is_the_local_build(
    rig: tuple[Path, BuildSettings], local: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = upload(rig[0])
    report = build(rig, captures, f"{BUCKET}/data")
    assert report.reused == 0 and stored(f"{BUCKET}/data/pocket") == local
    assert build(rig, captures, tmp_path / "here").folder == tmp_path / "here/pocket"
    assert content(tmp_path / "here/pocket") == local
    assert build(rig, captures, f"{BUCKET}/data").reused == CAPTURES
    monkeypatch.setenv("DPED_CACHE", str(tmp_path / "another machine"))
    assert build(rig, rig[0], f"{BUCKET}/data").reused == CAPTURES
    folder = local_dataset(BUCKET + "/data", None)
    assert content(folder) == local and folder.name == "pocket"
    assert len(PatchStore(folder, "train")) > 0


@pytest.mark.usefixtures("built_here")
def test_a_machine_that_dies_leaves_whole_units_to_the_next(
    rig: tuple[Path, BuildSettings], local: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first machine ends during publication, the second one before any; the third finishes."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(RemoteFolder, "copy", end)
        with pytest.raises(KeyboardInterrupt):
            build(rig, rig[0], f"{BUCKET}/data")
    target = RemoteFolder(f"{BUCKET}/data/pocket")
    names = target.files()
    assert "dataset.json" not in names and sum(".unit-" in name for name in names) == len(local) - 1
    record = next(name for name in names if name.startswith(".build/") and len(name) > 64)
    drop(f"{target.url}/{record}")  # as if the machine had died after sending a shard, before its record
    monkeypatch.setenv("DPED_CACHE", str(tmp_path / "second"))
    report = build(rig, rig[0], f"{BUCKET}/data")
    assert 0 < report.reused < CAPTURES
    assert stored(target.url) == local


@pytest.mark.usefixtures("built_here")
def test_new_and_changed_photos_and_other_settings(rig: tuple[Path, BuildSettings], tmp_path: Path) -> None:
    captures = upload(rig[0])
    build(rig, captures, f"{BUCKET}/data")
    for camera in ("pocket", "slr"):
        put(f"{captures}/{camera}/004.jpg", (rig[0] / camera / "001.jpg").read_bytes())
    report = build(rig, captures, f"{BUCKET}/data")
    assert 0 < report.reused < CAPTURES
    other = replace(rig[1], patches=replace(rig[1].patches, patch_size=40))
    with pytest.raises(InputError, match="other settings"):
        build_dataset(captures, f"{BUCKET}/data", "pocket", other, jobs=1)
    build_dataset(captures, f"{BUCKET}/data", "pocket", other, jobs=1, overwrite=True)
    expected = build_dataset(captures, tmp_path / "fresh", "pocket", other, jobs=1)
    assert stored(f"{BUCKET}/data/pocket") == content(expected.folder)


def test_headers_are_fetched_once_and_hold_no_pixels(rig: tuple[Path, BuildSettings]) -> None:
    large = (rig[0] / "slr/000.jpg").read_bytes() + bytes(10**6)
    source = RemoteFolder(f"{BUCKET}/captures")
    put(f"{source.url}/slr/000.jpg", large)
    mirror = header_mirror(source)
    photo = mirror / "slr/000.jpg"
    assert photo.stat().st_size == len(large)
    before = photo.stat().st_ino
    assert (header_mirror(source) / "slr/000.jpg").stat().st_ino == before
    drop(f"{source.url}/slr/000.jpg")
    put(f"{source.url}/slr/001.jpg", large)
    assert [path.name for path in sorted((header_mirror(source)).rglob("*.jpg"))] == ["001.jpg"]


def test_a_shard_that_is_not_what_the_manifest_says_is_refused(local: dict[str, bytes]) -> None:
    target = RemoteFolder(f"{BUCKET}/data/pocket")
    for name, data in local.items():
        put(f"{target.url}/{name}", data)
    name = next(name for name in local if name.endswith(".h5"))
    put(f"{target.url}/{name}", local[name][:-1] + b"?")
    with pytest.raises(InputError, match=rf"{name}: not what dataset\.json says"):
        local_dataset(f"{BUCKET}/data", "pocket")
    document = json.loads(local["dataset.json"])
    document["splits"]["train"]["shards"][0]["file"] = "../../outside.h5"
    put(f"{target.url}/dataset.json", json.dumps(document).encode())
    with pytest.raises(InputError, match="outside the dataset"):
        local_dataset(f"{BUCKET}/data", "pocket")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\\..\\x", "a//b", "./x", "a\0b"])
def test_objects_cannot_leave_the_cache(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves its folder"):
        check_name(name, BUCKET)
    with pytest.raises(InputError, match="leaves its folder"):
        RemoteFolder(BUCKET).fetch(name, tmp_path / "x")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        *(
            (f"{protocol}://x/y", "no address of a store")
            for protocol in ("http", "https", "memory", "file", "S3", "az")
        ),
        ("simplecache::s3://x", "no address of a store"),
        ("s3://x::memory://y", "no address of a store"),
        ("file:///tmp/x", "or the path of a local folder"),
        *((address, "names no bucket") for address in ("s3://", "s3:///x", "gs:////")),
        *(
            (address, "looks like an address, which has two slashes")
            for address in ("s3:/x", "memory:/x", "s3:///"[:4])
        ),
        (Path("s3://x/y"), "looks like an address, which has two slashes"),
    ],
)
def test_addresses_that_cannot_be_used_are_told(address: str | Path, told: str, tmp_path: Path) -> None:
    for use in (
        lambda: build_dataset(tmp_path, address, "sony"),
        lambda: build_dataset(address, tmp_path / "out", "sony"),
        lambda: local_dataset(address, "sony"),
    ):
        with pytest.raises(UsageError, match=told) as error:
            use()
        assert str(error.value).startswith(f"{address}: ") and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://a b"])
def test_an_endpoint_that_is_none_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    _opened(BUCKET)[0].clear_instance_cache()
    _opened.cache_clear()
    with pytest.raises(InputError, match=r"s3://photos/x: .*Invalid endpoint: .*AWS_ENDPOINT_URL"):
        RemoteFolder(f"{BUCKET}/x").files()
    _opened(BUCKET)[0].clear_instance_cache()


@pytest.mark.parametrize("address", ["s3://not a bucket/x", "s3://b\u00fccket", "s3://..", "s3://x" + "y" * 300])
def test_buckets_that_the_store_refuses_are_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the store refuses or cannot be reached"):
        local_dataset(address, "sony")


def test_a_library_of_a_store_may_fail_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    def fail(*_: object, **__: object) -> None:
        raise aiohttp.ClientPayloadError("cut off")

    monkeypatch.setattr(type(_opened(BUCKET)[0]), "find", fail)
    with pytest.raises(InputError, match=r"s3://photos/x: the store refuses or cannot be reached \(cut off\)"):
        RemoteFolder(f"{BUCKET}/x").files()


def test_what_is_wrong_is_told_with_the_address(
    rig: tuple[Path, BuildSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"s3://photos/empty: nothing there"):
        build(rig, f"{BUCKET}/empty", tmp_path)
    with pytest.raises(InputError, match=r"s3://photos/none: no dataset there"):
        local_dataset(f"{BUCKET}/none", None)
    with pytest.raises(UsageError, match="among the photos"):
        build(rig, f"{BUCKET}/data", f"{BUCKET}/data/out")
    with pytest.raises(UsageError, match="nowhere"):
        local_dataset("nowhere://x", None)
    put(f"{BUCKET}/captures/slr/000.jpg", (rig[0] / "slr/000.jpg").read_bytes())
    with pytest.raises(InputError, match=r"s3://photos/captures/pocket: no such folder"):
        build(rig, f"{BUCKET}/captures", tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else seconds of waiting between tries
    monkeypatch.setattr(type(_opened(BUCKET)[0]), "retries", 1)
    _opened.cache_clear()
    _opened(BUCKET)[0].clear_instance_cache()
    _opened.cache_clear()
    with pytest.raises(InputError, match=r"s3://photos/none: the store refuses or cannot be reached"):
        local_dataset(f"{BUCKET}/none", None)
    _opened(BUCKET)[0].clear_instance_cache()


def test_on_the_command_line(rig: tuple[Path, BuildSettings], tmp_path: Path) -> None:
    captures = upload(rig[0])

    def run(*command: str) -> str:
        done = dped(*command, cwd=tmp_path)
        assert done.returncode in (0, 1) and not done.stderr, done.stderr
        return str(done.stdout)

    toml = str(rig[0].parent / "rig.toml")
    common = ("--captures", captures, "--rig", toml, "--patch-size", "48")
    assert "pocket/000" in run("build-dataset", *common, "--dry-run")
    assert f"{BUCKET}/data/pocket" in run("build-dataset", *common, "--out", f"{BUCKET}/data", "--jobs", "1")
    assert "captures" in run("inspect-pairs", "--data", f"{BUCKET}/data", "--jobs", "1")
    assert "untouched phone on train" in run(
        "evaluate", "--identity", "--data", f"{BUCKET}/data", "--split", "train", "--device", "cpu"
    )
    command = [sys.executable, "-m", "cli", "build-dataset", *common, "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(Path(remote_dataset.__file__).parents[2])}
    alone = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "pocket/000" in alone.stdout and (alone.returncode, alone.stderr) == (0, "")

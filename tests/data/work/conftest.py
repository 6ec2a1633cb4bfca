"""A local S3 server that stands for a store, and a small rig to build from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import small_rig
from remembered_alignment import remembered_align_photos

from dped_data import build_dataset
from dped_data.common.remote_folder import _opened
from dped_data.settings import BuildSettings, load_build_settings


@pytest.fixture(scope="package")
def store() -> Iterator[dict[str, str]]:
    """An S3 server on loopback; the environment that leads there."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    running.stop()


@pytest.fixture(autouse=True)
def environment(store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store in this process's environment, a cache of its own, workers that know both, an empty bucket."""
    from remote_store import empty_bucket

    from dped_data.common.worker_pool import _executor

    for key, value in {**store, "DPED_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(key, value)
    _opened.cache_clear()
    _executor.cache_clear()
    empty_bucket()
    yield
    _opened.cache_clear()
    _executor.cache_clear()


@pytest.fixture
def built_here(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of this process need no workers, and align the same small pair once: for tests that watch files."""
    monkeypatch.setattr("dped_data.align.pipeline.align_photos", remembered_align_photos())
    monkeypatch.setattr("dped_data.common.worker_pool._executor", lru_cache(lambda count: None))


@pytest.fixture(scope="package")
def rig(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildSettings]:
    from remote_store import CAPTURES

    captures, toml = small_rig.write_rig(tmp_path_factory.mktemp("rig"), CAPTURES)
    settings = load_build_settings(toml, {"patch_size": 48})
    return captures, replace(settings, shards=replace(settings.shards, captures_per_shard=2))


@pytest.fixture(scope="package")
def local(rig: tuple[Path, BuildSettings], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from remote_store import content

    return content(build_dataset(rig[0], tmp_path_factory.mktemp("out"), "pocket", rig[1], jobs=1).folder)

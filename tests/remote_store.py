"""What tests do with a store: build into it, look at all of it, and change it as anybody else would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s3fs", reason="needs the extra dped[remote]")
pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")

from dped_data import build_dataset
from dped_data.build import BuildReport
from dped_data.settings import BuildSettings

CAPTURES = 6
BUCKET = "s3://photos"
_ACCOUNT = "123456789012"
"""The only one that the server knows."""
Rig = tuple[Path, BuildSettings]


def build(rig: Rig, captures: Path | str, out: Path | str, **options: Any) -> BuildReport:
    return build_dataset(captures, out, "pocket", options.pop("settings", rig[1]), jobs=1, **options)


def other_settings(rig: Rig, **shards: Any) -> BuildSettings:
    """Settings that make another dataset of the same photos."""
    changed = replace(rig[1], patches=replace(rig[1].patches, patch_size=40))
    return replace(changed, shards=replace(changed.shards, **shards))


def content(folder: Path) -> dict[str, bytes]:
    """Shards and manifest of a dataset: everything that states no time."""
    files = [*folder.glob("*/*.h5"), folder / "dataset.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def everything(url: str = BUCKET) -> dict[str, bytes]:
    """All objects, by their path below the address, however they are called."""
    keys, root = _bucket().keys, _key(f"{url}/")
    return {name[len(root) :]: keys[name].value for name in sorted(keys) if name.startswith(root)}


def stored(url: str) -> dict[str, bytes]:
    """What `content` gives of a dataset in the store; nothing else may look like a shard there."""
    return {name: data for name, data in everything(url).items() if name.endswith(".h5") or name == "dataset.json"}


def put(address: str, data: bytes) -> None:
    """Write an object as anybody else would."""
    _backend().put_object(BUCKET.removeprefix("s3://"), _key(address), data)


def drop(address: str) -> None:
    """Remove an object as anybody else would."""
    _backend().delete_object(BUCKET.removeprefix("s3://"), _key(address))


def empty_bucket() -> None:
    """Leave the bucket, and nothing in it."""
    backend, name = _backend(), BUCKET.removeprefix("s3://")
    if name not in backend.buckets:
        backend.create_bucket(name, "us-east-1")
    for key in [*_bucket().keys]:
        backend.delete_object(name, key)


def _backend() -> Any:
    """What the server, a thread of this process, keeps: looking there takes no request."""
    from moto.s3.models import s3_backends

    return s3_backends[_ACCOUNT]["aws"]


def _bucket() -> Any:
    return _backend().buckets[BUCKET.removeprefix("s3://")]


def _key(address: str) -> str:
    return address.removeprefix(f"{BUCKET}/")


def upload(captures: Path, address: str = f"{BUCKET}/captures") -> str:
    for path in sorted(captures.rglob("*.jpg")):
        put(f"{address}/{path.relative_to(captures).as_posix()}", path.read_bytes())
    return address

"""Folders in remote stores (s3://, gs://, ...) through fsspec: whole objects in, whole objects out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from dped_data.common.files import atomic_path
from dped_data.errors import InputError, UsageError

_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
_SAME = {"s3a": "s3", "gcs": "gs"}
"""Second names of protocols. What is neither here nor above is no store that a dataset can be kept in."""
_CHANGED = ("LastModified", "mtime", "updated", "last_modified", "created")
"""What the stores call the time of an object's last change."""
_TAGS = ("ETag", "generation", "etag", "md5Hash", "content_md5")
"""What the stores call their own mark of an object's bytes, the most telling first."""


_ADDRESS = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+):/(?P<slash>/?)(?P<bucket>[^/]*)")
"""How an address begins; two letters at least, as one may be a drive's."""


def is_remote(place: Path | str) -> bool:
    """Tell whether `place` is an address such as s3://bucket/folder."""
    return "://" in str(place)


@dataclass(frozen=True)
class RemoteFile:
    """The state of an object, as the store tells it.

    Attributes:
        size: bytes.
        changed_ns: time of the last change, nanoseconds since 1970; 0 where the store does not say.
        tag: the store's own mark of the bytes, such as S3's ETag, another one after any change; "" where it has none.
    """

    size: int
    changed_ns: int
    tag: str = ""

    def is_same(self, other: RemoteFile) -> bool:
        """Tell whether nothing was put in its place; by the time of its change where the store gives no tags."""
        marks = (self.tag, other.tag) if self.tag or other.tag else (self.changed_ns, other.changed_ns)
        return self.size == other.size and marks[0] == marks[1]


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in a store, such as s3://bucket/folder. Credentials come from where the store's own tools take them.

    What replaces or removes an object is told in which state it must be (`expected`: what the caller has proven to be
    its own work; None: no object there). If it is in another one, nothing is changed: InputError.

    All methods raise InputError, with the address, when the store cannot be reached or refuses; UsageError when its
    package is not installed.
    """

    url: str

    def __post_init__(self) -> None:
        """Raise UsageError unless the address names a bucket of a store that can be used."""
        found = _ADDRESS.match(self.url)
        if found is None or found["protocol"] not in _EXTRAS or "::" in self.url:
            known = ", ".join(f"{protocol}://" for protocol in _EXTRAS)
            raise UsageError(
                f"{self.url}: no address of a store that can be used; write {known} with a bucket, such as "
                "s3://bucket/folder, or the path of a local folder"
            )
        if not found["bucket"]:
            raise UsageError(f"{self.url}: names no bucket; write {found['protocol']}://BUCKET or more")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def child(self, name: str) -> RemoteFolder:
        """The folder `name` in this one."""
        check_name(name, self.url)
        return RemoteFolder(f"{self.url}/{name}")

    def files(self) -> dict[str, RemoteFile]:
        """Return everything below the folder by its path in it, also what has a name that no local file could have."""
        with _told(self.url):
            system, root = _opened(self.url)
            system.invalidate_cache()
            found = system.find(root, detail=True)
        inside = ((path[len(root) + 1 :], info) for path, info in sorted(found.items()) if path != root)
        return {
            name: _state(info)
            for name, info in inside
            if name and not name.endswith("/") and info.get("type") == "file"
        }

    def state(self, name: str) -> RemoteFile | None:
        """Return the state of an object, None if there is no such object."""
        with _told(self._url(name), missing=True):
            system, root = _opened(self.url)
            try:
                info = system.info(f"{root}/{name}", refresh=True)
            except FileNotFoundError:
                return None
            return _state(info) if info.get("type") == "file" else None

    def read(self, name: str, first_bytes: int | None = None) -> bytes:
        """Return an object's bytes, or the first of them; FileNotFoundError if there is no such object."""
        with _told(self._url(name), missing=True):
            system, root = _opened(self.url)
            data: bytes = system.cat_file(f"{root}/{name}", end=first_bytes)
            return data

    def changed_ns(self, name: str) -> int:
        """Return when an object was last changed."""
        with _told(self._url(name), missing=True):
            system, root = _opened(self.url)
            return _changed_ns(system.info(f"{root}/{name}", refresh=True))

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to the local file `path`, which appears whole or not at all."""
        check_name(name, self.url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, _told(self._url(name)):
            system, root = _opened(self.url)
            system.get_file(f"{root}/{name}", str(temporary))

    def send(self, path: Path, name: str, expected: RemoteFile | None) -> RemoteFile:
        """Copy a local file to the store and return its state; the object appears whole or not at all."""
        with _told(self._url(name)):
            self._check_state(name, expected)
            system, root = _opened(self.url)
            system.put_file(str(path), f"{root}/{name}")
            return _state(system.info(f"{root}/{name}", refresh=True))

    def copy(self, name: str, to: str, source: RemoteFile, expected: RemoteFile | None) -> RemoteFile:
        """Copy an object in the state `source` inside the store and return the state of the copy."""
        with _told(self._url(to)):
            self._check_state(name, source)
            self._check_state(to, expected)
            system, root = _opened(self.url)
            system.cp_file(f"{root}/{name}", f"{root}/{to}")
            return _state(system.info(f"{root}/{to}", refresh=True))

    def remove(self, name: str, expected: RemoteFile) -> None:
        """Remove an object."""
        with _told(self._url(name)):
            self._check_state(name, expected)
            system, root = _opened(self.url)
            system.rm_file(f"{root}/{name}")

    def _check_state(self, name: str, expected: RemoteFile | None) -> None:
        now = self.state(name)
        if (now is None) != (expected is None) or (now and expected and not now.is_same(expected)):
            raise InputError(
                f"{self._url(name)}: somebody else changed it during the build, so it is left as it is; "
                "see who else writes there, then run the same command again"
            )

    def _url(self, name: str) -> str:
        return f"{self.url}/{name}"


def remote_folder(place: Path | str, *below: str) -> RemoteFolder | None:
    """Return `place` with the folders `below` it if it is an address, else None.

    Raises:
        UsageError: an address that cannot be used, or a path that looks like one.
    """
    if not is_remote(place):
        check_local(place)
        return None
    folder = RemoteFolder(str(place))
    for name in below:
        folder = folder.child(name)
    return folder


def check_local(place: Path | str) -> None:
    """Raise UsageError for what looks like an address: nobody means a folder called `s3:`."""
    found = _ADDRESS.match(str(place))
    if found is None:
        return
    if found["slash"]:
        raise UsageError(
            f"{place}: an address, where only a place on this machine will do; photos and datasets may lie in stores "
            "(--captures and --out of build-dataset; --data of inspect-pairs, train, evaluate and reproduce)"
        )
    raise UsageError(
        f"{place}: looks like an address, which has two slashes ({found['protocol']}://...); a folder of that name "
        "on this machine needs its full path"
    )


def same_or_inside(address: str, other: str) -> bool:
    """Tell whether an address is `other` or lies in it, whichever of its names the protocol goes by."""
    plain = [
        f"{_SAME.get(protocol, protocol)}://{path.rstrip('/')}/"
        for protocol, _, path in (place.partition("://") for place in (address, other))
    ]
    return plain[0].startswith(plain[1])


def is_plain(name: str) -> bool:
    """Tell whether an object's name can be that of a file below a folder and be shown to a person."""
    pure = PurePosixPath(name)
    leaves = pure.is_absolute() or ".." in pure.parts or "\\" in name or str(pure) != name
    return name.isprintable() and not leaves


def check_name(name: str, url: str) -> None:
    """Raise InputError unless `is_plain`; call before anything of that name is written on this machine."""
    if not is_plain(name):
        raise InputError(f"{url}: the object {name!r} has a name that leaves its folder or cannot be shown; rename it")


def _state(info: Mapping[str, Any]) -> RemoteFile:
    tag = next((str(info[key]) for key in _TAGS if info.get(key)), "")
    return RemoteFile(int(info["size"] or 0), _changed_ns(info), tag)


def _changed_ns(info: Mapping[str, Any]) -> int:
    for key in _CHANGED:
        value = info.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            return int(value.timestamp()) * 10**9
        if isinstance(value, int | float):
            return int(value) * 10**9
    return 0


@lru_cache(maxsize=32)
def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a store and the folder's path in it, without a slash at its end."""
    protocol = url.split("://", 1)[0]
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(url)
    except ImportError:
        package = _EXTRAS.get(protocol)
        more = f" {package}" if package and package != "s3fs" else ""
        raise UsageError(f"{url}: remote stores need an extra: pip install 'dped[remote]'{more}") from None
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from None
    return system, str(path).rstrip("/")


def _faults() -> tuple[type[BaseException], ...]:
    """What the stores' libraries raise, of those that are installed; ValueError for settings that name no address."""
    faults: list[type[BaseException]] = [OSError, ValueError]
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        faults += [BotoCoreError, ClientError]
    except ImportError:
        pass
    try:
        from aiohttp import ClientError as HttpClientError

        faults.append(HttpClientError)
    except ImportError:
        pass
    try:
        from gcsfs.retry import HttpError
        from google.auth.exceptions import GoogleAuthError

        faults += [HttpError, GoogleAuthError]
    except ImportError:
        pass
    return tuple(faults)


@contextmanager
def _told(url: str, *, missing: bool = False) -> Iterator[None]:
    """Turn a store's errors into one line with the address; with `missing`, let FileNotFoundError pass."""
    try:
        yield
    except InputError:
        raise
    except _faults() as error:
        if missing and isinstance(error, FileNotFoundError):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{url}: the store refuses or cannot be reached ({text}); check the address, the credentials "
            "(AWS_PROFILE, AWS_ACCESS_KEY_ID, ...) and, for other stores than Amazon's, AWS_ENDPOINT_URL"
        ) from None

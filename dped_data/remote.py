"""Folders in remote stores (s3://, gs://, ...) through fsspec: whole objects in, whole objects out (leaf)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from dped_data.errors import InputError, UsageError
from dped_data.files import atomic_path

_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
_CHANGED = ("LastModified", "mtime", "updated", "last_modified", "created")
"""What the stores call the time of an object's last change."""


def is_remote(place: Path | str) -> bool:
    """Tell whether `place` is an address such as s3://bucket/folder."""
    return "://" in str(place)


@dataclass(frozen=True)
class RemoteFile:
    """Size in bytes, and time of the last change, nanoseconds since 1970 (0 where the store does not say)."""

    size: int
    changed_ns: int


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in a store, such as s3://bucket/folder. Credentials come from where the store's own tools take them.

    All methods raise InputError, with the address, when the store cannot be reached or refuses; UsageError when its
    package is not installed.
    """

    url: str

    def child(self, name: str) -> RemoteFolder:
        """The folder `name` in this one."""
        return RemoteFolder(f"{self.url.rstrip('/')}/{name}")

    def files(self) -> dict[str, RemoteFile]:
        """Return everything below the folder by its path in it; names that would leave a local folder are refused."""
        with _told(self.url):
            system, root = _opened(self.url)
            system.invalidate_cache()
            found = system.find(root, detail=True)
        files = {}
        for path, info in sorted(found.items()):
            name = path[len(root) :].lstrip("/")
            if name and not name.endswith("/") and info.get("type") == "file":
                _check_name(name, self.url)
                files[name] = RemoteFile(int(info["size"] or 0), _changed_ns(info))
        return files

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
        _check_name(name, self.url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, _told(self._url(name)):
            system, root = _opened(self.url)
            system.get_file(f"{root}/{name}", str(temporary))

    def send(self, path: Path, name: str) -> None:
        """Copy a local file to the store; the object appears whole or not at all."""
        with _told(self._url(name)):
            system, root = _opened(self.url)
            system.put_file(str(path), f"{root}/{name}")

    def copy(self, name: str, to: str) -> None:
        """Copy an object inside the store."""
        with _told(self._url(name)):
            system, root = _opened(self.url)
            system.cp_file(f"{root}/{name}", f"{root}/{to}")

    def remove(self, name: str) -> None:
        """Remove an object if it is there."""
        with _told(self._url(name), missing=True):
            system, root = _opened(self.url)
            try:
                system.rm_file(f"{root}/{name}")
            except FileNotFoundError:
                return

    def _url(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}"


def remote_folder(place: Path | str, *below: str) -> RemoteFolder | None:
    """Return `place` with the folders `below` it if it is an address, else None."""
    return RemoteFolder("/".join([str(place).rstrip("/"), *below])) if is_remote(place) else None


def cache_folder(url: str, cache: Path | None = None) -> Path:
    """Where what lies at `url` is kept on this machine: below `cache`, $DPED_CACHE, or the user's cache folder."""
    given = cache or os.environ.get("DPED_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(given) if given else Path(home) / "dped"
    return root / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


def _check_name(name: str, url: str) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or str(pure) != name:
        raise InputError(f"{url}: the object '{name}' has a name that leaves its folder; rename it")


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
    """What the stores' libraries raise besides OSError, of those that are installed."""
    faults: list[type[BaseException]] = [OSError]
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        faults += [BotoCoreError, ClientError]
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

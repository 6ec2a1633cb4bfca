"""Photos in a remote store: their headers here for the plan, their bytes for the worker that needs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dped_data.common.cache import cache_folder, locked_cache
from dped_data.common.files import atomic_path
from dped_data.common.ownership import remove_in_work
from dped_data.common.progress import progress
from dped_data.common.remote_folder import RemoteFile, RemoteFolder, check_name, is_plain, remote_folder
from dped_data.errors import InputError, PhotoError
from dped_data.photos.formats import PHOTO_SUFFIXES
from dped_data.photos.reading import read_header

_HEADER_BYTES = 2**18
"""Ours: where a JPEG's metadata and size end, embedded preview included; 1 to 5 % of a camera's photo."""
_READERS = 16
"""Threads: they wait for the network together."""


def header_mirror(captures: RemoteFolder, cache: Path | None = None) -> Path:
    """Return a local folder with the names, sizes and headers of the photos in `captures`, their pixels missing.

    Every file has the size and time of its object, but holds its first 256 KiB only (sparse; whole where the header
    lies elsewhere): enough to pair, to split, and to tell what has changed, not to be read as a photo. What an earlier
    call fetched is used again.

    Raises:
        InputError: the store cannot be reached, or holds nothing there; a photo whose name no file here could have.
    """
    files = {name: file for name, file in captures.files().items() if _is_wanted(name, captures.url)}
    if not files:
        raise InputError(f"{captures.url}: nothing there; it must hold one folder of photos per camera")
    cache = cache_folder(captures.url, cache)
    mirror = cache / "headers"
    with locked_cache(cache, mirror.name):
        mirror.mkdir(exist_ok=True)
        for path in sorted(mirror.rglob("*")):
            if (path.is_symlink() or path.is_file()) and path.relative_to(mirror).as_posix() not in files:
                remove_in_work(path)
        wanted = [(name, file) for name, file in files.items() if not _is_current(mirror / name, file)]
        with ThreadPoolExecutor(_READERS) as readers:
            done = readers.map(lambda item: _fetch_header(captures, mirror, *item), wanted)
            list(progress(done, total=len(wanted), label=f"headers from {captures.url}", unit="photo"))
    return mirror


@contextmanager
def headers_of(captures: Path | str) -> Iterator[Path]:
    """Yield a local folder with the names, sizes and headers of the photos at a folder or an address.

    Errors about a mirror speak of the address that it mirrors. Errors as in `header_mirror`.
    """
    source = remote_folder(captures)
    if source is None:
        yield Path(captures)
        return
    mirror = header_mirror(source)
    try:
        yield mirror
    except InputError as error:
        raise type(error)(*(str(part).replace(str(mirror), source.url) for part in error.args)) from None


def _is_wanted(name: str, url: str) -> bool:
    """Whether an object is mirrored: all but those with odd names that are no photos; InputError for odd photos."""
    if not is_plain(name) and PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES:
        check_name(name, url)
    return is_plain(name)


def _is_current(path: Path, file: RemoteFile) -> bool:
    try:
        state = path.stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (file.size, file.changed_ns)


def _fetch_header(captures: RemoteFolder, mirror: Path, name: str, file: RemoteFile) -> None:
    path = mirror / name
    path.parent.mkdir(parents=True, exist_ok=True)
    is_photo = path.suffix.lower() in PHOTO_SUFFIXES
    with atomic_path(path) as temporary:
        temporary.write_bytes(captures.read(name, min(_HEADER_BYTES, file.size)) if is_photo and file.size else b"")
        os.truncate(temporary, file.size)
    if is_photo and file.size > _HEADER_BYTES:
        try:
            read_header(path)
        except PhotoError:
            captures.fetch(name, path)
    os.utime(path, ns=(file.changed_ns, file.changed_ns))

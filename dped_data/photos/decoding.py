"""Whatever a decoder raises is the failure of the photo that it was given."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from dped_data.errors import PhotoError

_OF_LIBRAW = re.compile(r"unknown file: (.*)")
_OF_LIBTIFF = re.compile(r"(?:\w*(?:Decode\w*|JPEGLib|TIFF\w*|Setup\w*)|tempfile\.tif): (.*)")
_told = Lock()


@contextmanager
def decoding(name: str, fault: str) -> Iterator[None]:
    """Run calls into a decoder; raise PhotoError(name, fault) for whatever they raise.

    MemoryError passes, also where a C library told of it in words: it is the machine's failure and not the photo's.
    Photos that claim more than they hold are refused before (photo_bounds.py).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are judged elsewhere, and of odd metadata
            yield
    except (PhotoError, MemoryError):
        raise
    # The one place that catches everything: for damaged files decoders raise what no list can name (struct.error,
    # AttributeError, SystemError, ...). Inside stand calls of decoders and what asks for their values, nothing else.
    except Exception as error:
        if _tells_of_memory(str(error)):
            raise MemoryError(str(error)) from error
        raise PhotoError(name, fault) from None


def _tells_of_memory(text: str) -> bool:
    """libjpeg, libtiff, libheif and LibRaw have words only; libheif counts its own limits and sizes of zero among them,
    which are what the file claims."""
    text = text.lower()
    return ("memory" in text or "bad_alloc" in text) and not any(word in text for word in ("limit", "invalid"))


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Give what LibRaw and libtiff write to the process's stderr inside: their only word of damage that they pass over.

    The list is filled when it ends; what others wrote there meanwhile is written then. Neither rawpy nor Pillow gives
    access to their callbacks.
    """
    lines: list[str] = []
    try:
        os.fstat(2)
    except OSError:  # a process without stderr
        yield lines
        return
    with _told:
        file, stderr = _unnamed_file(), os.dup(2)
        try:
            os.dup2(file, 2)
            try:
                yield lines
            finally:
                os.dup2(stderr, 2)
                for line in os.pread(file, os.fstat(file).st_size, 0).splitlines(keepends=True):
                    text = line.decode(errors="replace").strip()
                    if found := _OF_LIBRAW.fullmatch(text) or _OF_LIBTIFF.fullmatch(text):
                        lines.append(found[1].rstrip("."))
                    else:
                        os.write(2, line)
        finally:
            os.close(stderr)
            os.close(file)


def _unnamed_file() -> int:
    """Return the descriptor of a file in memory, which no full disk can refuse, or of one without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("complaints")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())

"""Whatever a decoder raises is the failure of the photo that it was given."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dped_data.errors import PhotoError


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
    """libjpeg, libtiff, libheif and LibRaw have words only; libheif's own limit concerns what the file claims."""
    text = text.lower()
    return ("memory" in text or "bad_alloc" in text) and "limit" not in text

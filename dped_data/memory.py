"""One setting of the C library that decides a third of a training step and a sixth of a capture's time (leaf)."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Have the C library keep large blocks that were freed and hand them out again, where it can be told so (Linux).

    By default it returns each large array to the system and maps a new one for the next, and the kernel clears every
    page anew. The process then never gives back the memory of its largest step; its peak is the same.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_INT)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)

"""Memory: a setting of the C library for large arrays, and what it is to be refused.

Instead of `keep_freed_memory`: the environment variables MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ of the GNU C
library, or jemalloc or tcmalloc by LD_PRELOAD: whoever starts Python would have to set one of these. Without them a
training step costs 1.15 times and an enhanced photo 1.2 times the processor time (float32, AMD EPYC with AVX-512;
`python benchmarks/cpu_parts.py`). Off: leave out its calls; nothing depends on them. Delete it when that benchmark
shows less than 1.01, or torch and numpy keep their freed memory themselves.
"""

from __future__ import annotations

import ctypes
import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
_LARGEST_INT = 2**31 - 1
_REFUSED = re.compile(
    r"bad_alloc|memory allocation fail|failed to map segment|can't start new thread"
    r"|(insufficient|not enough|out of|(can't|cannot|could not|unable to|failed to) allocate).{0,20}\bmemory",
    re.IGNORECASE,
)
"""The words of those that have no error of their own for it: torch, HDF5, OpenCV, the loader, threads."""
REFUSED = (
    "memory was refused: there is no more free, or this process may not have more (ulimit -v); free or allow some, or "
    "ask for less (--jobs, --batch-size, --at-once, --memory-mb), and run the same command again"
)


def too_many_processes(what: str, count: int) -> str:
    """Return the line for a command whose workers were killed: fewer of them where there are several."""
    cause = f"{what}, most likely for want of memory"
    if count == 1:
        return f"{cause}; {REFUSED}"
    return f"{cause}; run the same command again to go on, with fewer processes than the {count} of this run (--jobs)"


def keep_freed_memory() -> None:
    """Have the C library keep large blocks that were freed and hand them out again, where it can be told so (Linux).

    By default it returns each large array to the system and maps a new one for the next, and the kernel clears every
    page anew. The process then never gives back the memory of its largest step; its peak is the same.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_INT)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


def memory_was_refused(error: BaseException) -> bool:
    """Whether an error, or one that it was raised for, says that the system or a limit refused memory."""
    seen: set[int] = set()
    chain: BaseException | None = error
    while chain is not None and id(chain) not in seen:
        if _says_refused(chain):
            return True
        seen.add(id(chain))
        chain = chain.__cause__ or chain.__context__
    return False


@contextmanager
def refusals_told() -> Iterator[None]:
    """Raise MemoryError, with one line that says what to do, for every error by which memory was refused.

    The new error is plain: not every library's own gets from process to process.
    """
    try:
        yield
    except Exception as error:
        if memory_was_refused(error):
            raise MemoryError(REFUSED) from None
        raise


def _says_refused(error: BaseException) -> bool:
    if isinstance(error, MemoryError):  # numpy's too, and std::bad_alloc where bindings translate it
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM or isinstance(error, BlockingIOError)  # the latter when forking
    foreign = type(error).__module__.startswith(("cv2", "torch"))
    return (foreign or isinstance(error, RuntimeError | OSError | ImportError | SystemError)) and bool(
        _REFUSED.search(str(error))
    )

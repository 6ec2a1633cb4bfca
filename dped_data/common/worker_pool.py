"""The one pool of worker processes on this machine: they end with this process, and Ctrl-C is not theirs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import resource_tracker
from typing import Any

from dped_data.common.code_cache import find_place
from dped_data.common.interruption import interrupts_held
from dped_data.common.parent import end_with_parent
from dped_data.common.progress import note

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_IDLE_S = 60


@contextmanager
def worker_pool(count: int) -> Iterator[Any]:
    """Yield an executor of `count` worker processes, one thread each; None where this machine allows none.

    The one of the last run is used again. It is ended, whatever its workers are at, when the block is left by an
    exception or one of them has died.
    """
    executor = _executor(count)
    whole = False
    try:
        yield executor
        whole = executor is not None and executor._flags.broken is None
    finally:
        if executor is not None and not whole:
            _executor.cache_clear()
            executor.shutdown(wait=True, kill_workers=True)


def hand_out(executor: Any, *call: Any) -> Any:
    """Return the future of a call; whatever has to be started for it never gets Ctrl-C."""
    with interrupts_held():
        return executor.submit(*call)


@lru_cache(maxsize=1)
def _executor(count: int) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    find_place()
    environment = dict.fromkeys(THREAD_VARIABLES, "1")
    try:
        start_trackers()
        return ProcessPoolExecutor(
            count, timeout=_IDLE_S, initializer=_begin_worker, initargs=(os.getpid(),), env=environment
        )
    except (OSError, ImportError, NotImplementedError, AssertionError) as error:
        note(
            f"no worker processes: they need shared memory, which cannot be used here ({_reason(error)}); working in "
            "one process, more slowly; to have them, mount /dev/shm so that it can be written to"
        )
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def start_trackers() -> None:
    """Start the processes that remove semaphores when this one is gone; that some are left then is no news."""
    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    silence = "ignore::UserWarning"
    sys.warnoptions.append(silence)
    try:
        with interrupts_held():
            resource_tracker.ensure_running()
            loky_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(silence)


def _begin_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, which ends its workers, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)

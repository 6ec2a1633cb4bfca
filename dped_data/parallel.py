"""Run independent pieces of work in worker processes, one thread each (leaf)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from dped_data.errors import InputError, UsageError

R = TypeVar("R")
Backend = Literal["loky", "dask"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_parallel(
    function: Callable[..., R], calls: Sequence[tuple[Any, ...]], jobs: int, backend: Backend = "loky"
) -> Iterator[R]:
    """Yield function(*call) for every call, in order of the calls, from `jobs` processes (-1: one per core).

    One process per core with one thread each is faster than threads inside one process, and makes results
    independent of the number of threads.

    Raises:
        UsageError: `jobs` is 0, or the backend's package is not installed.
        InputError: a worker process was killed. Whatever else a call raises is raised here.
    """
    if jobs == 0:
        raise UsageError("--jobs = 0: give a number of processes, or -1 for one per core")
    count = jobs if jobs > 0 else max(1, joblib.cpu_count() + 1 + jobs)
    tasks = (joblib.delayed(_single_threaded)(function, call) for call in calls)
    try:
        with _started(backend, count):
            yield from joblib.Parallel(n_jobs=min(count, max(1, len(calls))), return_as="generator")(tasks)
    except TerminatedWorkerError:
        raise InputError(
            "a worker process was killed, most likely for want of memory; run the same command again to go on, "
            f"with fewer processes than the {count} of this run (--jobs)"
        ) from None


@contextmanager
def _started(backend: Backend, count: int) -> Iterator[None]:
    """Make joblib use the backend: processes of its own, or a Dask cluster of processes on this machine."""
    if backend == "loky":
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--backend dask needs an extra: pip install 'dped[dask]'") from None
    with (
        Client(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None),
        joblib.parallel_config(backend="dask"),
    ):
        yield


def _single_threaded(function: Callable[..., R], call: tuple[Any, ...]) -> R:
    """Call with BLAS, OpenMP and OpenCV held to one thread, whatever process this is."""
    import cv2

    for variable in _THREAD_VARIABLES:  # for libraries that are loaded later
        os.environ.setdefault(variable, "1")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            return function(*call)
    finally:
        cv2.setNumThreads(threads)

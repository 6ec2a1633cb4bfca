"""Run independent pieces of work in worker processes, one thread each."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, TypeVar

with warnings.catch_warnings():  # of missing shared memory: worker_pool.py says what that means
    warnings.simplefilter("ignore")
    import joblib
from threadpoolctl import threadpool_limits

from dped_data.common.dask_cluster import Cluster, run_on_dask
from dped_data.common.malloc import keep_freed_memory, too_many_processes
from dped_data.common.worker_pool import THREAD_VARIABLES, hand_out, worker_pool
from dped_data.errors import InputError, UsageError

R = TypeVar("R")
Backend = Literal["loky", "dask"]


def run_parallel(
    function: Callable[..., R],
    calls: Sequence[tuple[Any, ...]],
    jobs: int,
    backend: Backend = "loky",
    cluster: Cluster | None = None,
) -> Iterator[R]:
    """Yield function(*call) for every call, in order of the calls, from `jobs` processes (-1: one per core).

    With `cluster` the processes are those of a Dask cluster that runs already, all of them.

    One process per core with one thread each is faster than threads inside one process, and makes results
    independent of the number of threads.

    Raises:
        UsageError: `jobs` is 0, or the backend's package is not installed.
        InputError: a worker process was killed, or the cluster will not do (see `run_on_dask`). Whatever else a call
            raises is raised here.
    """
    count = process_count(jobs)
    if backend == "dask":
        yield from run_on_dask(partial(single_threaded, function), calls, count, cluster)
        return
    count = min(count, max(1, len(calls)))
    with worker_pool(count) if count > 1 else nullcontext() as pool:
        if pool is None:
            yield from (single_threaded(function, call) for call in calls)
            return
        try:
            futures = deque(hand_out(pool, single_threaded, function, call) for call in calls)
            while futures:
                yield futures.popleft().result()
        except BrokenProcessPool:
            raise InputError(too_many_processes("a worker process was killed", count)) from None


def process_count(jobs: int) -> int:
    """Return the number of processes that `jobs` asks for (-1: one per core); UsageError for 0."""
    if jobs == 0:
        raise UsageError("--jobs = 0: give a number of processes, or -1 for one per core")
    return jobs if jobs > 0 else max(1, joblib.cpu_count() + 1 + jobs)


def single_threaded(function: Callable[..., R], call: tuple[Any, ...]) -> R:
    """Call with BLAS, OpenMP and OpenCV held to one thread, whatever process this is."""
    import cv2

    keep_freed_memory()
    for variable in THREAD_VARIABLES:  # for libraries that are loaded later
        os.environ.setdefault(variable, "1")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            return function(*call)
    finally:
        cv2.setNumThreads(threads)

"""Run units of captures in worker processes that may be killed: what was lost is done again, killers are set aside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dped_data.common.dask_cluster import Cluster
from dped_data.common.malloc import memory_was_refused, too_many_processes
from dped_data.common.ownership import remove
from dped_data.common.parallel import Backend, process_count, run_parallel, single_threaded
from dped_data.common.progress import note
from dped_data.common.worker_pool import hand_out, worker_pool
from dped_data.dataset.places import crash_log_name
from dped_data.errors import InputError
from dped_data.work.crash_log import read_watch

R = TypeVar("R")

_DEATHS_WITHOUT_A_CAPTURE = 3
"""Ours: workers that die in a row while no capture is at work end the run: it is not the photos that kill them."""


def run_units(
    function: Callable[..., R],
    calls: Mapping[str, tuple[Any, ...]],
    folder: Path,
    jobs: int,
    backend: Backend = "loky",
    cluster: Cluster | None = None,
) -> Iterator[R]:
    """Yield function(*call) for every unit, as they finish, from `jobs` worker processes (-1: one per core).

    Every call runs in a process of its own, also with one job, so that this process survives whatever happens there.
    When a worker dies, or is refused memory, those units whose captures may be the reason wait until all others are
    done; then they run alone, one after another, so that it is certain which capture kills its worker. The function
    sets that one aside (unit_watch.py). The results are thus the same for any number of jobs.

    Args:
        function: works on one unit and keeps a UnitWatch of it.
        calls: unit key -> arguments.
        cluster: with the backend "dask", a cluster that runs already.
        folder: the dataset, whose work folder holds the units' logs.
    Raises:
        UsageError: `jobs` is 0, or the backend's package is not installed.
        InputError: workers die although no capture is at work. Whatever else a call raises is raised here.
    """
    count = process_count(jobs)
    left, suspects = dict(calls), dict[str, tuple[Any, ...]]()
    unexplained = 0
    while left or suspects:
        alone = not left
        batch = left or dict([next(iter(suspects.items()))])
        deaths = _deaths(folder, batch) if alone else 0
        finished = yield from _run(function, batch, 1 if alone else min(count, len(batch)), backend, cluster)
        unfinished = {key: call for key, call in batch.items() if key not in finished}
        if unfinished:
            _tell(folder, unfinished)
        if alone:
            explained = not unfinished or _deaths(folder, batch) > deaths
            suspects = {key: call for key, call in suspects.items() if key not in finished}
        else:
            chosen = _suspects(folder, unfinished)
            explained = bool(chosen) or not unfinished
            suspects |= {key: unfinished[key] for key in chosen}
            left = {key: call for key, call in unfinished.items() if key not in chosen}
        unexplained = 0 if explained else unexplained + 1
        if unexplained == _DEATHS_WITHOUT_A_CAPTURE:
            raise InputError(too_many_processes("worker processes are killed again and again", count))


def _deaths(folder: Path, keys: Collection[str]) -> int:
    """How often the captures of these units have killed a worker."""
    return sum(read_watch(folder / crash_log_name(key)).deaths.total() for key in keys)


def _tell(folder: Path, unfinished: Collection[str]) -> None:
    """Say that a worker died, and what it was at."""
    logs = [read_watch(folder / crash_log_name(key)) for key in unfinished]
    at_work = ", ".join(sorted(log.dead for log in logs if log.dead)) or "none"
    why = "was killed"
    if any(log.dead in log.timed_out for log in logs):
        why = "took too long and was ended"
    elif any(log.dead in log.refused for log in logs):
        why = "was refused memory"
    note(f"a worker process {why}; captures at work: {at_work}; they are tried again, the rest goes on")


def _suspects(folder: Path, unfinished: Mapping[str, tuple[Any, ...]]) -> list[str]:
    """Return the units whose captures may have killed a worker; the logs of the innocent are removed.

    All workers end when one dies. It is certain whose death it was when only one capture was at work, when the time
    limit ended it or when it was refused memory; else all that were at work may be the reason, and none of the deaths
    counts.
    """
    logs = {key: read_watch(folder / crash_log_name(key)) for key in unfinished}
    at_work = [key for key, log in logs.items() if log.dead is not None]
    known = [key for key in at_work if logs[key].dead in logs[key].timed_out | logs[key].refused]
    certain = known or (at_work if len(at_work) == 1 else [])
    for key in at_work:
        if key not in certain:
            remove(folder / crash_log_name(key))
    return certain or at_work


def _run(
    function: Callable[..., R],
    calls: Mapping[str, tuple[Any, ...]],
    count: int,
    backend: Backend,
    cluster: Cluster | None,
) -> Generator[R, None, set[str]]:
    """Yield the results that come before a worker dies; return the keys of their calls."""
    if backend != "loky":
        return (yield from _run_elsewhere(function, calls, count, cluster))
    finished: set[str] = set()
    with worker_pool(count) as pool:
        for key, result in _results(pool, function, calls):
            try:
                value = result()
            except BrokenProcessPool:
                continue
            except Exception as error:
                if not memory_was_refused(error):
                    raise
                continue
            finished.add(key)
            yield value
    return finished


def _results(
    pool: Any, function: Callable[..., R], calls: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, Callable[[], R]]]:
    """Yield, as they finish, the key of every call and a function that returns or raises what came of it."""
    if pool is None:
        yield from ((key, partial(single_threaded, function, call)) for key, call in calls.items())
        return
    keys: dict[Future[R], str] = {}
    with suppress(BrokenProcessPool):  # a worker may die while calls are still being handed out
        for key, call in calls.items():
            keys[hand_out(pool, single_threaded, function, call)] = key
    for future in as_completed(keys):
        yield keys[future], future.result


def _run_elsewhere(
    function: Callable[..., R], calls: Mapping[str, tuple[Any, ...]], count: int, cluster: Cluster | None
) -> Generator[R, None, set[str]]:
    """`_run` on a cluster, which replaces dead workers and hands out their calls again by itself."""
    yield from run_parallel(function, list(calls.values()), count, "dask", cluster)
    return {*calls}

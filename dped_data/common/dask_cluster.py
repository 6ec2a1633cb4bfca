"""Work on a Dask cluster: processes of this machine, or a cluster that runs already."""

from __future__ import annotations

import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dped_data.common.interruption import interrupts_held
from dped_data.common.malloc import memory_was_refused
from dped_data.common.ownership import remove_in_work, temporary_path
from dped_data.common.worker_pool import start_trackers
from dped_data.errors import InputError, UsageError

R = TypeVar("R")

_ANSWER_S = 10
"""Ours: how long a scheduler may take to answer."""
_FIRST_WORKER_S = 10
"""Ours: how long its first worker may take to be there."""
_RETRIES = 2
"""As often as a capture may be refused memory before its unit sets it aside (unit_watch.py)."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that runs already, and what its workers must have in common with this machine.

    Attributes:
        scheduler: address of its scheduler, such as tcp://10.0.0.1:8786.
        source: absolute path of a folder that every worker must see; None for none.
        target: absolute path of a folder that every worker must share with this machine; None for none.
        versions: package -> version that every worker must have installed.
    """

    scheduler: str
    source: Path | None
    target: Path | None
    versions: Mapping[str, str]


def run_on_dask(
    function: Callable[[tuple[Any, ...]], R], calls: Sequence[tuple[Any, ...]], count: int, cluster: Cluster | None
) -> Iterator[R]:
    """Yield function(call) for every call, in their order, from a Dask cluster: `cluster`, or `count` processes here.

    When a worker dies, the scheduler hands its work to another one. Joblib's own Dask backend is not used: with a
    single worker it works in this process instead.

    Raises:
        UsageError: the extra dped[dask] is not installed.
        InputError: no scheduler answers, it has no worker, or one that will not do; or, later, the scheduler is gone,
            or gave a piece of work up that killed worker after worker. Whatever else a call raises is raised here.
    """
    with dask_client(count, cluster) as client:
        futures = deque(client.map(function, calls, pure=False, retries=_RETRIES))
        while futures:
            yield futures.popleft().result()


@contextmanager
def dask_client(count: int, cluster: Cluster | None) -> Iterator[Any]:
    """Connect to a cluster and check it, or start one on this machine; errors as in `run_on_dask`."""
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import CommClosedError
    except ImportError:
        raise UsageError("--backend dask needs an extra: pip install 'dped[dask]'") from None
    logs = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)  # what goes wrong is told here, in one line
    try:
        with _client(Client, count, cluster) as client:
            if cluster is not None:
                _check_workers(client, cluster)
            yield client
    except KilledWorker as error:
        raise InputError(
            f"a piece of work killed {error.allowed_failures + 1} workers one after another, most likely for want of "
            "memory; give the workers more (--memory-limit), or run fewer of them on a machine"
        ) from None
    except (CancelledError, CommClosedError):  # the second when results were being fetched at that moment
        raise InputError(
            f"the Dask scheduler {cluster.scheduler if cluster else 'of this run'} is gone; start it and its workers, "
            "and run the same command again to go on"
        ) from None
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _client(kind: Any, count: int, cluster: Cluster | None) -> Any:
    if cluster is None:
        return _own_cluster(kind, count)
    try:
        return kind(cluster.scheduler, timeout=_ANSWER_S)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--scheduler {cluster.scheduler}: no Dask scheduler answers there ({type(error).__name__}); start one "
            "with 'dask scheduler' and pass the address that it prints, such as tcp://10.0.0.1:8786"
        ) from None


def _own_cluster(kind: Any, count: int) -> Any:
    start_trackers()
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    try:
        with interrupts_held(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of a second cluster on this machine, whose port is taken
            return kind(n_workers=count, silence_logs=logging.CRITICAL, **options)
    except (RuntimeError, OSError) as error:
        if memory_was_refused(error):
            raise
        cause: BaseException = error
        while deeper := cause.__cause__ or cause.__context__:
            cause = deeper
        raise InputError(
            f"no Dask cluster can be started on this machine ({cause}); its workers need shared memory (/dev/shm) and "
            "a free port: make room for both, or work without --backend dask"
        ) from None


def _check_workers(client: Any, cluster: Cluster) -> None:
    """Raise InputError unless the cluster has workers, each with one thread, our versions and our folders."""
    try:
        client.wait_for_workers(1, timeout=_FIRST_WORKER_S)
    except TimeoutError:
        raise InputError(
            f"--scheduler {cluster.scheduler}: no worker there; start some with "
            f"'dask worker {cluster.scheduler} --nthreads 1'"
        ) from None
    for worker, threads in sorted(client.nthreads().items()):
        if threads != 1:
            raise InputError(
                f"worker {worker}: runs {threads} threads, one is allowed; start it with --nthreads 1 and as many "
                "--nworkers as the machine has cores"
            )
    with _probe(cluster.target) as probe:
        paths = [str(path) for path in (cluster.source, probe) if path is not None]
        views = client.run(_look(list(cluster.versions), paths))
    for worker, (versions, missing) in sorted(views.items()):
        for name, version in versions.items():
            if version != cluster.versions[name]:
                raise InputError(
                    f"worker {worker}: has {name} {version or 'not installed'}, this machine has "
                    f"{cluster.versions[name]}; install the same there, so that all make the same bytes"
                )
        if missing:
            folder = cluster.source if missing[0] == str(cluster.source) else cluster.target
            raise InputError(
                f"worker {worker}: does not see {folder} as it is here; captures and dataset must lie on a file system "
                "that all workers share, under the same path, or in a remote store (s3://...)"
            )


@contextmanager
def _probe(folder: Path | None) -> Iterator[Path | None]:
    """Yield a new file in a work folder: a worker with a folder of its own under the same path does not see it."""
    if folder is None:
        yield None
        return
    path = temporary_path(folder)
    path.touch()
    try:
        yield path
    finally:
        remove_in_work(path)


def _look(names: Sequence[str], paths: Sequence[str]) -> Callable[[], tuple[dict[str, str], list[str]]]:
    """Return a function that looks around in a worker: installed versions ("" for none), paths that are not there."""

    def look() -> tuple[dict[str, str], list[str]]:
        # Sent by value, since a worker may not have this module: it brings its own imports.
        import importlib.metadata
        import pathlib

        versions = {}
        for name in names:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = ""
        return versions, [path for path in paths if not pathlib.Path(path).exists()]

    return look

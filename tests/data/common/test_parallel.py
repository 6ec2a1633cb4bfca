"""Work runs in other processes, in order, one thread each; what goes wrong there is told here."""

from __future__ import annotations

import errno
import os
import signal

import cv2
import pytest
from threadpoolctl import threadpool_info

from dped_data.common import worker_pool
from dped_data.common.parallel import run_parallel
from dped_data.errors import InputError, UsageError


def square(number: int) -> int:
    return number * number


def thread_counts() -> tuple[int, int]:
    """Most BLAS or OpenMP threads, and OpenCV's, as a piece of work sees them."""
    return max(info["num_threads"] for info in threadpool_info()), cv2.getNumThreads()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("jobs", [1, 2, -1])
def test_results_come_in_the_order_of_the_calls(jobs: int) -> None:
    assert list(run_parallel(square, [(n,) for n in range(20)], jobs)) == [n * n for n in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_worker_has_one_thread(jobs: int) -> None:
    threads = cv2.getNumThreads()
    assert list(run_parallel(thread_counts, [()], jobs)) == [(1, 1)]
    assert cv2.getNumThreads() == threads


def test_a_killed_worker_is_one_clear_error() -> None:
    with pytest.raises(InputError, match=r"a worker process was killed.*--jobs"):
        list(run_parallel(die, [(), ()], 2))


def test_a_bug_in_a_worker_stops_the_run() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        list(run_parallel(square, [(2,), (None,)], 2))


def test_no_jobs_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--jobs = 0"):
        list(run_parallel(square, [(1,)], 0))


def test_dask_gives_the_same() -> None:
    pytest.importorskip("distributed", reason="needs the extra dped[dask]")
    assert list(run_parallel(square, [(n,) for n in range(6)], 2, "dask")) == [0, 1, 4, 9, 16, 25]


def no_semaphores(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_without_shared_memory_the_work_is_done_here_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    worker_pool._executor.cache_clear()
    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", no_semaphores)
    assert list(run_parallel(os.getpid, [(), ()], 2)) == [os.getpid()] * 2
    worker_pool._executor.cache_clear()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and "no worker processes" in lines[0] and "Read-only file system" in lines[0]
    assert "mount /dev/shm" in lines[0]


def test_a_dask_cluster_that_cannot_start_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs the extra dped[dask]")

    def start(**_: object) -> None:
        try:
            no_semaphores()
        except OSError as error:
            raise RuntimeError("Nanny failed to start.") from error

    monkeypatch.setattr("distributed.Client", start)
    with pytest.raises(InputError, match=r"no Dask cluster can be started .*Read-only file system.*--backend dask"):
        list(run_parallel(square, [(1,)], 2, "dask"))

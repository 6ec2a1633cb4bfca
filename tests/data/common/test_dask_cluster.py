"""A build on a Dask cluster of other processes: a worker dies in the middle, or the cluster will not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import small_rig

from dped_data import build_dataset
from dped_data.build import BuildReport
from dped_data.common.work_folder import make_work_folder
from dped_data.errors import InputError
from dped_data.settings import BuildSettings, load_build_settings

pytest.importorskip("distributed", reason="needs the extra dped[dask]")

CAPTURES = 12
DASK = [sys.executable, "-m", "dask.__main__"]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}


@dataclass
class Processes:
    """A scheduler and its workers on loopback."""

    folder: Path
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    def add_worker(self, *options: str, path: str = "") -> subprocess.Popen[bytes]:
        environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, [path, ENVIRONMENT["PYTHONPATH"]]))}
        command = [*DASK, "worker", self.address, "--no-nanny", "--no-dashboard", *(options or ("--nthreads", "1"))]
        self.workers.append(subprocess.Popen(command, env=environment, cwd=self.folder, **QUIET))
        return self.workers[-1]

    def wait_for_workers(self, count: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=30) as client:
            client.wait_for_workers(count, timeout=60)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Processes]:
    """A scheduler without workers."""
    file = tmp_path / "scheduler.json"
    command = [*DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    scheduler = subprocess.Popen(command, env=ENVIRONMENT, **QUIET)
    while not file.exists() or not file.read_text().endswith("}"):
        assert scheduler.poll() is None
        time.sleep(0.05)
    processes = Processes(tmp_path, json.loads(file.read_text())["address"], scheduler, [])
    yield processes
    for process in (*processes.workers, scheduler):
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildSettings]:
    captures, toml = small_rig.write_rig(tmp_path_factory.mktemp("rig"), CAPTURES)
    settings = load_build_settings(toml, {"patch_size": 48})
    return captures, replace(settings, shards=replace(settings.shards, captures_per_shard=1))


def content(report: BuildReport) -> dict[str, bytes]:
    """Shards and manifest: everything of a dataset that states no time."""
    files = [*report.folder.glob("*/*.h5"), report.folder / "dataset.json"]
    return {str(path.relative_to(report.folder)): path.read_bytes() for path in sorted(files)}


def test_a_worker_is_killed_in_the_middle(
    rig: tuple[Path, BuildSettings], cluster: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures, settings = rig
    monkeypatch.chdir(tmp_path)  # the workers started elsewhere; paths may be relative here all the same
    cluster.add_worker()
    cluster.add_worker()
    cluster.wait_for_workers(2)
    done_at_death: list[int] = []

    def kill() -> None:
        while len(done := list(Path("dask/pocket/.build").glob("?" * 64 + ".json"))) < 2:
            time.sleep(0.005)
        cluster.workers[0].kill()
        cluster.workers[0].wait()
        done_at_death.append(len(done))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = build_dataset(captures, "dask", "pocket", settings, backend="dask", scheduler=cluster.address)
    killer.join(60)
    assert done_at_death and done_at_death[0] < len(report.rows) == CAPTURES
    local = build_dataset(captures, "loky", "pocket", settings, jobs=2)
    assert content(report) == content(local)
    assert len(content(local)) > CAPTURES / 2


def test_the_scheduler_leaves_in_the_middle(
    rig: tuple[Path, BuildSettings], cluster: Processes, tmp_path: Path
) -> None:
    captures, settings = rig
    cluster.add_worker()
    cluster.wait_for_workers(1)

    def kill() -> None:
        while not list((tmp_path / "out/pocket/.build").glob("?" * 64 + ".json")):
            time.sleep(0.005)
        cluster.scheduler.kill()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(InputError, match=r"the Dask scheduler tcp://127.* is gone; .*run the same command again"):
        build_dataset(captures, tmp_path / "out", "pocket", settings, backend="dask", scheduler=cluster.address)


def test_a_cluster_that_will_not_do_is_one_clear_line(
    rig: tuple[Path, BuildSettings], cluster: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures, settings = rig

    def build(address: str) -> None:
        build_dataset(captures, tmp_path / "out", "pocket", settings, backend="dask", scheduler=address)

    with monkeypatch.context() as context:
        context.setattr("dped_data.common.dask_cluster._ANSWER_S", 1)
        for address in ("tcp://127.0.0.1:9", "nowhere://x", "127.0.0.1:0"):
            with pytest.raises(InputError, match=rf"--scheduler {address}: no Dask scheduler answers there"):
                build(address)
    with monkeypatch.context() as context:
        context.setattr("dped_data.common.dask_cluster._FIRST_WORKER_S", 0.1)
        with pytest.raises(InputError, match="no worker there; start some with 'dask worker tcp"):
            build(cluster.address)
    for options, path, message in (
        (("--nthreads", "2"), "", "runs 2 threads, one is allowed"),
        ((), str(tmp_path / "other"), r"has dped 9\.9, this machine has"),
    ):
        (tmp_path / "other/dped-9.9.dist-info").mkdir(parents=True, exist_ok=True)
        (tmp_path / "other/dped-9.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: dped\nVersion: 9.9\n")
        worker = cluster.add_worker(*options, path=path)
        cluster.wait_for_workers(1)
        with pytest.raises(InputError, match=message):
            build(cluster.address)
        worker.terminate()
        worker.wait()


def test_a_worker_with_folders_of_its_own_is_named(cluster: Processes, tmp_path: Path) -> None:
    """A worker on this machine sees all there is; the check is asked for what it cannot see."""
    from dped_data.common.dask_cluster import Cluster, dask_client

    make_work_folder(tmp_path / "work", whole_folder=True)
    cluster.add_worker()
    cluster.wait_for_workers(1)
    with (
        pytest.raises(InputError, match=r"worker tcp://.*: does not see .*/missing as it is here; .*share"),
        dask_client(1, Cluster(cluster.address, tmp_path / "missing", tmp_path / "work", {})),
    ):
        pass
    assert not list((tmp_path / "work/tmp").iterdir())

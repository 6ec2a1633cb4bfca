"""Free memory as the machine, its control groups and the process's own limit have it, out of made-up files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dped_data.common import free_memory as module
from dped_data.common.free_memory import free_memory

KIB = 1024
MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 6000 kB\n", "proc/self/status": "VmRSS: 500 kB\n"}
TWO = {"proc/self/cgroup": "0::/a/b\n"}


def files(root: Path, *contents: dict[str, str]) -> Path:
    for name, text in (item for part in contents for item in part.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(folder: str, limit: object, used: int, cached: int = 0) -> dict[str, str]:
    """Version 2's files of one group, KiB."""
    allowed = f"{limit * KIB}" if isinstance(limit, int) else str(limit)
    names = {"memory.max": allowed, "memory.current": f"{used * KIB}", "memory.stat": f"inactive_file {cached * KIB}\n"}
    return {f"sys/fs/cgroup{folder}/{name}": f"{text}" for name, text in names.items()}


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_address_space", list)


def test_a_machine_without_groups(tmp_path: Path) -> None:
    assert free_memory(files(tmp_path, MACHINE)) == 6500 * KIB


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        (group("/a/b", "max", 700) | group("/a", "max", 900), 6500),
        (group("/a/b", 3000, 700) | group("/a", "max", 900), 2800),
        (group("/a/b", 3000, 700, 200) | group("/a", 2000, 900), 1600),  # a group around it allows less
        (group("/a/b", 800, 900), 500),  # over its limit: what the process has
        (group("", 2000, 600), 1900),  # inside a container: the name is the host's, the files are at the top
    ],
)
def test_groups_of_version_2(tmp_path: Path, groups: dict[str, str], wanted: int) -> None:
    assert free_memory(files(tmp_path, MACHINE, TWO, groups)) == wanted * KIB


@pytest.mark.parametrize(("limit", "wanted"), [(2000 * KIB, 1700), (9223372036854771712, 6500)])
def test_groups_of_version_1(tmp_path: Path, limit: int, wanted: int) -> None:
    top = "sys/fs/cgroup/memory/a/memory"
    names = {
        f"{top}.limit_in_bytes": str(limit),
        f"{top}.usage_in_bytes": f"{900 * KIB}",
        f"{top}.stat": f"inactive_file 1\ntotal_inactive_file {100 * KIB}\n",
        "proc/self/cgroup": "7:cpu,cpuacct:/a\n4:memory:/a\n",
    }
    assert free_memory(files(tmp_path, MACHINE, names)) == wanted * KIB


def test_the_process_may_have_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_address_space", lambda: [1000 * KIB])
    assert free_memory(files(tmp_path, MACHINE)) == 1000 * KIB


def test_other_systems_do_not_say(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is known")
def test_this_machine_says_it() -> None:
    assert (free_memory() or 0) > 10**7

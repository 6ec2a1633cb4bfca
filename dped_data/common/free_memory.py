"""How much memory is free for this process: of the machine, of its control groups (containers), of its own limit.

Instead of it: psutil, which knows the machine alone, not what a container may have of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
_V1_UNLIMITED = 1 << 60  # cgroup v1 writes the largest multiple of a page instead of "no limit"


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes that could be had without pushing anything else out, what this process holds included; None if unknown.

    Linux says it in /proc; elsewhere nothing is known.

    Args:
        root: where proc/ and sys/ are.
    """
    try:
        fields = _fields(root / "proc/meminfo")
        own = 1024 * _fields(root / "proc/self/status")["VmRSS:"]
        free = 1024 * fields["MemAvailable:"] + own
    except (OSError, KeyError):
        return None
    return min([free, *(limit + own for limit in _left_in_groups(root)), *_address_space()])


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each control group around this process has left, of either version; caches that can be dropped are left."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, name = line.split(":", 2)
        if number == "0":
            top, limit, usage, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            limit, usage, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):  # in a container the name may be the host's: only the top is there then
            if not folder.is_relative_to(top):
                break
            try:
                allowed = (folder / limit).read_text().strip()
                if allowed == "max" or int(allowed) >= _V1_UNLIMITED:
                    continue
                used = int((folder / usage).read_text())
                yield max(0, int(allowed) - used + _fields(folder / "memory.stat").get(cache, 0))
            except OSError:
                continue


def _address_space() -> list[int]:
    """Half of what `ulimit -v` allows: it counts what is mapped, which is more than what is used."""
    try:
        import resource
    except ImportError:  # Windows has none
        return []
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [] if allowed == resource.RLIM_INFINITY else [allowed // 2]


def _fields(path: Path) -> dict[str, int]:
    """First and second word of each line that has a number there."""
    words = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}

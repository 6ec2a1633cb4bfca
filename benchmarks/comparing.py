"""On which machine figures were measured, and how they stand against those of an earlier run.

Every benchmark that measures time takes `--save FILE` and `--against FILE`:

    python benchmarks/training.py --save before.json
    (change something)
    python benchmarks/training.py --against before.json

On the machine of before, seconds are compared. On another one (or with other threads), seconds say nothing; there each
figure is compared as a share of the benchmark's own yardstick, such as the plain PyTorch step of the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SLOWER_BY = 0.1
"""Ours: what is slower by more than this is said to be; repeated runs on a machine that does other things differ so."""
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve", "sme")
_PACKAGES = ("numpy", "opencv-contrib-python", "numba", "h5py", "torch")
_LIMITS = (
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "NUMBA_CPU_NAME",
    "OPENCV_CPU_DISABLE",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "DPED_PLAIN_TORCH",
)
"""Variables that make one processor work as another one."""


@dataclass(frozen=True)
class Machine:
    """What figures depend on.

    Attributes:
        processor: its model; instructions: those of its sets that matter here.
        cores: that this process may use; threads: that the benchmark uses.
        limits: set variables that make one processor work as another one.
        versions: package -> version.
    """

    processor: str
    instructions: tuple[str, ...]
    cores: int
    threads: int
    limits: Mapping[str, str]
    versions: Mapping[str, str]

    def __str__(self) -> str:
        """Two lines for above a table."""
        limits = "".join(f", {name}={value}" for name, value in self.limits.items())
        sets = " ".join(self.instructions) or "instruction sets unknown"
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.processor} ({sets}), {self.cores} cores, {self.threads} threads{limits}\n{packages}"

    def is_like(self, other: Machine) -> bool:
        """Whether seconds measured there may be compared with seconds measured here; versions may differ."""
        mine, theirs = ({**vars(machine), "versions": None} for machine in (self, other))
        return mine == theirs


@dataclass(frozen=True)
class Run:
    """Figures of one run.

    Attributes:
        benchmark: its name.
        machine: where.
        seconds: what was measured -> its time, in seconds; less is better.
        yardstick: the name among them that the others are compared with on another machine; empty: there is none.
    """

    benchmark: str
    machine: Machine
    seconds: Mapping[str, float]
    yardstick: str = ""


def this_machine(threads: int) -> Machine:
    """Look at the machine that this process runs on."""
    words: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else ():
        key, _, value = line.partition(":")
        words.setdefault(key.strip(), value.strip())
    flags = set((words.get("flags") or words.get("Features") or "").split())
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return Machine(
        processor=words.get("model name") or platform.processor() or platform.machine(),
        instructions=tuple(name for name in _INSTRUCTIONS if name in flags),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=threads,
        limits={name: os.environ[name] for name in _LIMITS if name in os.environ},
        versions={"python": platform.python_version(), **versions},
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --save and --against to a benchmark's options."""
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the times here, to compare later runs with")
    parser.add_argument("--against", type=Path, metavar="FILE", help="say what became slower than in this run")


def finish(run: Run, options: argparse.Namespace) -> int:
    """Save and compare as the options ask; return 1 where something became slower, else 0."""
    before = read_run(options.against) if options.against else None
    if options.save:
        options.save.write_text(json.dumps({**vars(run), "machine": vars(run.machine)}, indent=1) + "\n")
    if before is None:
        return 0
    lines, slower = compared(before, run)
    print("", *lines, sep="\n")
    return int(slower)


def read_run(path: Path) -> Run:
    """Read what --save wrote."""
    table = json.loads(path.read_text())
    machine = table["machine"]
    machine["instructions"] = tuple(machine["instructions"])
    return Run(**{**table, "machine": Machine(**machine)})


def compared(before: Run, now: Run) -> tuple[list[str], bool]:
    """Return the lines that hold a run against an earlier one, and whether anything became slower by more than 10 %.

    Raises:
        SystemExit: runs of different benchmarks, or of different machines without a yardstick in both.
    """
    if before.benchmark != now.benchmark:
        raise SystemExit(f"the run to compare with is of {before.benchmark}, this one of {now.benchmark}")
    same = now.machine.is_like(before.machine)
    if not same and not (now.yardstick and now.yardstick in before.seconds):
        raise SystemExit(
            f"seconds of another machine say nothing here, and nothing was measured beside them:\n{before.machine}"
        )
    scales = [1.0 if same else run.seconds[now.yardstick] for run in (before, now)]
    unit = "s" if same else f"times {now.yardstick}"
    lines = ["against:", *(f"  {line}" for line in str(before.machine).splitlines())]
    lines.append(f"{'':40}{'before':>10}{'now':>10}{'ratio':>8}  ({unit})")
    slower = False
    for name in (name for name in now.seconds if name in before.seconds and (same or name != now.yardstick)):
        old, new = (run.seconds[name] / scale for run, scale in zip((before, now), scales, strict=True))
        worse = new > old * (1 + SLOWER_BY)
        slower |= worse
        lines.append(f"{name:40}{old:10.4g}{new:10.4g}{new / old:8.2f}{'  slower' if worse else ''}")
    missing = [name for name in before.seconds if name not in now.seconds]
    return lines + ([f"not measured now: {', '.join(missing)}"] if missing else []), slower

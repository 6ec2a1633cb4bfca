"""Does a build stay linear? Time per capture and the parent's memory over 100, 1,000 and 10,000 captures.

    python benchmarks/scale.py                      # all three sizes, then reading and inspecting 1,000 shards
    python benchmarks/scale.py --captures 100 1000  # some minutes

Rendered captures of a few scenes are hard-linked under as many names as are asked for. Every build runs in a process of
its own that has built some captures before, so that starting workers and compiling loops are not counted; pairing,
splitting and the manifest are.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import comparing
import numpy as np
import psutil
import skimage.data
from scale_reading import Reading, make_dataset, measure_readings
from scale_worker import remember_scenes

from dped_data import PatchStore, build_dataset
from dped_data.common.parallel import process_count
from dped_data.inspection import inspect_pairs
from dped_data.photos.writing import write_photo
from dped_data.settings import Camera, Rig, load_build_settings
from dped_data.simulation import SimulationSettings, simulate_rig

RIG = Rig("scale", "slr", (Camera("pocket", 160, 120), Camera("slr", 220, 147)))
RIG_TOML = '[rig]\nname = "scale"\ndslr = "slr"\n[rig.cameras]\npocket = "160x120"\nslr = "220x147"\n'
SCENES = 12
PATCH_SIZE = 32
WARM_UP = 12
REMEMBER = "remember"
BATCH = 50
BATCHES = 40


@dataclass(frozen=True)
class Figures:
    """What one size costs; NaN where it was not measured.

    Attributes:
        build_s, build_cpu_s: seconds a build takes, and processor seconds of the parent and its workers.
        outside_s: seconds of all processes in which no capture was being aligned.
        inspect_s: seconds an inspection takes.
        build_mb, inspect_mb: peak memory of the parent process.
        open_ms, batch_ms: to open the largest split, and to read a random batch of it.
    """

    captures: int
    shards: int
    build_s: float
    build_cpu_s: float
    outside_s: float
    build_mb: float
    inspect_s: float = math.nan
    inspect_mb: float = math.nan
    open_ms: float = math.nan
    batch_ms: float = math.nan


def render_scenes(folder: Path) -> None:
    """Render the captures that all others are links to."""
    (folder / "photos").mkdir(parents=True)
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        write_photo(folder / "photos" / f"{name}.png", getattr(skimage.data, name)())
    settings = SimulationSettings(count=SCENES, warp_px=0.5)
    simulate_rig(folder / "photos", folder / "scenes", RIG, "pocket", settings, jobs=1)
    (folder / "rig.toml").write_text(RIG_TOML)


def link_captures(scenes: Path, captures: Path, count: int) -> None:
    """Give `count` names to the rendered captures."""
    for camera in ("pocket", "slr"):
        (captures / camera).mkdir(parents=True)
        photos = sorted((scenes / "captures" / camera).iterdir())
        for index in range(count):
            os.link(photos[index % SCENES], captures / camera / f"{index:06d}.jpg")


def peak_mb() -> float:
    """Peak resident memory of this process so far, megabytes (getrusage would count the parent it was forked from)."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def processor_s() -> float:
    """Processor seconds of this process and of the workers that are alive."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def measure_build(folder: Path, count: int, jobs: int) -> dict[str, float]:
    """Build `count` captures with workers that are warm: seconds, shards, and this process's peak memory."""
    if (folder / REMEMBER).exists():
        remember_scenes()
    settings = load_build_settings(folder / "rig.toml", {"patch_size": PATCH_SIZE})
    build_dataset(folder / str(WARM_UP), folder / "warm", "pocket", settings, jobs=jobs, overwrite=True)
    start, cpu_s = time.perf_counter(), processor_s()
    report = build_dataset(folder / str(count), folder / f"out-{count}", "pocket", settings, jobs=jobs)
    seconds = time.perf_counter() - start
    return {
        "build_s": seconds,
        "build_cpu_s": processor_s() - cpu_s,
        "outside_s": seconds * process_count(jobs) - sum(row.seconds or 0.0 for row in report.rows),
        "build_mb": peak_mb(),
        "shards": sum(len(split.shards) for split in report.manifest.splits.values()),
    }


def measure_inspection(folder: Path, count: int, jobs: int) -> dict[str, float]:
    """Inspect the dataset of `count` captures."""
    inspect_pairs(folder / "warm", "pocket", folder / "warm-report", jobs=jobs)
    start = time.perf_counter()
    inspect_pairs(folder / f"out-{count}", "pocket", folder / f"report-{count}", jobs=jobs)
    return {"inspect_s": time.perf_counter() - start, "inspect_mb": peak_mb()}


def measure_reading(folder: Path, count: int, jobs: int) -> dict[str, float]:
    """Open the largest split and read random batches: the median, after every shard was touched once."""
    del jobs
    dataset = folder / f"out-{count}" / "pocket"
    PatchStore(folder / "warm" / "pocket", "train").read([0])
    start = time.perf_counter()
    store = max((PatchStore(dataset, split) for split in ("train", "val", "test")), key=len)
    opened = time.perf_counter() - start
    rng = np.random.default_rng(0)
    for first in range(0, len(store), 1000):
        store.read(np.arange(first, min(first + 1000, len(store))))
    times = []
    for _ in range(BATCHES):
        start = time.perf_counter()
        store.read(rng.integers(0, len(store), BATCH))
        times.append(time.perf_counter() - start)
    return {"open_ms": 1e3 * opened, "batch_ms": 1e3 * float(np.median(times))}


MEASURES = {"build": measure_build, "read": measure_reading, "inspect": measure_inspection}


def in_a_process(measure: str, folder: Path, count: int, jobs: int) -> dict[str, float]:
    """Run one of MEASURES in a process of its own, whose peak memory is its own."""
    command = [sys.executable, __file__, "--measure", measure, "--work", str(folder)]
    command += ["--captures", str(count), "--jobs", str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure_size(folder: Path, count: int, jobs: int, measures: list[str]) -> Figures:
    """Build, read and inspect `count` captures."""
    link_captures(folder / "scenes", folder / str(count), count)
    figures: dict[str, float] = {}
    for measure in measures:
        figures |= in_a_process(measure, folder, count, jobs)
    return Figures(captures=count, **{**figures, "shards": int(figures["shards"])})  # type: ignore[arg-type]


HEAD = (
    *("captures", "shards", "build, ms per capture", "processor, ms per capture", "not aligning, ms per capture"),
    *("parent, MB", "open, ms", "batch of 50, ms", "inspection, ms per capture", "parent, MB"),
)


def row(f: Figures) -> list[str]:
    """The figures as a row of the table."""
    each = [1e3 * seconds / f.captures for seconds in (f.build_s, f.build_cpu_s, f.outside_s, f.inspect_s)]
    return [
        *(f"{f.captures:,}", f"{f.shards:,}", f"{each[0]:.1f}", f"{each[1]:.1f}", f"{each[2]:.1f}"),
        *(f"{f.build_mb:.0f}", f"{f.open_ms:.1f}", f"{f.batch_ms:.2f}", f"{each[3]:.1f}", f"{f.inspect_mb:.0f}"),
    ]


def print_row(cells: Sequence[str]) -> None:
    """Print a row of a Markdown table, at once."""
    print(f"| {' | '.join(cells)} |", flush=True)


READING_HEAD = ("shards", "patches", "compression", "open, ms", "first touch, ms per shard", "batch of 50, ms")


def measure_shards(folder: Path, shards: int) -> list[Reading]:
    """Read random batches from one shard and from many that hold as many patches; print a row for each."""
    readings: list[Reading] = []
    if shards:
        print()
        print_row(READING_HEAD)
        print_row(["---:"] * len(READING_HEAD))
    for compression in ("none", "gzip") if shards else ():
        datasets = [folder / f"shards-{compression}-{count}" for count in (1, shards)]
        for dataset, count in zip(datasets, (1, shards), strict=True):
            make_dataset(dataset, count, 4 * shards, compression)
        for r in measure_readings(datasets, compression):
            each = f"{r.first_ms / r.shards:.2f}"
            print_row((f"{r.shards:,}", f"{r.patches:,}", compression, f"{r.open_ms:.1f}", each, f"{r.batch_ms:.2f}"))
            readings.append(r)
    return readings


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captures", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--shards", type=int, default=1000, help="shards to read besides one; 0 reads none")
    parser.add_argument(
        "--remember", action="store_true", help="align each scene once: what is left is the cost besides aligning"
    )
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES), help="build comes first")
    parser.add_argument("--work", type=Path, help="folder for photos and datasets, kept  [default: a temporary one]")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    comparing.add_options(parser)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(MEASURES[arguments.measure](arguments.work, arguments.captures[0], arguments.jobs)))
        return 0
    machine = comparing.this_machine(1)
    print(machine, end="\n\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        render_scenes(folder)
        if arguments.remember:
            (folder / REMEMBER).touch()
        link_captures(folder / "scenes", folder / str(WARM_UP), WARM_UP)
        print_row(HEAD)
        print_row(["---:"] * len(HEAD))
        results = []
        for count in arguments.captures:
            results.append(measure_size(folder, count, arguments.jobs, arguments.measures))
            print_row(row(results[-1]))
        readings = measure_shards(folder, arguments.shards)
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(figures) for figures in (*results, *readings)], indent=1) + "\n")
    taken = {f"reading {r.shards} shards, {r.compression}": r.batch_ms / 1e3 for r in readings}
    for f in results:
        each = {"build, processor": f.build_cpu_s, "not aligning": f.outside_s, "inspection": f.inspect_s}
        taken |= {
            f"{name}, a capture of {f.captures}": seconds / f.captures for name, seconds in each.items() if seconds > 0
        }
    return comparing.finish(comparing.Run("scale", machine, taken), arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Run one builder on one simulated rig and measure accuracy, time and memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import simplejpeg
from families import PHONE, SMALL_RIG, Family
from naive_score import run_naive, score_naive

from dped_data.align.records import CONTRAST_CLASSES
from dped_data.build import align_capture, build_dataset
from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import settings_dict
from dped_data.dataset.capture_table import read_captures
from dped_data.plan import plan_dataset
from dped_data.settings import BuildSettings, PairingSettings, Rig
from dped_data.simulation.score import Score, score_dataset
from dped_data.simulation.truth import CAPTURES_FOLDER
from dped_data.work.destination import Destination
from dped_data.work.folder import locked, prepare
from dped_data.work.lifecycle import CaptureWork, work_on_unit
from dped_data.work.units import plan_units

DECODE_REPEATS = 3


@dataclass(frozen=True)
class Result:
    """A builder on a family.

    Attributes:
        score: against the truth.
        pair_s, mean_pair_s: seconds per pair as the user waits for it, median and mean: a process's seconds over the
            number of processes that work at the same time.
        process_s: seconds per pair within one process, median (dped's have one thread, the naive builder takes all).
        decode_s: seconds to decode both photos of a pair once, one thread, median.
        peak_mb: peak memory of one worker process.
        identical: whether one process, `jobs` in two runs, and twice as many wrote the same shards; None for the naive
            builder.
        windows_by_contrast, kept_by_contrast: windows in both photos, and kept, by class of contrast; dped's only.
    """

    family: str
    builder: str
    score: Score
    pair_s: float
    mean_pair_s: float
    process_s: float
    decode_s: float
    peak_mb: float | None
    identical: bool | None
    windows_by_contrast: Mapping[str, int] = field(default_factory=dict)
    kept_by_contrast: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Crossed:
    """A builder on captures of mismatched scenes: how many there were, those it accepted, the patches it accepted."""

    builder: str
    captures: int
    accepted: int
    patches: int


def measure_naive(family: Family, rig_dir: Path, work: Path, script: Path) -> Result:
    """Run the naive builder on a family; it works on one pair at a time."""
    captures = rig_dir / CAPTURES_FOLDER
    run = run_naive(script, captures / PHONE, captures / family.rig.dslr, work / f"{family.name}-naive.h5")
    median_s = statistics.median(run.seconds)
    return Result(
        family.name,
        "naive",
        score_naive(run, rig_dir),
        pair_s=median_s,
        mean_pair_s=statistics.mean(run.seconds),
        process_s=median_s,
        decode_s=decode_seconds(captures, family.rig.dslr),
        peak_mb=None,
        identical=None,
    )


def measure_dped(family: Family, rig_dir: Path, work: Path, jobs: int) -> Result:
    """Do a worker's work for its memory, then build with one worker, twice `jobs`, and twice with `jobs`, for the time.

    The last counts: a worker's first capture also loads the compiled code, which is a seconds' matter once per build.
    """
    captures = rig_dir / CAPTURES_FOLDER
    out = work / f"{family.name}-dataset"
    peak_mb = worker_memory_mb(captures, work / f"{family.name}-worker", family.rig)
    digests = []
    for workers in (1, 2 * jobs, jobs, jobs):
        shutil.rmtree(out, ignore_errors=True)
        totals = build_dataset(captures, out, PHONE, BuildSettings(rig=family.rig), jobs=workers).manifest.totals
        digests.append(shard_digests(out))
    seconds = [row.seconds or 0.0 for row in read_captures(out / PHONE)]
    return Result(
        family.name,
        "dped",
        score_dataset(out, rig_dir, PHONE, jobs=jobs),
        pair_s=statistics.median(seconds) / jobs,
        mean_pair_s=statistics.mean(seconds) / jobs,
        process_s=statistics.median(seconds),
        decode_s=decode_seconds(captures, family.rig.dslr),
        peak_mb=peak_mb,
        identical=all(other == digests[0] for other in digests),
        windows_by_contrast={kind: totals[f"{kind}_windows"] for kind in CONTRAST_CLASSES},
        kept_by_contrast={kind: totals[f"{kind}_patches"] for kind in CONTRAST_CLASSES},
    )


def worker_memory_mb(captures: Path, folder: Path, rig: Rig) -> float:
    """Return the peak memory of a fresh process that does the work of one worker, all captures one after the other."""
    shutil.rmtree(folder, ignore_errors=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_work_and_measure, captures, folder, rig).result()


def _work_and_measure(captures: Path, folder: Path, rig: Rig) -> float:
    settings = BuildSettings(rig=rig)
    plan = plan_dataset(captures, PHONE, settings)
    work = CaptureWork(align_capture, settings, settings.alignment)
    with locked(folder):
        digest = prepare(folder, captures, settings_dict(settings), overwrite=False)
        units = plan_units(plan.pairing.captures, plan.splits, captures, digest, settings.shards.captures_per_shard)
        for unit in units:
            work_on_unit(unit, captures, Destination(folder), work, digest)
    return peak_memory_mb()


def peak_memory_mb() -> float:
    """Return this process's own peak memory in MB.

    On Linux from VmHWM: getrusage there also counts what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def shard_digests(folder: Path) -> dict[str, str]:
    """Return sha256 by name of every shard of a dataset."""
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(folder.rglob("*.h5"))}


def decode_seconds(captures: Path, dslr: str) -> float:
    """Return the median time to decode a pair's two JPEG photos, one thread: the floor of any builder."""
    times = []
    for phone_file in sorted((captures / PHONE).iterdir()):
        data = [phone_file.read_bytes(), (captures / dslr / phone_file.name).read_bytes()]
        for _ in range(DECODE_REPEATS):
            start = time.perf_counter()
            for photo in data:
                simplejpeg.decode_jpeg(photo, "RGB")
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def cross_naive(folder: Path, count: int, script: Path) -> Crossed:
    """Give the naive builder the first `count` mismatched captures."""
    some = folder / "some"
    shutil.rmtree(some, ignore_errors=True)
    for camera in (PHONE, SMALL_RIG.dslr):
        (some / camera).mkdir(parents=True)
        for file in sorted((folder / CAPTURES_FOLDER / camera).iterdir())[:count]:
            os.link(file, some / camera / file.name)
    run = run_naive(script, some / PHONE, some / SMALL_RIG.dslr, folder / "naive.h5")
    kept = [len(rows) for rows in run.rows.values()]
    return Crossed("naive", count, sum(n > 0 for n in kept), sum(kept))


def cross_dped(folder: Path, count: int, jobs: int) -> Crossed:
    """Build a dataset of mismatched captures; nothing should be in it."""
    out = folder / "dataset"
    shutil.rmtree(out, ignore_errors=True)
    settings = BuildSettings(rig=SMALL_RIG, pairing=PairingSettings(pairing="name"))
    build_dataset(folder / CAPTURES_FOLDER, out, PHONE, settings, jobs=jobs)
    rows = read_captures(out / PHONE)
    return Crossed("dped", count, sum(row.status == "kept" for row in rows), sum(row.patches for row in rows))

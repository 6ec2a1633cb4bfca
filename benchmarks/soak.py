"""Inject faults into build, import, export, inspect, train and enhance for as long as wanted; count what was survived.

    python benchmarks/soak.py [--minutes 10] [--seed 0] [--job build]

Each trial runs a command in a fresh folder, lets it meet one fault at a point drawn by the seed (tests/faults), checks
that nothing half can be seen, runs the same command again and compares every byte with an undisturbed run.
"""

from __future__ import annotations

import argparse
import errno
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from fault_client import Trial  # noqa: E402
from fault_jobs import build_jobs, opened_bench, use_jobs  # noqa: E402

KINDS = ("kill", "kill", "kill", "interrupt", "full", "error", "limit")
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)


def planned(trial: Trial, rng: random.Random) -> dict[str, Any]:
    """A fault for the next run of a job."""
    kind = rng.choice(KINDS)
    if kind == "limit":
        largest = max(map(len, trial.expected.values()))
        return {"kind": kind, "bytes": rng.randrange(1500, largest)}
    return {"kind": kind, "at": rng.randrange(1, trial.points + 1), "errno": rng.choice(CODES)}


def soak(minutes: float, seed: int, only: str | None) -> int:
    """Run trials until the time is over; print a table; return the number of trials that failed."""
    rng, failures = random.Random(seed), list[str]()  # noqa: S311
    with opened_bench() as bench:
        jobs = {**build_jobs(bench), **use_jobs(bench)}
        trials = [Trial(bench.server, job, bench.folder) for name, job in jobs.items() if only in (None, name)]
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            for trial in trials:
                plan, out = planned(trial, rng), trial.fresh()
                try:
                    trial.disturb(out, plan)
                    trial.finish(out, plan)
                except AssertionError as error:
                    failures.append(f"{trial.job.name} {plan}: {' '.join(str(error).split())[:300]}")
        print(table(trials))
    for failure in failures:
        print(f"FAILED {failure}")
    return len(failures)


def table(trials: list[Trial]) -> str:
    """Faults injected and survived by job, and the bytes compared."""
    kinds = sorted({*KINDS})
    lines = [f"{'job':<10}" + "".join(f"{kind:>14}" for kind in kinds) + f"{'bytes compared':>18}"]
    total = Counter[str]()
    for trial in trials:
        tally = trial.tally
        cells = (f"{tally.survived[kind]:,} of {tally.injected[kind]:,}" for kind in kinds)
        lines.append(
            f"{trial.job.name:<10}" + "".join(f"{cell:>14}" for cell in cells) + f"{tally.bytes_compared:>18,}"
        )
        total.update(injected=tally.injected.total(), survived=tally.survived.total(), bytes=tally.bytes_compared)
    lines.append(f"{total['survived']:,} of {total['injected']:,} faults survived, {total['bytes']:,} bytes compared")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", choices=["build", "import", "export", "inspect", "train", "enhance"])
    arguments = parser.parse_args()
    sys.exit(int(bool(soak(arguments.minutes, arguments.seed, arguments.job))))

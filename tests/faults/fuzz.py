"""Read damaged files by the thousand: nothing may crash, hang, take a gigabyte, write elsewhere or raise a bare error.

    python tests/faults/fuzz.py --count 100000 --seed 1

Every mutation is a function of seed, target and number; the command to repeat one is printed with what it found.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from fault_jobs import memory_folder  # noqa: E402
from fuzz_targets import ALLOWED, Target, all_targets, reset  # noqa: E402

LIMIT_S = 10
"""Of processor time, which does not depend on what else the machine does."""
ASLEEP_S = 300
"""By the clock, for what waits without working."""
LIMIT_BYTES = 2**30
BATCH = 200


def damaged(target: Target, seed: int, number: int) -> bytes:
    """The file's content in one mutation."""
    rng = Random(f"{seed}/{target.name}/{number}")  # noqa: S311
    chosen = target.examples[number % len(target.examples)] if target.in_order else rng.choice(target.examples)
    return target.mutate(chosen, rng)


def run_batch(target: Target, folder: Path, seed: int, numbers: range) -> tuple[int, int, list[str]]:
    """Read some mutations in a child process; return how many were refused, how many were done, what was found."""
    reader, writer = os.pipe()
    gc.freeze()  # looking through what is there already would copy its memory
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(target, folder, seed, numbers, os.fdopen(writer, "w", buffering=1))
        os._exit(0)
    os.close(writer)
    refused, done, found = 0, 0, []
    with os.fdopen(reader) as lines:
        for line in lines:
            kind, _, text = line.rstrip("\n").partition(" ")
            refused += kind == "refused"
            if kind == "found":
                found.append(text)
            done += 1
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        hangs = -code in (signal.SIGPROF, signal.SIGALRM)
        what = f"hangs (over {LIMIT_S} s)" if hangs else f"ends the process ({code})"
        found.append(f"{target.name} {numbers.start + done}: {what}")
        done += 1
    return refused, done, found


def _child(target: Target, folder: Path, seed: int, numbers: range, out: Any) -> None:
    place = reset(target, folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries print
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    writes: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if (
            event == "open"
            and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            and not str(arguments[0]).startswith(str(place))
        ):
            writes.append(str(arguments[0]))

    sys.addaudithook(watch)
    for number in numbers:
        (place / target.file).write_bytes(damaged(target, seed, number))
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        signal.alarm(ASLEEP_S)
        verdict = "read"
        try:
            target.read(place)
        except ALLOWED as error:
            verdict = "refused" if "\n" not in str(error) else f"found {target.name} {number}: more than one line"
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)[:-4:-1]
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
            text = " ".join(str(error).split())[:200]
            verdict = f"found {target.name} {number}: {type(error).__name__}: {text} ({where})"
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if writes:
            verdict = f"found {target.name} {number}: writes to {writes.pop()}"
        out.write(verdict + "\n")


def main() -> int:
    """Run all targets, or the one asked for; exit status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="mutations over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation of each target")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    arguments = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    folder = Path(tempfile.mkdtemp(prefix="dped-fuzz-", dir=memory_folder()))
    counts, refused = Counter[str](), Counter[str]()
    found, start = list[str](), time.monotonic()
    try:
        targets = [t for t in all_targets(folder) if arguments.target in (None, t.name)]
        for target, share in shares(targets, arguments.count):
            number, end = arguments.first, arguments.first + share
            while number < end:
                part = run_batch(target, folder, arguments.seed, range(number, min(number + BATCH, end)))
                refused[target.name] += part[0]
                number += part[1]
                counts[target.name] += part[1]
                found += part[2]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps({"mutations": dict(counts), "refused": dict(refused), "found": found}))
    else:
        for name, count in counts.items():
            print(f"{name:<18}{count:>9,}")
        print(f"{'all':<18}{counts.total():>9,} mutations, {refused.total():,} refused with one line, the others read;")
        print(f"{len(found)} faults found in {time.monotonic() - start:.0f} s (seed {arguments.seed})")
        for line in found[:100]:
            print(f"  {line}")
    return int(bool(found))


def shares(targets: list[Target], count: int) -> Iterator[tuple[Target, int]]:
    """Yield every target with its part of the mutations: a fixed list is read whole, the others share what is left."""
    left = sorted(targets, key=lambda target: not target.in_order)
    for index, target in enumerate(left):
        share = len(target.examples) if target.in_order else -(-count // (len(left) - index))
        count = max(0, count - share)
        yield target, share


if __name__ == "__main__":
    sys.exit(main())

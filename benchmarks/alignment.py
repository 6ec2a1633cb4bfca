"""Measure `dped build-dataset` and a naive builder side by side on simulated rigs, and print one table.

    python benchmarks/alignment.py                                     scikit-image's photos
    python benchmarks/alignment.py --photos DIR                        your own
    python benchmarks/alignment.py --families small --captures 2 --crossings 0        a quick look

docs/accuracy.md explains the columns.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import comparing
import numpy as np
from families import FAMILIES, LARGE, LARGE_RIG, cross, render
from measurements import Crossed, Result, cross_dped, cross_naive, measure_dped, measure_naive, worker_memory_mb
from tables import calibration_table, contrast_table, crossed_table, result_table

from dped_data.simulation.demo_photos import copy_photos

YARDSTICK = "decoding both photos"
NAIVE = Path(__file__).with_name("naive_builder.py")


def main() -> int:
    """Run the benchmark."""
    options = parse_options()
    machine = comparing.this_machine(1)
    print(machine, end="\n\n")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        photos = options.photos or demo_photos(work / "demo")
        results = list(measure_families(photos, work, options))
        print(result_table(results), calibration_table(results), contrast_table(results), sep="\n\n")
        crossed = list(measure_crossed(photos, work / "crossed", options)) if options.crossings else []
        if crossed:
            print("", crossed_table(crossed), sep="\n")
        if options.large:
            rig_dir = render(LARGE, photos, work / "large", 1, 1.0, 1)
            peak_mb = worker_memory_mb(rig_dir / "captures", work / "large-dataset", LARGE_RIG)
            print(f"\nPeak memory of a worker with a 20-megapixel DSLR photo: {peak_mb:.0f} MB")
        if options.json:
            figures = {"results": [dataclasses.asdict(r) for r in results], "crossed": [vars(c) for c in crossed]}
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
    taken = {f"{r.family}, {r.builder}": r.process_s for r in results}
    taken |= {YARDSTICK: float(np.median([r.decode_s for r in results]))} if results else {}
    return comparing.finish(comparing.Run("alignment", machine, taken, YARDSTICK), options)


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    names = [family.name for family in FAMILIES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="scene photos (default: photos that ship with scikit-image)")
    parser.add_argument("--captures", type=int, default=8, help="captures per family (default: 8)")
    parser.add_argument("--families", nargs="+", choices=names, default=names)
    parser.add_argument("--scale", type=float, help="size of the photos (default: 1; 0.35 for scikit-image's photos)")
    parser.add_argument("--naive", type=Path, default=NAIVE, help="another script with naive_builder.py's command line")
    parser.add_argument("--no-naive", dest="naive", action="store_const", const=None, help="measure dped alone")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of dped (default: 2)")
    parser.add_argument("--crossings", type=int, default=210, help="mismatched captures to try (default: 210)")
    parser.add_argument("--naive-crossings", type=int, default=30, help="of these, for the naive builder (default: 30)")
    parser.add_argument("--large", action="store_true", help="also measure the memory for a 20-megapixel DSLR photo")
    parser.add_argument("--work", type=Path, help="keep rigs and datasets here, and use the rigs again")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    comparing.add_options(parser)
    options = parser.parse_args()
    if options.scale is None:
        options.scale = 1.0 if options.photos else 0.35
    return options


def demo_photos(folder: Path) -> Path:
    """Collect the photos that ship with scikit-image."""
    copy_photos(folder / "photos")
    return folder / "photos"


def measure_families(photos: Path, work: Path, options: argparse.Namespace) -> Iterator[Result]:
    """Render every family that was asked for and measure the builders on it."""
    for family in FAMILIES:
        if family.name in options.families:
            rig_dir = render(family, photos, work / family.name, options.captures, options.scale, options.jobs)
            if options.naive:
                yield measure_naive(family, rig_dir, work, options.naive)
            yield measure_dped(family, rig_dir, work, options.jobs)


def measure_crossed(photos: Path, folder: Path, options: argparse.Namespace) -> Iterator[Crossed]:
    """Pair photos of different scenes and see what the builders accept."""
    count = cross(photos, folder, options.crossings, options.jobs)
    if options.naive:
        yield cross_naive(folder, min(count, options.naive_crossings), options.naive)
    yield cross_dped(folder, count, options.jobs)


if __name__ == "__main__":
    sys.exit(main())

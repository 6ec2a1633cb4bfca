"""Where the time of a pair goes: the processor time of every stage of aligning it, beside that of decoding its photos.

    dped simulate-rig --photos PHOTOS --out rig --phone sony --count 4
    python benchmarks/stages.py rig/captures --phone sony --dslr canon

One thread, the least of several rounds for every pair, means over the pairs. A processor with AVX-512 works as one
without it by NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES= OPENCV_CPU_DISABLE=AVX512-SKX OPENBLAS_CORETYPE=Haswell
NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL" NUMBA_CACHE_DIR=FOLDER.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import comparing
import cv2
import numpy as np
import simplejpeg

from dped_data.align import cell_check, patches, pipeline, refinement
from dped_data.settings import BuildSettings

STAGES: tuple[tuple[str, ModuleType, tuple[str, ...]], ...] = (
    ("keypoints", pipeline, ("detect_features",)),
    ("matches, homography", pipeline, ("match_features", "estimate_homography")),
    ("smooth maps", refinement, ("fit_matches", "fit_plane", "_best_fit")),
    ("shrunk photos", refinement, ("make_level",)),
    ("search", refinement, ("_searched", "track_far")),
    ("tracks", refinement, ("track_tie_points",)),
    ("kriging, own word", refinement, ("krige", "surface_variance", "own_motions", "hear_windows")),
    ("depth edges", refinement, ("quadrant_moves", "rival_evidence")),
    ("sampling the DSLR", patches, ("sample_dslr",)),
    ("correlation", patches, ("correlate_patches",)),
    ("foreign content", patches, ("foreign_shares", "foreign_masks")),
    ("cells", patches, ("cells_disagree",)),
    ("cells", cell_check, ("displaced_content",)),
    ("target quality", patches, ("measure_quality",)),
    ("notes", pipeline, ("compare_tones", "count_contrast")),
)
T = TypeVar("T")
YARDSTICK, REST, ALL = "decoding both photos", "everything else", "aligning a pair"


class Clock:
    """Processor time of this thread by stage; a stage within another one counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, stage: str, function: Callable[..., T]) -> Callable[..., T]:
        """Return the function, whose time is added up."""

        def timed(*args: object, **kwargs: object) -> T:
            self._inner.append(0.0)
            begin = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                taken = time.thread_time() - begin
                self.seconds[stage] += taken - self._inner.pop()
                self._inner[-1] += taken

        return timed


def measure(pairs: list[tuple[bytes, bytes]], rounds: int) -> dict[str, float]:
    """Return stage -> seconds, the mean over the pairs."""
    clock = Clock()
    for stage, module, names in STAGES:
        for name in names:
            setattr(module, name, clock.timed(stage, getattr(module, name)))
    align = clock.timed(REST, pipeline.align_photos)
    best: list[dict[str, float]] = []
    for pair in pairs:
        found = []
        for number in range(rounds + (not best)):  # the first round of all loads the compiled code
            clock.seconds.clear()
            begin = time.thread_time()
            phone, dslr = (simplejpeg.decode_jpeg(photo) for photo in pair)
            decoded = time.thread_time() - begin
            align(phone, dslr, BuildSettings())
            if best or number:
                found.append({YARDSTICK: decoded, **clock.seconds, ALL: sum(clock.seconds.values())})
        least = min(found, key=lambda taken: taken[ALL])
        best.append(least | {YARDSTICK: min(taken[YARDSTICK] for taken in found)})
    names = dict.fromkeys(name for taken in best for name in taken)
    return {name: float(np.mean([taken.get(name, 0.0) for taken in best])) for name in names}


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path, help="folder with the cameras' folders of JPEG files")
    parser.add_argument("--phone", default="sony", help="folder of the phone's photos (default: sony)")
    parser.add_argument(
        "--dslr", default="canon", help="folder of the DSLR's photos, in the same order (default: canon)"
    )
    parser.add_argument("--count", type=int, default=4, help="pairs to align (default: 4)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is aligned (default: 3)")
    comparing.add_options(parser)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    machine = comparing.this_machine(1)
    print(machine)
    sides = [
        sorted((options.captures / camera).rglob("*.jpg"))[: options.count] for camera in (options.phone, options.dslr)
    ]
    taken = measure([(a.read_bytes(), b.read_bytes()) for a, b in zip(*sides, strict=True)], options.rounds)
    print(f"{'':24}{'ms':>8}{'x decoding':>12}{'share':>8}")
    for name, seconds in sorted(taken.items(), key=lambda item: -item[1]):
        share = "" if name == YARDSTICK else f"{seconds / taken[ALL]:7.1%}"
        print(f"{name:24}{1e3 * seconds:8.1f}{seconds / taken[YARDSTICK]:12.2f}{share:>8}")
    return comparing.finish(comparing.Run("stages", machine, taken, YARDSTICK), options)


if __name__ == "__main__":
    sys.exit(main())

"""How fast the alignment's compiled loops are against what numpy, scipy or OpenCV offer for the same.

Run `PYTHONPATH=.:tests python benchmarks/kernels.py`; numbers are time of the other over time of the loop, best of
several runs on one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import comparing
import cv2
import numpy as np
from naive.test_naive_kriging import KERNEL, krige
from naive.test_naive_lucas_kanade import SIZE, track
from naive.windows import photo, quadratic, some_maps
from scipy.ndimage import map_coordinates

from dped_data.align.kernels.bilinear import VECTOR, sample_window
from dped_data.align.kernels.kriging import local_kriging
from dped_data.align.kernels.lucas_kanade import TrackSettings, track_windows
from dped_data.align.kernels.smooth_map import normal_equations
from dped_data.align.kernels.template_search import search_windows
from dped_data.common.jit import njit
from dped_data.simulation.kernels import _sample

Work = Callable[[], object]
RANDOM = np.random.default_rng(0)


def seconds(work: Work) -> float:
    """Return the least time of one call, after one that compiles."""
    work()
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        for _ in range(3):
            work()
        times.append((time.perf_counter() - begin) / 3)
    return min(times)


@njit()
def sample_all(scene, xy, out):  # type: ignore[no-untyped-def]
    for i in range(len(xy)):
        out[i, 0], out[i, 1], out[i, 2] = _sample(scene, xy[i, 0], xy[i, 1])


@njit()
def sample_many(image, fx, fy, size, places, parts, values):  # type: ignore[no-untyped-def]
    sample_window(image, fx, fy, (size - 1) * 0.5, 0, 0, size, places, parts, values)


def pairs() -> dict[str, tuple[Work, Work]]:
    """Return name of the kernel and its counterpart -> (the kernel, the counterpart)."""
    image, size = photo(400, 400), 96
    corners = np.array([(30, 40), (200, 210), (250, 100), (100, 250)])
    maps = some_maps(corners, size)
    values, places = np.empty(size**2, np.float32), np.empty(size**2 + VECTOR, np.uint32)
    parts = np.empty((2, size**2 + VECTOR), np.float32)
    v, u = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]

    def remap() -> object:
        x, y = (quadratic(maps[0, axis], u, v).astype(np.float32) for axis in (0, 1))
        return cv2.remap(image, x, y, cv2.INTER_LINEAR)

    def match() -> None:
        for x, y in corners:
            cv2.matchTemplate(
                image[y - 8 : y + size + 8, x - 8 : x + size + 8],
                image[y : y + size, x : x + size],
                cv2.TM_CCOEFF_NORMED,
            )

    design, weight, fitted = RANDOM.normal(size=(21, 4000)), RANDOM.random(4000), RANDOM.normal(size=(2, 4000))
    normal, right = np.empty((21, 21)), np.empty((21, 2))
    settings = TrackSettings(True, 4, 1e-9, 1.5, 0.4, 3.0)
    tracked, start = some_maps(corners, SIZE), np.zeros((4, 6))
    centres, moved = RANDOM.uniform(0, 200, (60, 2)), RANDOM.normal(0, 0.3, (60, 2))
    noise, usable = np.tile(0.05 * np.eye(2), (60, 1, 1)), np.ones(60, bool)
    query, own = centres[:20, None] + RANDOM.normal(0, 9, (20, 9, 2)), np.arange(20)
    scene, xy, out = RANDOM.random((200, 200, 3), np.float32), RANDOM.uniform(0, 199, (9999, 2)), np.empty((9999, 3))

    def field() -> None:
        zeros = np.zeros((20, 9, 2)), np.zeros(20), np.zeros(20), np.zeros(20)
        local_kriging(centres, moved, noise, usable, query, own, KERNEL, *zeros)

    return {
        "bilinear against cv2.remap with numpy's coordinates": (
            lambda: sample_many(image, maps[0, 0], maps[0, 1], size, places, parts, values),
            remap,
        ),
        "template_search against cv2.matchTemplate": (
            lambda: search_windows(image, image, corners, size, maps, 8),
            match,
        ),
        "smooth_map's normal equations against numpy": (
            lambda: normal_equations(design, weight, fitted, normal, right),
            lambda: ((design * weight) @ design.T, (design * weight) @ fitted.T),
        ),
        "lucas_kanade against tests/naive": (
            lambda: track_windows(image, image, corners, SIZE, tracked, start, settings),
            lambda: [track(image, image, corners[k], tracked[k], start[k], settings) for k in range(4)],
        ),
        "kriging with cholesky against numpy.linalg.solve": (
            field,
            lambda: [krige(centres, moved, noise, usable, query[k], k) for k in range(20)],
        ),
        "simulation's spline against scipy.ndimage.map_coordinates": (
            lambda: sample_all(scene, xy, out),
            lambda: [map_coordinates(scene[..., c], xy.T[::-1], order=3, prefilter=False) for c in range(3)],
        ),
    }


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    comparing.add_options(parser)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    machine, taken = comparing.this_machine(1), {}
    print(machine)
    for name, (kernel, counterpart) in pairs().items():
        taken[name] = seconds(kernel)
        print(f"{seconds(counterpart) / taken[name]:6.1f}  {name}", flush=True)
    return comparing.finish(comparing.Run("kernels", machine, taken), options)


if __name__ == "__main__":
    sys.exit(main())

"""Work shared among threads, and the scratch buffers that each thread keeps from one call to the next.

Instead of it: one thread for the passes around a Winograd convolution's matrix products, and torch's own threads for
the products, which costs 1.1 times the time of a training step on two cores (float32, AMD EPYC with AVX-512;
`python benchmarks/cpu_parts.py --threads 2`); and a new tensor instead of a scratch buffer, which costs 1.03 times the
processor time (without `--threads`).

Off: DPED_PLAIN_TORCH=1. Delete it with `winograd`, its only caller.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def share(work: Callable[[range], None], units: int, size: int) -> None:
    """Do the work on `units` times `size` pieces with as many threads as torch has, each on whole units.

    Torch's own threads cannot be had from Python. These sleep while they wait, and each computes with one thread.
    """
    threads = torch.get_num_threads()
    count = min(threads, units)
    bounds = [size * (units * index // count) for index in range(count + 1)]
    if count == 1:
        work(range(*bounds))
        return
    pool = scratch.pool(threads)
    for done in [pool.submit(work, range(*part)) for part in pairwise(bounds)]:
        done.result()


class Scratch(threading.local):
    """What a thread keeps between calls: its helpers and its scratch buffers."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}
        self._pool: tuple[tuple[int, int], ThreadPoolExecutor] | None = None

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A float32 scratch buffer, not cleared, valid until this thread's next call with the same name."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.numel() < size:
            kept = self._kept[name] = torch.empty(size)
        return kept[:size].view(shape)

    def pixels(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The same as an array."""
        return self.tensor(name, shape).numpy()

    def pool(self, threads: int) -> ThreadPoolExecutor:
        """Helpers that compute with one thread each; new ones after a fork, which does not take threads along."""
        key = (os.getpid(), threads)
        if self._pool is None or self._pool[0] != key:
            self._pool = (key, _started_pool(threads))
        return self._pool[1]


scratch = Scratch()


def _started_pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, "winograd")
    together = threading.Barrier(threads)

    def prepare() -> None:
        torch.set_num_threads(1)
        together.wait()

    for started in [pool.submit(prepare) for _ in range(threads)]:
        started.result()
    torch.set_num_threads(threads)  # each thread has its own number, but threads to come take the last one that was set
    return pool

"""What each hand-made part of `dped_train.cpu` saves: a step of training, or a photo enhanced, with it and without it.

    python benchmarks/cpu_parts.py [--work training|enhancing] [--precision fp32] [--threads 1] [--rounds 5]
                                   [--only NAME…]

In one process, on the same data, all variants take turns; every one but the first leaves one part out and takes what
torch has instead. Printed is the time of the best round over that of the first, by the clock and by processor time. On
a busy machine ratios of processor time with `--threads 1` vary by a few hundredths; what threads save shows by the
clock with two or more only. A photo in strips is normalised by known statistics and has no use for three of the parts.
The batch is 10 pairs of 100 px with VGG-19 (random weights), the photo has 1024x768 px and exact maps.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command line has it

import comparing
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from training import PATCH_PX, Process, Run, make_dataset, write_random_vgg

from dped_data.common.malloc import keep_freed_memory
from dped_data.dataset.store import PatchStore
from dped_train.cpu import NORM_EPSILON, RgbConv2d, instance_norm, strip_passes, threads, winograd
from dped_train.cpu.switch import SWITCH
from dped_train.enhancing.streaming import WholePhotoEnhancer
from dped_train.networks import dped
from dped_train.settings import TrainSettings

BATCH = 10
Pixels = winograd.Pixels
BASE = "all parts"
A, B = 2 / 3, 3 / 2
SUM = A**2 + B**2
INPUT_MATRIX = torch.tensor(  # B^T of winograd_kernels
    [
        [1, 0, -SUM, 0, 1, 0],
        [0, -B, -(B**2), A, 1, 0],
        [0, B, -(B**2), -A, 1, 0],
        [0, -A, -(A**2), B, 1, 0],
        [0, A, -(A**2), -B, 1, 0],
        [0, 1, 0, -SUM, 0, 1],
    ]
)
OUTPUT_MATRIX = torch.tensor(  # A^T
    [
        [1, 1, 1, 1, 1, 0],
        [0, A, -A, B, -B, 0],
        [0, A**2, A**2, B**2, B**2, 0],
        [0, A**3, -(A**3), B**3, -(B**3), 1],
    ]
)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, GLIBC_DEFAULT = -1, -3, 128 * 1024


def torchs_instance_norm(
    x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False, skip: Tensor | None = None
) -> Tensor:
    y = F.instance_norm(x, weight=weight.to(x.dtype), bias=bias.to(x.dtype), eps=NORM_EPSILON)
    y = F.relu(y) if relu else y
    return y if skip is None else y + skip


def norm_by_definition(
    x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False, skip: Tensor | None = None
) -> Tensor:
    with patch.dict(os.environ, {SWITCH: "1"}):
        return instance_norm(x, weight, bias, relu=relu, skip=skip)


def one_after_the_other(work: Callable[[range], None], units: int, size: int) -> None:
    work(range(units * size))


def convolve_by_torch(x: Pixels, planes: Tensor, bias: Pixels, y: Pixels, top: int) -> None:
    """The passes around the matrix products as torch's operations; arguments as `winograd._convolve` has them."""
    channels, outputs = planes.shape[1:]
    photos, out = (torch.from_numpy(rows).unflatten(2, (-1, c)) for rows, c in ((x, channels), (y, outputs)))
    high, wide = (-(-size // 4) for size in out.shape[1:3])
    below, right = 4 * high + 2 - top - photos.shape[1], 4 * wide + 1 - photos.shape[2]
    tiles = F.pad(photos, (0, 0, 1, right, top, below)).unfold(1, 6, 4).unfold(2, 6, 4)
    before = (INPUT_MATRIX @ tiles @ INPUT_MATRIX.T).permute(4, 5, 0, 1, 2, 3).reshape(36, -1, channels)
    after = torch.bmm(before, planes).view(6, 6, len(photos), high, wide, outputs).permute(2, 3, 4, 5, 0, 1)
    tiles = (OUTPUT_MATRIX @ after @ OUTPUT_MATRIX.T).permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)
    out.copy_(tiles[:, : out.shape[1], : out.shape[2]] + torch.from_numpy(bias))


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """The C library's own thresholds, fixed where it starts with them."""
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_THRESHOLD, GLIBC_DEFAULT)
    library.mallopt(M_TRIM_THRESHOLD, GLIBC_DEFAULT)
    library.malloc_trim(0)
    yield
    keep_freed_memory()


ENHANCING = ("Winograd", "threads", "scratch", "strip", "freed", "plain")
VARIANTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    BASE: nullcontext,
    "without the Winograd convolution": lambda: patch.object(winograd, "fits", lambda x, weight: False),
    "without its compiled passes (forward)": lambda: patch.object(winograd, "_convolve", convolve_by_torch),
    "without its planes kept": lambda: patch.object(winograd.Conv3x3, "_known_planes", lambda self, x: None),
    "without its threads": lambda: patch.object(winograd, "share", one_after_the_other),
    "without its scratch buffers": lambda: patch.object(
        threads.Scratch, "tensor", lambda self, name, shape: torch.empty(shape)
    ),
    "without our instance norm (torch's)": lambda: patch.object(dped, "instance_norm", torchs_instance_norm),
    "without our instance norm (definition)": lambda: patch.object(dped, "instance_norm", norm_by_definition),
    "without the RGB convolution": lambda: patch.object(RgbConv2d, "forward", torch.nn.Conv2d.forward),
    "without a strip's one pass": lambda: patch.object(strip_passes, "_fits", lambda x: False),
    "without freed memory kept": freed_memory_returned,
    "plain torch (DPED_PLAIN_TORCH=1)": lambda: patch.dict(os.environ, {SWITCH: "1"}),
}


def training(folder: Path, precision: str) -> Iterator[Callable[[], object]]:
    """One step after the other of `dped train`; the DSLR features are known from the third on."""
    make_dataset(folder / "data" / "toy", train=2 * BATCH, val=0, test=0, size=PATCH_PX, shards=1)
    write_random_vgg(folder / "vgg.npz")
    settings = TrainSettings(steps=10_000, batch_size=BATCH, vgg=str(folder / "vgg.npz"), device="cpu")
    settings = replace(settings, precision=precision)
    run = Run(settings, PatchStore(folder / "data" / "toy", "train"), Process(0, 1, torch.device("cpu")), folder)
    for read in run.batches(0):
        yield lambda read=read: run.step(read)


def enhancing(folder: Path, precision: str) -> Iterator[Callable[[], object]]:
    """The same photo again and again, as `dped enhance` does it."""
    network = dped.Enhancer()
    dped.initialise(network, 0)
    prepared = WholePhotoEnhancer(network, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    photo = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), np.uint8)
    while True:
        yield lambda: prepared.enhance(photo, 10**12)


def main() -> int:
    """Parse, let the variants take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=("training", "enhancing"), default="training")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="variants to measure, by a word of their names")
    comparing.add_options(parser)
    options = parser.parse_args()
    # compiled passes: ten times as slow without, only where it is asked for; training has no strips
    every = [name for name in VARIANTS if "compiled" not in name and "strip" not in name]
    words = options.only or (ENHANCING if options.work == "enhancing" else every)
    variants = {name: of for name, of in VARIANTS.items() if name == BASE or any(word in name for word in words)}
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        works = (training if options.work == "training" else enhancing)(Path(folder), options.precision)
        for _ in range(2):
            next(works)()  # compiles, and sees every DSLR patch once
        for _ in range(options.rounds):
            for name, without in variants.items():
                work = next(works)
                with without():
                    start, cpu = perf_counter(), process_time()
                    work()
                    taken[name].append((perf_counter() - start, process_time() - cpu))
    base = np.min(taken[BASE], axis=0)
    machine = comparing.this_machine(options.threads)
    print(machine)
    print(f"{options.work} in {options.precision}")
    for name, times in taken.items():
        clock, cpu = np.min(times, axis=0)
        print(f"{name:40} {clock:7.2f} s {clock / base[0]:6.3f}   {cpu:7.2f} cpu s {cpu / base[1]:6.3f}")
    best = {name: min(clock for clock, _ in times) for name, times in taken.items()}
    run = comparing.Run(f"cpu_parts, {options.work} in {options.precision}", machine, best, BASE)
    return comparing.finish(run, options)


if __name__ == "__main__":
    sys.exit(main())

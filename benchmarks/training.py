"""Patches per second of a training step: ours in fp32 and bf16 against a plain PyTorch step, and TensorFlow's.

    python benchmarks/training.py [--batch-size 10] [--steps 4] [--threads 2] [--tensorflow PYTHON]

PYTHON is an interpreter with TensorFlow and h5py, of an environment of its own; see tensorflow_step.py.

Every variant runs in a process of its own, on the same batches of a small dataset made here, recipe `released`, VGG-19
with random weights (the time does not depend on them). The dataset has two batches: the first step warms up, the
second is what a first epoch costs, from the third on the DSLR features are known. The plain step is what the recipe
says, written down: float32, channels first, patches read by h5py's fancy indexing, all pairs enhanced in both steps,
the DSLR patches passed through VGG every time, gradients wherever autograd finds them.
Ratios are of the later steps, by the clock and by processor time. The second holds on a machine that is busy with other
things too, provided that --threads is 1: threads that wait for each other spin.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import comparing  # noqa: E402
from make_shards import make_dataset  # noqa: E402
from plain_layers import with_plain_layers  # noqa: E402

from dped_data.common.malloc import keep_freed_memory  # noqa: E402
from dped_data.dataset.store import PatchStore  # noqa: E402
from dped_train.data import DISCRIMINATOR_BATCH, GENERATOR_BATCH, PatchPairs  # noqa: E402
from dped_train.losses import RELEASED, discriminator_loss, generator_losses  # noqa: E402
from dped_train.networks.dped import Discriminator, Enhancer, initialise  # noqa: E402
from dped_train.networks.vgg import load_vgg  # noqa: E402
from dped_train.run.distributed import Process  # noqa: E402
from dped_train.settings import TrainSettings  # noqa: E402
from dped_train.train import Run  # noqa: E402

VGG19_WIDTHS = (3, 64, 64, 128, 128, *(256,) * 4, *(512,) * 8)
VARIANTS = ("plain", "ours fp32", "ours bf16")
PATCH_PX = 100
TABLE_HEAD = " " * 10 + "  first epoch    later  ratio    cpu s  ratio  waiting  peak MB  losses"


def plain_steps(data: Path, vgg_file: Path, batch_size: int, steps: int) -> list[dict[str, float]]:
    """The released recipe's steps, written down as in any PyTorch script."""
    enhancer, discriminator, vgg = Enhancer(), Discriminator(patch_size=PATCH_PX), load_vgg(vgg_file)
    initialise(enhancer, 0)
    initialise(discriminator, 1)
    for network in (enhancer, discriminator, vgg):
        with_plain_layers(network)
    adams = [torch.optim.Adam(network.parameters(), 5e-4) for network in (enhancer, discriminator)]
    store = PatchStore(data / "toy", "train")
    pairs = PatchPairs(store, batch_size=batch_size, seed=0)
    rows = []
    for step in range(steps):
        start, cpu = perf_counter(), process_time()
        phone, dslr = fancy_read(store, pairs.indices(GENERATOR_BATCH, step))
        waited = perf_counter() - start
        losses = generator_losses(enhancer(phone), dslr, recipe=RELEASED, discriminator=discriminator, vgg=vgg)
        adams[0].zero_grad()
        losses.total.backward()
        adams[0].step()
        begin = perf_counter()
        batch = pairs.read(DISCRIMINATOR_BATCH, step)
        phone, dslr = fancy_read(store, batch.indices)
        waited += perf_counter() - begin
        is_dslr = torch.from_numpy(batch.show_dslr)
        coin = is_dslr.float().view(-1, 1, 1, 1)
        loss = discriminator_loss(discriminator(enhancer(phone) * (1 - coin) + dslr * coin), is_dslr, "softmax")
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()
        seconds, cpu_s = perf_counter() - start, process_time() - cpu
        rows.append({"seconds": seconds, "cpu_s": cpu_s, "waited_s": waited, "total": losses.total.item()})
    return rows


def fancy_read(store: PatchStore, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Read patches with h5py's fancy indexing, which wants them sorted and without repetition, and convert them."""
    with h5py.File(store.folder / store.shards[0].file) as file:
        unique, inverse = np.unique(indices, return_inverse=True)
        phone, dslr = (np.float32(file[name][unique][inverse]) / 255 for name in ("phone", "dslr"))
    return tuple(torch.from_numpy(photos.transpose(0, 3, 1, 2).copy()) for photos in (phone, dslr))


def our_steps(data: Path, vgg_file: Path, batch_size: int, steps: int, precision: str) -> list[dict[str, float]]:
    """The same steps as `dped train` does them."""
    keep_freed_memory()
    settings = TrainSettings(
        steps=steps, batch_size=batch_size, vgg=str(vgg_file), device="cpu", start="random", warmup=0
    )
    settings = replace(settings, precision=precision)
    run = Run(settings, PatchStore(data / "toy", "train"), Process(0, 1, torch.device("cpu")), data)
    rows = []
    for read in run.batches(0):
        start, cpu = perf_counter(), process_time()
        figures = run.step(read)
        seconds, cpu_s = perf_counter() - start + read.waited_s, process_time() - cpu
        rows.append({"seconds": seconds, "cpu_s": cpu_s, "waited_s": read.waited_s, "total": figures["total"]})
    return rows


def write_random_vgg(path: Path) -> None:
    """VGG-19 with random weights of a size that keeps its activations near 1."""
    rng = np.random.default_rng(0)
    arrays = {}
    for number, (before, after) in enumerate(pairwise(VGG19_WIDTHS)):
        kernel = rng.standard_normal((after, before, 3, 3), np.float32) * np.sqrt(2 / (9 * before))
        arrays |= {f"conv{number}.weight": kernel, f"conv{number}.bias": np.zeros(after, np.float32)}
    np.savez(path, **arrays)


def measure(variant: str, folder: Path, batch_size: int, steps: int) -> None:
    """Run one variant in this process and print its rows as JSON."""
    arguments = (folder / "data", folder / "vgg.npz", batch_size, steps)
    rows = plain_steps(*arguments) if variant == "plain" else our_steps(*arguments, precision=variant.split()[1])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "peak_mb": peak_mb}))


def main() -> int:
    """Parse, run every variant in its own process, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4, help="at least 3")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tensorflow", metavar="PYTHON", help="interpreter that has TensorFlow")
    comparing.add_options(parser)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        torch.set_num_threads(options.threads)
        measure(options.variant, options.folder, options.batch_size, options.steps)
        return 0
    machine, taken = comparing.this_machine(options.threads), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dataset(folder / "data" / "toy", train=2 * options.batch_size, val=0, test=0, size=PATCH_PX, shards=1)
        write_random_vgg(folder / "vgg.npz")
        print(machine, f"batch {options.batch_size}, patches/s", sep="\n")
        print(TABLE_HEAD)
        base, base_cpu = 0.0, 0.0
        for variant in (*VARIANTS, *(["tensorflow"] if options.tensorflow else [])):
            if variant == "tensorflow":
                shard, vgg = folder / "data" / "toy" / "train" / "00000.h5", folder / "vgg.npz"
                command = [options.tensorflow, str(ROOT / "benchmarks" / "tensorflow_step.py"), str(shard), str(vgg)]
            else:
                command = [sys.executable, __file__, "--variant", variant, "--folder", name]
            for option in ("batch_size", "steps", "threads"):
                command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
            waiting = {"OMP_WAIT_POLICY": "passive"} if variant.startswith("ours") else {}  # as the command line has it
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | waiting).stdout
            result = json.loads(output)
            seconds = [row["seconds"] for row in result["rows"]]
            first, later = (options.batch_size / s for s in (seconds[1], float(np.median(seconds[2:]))))
            cpu_s = float(np.median([row["cpu_s"] for row in result["rows"][2:]]))
            taken[variant] = options.batch_size / later
            base, base_cpu = base or later, base_cpu or cpu_s
            waiting = sum(row["waited_s"] for row in result["rows"][1:]) / sum(seconds[1:])
            losses = " ".join(f"{row['total']:.5g}" for row in result["rows"])
            figures = f"{first:12.2f} {later:8.2f} {later / base:6.2f} {cpu_s:8.2f} {base_cpu / cpu_s:6.2f}"
            figures += f" {waiting:8.3%} {result['peak_mb']:8.0f}"
            print(f"{variant:10} {figures}  {losses}", flush=True)
    return comparing.finish(comparing.Run("training", machine, taken, "plain"), options)


if __name__ == "__main__":
    sys.exit(main())

"""Random batches from one shard and from a thousand: datasets of noise, of the size of the paper's patches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dped_data import PatchStore
from dped_data.align.records import Patches
from dped_data.common.files import sha256_of_file
from dped_data.dataset.manifest import Manifest, ShardEntry, SplitEntry, write_manifest
from dped_data.dataset.shards import ShardCapture, write_shard

SIZE = 100
BATCH = 50
BATCHES = 200

Compression = Literal["none", "gzip"]


@dataclass(frozen=True)
class Reading:
    """Reading one dataset: milliseconds to open it, to read a first patch of each shard, and per random batch."""

    shards: int
    patches: int
    compression: Compression
    open_ms: float
    first_ms: float
    batch_ms: float


def make_dataset(folder: Path, shards: int, patches: int, compression: Compression) -> None:
    """Write `patches` patches of noise into `shards` shards of the train split."""
    (folder / "train").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (patches // shards, SIZE, SIZE, 3), np.uint8)
    count = len(noise)
    columns = Patches(
        phone=noise,
        dslr=noise[::-1],
        phone_xy=np.zeros((count, 2), np.int32),
        dslr_xy=np.zeros((count, 5, 5, 2)),
        shift_px=np.zeros((count, 2), np.float32),
        angle_deg=np.zeros(count, np.float32),
        ncc=np.ones(count, np.float32),
        error_px=np.zeros(count, np.float32),
        window_xy=np.zeros((count, 2), np.int32),
        window_reason=np.zeros(count, np.uint8),
    )
    entries = []
    for number in range(shards):
        path = folder / f"train/{number:05d}.h5"
        capture = ShardCapture(str(number), "", "", "", "", (SIZE, SIZE), (SIZE, SIZE), np.eye(3), columns)
        write_shard(path, [capture], {}, compression)
        entries.append(ShardEntry(f"train/{path.name}", count, path.stat().st_size, sha256_of_file(path)))
    none = SplitEntry(0, 0, ())
    splits = {"train": SplitEntry(shards, shards * count, tuple(entries)), "val": none, "test": none}
    write_manifest(folder, Manifest("p", "d", SIZE, "built", "refined", "", {}, {}, splits, {}, {}))


def measure_readings(folders: Sequence[Path], compression: Compression) -> list[Reading]:
    """Open the datasets and touch every shard once, then read random batches from all in turn: the medians.

    In turn, so that whatever else the machine does meets all of them alike.
    """
    stores, opened_ms, first_ms = [], [], []
    for folder in folders:
        start = time.perf_counter()
        store = PatchStore(folder, "train")
        opened = time.perf_counter()
        store.read(np.arange(0, len(store), len(store) // len(store.shards)))
        first_ms.append(1e3 * (time.perf_counter() - opened))
        opened_ms.append(1e3 * (opened - start))
        for first in range(0, len(store), BATCH):  # into the system's file cache
            store.read(np.arange(first, min(first + BATCH, len(store))))
        stores.append(store)
    rng = np.random.default_rng(1)
    times = np.empty((BATCHES, len(stores)))
    for turn in range(BATCHES):
        for number, store in enumerate(stores):
            batch = rng.integers(0, len(store), BATCH)
            begin = time.perf_counter()
            store.read(batch)
            times[turn, number] = time.perf_counter() - begin
    return [
        Reading(
            len(store.shards), len(store), compression, opened_ms[i], first_ms[i], 1e3 * float(np.median(times[:, i]))
        )
        for i, store in enumerate(stores)
    ]

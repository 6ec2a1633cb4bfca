"""Batches of patch pairs whose order depends on the seed and the step alone.

Every random number is a function of (seed, purpose, position), drawn from Philox, a counter-based generator: there is
no state to save, a resumed run continues where it stopped, and every process of a distributed run knows its share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.records import Split
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.photos.mosaic_facts import mosaic_codes

Pixel = TypeVar("Pixel", np.uint8, np.bool_)

SMALLEST_PATCH_PX = 16  # VGG's four poolings and the discriminator's strides leave one pixel of it
READ_AHEAD = 3  # steps; enough to hide the time of one slow read

# What a random number is for. Part of its counter, so that no two purposes share numbers.
GENERATOR_BATCH, DISCRIMINATOR_BATCH, PRETRAINING_BATCH = 0, 1, 2
_ORDER, _AUGMENTATION, _COIN, _PART, _DRAW = 0, 1, 2, 3, 4

AUTHORS_PART, AUTHORS_EXCHANGE = 30_000, 1000
"""Of the authors' code: patches in memory, and the steps after which others are loaded."""


@dataclass(frozen=True)
class Batch:
    """Patch pairs of one step, or this process's share of them.

    Attributes:
        indices: (n,) int64, rows in the store.
        phone, dslr: (n, S, S, 3) uint8 RGB.
        show_dslr: (n,) bool, which of the two photos of each pair a discriminator is shown.
        whole: number of pairs in the batch over all processes.
        valid: (n, S, S) bool, pixels that both halves show alike; None where the dataset has no masks.
        mosaic: (n, S/2, S/2, 4) uint16 as `mosaic_codes` has them; None where the enhancer sees photos.
    """

    indices: NDArray[np.int64]
    phone: NDArray[np.uint8]
    dslr: NDArray[np.uint8]
    show_dslr: NDArray[np.bool_]
    whole: int
    valid: NDArray[np.bool_] | None = None
    mosaic: NDArray[np.uint16] | None = None

    @property
    def seen(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """What the enhancer sees."""
        return self.phone if self.mosaic is None else self.mosaic


@dataclass(frozen=True)
class StepData:
    """What one training step reads: one batch for each purpose asked for, and the time it made the step wait."""

    step: int
    batches: tuple[Batch, ...]
    waited_s: float


class Mosaics:
    """The mosaics of a store as an enhancer sees them; UsageError where it has none."""

    def __init__(self, store: PatchStore) -> None:
        self.store = store
        self.black, self.white = store.mosaic_levels()
        self.gains = store.mosaic_facts("white_balance")

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return the mosaics of `rows` as `mosaic_codes` has them, (n, S/2, S/2, 4); errors as `read_mosaics`."""
        levels = self.black[rows, None, None], self.white[rows, None, None, None]
        return mosaic_codes(self.store.read_mosaics(rows), *levels, self.gains[rows, None, None])


class PatchPairs:
    """Seeded batches from a store of patches.

    Each epoch passes over all patches once, in an order of its own; a batch may reach over the end of an epoch. With
    `as_authors` each batch is drawn with replacement instead, from a part that is exchanged every 1,000 steps. With
    `halves` half of a batch shows the DSLR's photo, so that every step computes tensors of the same shapes. The
    order does not depend on how the patches are spread over shards or the batch over processes.
    """

    def __init__(
        self,
        store: PatchStore,
        *,
        batch_size: int,
        seed: int,
        flips: bool = False,
        quarter_turns: bool = False,
        crop_px: int = 0,
        halves: bool = False,
        as_authors: bool = False,
        mosaics: bool = False,
    ) -> None:
        if crop_px and not SMALLEST_PATCH_PX <= crop_px <= store.patch_size:
            raise UsageError(f"--crop-px {crop_px}: must be {SMALLEST_PATCH_PX} to {store.patch_size}, or 0 for all")
        if mosaics and (store.patch_size - (crop_px or store.patch_size)) % 4:
            raise UsageError(
                f"--crop-px {crop_px} with --input raw: the middle must begin at a red cell, so that it differs from "
                f"the patches' {store.patch_size} by a multiple of 4"
            )
        self.mosaics = Mosaics(store) if mosaics else None
        self.store = store
        self.batch_size = batch_size
        self.seed = seed
        self.flips = flips
        self.quarter_turns = quarter_turns
        self.patch_size = crop_px or store.patch_size
        self.halves = halves
        self.as_authors = as_authors
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    @property
    def augmented(self) -> bool:
        """Whether the same patch may look different each time."""
        return self.flips or self.quarter_turns

    def indices(self, purpose: int, step: int) -> NDArray[np.int64]:
        """Rows in the store of the whole batch for `purpose` at `step` (from 0), (batch_size,) int64."""
        if self.as_authors:
            return self._drawn_from_a_part(purpose, step)
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, len(self.store))
        return np.concatenate([self._order(purpose, int(e))[places[epochs == e]] for e in np.unique(epochs)])

    def read(self, purpose: int, step: int, rank: int = 0, processes: int = 1) -> Batch:
        """Read the share of process `rank` (of `processes`) in the batch for `purpose` at `step`."""
        rows = self.indices(purpose, step)
        show_dslr = self._shown(purpose, step)
        codes = self._augmentations(purpose, step)
        share = _share(self.batch_size, rank, processes)
        phone, dslr = (self._seen(photos, codes[share]) for photos in self.store.read(rows[share]))
        valid = self._seen(self.store.read_valid(rows[share]), codes[share]) if self.store.masked else None
        mosaic = self.mosaics.read(rows[share]) if self.mosaics else None
        if mosaic is not None:
            start = (self.store.patch_size - self.patch_size) // 4
            cut = slice(start, start + self.patch_size // 2)
            mosaic = np.ascontiguousarray(mosaic[:, cut, cut])
        return Batch(rows[share], phone, dslr, show_dslr[share], self.batch_size, valid, mosaic)

    def patch_ids(self, indices: NDArray[np.int64]) -> list[str]:
        """Names of patches for a message."""
        return [self.store.patch_id(int(index)) for index in indices]

    def _shown(self, purpose: int, step: int) -> NDArray[np.bool_]:
        """Which pairs show the DSLR's photo: by a fair coin, or, with `halves`, every second one of a random order."""
        if self.halves:
            return (np.arange(self.batch_size) + step) % 2 == 0
        return self._random(_COIN, purpose, step).random(self.batch_size) < 0.5

    def _seen(self, patches: NDArray[Pixel], codes: NDArray[np.int64]) -> NDArray[Pixel]:
        """The middle of patches or masks (n, S, S, …), turned and mirrored by their codes."""
        start = (self.store.patch_size - self.patch_size) // 2
        cut = slice(start, start + self.patch_size)
        middle = np.ascontiguousarray(patches[:, cut, cut])
        return _augment(middle, codes) if self.augmented else middle

    def _order(self, purpose: int, epoch: int) -> NDArray[np.int64]:
        key = (purpose, epoch)
        if key not in self._orders:
            # the batches of one purpose touch at most two epochs at a time, so older orders can go
            self._orders = {k: v for k, v in self._orders.items() if k[0] != purpose or k[1] == epoch - 1}
            self._orders[key] = self._random(_ORDER, purpose, epoch).permutation(len(self.store))
        return self._orders[key]

    def _drawn_from_a_part(self, purpose: int, step: int) -> NDArray[np.int64]:
        """As the authors' code draws: with replacement from a random part of the patches, exchanged now and then."""
        part = self._random(_PART, 0, step // AUTHORS_EXCHANGE).permutation(len(self.store))[:AUTHORS_PART]
        return part[self._random(_DRAW, purpose, step).integers(0, len(part), self.batch_size)]

    def _augmentations(self, purpose: int, step: int) -> NDArray[np.int64]:
        """Codes 0 to 7: the number of quarter turns, plus 4 for a mirror image; (batch_size,)."""
        random = self._random(_AUGMENTATION, purpose, step)
        turns = random.integers(0, 4, self.batch_size) * self.quarter_turns
        return turns + 4 * random.integers(0, 2, self.batch_size) * self.flips

    def _random(self, kind: int, purpose: int, counter: int) -> np.random.Generator:
        # the lowest counter word is Philox's own; a draw would need 2^64 blocks to reach the next
        return np.random.Generator(np.random.Philox(key=self.seed, counter=[0, counter, purpose, kind]))


def read_ahead(
    pairs: PatchPairs, purposes: tuple[int, ...], steps: range, rank: int = 0, processes: int = 1
) -> Iterator[StepData]:
    """Yield the batches of `steps` in order while a thread reads the next ones."""

    def read(step: int) -> tuple[Batch, ...]:
        return tuple(pairs.read(purpose, step, rank, processes) for purpose in purposes)

    upcoming = iter(steps)
    queue: deque[tuple[int, Future[tuple[Batch, ...]]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="patches") as reader:
        try:
            while True:
                while len(queue) < READ_AHEAD and (ahead := next(upcoming, None)) is not None:
                    queue.append((ahead, reader.submit(read, ahead)))
                if not queue:
                    return
                step, future = queue.popleft()
                start = perf_counter()
                batches = future.result()
                yield StepData(step, batches, perf_counter() - start)
        finally:
            for _, future in queue:
                future.cancel()


def open_pairs(folder: Path, split: Split) -> PatchStore:
    """Open a split for training or evaluation.

    Raises:
        InputError: no such split, no patches in it, or patches smaller than the networks need.
    """
    store = PatchStore(folder, split)
    if len(store) == 0:
        raise InputError(f"{folder}: split '{split}' holds no patches, at least 1 is needed; build with more captures")
    if store.patch_size < SMALLEST_PATCH_PX:
        raise InputError(
            f"{folder}: patches of {store.patch_size} pixels, the networks need {SMALLEST_PATCH_PX} or more; "
            "build the dataset with a larger --patch-size"
        )
    return store


def _share(count: int, rank: int, processes: int) -> slice:
    return slice(count * rank // processes, count * (rank + 1) // processes)


def _augment(photos: NDArray[Pixel], codes: NDArray[np.int64]) -> NDArray[Pixel]:
    """Turn and mirror (n, S, S, …) patches by the codes of `PatchPairs._augmentations`."""
    result = np.empty_like(photos)
    for code in np.unique(codes):
        chosen = np.rot90(photos[codes == code], int(code) % 4, axes=(1, 2))
        result[codes == code] = chosen[:, :, ::-1] if code >= 4 else chosen
    return result

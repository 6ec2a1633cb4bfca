"""Datasets for tests: smooth random scenes, and a phone that renders them dull, soft and noisy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import Patches
from dped_data.captures.records import SPLITS
from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import digest_of
from dped_data.dataset.manifest import Manifest, ShardEntry, SplitEntry, write_manifest
from dped_data.dataset.shards import ShardCapture, write_shard
from dped_data.photos.mosaic_facts import MosaicFacts
from dped_data.settings import FORMAT_VERSION, ShardSettings

PHONE_COLOUR = np.array([[0.74, 0.16, 0.02], [0.05, 0.80, 0.07], [0.02, 0.14, 0.70]])
"""A phone's colour matrix: less saturated than the DSLR."""


MASKED = np.s_[:, 5:13, 9:21]
"""What `make_dataset` masks: not in the middle, so that turned and mirrored masks differ."""


def make_pairs(count: int, size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Random scenes as a phone and as a DSLR show them: two (count, size, size, 3) uint8 arrays."""
    coarse = rng.random((count, size // 8 + 2, size // 8 + 2, 3)).astype(np.float32)
    dslr = np.stack([cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse])
    edges = rng.random((count, size // 4, size // 4, 1)).astype(np.float32) - 0.5
    dslr += 0.3 * np.stack([cv2.resize(e, (size, size), interpolation=cv2.INTER_NEAREST) for e in edges])[..., None]
    dslr = dslr.clip(0, 1)
    phone = dslr @ PHONE_COLOUR.T.astype(np.float32)
    phone = np.stack([cv2.GaussianBlur(p, (0, 0), 0.8) for p in phone]) ** 1.2 * 0.85 + 0.03
    phone = phone + rng.normal(0, 0.01, phone.shape)
    return (phone.clip(0, 1) * 255).round().astype(np.uint8), (dslr * 255).round().astype(np.uint8)


def make_dataset(
    folder: Path,
    *,
    train: int = 24,
    val: int = 4,
    test: int = 4,
    size: int = 32,
    shards: int = 2,
    seed: int = 0,
    compression: Literal["none", "gzip"] = "none",
    spacing_px: int = 1,
    test_pairs: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
    masked: bool = False,
    mosaics: bool = False,
) -> Path:
    """Write a dataset of `folder`.name's phone with the given numbers of patches; the seed decides the pixels.

    Patch i of a split lies at x = i * `spacing_px` of its phone photo. `test_pairs` replaces the patches of the test
    split. `masked` plants the noise of MASKED into every DSLR patch, and masks it. `mosaics` adds the phone's patches
    as a sensor of 12 bits would count them.
    """
    rng = np.random.default_rng(seed)
    splits = {}
    for split, count in zip(SPLITS, (train, val, test), strict=True):
        (folder / split).mkdir(parents=True, exist_ok=True)
        phone, dslr = make_pairs(count, size, rng) if count else (np.empty((0, size, size, 3), np.uint8),) * 2
        if split == "test" and test_pairs is not None:
            phone, dslr = test_pairs
        if masked:
            dslr = dslr.copy()
            dslr[MASKED] = rng.integers(0, 256, dslr[MASKED].shape, np.uint8)
        parts = [part for part in np.array_split(np.arange(count), shards) if len(part)]
        entries = []
        for number, part in enumerate(parts):
            path = folder / split / f"{number:05d}.h5"
            halves = np.array_split(part, 2)
            captures = [
                _capture(f"{split}-{number}-{i}", phone[h], dslr[h], h * spacing_px, masked, mosaics)
                for i, h in enumerate(halves)
                if len(h)
            ]
            write_shard(path, captures, {}, compression)
            entries.append(ShardEntry(f"{split}/{path.name}", len(part), path.stat().st_size, sha256_of_file(path)))
        splits[split] = SplitEntry(2 * len(parts), count, tuple(entries))
    settings = {"shards": asdict(ShardSettings(compression=compression))}
    if masked:
        settings["patches"] = {"mask_cells": True}
    if mosaics:
        settings["raw"] = {"phone_raw": True}
    digest = digest_of(settings, FORMAT_VERSION)
    manifest = Manifest(folder.name, "canon", size, "built", "refined", digest, settings, {}, splits, {}, {})
    write_manifest(folder, manifest)
    return folder


def _capture(
    name: str,
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    left: NDArray[np.int64],
    masked: bool,
    mosaics: bool,
) -> ShardCapture:
    count = len(phone)
    facts = MosaicFacts(
        black=np.array([256, 250, 262, 256], np.float32),
        white=4095.0,
        cfa=np.array([[1, 0], [2, 1]], np.uint8),
        orientation=6,
        margin_xy=(8, 4),
        white_balance=np.array([2.0, 1.0, 1.6], np.float32),
        color_matrix=np.eye(3, dtype=np.float32),
        iso=float("nan") if name.startswith("val") else 200.0,
        exposure_s=1 / 128,
    )
    light = (phone / 255.0) ** 2.2
    cells = [light[:, 0::2, 0::2, 0], light[:, 0::2, 1::2, 1], light[:, 1::2, 0::2, 1], light[:, 1::2, 1::2, 2]]
    counts = facts.black + np.stack(cells, axis=-1) / facts.white_balance[[0, 1, 1, 2]] * (4095 - facts.black)
    valid = np.ones(phone.shape[:3], bool)
    valid[MASKED] = False
    patches = Patches(
        phone=phone,
        dslr=dslr,
        phone_xy=np.stack([left, np.zeros(count)], axis=1).astype(np.int32),
        dslr_xy=np.zeros((count, 5, 5, 2)),
        shift_px=np.zeros((count, 2), np.float32),
        angle_deg=np.zeros(count, np.float32),
        ncc=np.ones(count, np.float32),
        error_px=np.zeros(count, np.float32),
        window_xy=np.zeros((count, 2), np.int32),
        window_reason=np.zeros(count, np.uint8),
        valid=valid if masked else None,
        phone_raw=np.rint(counts).astype(np.uint16) if mosaics else None,
    )
    raw = (facts, f"{name}.dng", "") if mosaics else ()
    return ShardCapture(name, f"{name}.jpg", f"{name}.jpg", "", "", (0, 0), (0, 0), np.eye(3), patches, *raw)

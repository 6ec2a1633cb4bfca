"""The card of a dataset: README.md with the figures of the manifest and the predicted errors of the shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.photo_sizes import sizes_text
from dped_data.captures.records import SPLITS
from dped_data.common.markdown_card import LICENCE_LINES, Card, quoted, write_card
from dped_data.dataset.layout import open_shard
from dped_data.dataset.manifest import Manifest

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_PAPER = "[DSLR-Quality Photos on Mobile Devices with Deep Convolutional Networks](https://arxiv.org/abs/1704.02470)"


def write_dataset_card(folder: Path, manifest: Manifest) -> bool:
    """Write or update FOLDER/README.md for the dataset there; see `write_card` for what it returns and leaves alone."""
    return write_card(folder, card_of_dataset(folder, manifest))


def card_of_dataset(folder: Path, manifest: Manifest) -> Card:
    """Return the card of the dataset in `folder`."""
    return dataset_card(manifest, _column(folder, manifest, "error_px"), _sizes_of(manifest))


def dataset_card(manifest: Manifest, error_px: NDArray[np.float32], sizes: dict[str, str]) -> Card:
    """Return the card.

    Args:
        manifest: of the dataset.
        error_px: predicted error of every patch, phone pixels; NaN where unknown.
        sizes: "2048x1536" of the cameras whose photo size is known, by name.
    """
    patches = manifest.totals.get("patches", 0)
    size = next((name for limit, name in _SIZES if patches < limit), "1M<n<10M")
    kind = "photos" if manifest.source == "built" else "released patches"
    return Card(
        own_metadata=(
            *LICENCE_LINES,
            f"pretty_name: {quoted(f'{manifest.phone} and {manifest.dslr} photo patches')}",
            "task_categories:",
            "- image-to-image",
            "tags:",
            "- photo-enhancement",
            "- image-pairs",
            "- dped",
        ),
        metadata=("size_categories:", f"- {quoted(size)}"),
        title=f"{manifest.phone} and {manifest.dslr}: matched photo patches",
        invitation="Say here who took the photos, where and when, and who may use them.",
        body="\n".join(
            [
                f"Pairs of {manifest.patch_size}x{manifest.patch_size} pixels of the same scenes, by {manifest.phone} "
                f"and {manifest.dslr}, made from {kind} by `dped` after {_PAPER}.",
                *_splits(manifest),
                *_cameras(manifest, sizes),
                *_quality(manifest, error_px),
                *_origin(manifest),
            ]
        ),
    )


def _splits(manifest: Manifest) -> list[str]:
    rows = ["", "| split | captures | patches | shards |", "| --- | ---: | ---: | ---: |"]
    for split in SPLITS:
        entry = manifest.splits[split]
        rows.append(f"| {split} | {entry.captures:,} | {entry.patches:,} | {len(entry.shards):,} |")
    return rows


def _cameras(manifest: Manifest, sizes: dict[str, str]) -> list[str]:
    rows = ["", "| camera | role | photos |", "| --- | --- | --- |"]
    for name, role in ((manifest.phone, "phone: input"), (manifest.dslr, "DSLR: target")):
        rows.append(f"| {name} | {role} | {sizes.get(name, 'size unknown')} |")
    return rows


def _quality(manifest: Manifest, error_px: NDArray[np.float32]) -> list[str]:
    totals = manifest.totals
    lines = ["", "## Quality", ""]
    known = error_px[np.isfinite(error_px)]
    if len(known):
        median, p95 = np.percentile(known, [50, 95])
        lines.append(
            f"- Predicted remaining misalignment (`error_px`), phone pixels: median {median:.3f}, 95 % below {p95:.3f}."
        )
    else:
        lines.append("- Remaining misalignment: unknown, where the patches were cut is not recorded.")
    if totals.get("captures"):
        lines.append(
            f"- Captures: {totals['kept']:,} of {totals['captures']:,} kept, {totals['rejected']:,} rejected, "
            f"{totals['failed']:,} failed; {totals['unpaired_photos']:,} photos without a partner."
        )
    if totals.get("windows"):
        share = totals["patches"] / totals["windows"]
        lines.append(
            f"- Yield: {totals['patches']:,} patches of {totals['windows']:,} windows considered ({share:.0%})."
        )
    return lines


def _origin(manifest: Manifest) -> list[str]:
    return [
        "",
        "## Files",
        "",
        "`dataset.json` lists the HDF5 shards with their sha256 and all settings, `captures.csv` what became of every "
        "capture. Read it with",
        "",
        "```python",
        "from dped_data import PatchStore",
        "",
        'store = PatchStore("PATH OF THIS FOLDER", "train")',
        "phone, dslr = store.read([0, 1])  # two (2, S, S, 3) uint8 arrays, RGB",
        "```",
        "",
        'or, for a `DataLoader` of torch, as `dped_train.PatchDataset("PATH OF THIS FOLDER", "train")`.',
        "",
        "`load_dataset` of Hugging Face's `datasets` does not read the shards: beside the patches they hold columns of "
        "other lengths (a row per capture, per window), and its HDF5 reader wants one length. It reads, and the Hub "
        "shows, what `dped export-dped --as parquet --out FOLDER` makes of them:",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'pairs = load_dataset("PATH OF THE EXPORT", split="train")',
        'pairs[0]["phone"], pairs[0]["dslr"]  # two images; capture_id, x and y say where they come from',
        "```",
        "",
        "`--as folders` and `--as webdataset` make files for other trainers, `patches.csv` in each says the same.",
        "",
        f"Alignment: {manifest.alignment}. Settings digest: `{manifest.digest}`.",
    ]


def _sizes_of(manifest: Manifest) -> dict[str, str]:
    return {camera: sizes_text(sizes) for camera, sizes in manifest.photo_sizes.items()}


def _column(folder: Path, manifest: Manifest, name: str) -> NDArray[np.float32]:
    parts = [np.zeros(0, np.float32)]
    for split in SPLITS:
        for entry in manifest.splits[split].shards:
            with open_shard(folder / entry.file) as file:
                parts.append(file[name][:])
    return np.concatenate(parts)

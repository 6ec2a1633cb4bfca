"""Plant foreign content into rendered pairs and count the windows that are kept all the same.

    python benchmarks/foreign_content.py --rig DIR [--rig DIR ...] [--seed N]

DIR is a rig of `dped simulate-rig`. Each capture is aligned once as it is; then a square of another capture is
planted in the phone photo, inside every second window that was kept, and the capture is aligned again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.pipeline import align_photos
from dped_data.align.records import Patches
from dped_data.errors import CaptureRejected
from dped_data.photos.reading import read_photo
from dped_data.settings import BuildSettings
from dped_data.simulation.truth import CAPTURES_FOLDER, read_truths

AREAS = (0.03, 0.06, 0.12, 0.2, 0.3)
KINDS = ("textured", "soft", "same mean")
SOFT_SIGMA = 4.0


def main() -> None:
    """Print the share of the planted windows that are kept, and of the untouched ones, by kind and area."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rig", type=Path, action="append", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    counts = {(kind, area): np.zeros(4, np.int64) for kind in KINDS for area in AREAS}
    for rig in options.rig:
        truths = read_truths(rig)
        for number, truth in enumerate(truths):
            other = read_photo(rig / CAPTURES_FOLDER / truths[number - 1].phone_file)
            photos = [read_photo(rig / CAPTURES_FOLDER / file) for file in (truth.phone_file, truth.dslr_file)]
            clean = align_photos(*photos, BuildSettings()).patches
            for kind, area in counts:
                counts[kind, area] += count_kept(photos, clean, other, kind, area, rng)
    print("| planted | area | windows | kept | untouched beside them | kept |\n| --- | --- | --- | --- | --- | --- |")
    for (kind, area), (planted, kept, beside, stayed) in counts.items():
        print(f"| {kind} | {area:.0%} | {planted} | {kept / planted:.1%} | {beside} | {stayed / beside:.1%} |")


def count_kept(
    photos: list[NDArray[np.uint8]],
    clean: Patches,
    other: NDArray[np.uint8],
    kind: str,
    area: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return how many windows were planted, kept all the same, left untouched, kept of these."""
    phone = photos[0].copy()
    size = clean.phone.shape[1]
    side = round(size * area**0.5)
    touched = {tuple(xy) for xy in clean.phone_xy[::2].tolist()}
    untouched = {tuple(xy) for xy in clean.phone_xy[1::2].tolist()}
    for left, top in sorted(touched):
        x, y = np.array([left, top]) + rng.integers(0, size - side + 1, 2)
        u, v = (int(rng.integers(0, limit - side + 1)) for limit in other.shape[1::-1])
        piece = other[v : v + side, u : u + side].astype(np.float32)
        place = phone[y : y + side, x : x + side]
        if kind == "soft":
            piece = cv2.GaussianBlur(piece, (0, 0), SOFT_SIGMA)
        if kind == "same mean":
            piece = piece - piece.mean(axis=(0, 1)) + place.mean(axis=(0, 1))
        place[:] = np.clip(piece, 0, 255).astype(np.uint8)
    try:
        kept = {tuple(xy) for xy in align_photos(phone, photos[1], BuildSettings()).patches.phone_xy.tolist()}
    except CaptureRejected:
        kept = set()
    return np.array([len(touched), len(touched & kept), len(untouched), len(untouched & kept)])


if __name__ == "__main__":
    main()

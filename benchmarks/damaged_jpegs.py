"""How many JPEG files with a damaged sector are taken for sound photos.

    python benchmarks/damaged_jpegs.py --photos DIR [--count 200] [--seed 0]

Each photo of DIR is stored as baseline and as progressive JPEG, with and without restart markers, and as the first
picture of a multi-picture file; then 512 bytes of it, somewhere in its scans, are zeroed or overwritten: by noise, by
text, by a sector of another place of the file or of the photo before.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dped_data.errors import PhotoError
from dped_data.photos.jpeg_segments import SCAN, jpeg_segments
from dped_data.photos.reading import decode_photo, read_photo

SECTOR = 512
WRONG_LEVELS, WRONG_SHARE = 8, 0.01
LARGEST = (1600, 1200)
KINDS = {
    "baseline": {},
    "restart markers": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "multi-picture": {"format": "MPO", "save_all": True},
}


def encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    """One photo (H, W, 3) as the bytes of a JPEG file of a kind."""
    picture, stored = Image.fromarray(pixels), io.BytesIO()
    options = dict(KINDS[kind])
    form = str(options.pop("format", "JPEG"))
    if form == "MPO":
        options["append_images"] = [picture.resize((160, 120))]
    picture.save(stored, form, quality=92, **options)
    return stored.getvalue()


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The file with one sector of its first picture's scans replaced, at a whole multiple of 512 bytes."""
    first = next(s.end for s in jpeg_segments(data) if s.marker == SCAN)
    end = data.index(b"\xff\xd9", first)
    places = (first // SECTOR + 1, max(end // SECTOR, first // SECTOR + 2))
    start, elsewhere = (SECTOR * int(rng.integers(*places)) for _ in range(2))
    behind = SECTOR * int(rng.integers(len(other) // SECTOR))
    fillings = (
        bytes(SECTOR),
        rng.integers(0, 256, SECTOR, np.uint8).tobytes(),
        (b"the quick brown fox jumps over the lazy dog. " * 12)[:SECTOR],
        data[elsewhere : elsewhere + SECTOR],
        other[behind : behind + SECTOR],
    )
    filling = fillings[int(rng.integers(len(fillings)))]
    return data[:start] + filling[: len(data) - start] + data[start + SECTOR :]


def outcomes(photos: list[Path], count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield (kind, what became of it): refused, harmless (taken, at most 1 % of its pixels wrong), wrong (taken)."""
    rng = np.random.default_rng(seed)
    sources: dict[Path, NDArray[np.uint8]] = {}
    other = b""
    for index in range(count):
        path = photos[index % len(photos)]
        if path not in sources:
            picture = Image.fromarray(read_photo(path))
            picture.thumbnail(LARGEST)
            sources[path] = np.asarray(picture)
        kind = [*KINDS][index % len(KINDS)]
        data = encoded(sources[path], kind)
        sound = decode_photo(data, "sound.jpg")
        before, other = other or data, data
        try:
            taken = decode_photo(damaged(data, before, rng), "damaged.jpg")
        except PhotoError:
            yield kind, "refused"
            continue
        off = np.abs(taken.astype(np.int16) - sound).max(axis=-1) > WRONG_LEVELS
        yield kind, "wrong" if off.mean() > WRONG_SHARE else "harmless"


def main() -> None:
    """Print a line per kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.rglob("*.jpg"))
    counts = Counter(outcomes(photos, arguments.count, arguments.seed))
    for kind in KINDS:
        print(f"{kind:16}", *(f"{what} {counts[kind, what]:3}" for what in ("refused", "harmless", "wrong")), sep="  ")
    wrong = sum(number for (_, what), number in counts.items() if what == "wrong")
    print(f"taken with more than 1 % of the pixels off by more than 8 levels: {wrong} of {arguments.count}")


if __name__ == "__main__":
    main()

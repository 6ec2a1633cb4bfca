"""Plant foreign content into pairs of photos and count the windows that are kept all the same.

    python benchmarks/foreign_content.py --pairs PHONE_DIR DSLR_DIR [--rig DIR …] [--patch-size N] [--seed N]

--pairs, which may be repeated, names two folders of photos with equal stems, real ones of two cameras; their names the
other way round plant into the DSLR's photos. DIR is a rig of `dped simulate-rig`. Each pair is aligned once as it is;
then something is planted into its first photo, inside every second window that was kept, and the pair is aligned again.
What changes its place by less than LEAST_CHANGE could not be seen and is not planted. What is planted moves the map a
little, and with it the whole grid of windows: so kept are what is planted, and the untouched windows, of which kept
patches hold MOSTLY or more, wherever these patches lie.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.pipeline import align_photos
from dped_data.align.records import Patches
from dped_data.errors import CaptureRejected
from dped_data.photos.reading import read_photo
from dped_data.settings import BuildSettings, load_build_settings
from dped_data.simulation.truth import CAPTURES_FOLDER, read_truths

Photo = NDArray[np.uint8]

AREAS = (0.03, 0.06, 0.12, 0.2, 0.3)
KINDS = ("textured", "soft", "same mean", "moved", "occluder")
"""A square of another photo; that one blurred; that one with the mean colour of what it covers; a round piece of the
same photo, from beside its place; a round thing of one colour, shaded and as noisy as a photo."""
SOFT_SIGMA = 4.0
LEAST_CHANGE = 8.0
"""Grey levels, root mean square over what is planted, after a smoothing of 1 px."""
MOSTLY = 0.5


def main() -> None:
    """Print the share of the planted windows that are kept, and of the untouched ones, by kind and area."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, nargs=2, action="append", default=[], metavar=("PHONE_DIR", "DSLR_DIR"))
    parser.add_argument("--rig", type=Path, action="append", default=[])
    parser.add_argument("--patch-size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    settings = load_build_settings(None, {"patch_size": options.patch_size})
    counts = {(kind, area): np.zeros(4, np.int64) for kind in KINDS for area in AREAS}
    files = [*pairs_of_folders(options.pairs), *pairs_of_rigs(options.rig)]
    for number, pair in enumerate(files):
        other, photos = read_photo(files[number - 1][0]), [read_photo(file) for file in pair]
        clean = kept_patches(photos, settings)
        for kind, area in counts if clean is not None else ():
            counts[kind, area] += count_kept(photos, clean, other, kind, area, settings, rng)
    print("| planted | area | windows | kept | untouched beside them | kept |\n| --- | --- | --- | --- | --- | --- |")
    for (kind, area), (planted, kept, beside, stayed) in counts.items():
        shares = [f"{part / whole:.1%}" if whole else "" for part, whole in ((kept, planted), (stayed, beside))]
        print(f"| {kind} | {area:.0%} | {planted} | {shares[0]} | {beside} | {shares[1]} |")


def pairs_of_folders(folders: list[list[Path]]) -> Iterator[tuple[Path, Path]]:
    """Yield the photos of equal stems."""
    for first, second in folders:
        partners = {path.stem: path for path in second.iterdir()}
        yield from ((path, partners[path.stem]) for path in sorted(first.iterdir()) if path.stem in partners)


def pairs_of_rigs(rigs: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield the photos of rendered captures."""
    for rig in rigs:
        for truth in read_truths(rig):
            yield rig / CAPTURES_FOLDER / truth.phone_file, rig / CAPTURES_FOLDER / truth.dslr_file


def kept_patches(photos: list[Photo], settings: BuildSettings) -> Patches | None:
    """Return what the pair yields; None where it is rejected."""
    try:
        return align_photos(*photos, settings).patches
    except CaptureRejected:
        return None


def count_kept(
    photos: list[Photo],
    clean: Patches | None,
    other: Photo,
    kind: str,
    area: float,
    settings: BuildSettings,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return how many windows were planted, kept all the same, left untouched, kept of these."""
    assert clean is not None
    phone, size = photos[0].copy(), clean.phone.shape[1]
    round_one = kind in ("moved", "occluder")
    side = min(round(size * (area * (4 / np.pi if round_one else 1)) ** 0.5), size)
    touched, untouched = [], [(x, y, size) for x, y in clean.phone_xy[1::2].tolist()]
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    shape = np.hypot(x, y) <= side / 2 if round_one else np.ones((side, side), bool)
    edge = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 0.6)[..., None]
    for left, top in clean.phone_xy[::2].tolist():
        u, v = np.array([left, top]) + rng.integers(0, size - side + 1, 2)
        before = photos[0][v : v + side, u : u + side].astype(np.float32)
        piece = piece_of(kind, photos[0], other, (int(u), int(v)), side, rng)
        after = piece * edge + before * (1 - edge) if round_one else piece
        if visible_change(before, after, shape) >= LEAST_CHANGE:
            phone[v : v + side, u : u + side] = np.clip(np.floor(after + 0.5), 0, 255).astype(np.uint8)
            touched.append((int(u), int(v), side))
    found = kept_patches([phone, photos[1]], settings)
    inside = np.zeros(phone.shape[:2], bool)
    for left, top in () if found is None else found.phone_xy.tolist():
        inside[top : top + size, left : left + size] = True
    kept = [[inside[y : y + s, x : x + s].mean() >= MOSTLY for x, y, s in places] for places in (touched, untouched)]
    return np.array([len(touched), sum(kept[0]), len(untouched), sum(kept[1])])


def piece_of(
    kind: str, photo: Photo, other: Photo, at: tuple[int, int], side: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what is planted at (x, y), (side, side, 3)."""
    x, y = at
    if kind == "occluder":
        shade = np.linspace(-10, 10, side)[:, None, None]
        return (rng.uniform(20, 235, 3) + shade + rng.normal(0, 1.5, (side, side, 3))).astype(np.float32)
    if kind == "moved":
        angle, height, width = rng.uniform(0, 2 * np.pi), *photo.shape[:2]
        u = int(np.clip(x + side * np.cos(angle), 0, width - side))
        v = int(np.clip(y + side * np.sin(angle), 0, height - side))
        return photo[v : v + side, u : u + side].astype(np.float32)
    u, v = (int(rng.integers(0, limit - side + 1)) for limit in other.shape[1::-1])
    piece = other[v : v + side, u : u + side].astype(np.float32)
    if kind == "soft":
        piece = np.asarray(cv2.GaussianBlur(piece, (0, 0), SOFT_SIGMA), np.float32)
    if kind == "same mean":
        place = photo[y : y + side, x : x + side]
        piece = piece - piece.mean(axis=(0, 1)) + place.mean(axis=(0, 1), dtype=np.float32)
    return piece


def visible_change(before: NDArray[np.float32], after: NDArray[np.float32], shape: NDArray[np.bool_]) -> float:
    """Return the root mean square change of the smoothed luminance, grey levels."""
    change = cv2.GaussianBlur((after - before) @ np.array([0.299, 0.587, 0.114], np.float32), (0, 0), 1.0)
    return float(np.sqrt((change[shape] ** 2).mean()))


if __name__ == "__main__":
    main()

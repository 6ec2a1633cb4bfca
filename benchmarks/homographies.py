"""Hold `estimate_homography` against pairs with a known homography; print a table and a verdict.

The folder has `homogr/<name>{A,B}.jpg` with `<name>_vpts.txt` (manual point pairs xA yA xB yB per row), and
`oxford/<set>/img{1,2,4,6}.jpg` with `H1to{2,4,6}p` (3x3, maps pixels of image 1 to those of image N): the homogr
set of Lebeda et al. and the Oxford affine covariant regions set of Mikolajczyk et al.

    python benchmarks/homographies.py FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.errors import CaptureRejected
from dped_data.features import detect_features, match_features
from dped_data.homography import estimate_homography
from dped_data.photos import read_photo
from dped_data.settings import BuildSettings

LIMIT_PX = 3.0
GRID = 20


@dataclass(frozen=True)
class KnownPair:
    """Two photos and N true point pairs between them, (N, 2) each."""

    name: str
    first: Path
    second: Path
    first_xy: NDArray[np.float64]
    second_xy: NDArray[np.float64]


def known_pairs(folder: Path) -> Iterator[KnownPair]:
    """Yield the pairs of both sets, sorted by name."""
    for points in sorted((folder / "homogr").glob("*_vpts.txt")):
        name = points.name.removesuffix("_vpts.txt")
        rows = np.loadtxt(points)
        photos = (points.with_name(f"{name}A.jpg"), points.with_name(f"{name}B.jpg"))
        yield KnownPair(name, *photos, rows[:, :2], rows[:, 2:4])
    for matrix in sorted((folder / "oxford").glob("*/H1to*p")):
        number = matrix.name.removeprefix("H1to").removesuffix("p")
        photos = (matrix.with_name("img1.jpg"), matrix.with_name(f"img{number}.jpg"))
        yield KnownPair(f"{matrix.parent.name} 1-{number}", *photos, *_grid(np.loadtxt(matrix), *photos))


def _grid(second_from_first: NDArray[np.float64], first: Path, second: Path) -> tuple[NDArray[np.float64], ...]:
    """Return a lattice of points of the first photo that lie inside the second, and where they lie there."""
    height, width = read_photo(first).shape[:2]
    x, y = np.meshgrid(np.linspace(0, width - 1, GRID), np.linspace(0, height - 1, GRID))
    first_xy = np.stack([x.ravel(), y.ravel()], axis=-1)
    second_xy = _map(second_from_first, first_xy)
    height, width = read_photo(second).shape[:2]
    inside = ((second_xy >= 0) & (second_xy <= [width - 1, height - 1])).all(axis=1)
    return first_xy[inside], second_xy[inside]


def _map(matrix: NDArray[np.float64], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    mapped: NDArray[np.float64] = cv2.perspectiveTransform(xy[None], matrix)[0]
    return mapped


def measure(pair: KnownPair, settings: BuildSettings) -> tuple[float | None, str]:
    """Return the median error in pixels of the second photo, or None and why the pair was rejected."""
    first, second = read_photo(pair.first), read_photo(pair.second)
    try:
        features = [detect_features(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), settings.features) for p in (first, second)]
        matches = match_features(features[0], features[1], settings.features)
        sizes = [(photo.shape[1], photo.shape[0]) for photo in (first, second)]
        homography = estimate_homography(matches, sizes[0], sizes[1], settings.homography, settings.seed)
    except CaptureRejected as rejected:
        return None, str(rejected)
    distance = np.linalg.norm(_map(homography.dslr_from_phone, pair.first_xy) - pair.second_xy, axis=1)
    return float(np.median(distance)), f"{int(homography.inlier.sum())} inliers of {len(matches.phone_xy)} matches"


def main() -> None:
    """Print a row per pair and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    settings = BuildSettings()
    right, wrong, rejected = 0, 0, 0
    for pair in known_pairs(arguments.folder):
        error, note = measure(pair, settings)
        if error is None:
            rejected += 1
        elif error <= LIMIT_PX:
            right += 1
        else:
            wrong += 1
        shown = "rejected" if error is None else f"{error:.2f} px"
        print(f"{pair.name:<14}{shown:>12}  {note}")
    print(f"within {LIMIT_PX:g} px: {right}; accepted but wrong: {wrong}; rejected: {rejected}")


if __name__ == "__main__":
    main()

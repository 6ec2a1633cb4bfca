"""How many homographies with known truth the builder recovers, and whether it accepts a false one.

    python benchmarks/homographies.py FOLDER [--limit-px 3]

FOLDER holds `homogr/<name>A.jpg, <name>B.jpg, <name>_H_A_to_B.txt, <name>_vpts.txt` (3x3 matrix that maps A to B, and
manual point pairs xA yA xB yB) and `oxford/<scene>/img1.jpg, imgN.jpg, H1toNp` (maps img1 to imgN). The error of a pair
is the median distance, in pixels of the second photo, between the estimated and the true place of the manual points,
or of a 9 x 9 grid of points where there are none.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.pipeline import match_photos
from dped_data.align.smooth_map import project
from dped_data.errors import CaptureRejected
from dped_data.photos.reading import read_photo
from dped_data.settings import BuildSettings


@dataclass(frozen=True)
class Pair:
    """Two photos, and (N, 2) points of the first with their true places in the second."""

    name: str
    first: Path
    second: Path
    first_xy: NDArray[np.float64]
    second_xy: NDArray[np.float64]


def read_pairs(folder: Path) -> list[Pair]:
    """List all pairs below the folder, sorted by name."""
    pairs = []
    for points in sorted((folder / "homogr").glob("*_vpts.txt")):
        name = points.name.removesuffix("_vpts.txt")
        table = np.loadtxt(points)
        first, second = (points.with_name(f"{name}{side}.jpg") for side in "AB")
        pairs.append(Pair(name, first, second, table[:, :2], table[:, 2:]))
    for matrix in sorted((folder / "oxford").glob("*/H1to*p")):
        number = matrix.name.removeprefix("H1to").removesuffix("p")
        first, second = matrix.with_name("img1.jpg"), matrix.with_name(f"img{number}.jpg")
        height, width = read_photo(first).shape[:2]
        x, y = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
        grid = np.stack((x.ravel(), y.ravel()), axis=-1)
        pairs.append(Pair(f"{matrix.parent.name} 1-{number}", first, second, grid, project(np.loadtxt(matrix), grid)))
    return pairs


def measure(pair: Pair, settings: BuildSettings) -> tuple[float | None, str]:
    """Return the median error in pixels of the second photo (None: rejected), and inliers or the reason."""
    photos = [read_photo(path) for path in (pair.first, pair.second)]
    greys = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in photos]
    try:
        found = match_photos(greys[0], greys[1], settings)
    except CaptureRejected as rejected:
        return None, str(rejected)
    error = np.linalg.norm(project(found.homography.dslr_from_phone, pair.first_xy) - pair.second_xy, axis=1)
    return float(
        np.median(error)
    ), f"{int(found.homography.inlier.sum())} inliers of {len(found.matches.phone_xy)} matches"


def main() -> None:
    """Measure all pairs and print one row for each, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with homogr/ and oxford/")
    parser.add_argument("--limit-px", type=float, default=3.0, help="largest median error of a solved pair")
    arguments = parser.parse_args()
    solved, rejected, wrong = 0, 0, 0
    for pair in read_pairs(arguments.folder):
        error, note = measure(pair, BuildSettings())
        verdict = "rejected" if error is None else "solved" if error <= arguments.limit_px else "WRONG"
        solved, rejected, wrong = (
            solved + (verdict == "solved"),
            rejected + (verdict == "rejected"),
            wrong + (verdict == "WRONG"),
        )
        print(f"{pair.name:14} {verdict:9} {'' if error is None else f'{error:7.2f} px':11} {note}")
    print(f"solved {solved}, rejected {rejected}, wrong {wrong}")


if __name__ == "__main__":
    main()

"""A dataset builder as one writes it in an afternoon, to compare with: SIFT, one homography, NCC > 0.9.

    python benchmarks/naive_builder.py PHONE_DIR DSLR_DIR OUT.h5

Photos pair by equal stem. OUT.h5 gets the patches (`phone`, `dslr`, each (N, 100, 100, 3) uint8 RGB) and an attribute
`rows`, JSON with one row per patch: stem, crop x, crop y, window x, window y, match x, match y, angle, NCC.
OUT.h5.log.json gets one entry per pair: its stem (`pair`), seconds (`total`), and `H`, the 3x3 homography from DSLR to
phone pixels, where one was found. naive_score.py tells what these numbers mean for the geometry of a patch.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

SIZE = 100
REACH = 5
ANGLES_DEG = (-1.0, -0.5, 0.0, 0.5, 1.0)
MIN_NCC = 0.9
RATIO = 0.75
RANSAC_PX = 5.0
MIN_MATCHES = 10

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Crops:
    """Phone crop and DSLR crop of the photos' intersection, both in phone pixels, and its corner in the phone photo."""

    phone: Image
    dslr: Image
    x: int
    y: int


@dataclass(frozen=True)
class Match:
    """A window of the DSLR crop at (x, y), found in the turned phone crop at (match_x, match_y), and its patches."""

    phone: Image
    dslr: Image
    x: int
    y: int
    match_x: int
    match_y: int
    angle_deg: float
    ncc: float


def find_homography(phone: Image, dslr: Image) -> NDArray[np.float64] | None:
    """Return the 3x3 homography from DSLR to phone pixels from full-resolution SIFT, or None."""
    sift = cv2.SIFT_create()
    phone_points, phone_words = sift.detectAndCompute(cv2.cvtColor(phone, cv2.COLOR_BGR2GRAY), None)
    dslr_points, dslr_words = sift.detectAndCompute(cv2.cvtColor(dslr, cv2.COLOR_BGR2GRAY), None)
    if phone_words is None or dslr_words is None:
        return None
    candidates = cv2.BFMatcher(cv2.NORM_L2).knnMatch(dslr_words, phone_words, k=2)
    matches = [c[0] for c in candidates if len(c) == 2 and c[0].distance < RATIO * c[1].distance]
    if len(matches) < MIN_MATCHES:
        return None
    source = np.array([dslr_points[m.queryIdx].pt for m in matches])
    target = np.array([phone_points[m.trainIdx].pt for m in matches])
    homography, _ = cv2.findHomography(source, target, cv2.RANSAC, RANSAC_PX)
    return None if homography is None else np.asarray(homography, np.float64)


def crop_to_intersection(phone: Image, dslr: Image, homography: NDArray[np.float64]) -> Crops | None:
    """Warp the DSLR photo at its own scale, cut both photos to their intersection, shrink the DSLR's part."""
    height, width = phone.shape[:2]
    dslr_height, dslr_width = dslr.shape[:2]
    scale = 1 / np.sqrt(abs(np.linalg.det(homography[:2, :2])))
    enlarge = np.diag([scale, scale, 1.0])
    warped_wh = (int(width * scale), int(height * scale))
    warped = cv2.warpPerspective(dslr, enlarge @ homography, warped_wh, flags=cv2.INTER_CUBIC)
    outline = np.array([[[0, 0], [dslr_width, 0], [dslr_width, dslr_height], [0, dslr_height]]], np.float32)
    corners = cv2.perspectiveTransform(outline, homography)[0]
    left = int(np.ceil(max(0, corners[0, 0], corners[3, 0])))
    right = int(min(width, corners[1, 0], corners[2, 0]))
    top = int(np.ceil(max(0, corners[0, 1], corners[1, 1])))
    bottom = int(min(height, corners[2, 1], corners[3, 1]))
    if right - left < SIZE or bottom - top < SIZE:
        return None
    part = warped[int(top * scale) : int(bottom * scale), int(left * scale) : int(right * scale)]
    shrunk = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return Crops(phone[top:bottom, left:right], shrunk, left, top)


def match_window(crops: Crops, phone_grey: Image, dslr_grey: Image, x: int, y: int) -> Match | None:
    """Search the phone crop for the DSLR window at (x, y) over shifts and angles; None below the limit."""
    height, width = phone_grey.shape
    window = dslr_grey[y : y + SIZE, x : x + SIZE]
    left, top = max(0, x - REACH), max(0, y - REACH)
    area_wh = (min(width, x + SIZE + REACH) - left, min(height, y + SIZE + REACH) - top)
    best_ncc, best_angle, best_at = MIN_NCC, None, (0, 0)
    for angle in ANGLES_DEG:
        turned = cv2.warpAffine(phone_grey, _turn(x, y, left, top, angle), area_wh, borderMode=cv2.BORDER_REFLECT)
        scores = cv2.matchTemplate(turned, window, cv2.TM_CCOEFF_NORMED)
        _, ncc, _, at = cv2.minMaxLoc(scores)
        if np.isfinite(ncc) and ncc > best_ncc:
            best_ncc, best_angle, best_at = ncc, angle, at
    if best_angle is None:
        return None
    turned = cv2.warpAffine(crops.phone, _turn(x, y, left, top, best_angle), area_wh, borderMode=cv2.BORDER_REFLECT)
    u, v = best_at
    patch = turned[v : v + SIZE, u : u + SIZE]
    return Match(patch, crops.dslr[y : y + SIZE, x : x + SIZE], x, y, left + u, top + v, best_angle, best_ncc)


def _turn(x: int, y: int, left: int, top: int, angle_deg: float) -> NDArray[np.float64]:
    """Rotation about the middle of the window at (x, y), then a move of (left, top) to the origin."""
    turn = cv2.getRotationMatrix2D((x + SIZE / 2 - 0.5, y + SIZE / 2 - 0.5), angle_deg, 1.0)
    turn[:, 2] -= (left, top)
    return np.asarray(turn)


def match_patches(crops: Crops) -> list[Match]:
    """Slide a window over the crops without overlap and keep what correlates."""
    phone_grey = cv2.cvtColor(crops.phone, cv2.COLOR_BGR2GRAY)
    dslr_grey = cv2.cvtColor(crops.dslr, cv2.COLOR_BGR2GRAY)
    height, width = phone_grey.shape
    corners = [(x, y) for y in range(0, height - SIZE + 1, SIZE) for x in range(0, width - SIZE + 1, SIZE)]
    found = (match_window(crops, phone_grey, dslr_grey, x, y) for x, y in corners)
    return [match for match in found if match is not None]


def main(phone_dir: Path, dslr_dir: Path, out: Path) -> None:
    """Build OUT.h5 from two folders of photos."""
    rows: list[list[object]] = []
    log: list[dict[str, object]] = []
    shape, limit, chunk = (0, SIZE, SIZE, 3), (None, SIZE, SIZE, 3), (1, SIZE, SIZE, 3)
    with h5py.File(out, "w") as file:
        stored = [
            file.create_dataset(name, shape, np.uint8, maxshape=limit, chunks=chunk) for name in ("phone", "dslr")
        ]
        for phone_file in sorted(phone_dir.iterdir()):
            partners = sorted(dslr_dir.glob(f"{phone_file.stem}.*"))
            if not partners:
                continue
            start = time.perf_counter()
            phone, dslr = cv2.imread(str(phone_file)), cv2.imread(str(partners[0]))
            homography = find_homography(phone, dslr)
            entry: dict[str, object] = {"pair": phone_file.stem}
            matches: list[Match] = []
            if homography is not None:
                entry["H"] = homography.tolist()
                try:
                    crops = crop_to_intersection(phone, dslr, homography)
                except cv2.error:  # a nonsense homography asks for an absurd photo
                    crops = None
                matches = match_patches(crops) if crops else []
                rows += [[phone_file.stem, crops.x, crops.y, *_numbers(m)] for m in matches if crops]
            for dataset, patches in zip(stored, ([m.phone for m in matches], [m.dslr for m in matches]), strict=True):
                for patch in patches:
                    dataset.resize(len(dataset) + 1, 0)
                    dataset[-1] = patch[:, :, ::-1]
            log.append({**entry, "total": time.perf_counter() - start})
            print(phone_file.stem, len(matches), f"{log[-1]['total']:.2f} s", flush=True)
        file.attrs["rows"] = json.dumps(rows)
    Path(f"{out}.log.json").write_text(json.dumps(log))


def _numbers(m: Match) -> list[float]:
    return [m.x, m.y, m.match_x, m.match_y, m.angle_deg, m.ncc]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))

"""Scenes for a simulated rig: photos, or walls of photos, laid out so that both cameras see nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.captures.listing import is_photo_name
from dped_data.errors import InputError
from dped_data.photos.colour import linear_light
from dped_data.photos.reading import read_photo
from dped_data.simulation.geometry import NearObject, PairGeometry

MARGIN_PX = 4.0
"""Scene kept beyond what the cameras see, for the interpolation's neighbours."""
MAX_MAGNIFICATION = 1.6
"""Ours: a scene pixel that covers more DSLR pixels than this blurs the photos; a wall of photos is laid then."""
MAX_OVERSIZE = 1.25
"""A scene with more pixels per DSLR pixel than this is shrunk first: what no camera can resolve only costs time."""
WALL_SIDES = (2, 3, 4)
TEXTURE_TRIES = 12

SRGB_TO_LINEAR = linear_light(np.arange(256, dtype=np.uint8)).astype(np.float32)
"""Linear light of an 8-bit sRGB value (IEC 61966-2-1)."""


@dataclass(frozen=True)
class Scene:
    """What a simulated capture shows.

    Attributes:
        pixels: (H, W, 3) float32, linear light, 0 to 1.
        photos: names of the photos it is made of, reading order.
        magnification: DSLR pixels covered by the side of one pixel of its coarsest photo.
        pixels_per_dslr_px: scene pixels per ideal DSLR pixel.
        textures: (1 + K, 2, 3) float64, per surface the affine map from ideal DSLR pixels to scene pixels.
    """

    pixels: NDArray[np.float32]
    photos: tuple[str, ...]
    magnification: float
    pixels_per_dslr_px: float
    textures: NDArray[np.float64]


def list_photos(folder: Path) -> list[Path]:
    """Return the photos directly in `folder`, sorted by name; InputError if there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass a folder of photos with --photos")
    photos = [path for path in sorted(folder.iterdir()) if is_photo_name(path.name) and path.is_file()]
    if not photos:
        raise InputError(f"{folder}: no photos in it (*.jpg, *.png, *.tif, ...); pass a folder of photos with --photos")
    return photos


def make_scene(photos: list[Path], index: int, geometry: PairGeometry, rng: np.random.Generator) -> Scene:
    """Lay out the scene of capture `index`: its photo, or a wall of several photos where one alone is too coarse."""
    left, top, right, bottom = geometry.ideal_bounds()
    need_w, need_h = right - left + 2 * MARGIN_PX, bottom - top + 2 * MARGIN_PX
    first = index % len(photos)
    picture = _landscape(read_photo(photos[first]), need_w >= need_h)
    names = [photos[first].name]
    magnification = max(need_w / picture.shape[1], need_h / picture.shape[0])
    if magnification > MAX_MAGNIFICATION and len(photos) > 1:
        picture, names, magnification = _wall(photos, first, (need_w, need_h), rng)
    if (index // len(photos)) % 2:  # the second round through the folder shows everything mirrored
        picture = picture[:, ::-1]
    zoom = min(picture.shape[1] / need_w, picture.shape[0] / need_h)
    if zoom > MAX_OVERSIZE:
        size_wh = (round(picture.shape[1] / zoom), round(picture.shape[0] / zoom))
        picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
        zoom = min(picture.shape[1] / need_w, picture.shape[0] / need_h)
    height, width = picture.shape[:2]
    free = np.array([width - need_w * zoom, height - need_h * zoom])  # the photo's other shape leaves a choice of place
    corner = rng.uniform(0, 1, 2) * free.clip(0)
    origin = corner + zoom * (MARGIN_PX - np.array([left, top]))
    background = np.array([[zoom, 0, origin[0]], [0, zoom, origin[1]]])
    pixels = SRGB_TO_LINEAR[picture]
    textures = np.stack([background, *(_object_texture(o, pixels, zoom, rng) for o in geometry.objects)])
    return Scene(pixels, tuple(names), magnification, zoom, textures)


def _landscape(photo: NDArray[np.uint8], landscape: bool) -> NDArray[np.uint8]:
    """Lay a photo on its side where that covers the view with more pixels."""
    return photo if (photo.shape[1] >= photo.shape[0]) == landscape else np.rot90(photo)


def _wall(
    photos: list[Path], first: int, need_wh: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[str], float]:
    """Hang photos side by side, none twice, on the smallest square wall whose photos are not magnified too much."""
    side = WALL_SIDES[0]
    for side in WALL_SIDES:
        chosen = _choose(len(photos), first, side * side, rng)
        cell_wh = (math.ceil(need_wh[0] / side), math.ceil(need_wh[1] / side))
        cells = [_fill(_landscape(read_photo(photos[i]), cell_wh[0] >= cell_wh[1]), cell_wh) for i in chosen]
        magnification = max(m for _, m in cells)
        if np.median([m for _, m in cells]) <= MAX_MAGNIFICATION or (side + 1) ** 2 > len(photos):
            break
    columns = side if len(cells) >= side * side else len(cells)
    rows = [np.hstack([cells[r * columns + c][0] for c in range(columns)]) for r in range(len(cells) // columns)]
    return np.vstack(rows), [photos[i].name for i in chosen], magnification


def _choose(count: int, first: int, wanted: int, rng: np.random.Generator) -> list[int]:
    others = rng.permutation([i for i in range(count) if i != first])[: wanted - 1]
    return [int(i) for i in rng.permutation([first, *others])]


def _fill(photo: NDArray[np.uint8], cell_wh: tuple[int, int]) -> tuple[NDArray[np.uint8], float]:
    """Crop the middle of a photo to a cell's shape and resize it; also return the magnification."""
    height, width = photo.shape[:2]
    magnification = max(cell_wh[0] / width, cell_wh[1] / height)
    crop_w, crop_h = min(width, round(cell_wh[0] / magnification)), min(height, round(cell_wh[1] / magnification))
    x, y = (width - crop_w) // 2, (height - crop_h) // 2
    crop = np.ascontiguousarray(photo[y : y + crop_h, x : x + crop_w])
    interpolation = cv2.INTER_CUBIC if magnification > 1 else cv2.INTER_AREA
    return cv2.resize(crop, cell_wh, interpolation=interpolation), magnification


def _object_texture(
    thing: NearObject, pixels: NDArray[np.float32], zoom: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Dress a near object with a textured part of the scene, mirrored: no detector takes it for the original."""
    radius = thing.radius_px * (1 + sum(abs(r) for r in thing.ripple)) * zoom + MARGIN_PX
    height, width = pixels.shape[:2]
    room = np.array([max(0.0, width - 1 - 2 * radius), max(0.0, height - 1 - 2 * radius)])
    best, best_contrast = (width / 2, height / 2), -1.0
    for _ in range(TEXTURE_TRIES):
        x, y = rng.uniform(0, 1, 2) * room + radius
        part = pixels[max(0, int(y - radius)) : int(y + radius) : 4, max(0, int(x - radius)) : int(x + radius) : 4, 1]
        contrast = float(np.abs(np.diff(np.sqrt(part), axis=1)).mean()) if part.size > 1 else 0.0
        if contrast > best_contrast:
            best, best_contrast = (float(x), float(y)), contrast
    return np.array([[-zoom, 0, best[0] + zoom * thing.x], [0, zoom, best[1] - zoom * thing.y]])

"""Small rig captures with known geometry, for tests that need a build and not its accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from dped_data.photos.colour import srgb_decode
from dped_data.photos.exif import exif_with_time
from dped_data.photos.writing import write_photo
from dped_data.simulation.optics import draw_phone
from dped_data.simulation.sensor import raw_photo

PHONE_WH = (320, 240)
DSLR_WH = (448, 336)
FIRST_SHOT_S = 1_500_000_000.0
RIG_TOML = """[rig]
name = "small"
dslr = "slr"
[rig.cameras]
pocket = "320x240"
slr = "448x336"
"""


def scene(index: int) -> NDArray[np.uint8]:
    """A view of one of scikit-image's photos, different for every index."""
    photo = (skimage.data.astronaut, skimage.data.coffee, skimage.data.chelsea, skimage.data.rocket)[index % 4]()
    rng = np.random.default_rng(index)
    height, width = photo.shape[:2]
    h = min(height, 290)
    w = h * 4 // 3
    y, x = rng.integers(0, height - h + 1), rng.integers(0, max(width - w, 0) + 1)
    return cv2.resize(photo[y : y + h, x : x + w], (640, 480), interpolation=cv2.INTER_CUBIC)


def pair(index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Phone and DSLR photo of scene `index`: turned by a degree, of other scale, colour and noise."""
    view = scene(index)
    rng = np.random.default_rng(1000 + index)
    angle = rng.uniform(-1.5, 1.5)

    def shoot(size_wh: tuple[int, int], angle_deg: float) -> NDArray[np.uint8]:
        scale = size_wh[0] / 620
        matrix = cv2.getRotationMatrix2D((319.5, 239.5), angle_deg, scale)
        matrix[:, 2] += [(size_wh[0] - 1) / 2 - 319.5, (size_wh[1] - 1) / 2 - 239.5]
        blurred = cv2.GaussianBlur(view, (0, 0), 0.4 / scale)
        return cv2.warpAffine(blurred, matrix, size_wh, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)

    dslr = shoot(DSLR_WH, 0.0)
    phone = shoot(PHONE_WH, angle).astype(np.float64) * [0.9, 0.95, 1.05] - 3
    phone += rng.normal(0, 2, phone.shape)
    return np.clip(phone, 0, 255).round().astype(np.uint8), dslr


def write_capture(captures: Path, index: int, name: str | None = None) -> None:
    """Write capture `index` (its photos, with capture times a minute apart) below `captures`."""
    phone, dslr = pair(index)
    for camera, pixels in (("pocket", phone), ("slr", dslr)):
        path = captures / camera / f"{name or f'{index:03d}'}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_photo(path, pixels, quality=95, exif=exif_with_time(FIRST_SHOT_S + 60 * index))


def write_rig(folder: Path, count: int) -> tuple[Path, Path]:
    """Write `count` captures and the rig's TOML; return (captures folder, TOML file)."""
    for index in range(count):
        write_capture(folder / "captures", index)
    toml = folder / "rig.toml"
    toml.write_text(RIG_TOML)
    return folder / "captures", toml


def write_raw_capture(captures: Path, index: int, *, jpeg: bool = False, raw_dslr: bool = False) -> None:
    """Write capture `index` with the phone's photo as a DNG, and with `jpeg` as the camera's JPEG beside it.

    With `raw_dslr` the DSLR's is a DNG, too.
    """
    phone, dslr = pair(index)
    look = replace(draw_phone(np.random.default_rng(0), 20000), vignetting=0.0, gains=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(index)
    for camera, photo in (("pocket", phone), ("slr", dslr)):
        (captures / camera).mkdir(parents=True, exist_ok=True)
        if camera == "pocket" or raw_dslr:
            light = srgb_decode((photo / 255).astype(np.float32))
            data = raw_photo(light, look, FIRST_SHOT_S + 60 * index, rng)
            (captures / camera / f"{index:03d}.dng").write_bytes(data)
    exif = exif_with_time(FIRST_SHOT_S + 60 * index)
    if not raw_dslr:
        write_photo(captures / "slr" / f"{index:03d}.jpg", dslr, quality=95, exif=exif)
    if jpeg:
        write_photo(captures / "pocket" / f"{index:03d}.jpg", phone, quality=95, exif=exif)

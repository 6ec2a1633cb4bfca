"""Small datasets with planted faults, written with the shard writer, for the tests of the inspection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift

from dped_data.align.records import WINDOW_REASONS, Patches
from dped_data.align.resampling import sample_dslr
from dped_data.captures.records import SPLITS
from dped_data.common.files import sha256_of_file
from dped_data.common.typed_settings import digest_of, settings_dict
from dped_data.dataset.capture_table import CaptureRow, write_captures
from dped_data.dataset.manifest import Manifest, ShardEntry, SplitEntry, write_manifest
from dped_data.dataset.shards import ShardCapture, write_shard
from dped_data.photos.exif import exif_with_time
from dped_data.photos.writing import write_photo
from dped_data.settings import FORMAT_VERSION, BuildSettings

SIZE = 100
WIDTH, HEIGHT = 500, 400
PHONE, DSLR = "sony", "canon"
FIRST_SHOT_S = 1_700_000_000.0


@dataclass(frozen=True)
class Fault:
    """What is wrong with a capture: its DSLR patches are shifted, show another scene, are over-exposed or blurred.

    `foreign` is a scene that covers a part of every window of the DSLR photo; `contrast` is what is left of the scene's
    in both photos.

    `again` is no fault of the capture: both its photos show the scene of another capture, from a few pixels aside.
    """

    shift_px: tuple[float, float] = (0.0, 0.0)
    scene: int | None = None
    exposure: float = 1.0
    again: int | None = None
    foreign: int | None = None
    blur_px: float = 0.5
    contrast: float = 1.0


NO_FAULT = Fault()


@cache
def _sources() -> tuple[NDArray[np.float32], ...]:
    data = skimage.data
    pictures = (data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), data.immunohistochemistry())
    return tuple(cv2.resize(p, (900, 800), interpolation=cv2.INTER_CUBIC).astype(np.float32) for p in pictures)


def scene(number: int, turned_px: int = 0) -> NDArray[np.float32]:
    """A (HEIGHT, WIDTH, 3) picture, 0 to 255; every number gives another one, `turned_px` another view of the same."""
    rng = np.random.default_rng(number)
    source = _sources()[number % len(_sources())]
    x, y = rng.integers(20, 880 - WIDTH) + turned_px, rng.integers(0, 800 - HEIGHT)
    crop = source[y : y + HEIGHT, x : x + WIDTH]
    grain = cv2.GaussianBlur(rng.normal(0, 60, crop.shape[:2]).astype(np.float32), (0, 0), 2.0)
    crop = np.rot90(crop, 2) if (number // len(_sources())) % 2 else crop
    return np.ascontiguousarray((crop * 0.8 + 20 + grain[:, :, None]).clip(0, 255))


def moved(picture: NDArray[np.float32], shift_px: tuple[float, float]) -> NDArray[np.float32]:
    """Move the content right by x and down by y, exactly, by its Fourier transform; it wraps around at the border."""
    spectrum = np.fft.fft2(picture, axes=(0, 1))
    shifted = fourier_shift(spectrum, (shift_px[1], shift_px[0], 0))
    return np.fft.ifft2(shifted, axes=(0, 1)).real.astype(np.float32)


def _covered() -> NDArray[np.bool_]:
    """The right lower part, 25 px wide and high, of every window."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    covered: NDArray[np.bool_] = (y % SIZE >= SIZE - 25) & (x % SIZE >= SIZE - 25)
    return covered


def photo_pair(
    number: int, fault: Fault, shared_shift: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Phone and DSLR photo of a scene, aligned but for the fault; blur, colour and noise differ."""
    rng = np.random.default_rng(1000 + number)
    view = scene(number) if fault.again is None else scene(fault.again, turned_px=15)
    view = (view - 128) * fault.contrast + 128
    phone = cv2.GaussianBlur(view, (0, 0), 0.8) * (0.95, 0.9, 0.85) + rng.normal(0, 2, (HEIGHT, WIDTH, 3))
    shift = (fault.shift_px[0] + shared_shift[0], fault.shift_px[1] + shared_shift[1])
    shown = view if fault.scene is None else scene(fault.scene)
    if fault.foreign is not None:
        shown = np.where(_covered()[:, :, None], scene(fault.foreign), shown)
    dslr = moved(cv2.GaussianBlur(shown, (0, 0), fault.blur_px), shift)
    dslr = dslr * fault.exposure + rng.normal(0, 0.7, dslr.shape)
    return phone.round().clip(0, 255).astype(np.uint8), dslr.round().clip(0, 255).astype(np.uint8)


def capture_patches(number: int, fault: Fault, shared_shift: tuple[float, float]) -> Patches:
    """The patches of one capture; the last window of each capture counts as dropped for want of texture."""
    phone, dslr = photo_pair(number, fault, shared_shift)
    corners = [(x, y) for y in range(0, HEIGHT - SIZE + 1, SIZE) for x in range(0, WIDTH - SIZE + 1, SIZE)]
    kept = corners[:-1]
    rng = np.random.default_rng(2000 + number)
    steps = np.linspace(0, SIZE - 1, 5)
    nodes = np.stack(np.meshgrid(steps, steps), -1)
    dslr_xy = np.array(kept, np.float64)[:, None, None] + nodes
    phone_cuts = np.stack([phone[y : y + SIZE, x : x + SIZE] for x, y in kept])
    dslr_cuts = sample_dslr(dslr, dslr_xy, SIZE)
    luma = [[patch @ (0.299, 0.587, 0.114) for patch in cuts] for cuts in (phone_cuts, dslr_cuts)]
    ncc = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*luma, strict=True)]
    return Patches(
        phone=phone_cuts,
        dslr=dslr_cuts,
        phone_xy=np.array(kept, np.int32),
        dslr_xy=dslr_xy,
        shift_px=rng.normal(0, 1.5, (len(kept), 2)).astype(np.float32),
        angle_deg=np.zeros(len(kept), np.float32),
        ncc=np.array(ncc, np.float32),
        error_px=np.full(len(kept), 0.05, np.float32),
        window_xy=np.array(corners, np.int32),
        window_reason=np.array([0] * len(kept) + [WINDOW_REASONS.index("texture")], np.uint8),
    )


def make_dataset(
    out: Path,
    count: int = 8,
    faults: Mapping[int, Fault] | None = None,
    shared_shift: tuple[float, float] = (0.0, 0.0),
    rejected: int = 0,
    photos: Path | None = None,
    timed: bool = False,
) -> Path:
    """Write OUT/sony: `count` kept captures named c000 … (three quarters train), then `rejected` ones; return OUT.

    With `photos`, the photos are written there too, so that the patches can be made again from them; `timed` ones state
    that they were taken a minute apart.
    """
    faults, folder = faults or {}, out / PHONE
    settings = settings_dict(BuildSettings())
    digest = digest_of(settings, FORMAT_VERSION)
    rows: list[CaptureRow] = []
    splits: dict[str, SplitEntry] = {}
    bounds = (0, round(0.75 * count), round(0.875 * count), count)
    for split, first, last in zip(SPLITS, bounds[:-1], bounds[1:], strict=True):
        (folder / split).mkdir(parents=True, exist_ok=True)
        entries = []
        for start in range(first, last, 4):
            members = range(start, min(start + 4, last))
            unit = [_shard_capture(k, capture_patches(k, faults.get(k, NO_FAULT), shared_shift)) for k in members]
            path = folder / split / f"{len(entries):05d}.h5"
            write_shard(path, unit, {"digest": digest, "unit": f"{split}{start}"})
            patches = sum(len(c.patches.ncc) for c in unit)
            entries.append(ShardEntry(f"{split}/{path.name}", patches, path.stat().st_size, sha256_of_file(path)))
            rows += [_row(c, split) for c in unit]
        splits[split] = SplitEntry(last - first, sum(e.patches for e in entries), tuple(entries))
    for k in range(rejected):
        name = f"r{k:03d}"
        row = CaptureRow(name, f"{PHONE}/{name}.png", f"{DSLR}/{name}.png", "train", "rejected")
        rows.append(replace(row, stage="homography", reason="too few inliers", measured=7.0, limit=16.0))
    for k in range(count if photos else 0):
        for camera, picture in zip((PHONE, DSLR), photo_pair(k, faults.get(k, NO_FAULT), shared_shift), strict=True):
            path = Path(photos or "") / camera / f"c{k:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_photo(path, picture, exif=exif_with_time(FIRST_SHOT_S + 60 * k) if timed else None)
    total = sum(entry.patches for entry in splits.values())
    totals = {"captures": len(rows), "kept": count, "rejected": rejected, "failed": 0, "patches": total}
    totals |= {"windows": sum(row.windows or 0 for row in rows), "unpaired_photos": 0}
    rejections = {"homography: too few inliers": rejected} if rejected else {}
    write_captures(folder, rows)
    manifest = Manifest(PHONE, DSLR, SIZE, "built", "refined", digest, settings, {}, splits, totals, rejections)
    write_manifest(folder, manifest)
    return out


def _shard_capture(number: int, patches: Patches) -> ShardCapture:
    name, size = f"c{number:03d}", (WIDTH, HEIGHT)
    return ShardCapture(name, f"{PHONE}/{name}.png", f"{DSLR}/{name}.png", "", "", size, size, np.eye(3), patches)


def _row(capture: ShardCapture, split: Literal["train", "val", "test"]) -> CaptureRow:
    row = CaptureRow(capture.capture_id, capture.phone_file, capture.dslr_file, split, "kept")
    patches = capture.patches
    median = float(np.median(patches.ncc))
    return replace(row, windows=len(patches.window_xy), patches=len(patches.ncc), median_ncc=median, overlap=1.0)

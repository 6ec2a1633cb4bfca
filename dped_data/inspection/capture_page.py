"""Write what the page shows of one capture: pictures and figures in a folder of its own, loaded when it is opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dped_data.common.files import write_bytes
from dped_data.inspection.previews import GREY, covered, mosaic, photo_size, shrink_factor
from dped_data.inspection.records import CaptureFigures, PatchSample, StoredCapture

CAPTURES_FOLDER = "pairs"
FILES = ("data.js", "phone.jpg", "dslr.jpg", "thumb.jpg", "phone_region.jpg", "dslr_region.jpg", "patches.jpg")
"""All that a capture's folder may hold."""
OVERVIEW_PX = 900
"""Longer side of the whole-photo pictures: readable on a laptop, and a quarter of most DSLRs' width, which decodes
fast."""
REGION_WH = (800, 600)
THUMBNAIL_PX = 144
SHEET_PATCHES = 24
_DIMMED = 0.45
"""Brightness of the backdrop where nothing is stored, so that what is stored stands out."""


@dataclass(frozen=True)
class Previews:
    """Small upright pictures of the photos, None where they are not at hand.

    Attributes:
        phone, dslr: (h, w, 3) uint8.
        dslr_size_wh: size of the DSLR photo, pixels.
    """

    phone: NDArray[np.uint8] | None
    dslr: NDArray[np.uint8] | None
    dslr_size_wh: tuple[int, int]


def capture_folder(out: Path, index: int) -> Path:
    """Folder of one capture inside the report."""
    return out / CAPTURES_FOLDER / f"{index:05d}"


def write_capture(
    out: Path,
    stored: StoredCapture,
    figures: CaptureFigures,
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    previews: Previews,
) -> None:
    """Write the pictures and `data.js` of one capture, in a folder that no page refers to yet.

    Args:
        out: the report's folder.
        stored, figures: the capture and what was measured in it.
        phone, dslr: (N, S, S, 3) uint8, the stored patches.
        previews: the photos, small.
    """
    folder = capture_folder(out, stored.listed.index)
    folder.mkdir(parents=True, exist_ok=True)
    data = _figures_json(stored, figures, phone.shape[1])
    overviews = _overviews(stored, phone, dslr, previews)
    for name, picture in zip(("phone", "dslr"), overviews, strict=True):
        if picture is not None:
            write_jpeg(folder / f"{name}.jpg", picture, 82, "420")
            data[f"{name}_overview"] = [picture.shape[1], picture.shape[0]]
    if overviews[0] is not None:
        write_jpeg(folder / "thumb.jpg", _thumbnail(overviews[0]), 75, "420")
    if figures.sample is not None:
        order = _worst_first(figures.sample)
        data["region"] = _write_region(folder, stored, phone, dslr, int(order[0]))
        data["sheet"] = _write_sheet(folder, phone, dslr, order[:SHEET_PATCHES])
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    write_bytes(folder / "data.js", f"dped.receiveCapture({stored.listed.index},{text});\n".encode())


def _figures_json(stored: StoredCapture, f: CaptureFigures, patch_size: int) -> dict[str, Any]:
    sample = f.sample
    data: dict[str, Any] = {
        "size": list(f.phone_wh),
        "patch": patch_size,
        "windows": np.column_stack([stored.window_xy, stored.window_reason]).ravel().tolist(),
        "patches": {
            "xy": stored.phone_xy.ravel().tolist(),
            "before": _rounded(stored.shift_px),
            "ncc": _rounded(stored.ncc),
            "error": _rounded(stored.error_px),
        },
    }
    if sample is not None:
        data["sample"] = {
            "patch": sample.position.tolist(),
            "shift": _rounded(sample.shift_px),
            "deviation": _rounded(sample.deviation_px),
            "correlation": _rounded(sample.correlation),
            "measured": sample.measured.astype(int).tolist(),
            "foreign": np.where(sample.told, sample.foreign, 0).tolist(),
        }
    if f.look is not None:
        data["phone_from_dslr"] = _rounded(f.look.phone_from_dslr)
    return data


def _rounded(values: NDArray[np.floating]) -> list[float | None]:
    """Flat list with three decimals; what is not finite becomes None, as JSON has it."""
    flat = values.ravel().astype(np.float64)
    rounded: list[float | None] = np.round(flat, 3).tolist()
    for place in np.flatnonzero(~np.isfinite(flat)).tolist():
        rounded[place] = None
    return rounded


def _worst_first(sample: PatchSample) -> NDArray[np.int64]:
    """The capture's sampled patches: those that do not match, those with two contents, then by measured shift, then
    the unmeasurable ones."""
    badness = np.where(sample.measured, np.hypot(*sample.shift_px.T), 0.0)
    badness = np.where(sample.told & (sample.foreign > 0), 50 + sample.foreign, badness)
    unmatched = (sample.contrast >= 4) & ~sample.matched
    badness = np.where(unmatched, 100 - sample.correlation, badness)
    return sample.position[np.argsort(-badness, kind="stable")]


def _overviews(
    stored: StoredCapture, phone: NDArray[np.uint8], dslr: NDArray[np.uint8], previews: Previews
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """Whole-photo pictures in the phone's frame: what is stored stands out from a dimmed backdrop of the photos."""
    if len(phone) == 0:
        return previews.phone, previews.dslr
    factor = shrink_factor(photo_size(stored, phone.shape[1]), OVERVIEW_PX)
    mask, theirs = covered(stored, phone.shape[1], factor), mosaic(dslr, stored, factor)
    size = (theirs.shape[1], theirs.shape[0])
    if previews.phone is None:
        mine = mosaic(phone, stored, factor)
    else:  # its pixels are the patches' own
        whole = cv2.resize(previews.phone, size)
        mine = _on(_dimmed(whole), whole, mask)
    backdrop = _dslr_backdrop(stored, previews, size, 1 / factor)
    return mine, theirs if backdrop is None else _on(backdrop, theirs, mask)


def _on(backdrop: NDArray[np.uint8], picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The backdrop with the picture where the mask (h, w) is True."""
    return np.asarray(cv2.copyTo(picture, mask.view(np.uint8), backdrop))


def _dslr_backdrop(
    stored: StoredCapture, previews: Previews, size: tuple[int, int], scale: float
) -> NDArray[np.uint8] | None:
    """The DSLR preview warped to the phone's frame by the homography alone: good enough to find one's way."""
    matrix = stored.dslr_from_phone
    if previews.dslr is None or not np.isfinite(matrix).all() or min(previews.dslr_size_wh) <= 0:
        return None
    shrink = previews.dslr.shape[1] / previews.dslr_size_wh[0]
    preview_from_canvas = np.diag([shrink, shrink, 1.0]) @ matrix @ np.diag([1 / scale, 1 / scale, 1.0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(
        previews.dslr, preview_from_canvas, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(96, 96, 96)
    )
    return _dimmed(warped)


def _dimmed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.convertScaleAbs(picture, alpha=_DIMMED, beta=GREY * (1 - _DIMMED) * 0.6)


def _thumbnail(overview: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = THUMBNAIL_PX / max(overview.shape[:2])
    size = (max(1, round(overview.shape[1] * scale)), max(1, round(overview.shape[0] * scale)))
    small: NDArray[np.uint8] = cv2.resize(overview, size, interpolation=cv2.INTER_AREA)
    return small


def _write_region(
    folder: Path, stored: StoredCapture, phone: NDArray[np.uint8], dslr: NDArray[np.uint8], centre: int
) -> list[int]:
    """Write the neighbourhood of one patch at full resolution; return its x, y, width, height in the phone photo."""
    size = phone.shape[1]
    first, last = stored.phone_xy.min(0), stored.phone_xy.max(0) + size  # what is stored, not the whole photo
    w, h = (int(v) for v in np.minimum(np.maximum(REGION_WH, size), last - first))
    corner = stored.phone_xy[centre] + size // 2 - np.array([w // 2, h // 2])
    x, y = (int(v) for v in np.clip(corner, first, last - (w, h)))
    offset = stored.phone_xy - (x, y)
    inside = np.flatnonzero((offset > -size).all(1) & (offset < (w, h)).all(1))
    for name, patches in (("phone", phone), ("dslr", dslr)):
        canvas = np.full((h + 2 * size, w + 2 * size, 3), GREY, np.uint8)
        for k in inside:
            left, top = offset[k] + size
            canvas[top : top + size, left : left + size] = patches[k]
        write_jpeg(folder / f"{name}_region.jpg", canvas[size:-size, size:-size], 90)
    return [x, y, w, h]


def _write_sheet(
    folder: Path, phone: NDArray[np.uint8], dslr: NDArray[np.uint8], chosen: NDArray[np.int64]
) -> list[int]:
    """Write chosen patches side by side, phone above DSLR; return which they are."""
    rows = [np.concatenate(list(patches[chosen]), axis=1) for patches in (phone, dslr)]
    write_jpeg(folder / "patches.jpg", np.concatenate(rows), 92)
    return [int(k) for k in chosen]


def write_jpeg(path: Path, pixels: NDArray[np.uint8], quality: int, subsampling: str = "444") -> None:
    """Write an RGB picture as JPEG."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", subsampling)
    write_bytes(path, data)

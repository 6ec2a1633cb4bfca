"""Measure loose patches: pairs of which nobody says where in which photo they lie. They are judged as patches.

Of a hundred thousand of them the numbers are kept, and the worst are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import WINDOW_REASONS
from dped_data.captures.records import SPLITS
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.shards import open_shard
from dped_data.errors import PhotoError
from dped_data.inspection.measure import clipped_share, measure_patches
from dped_data.inspection.pair_layouts import PairOfFiles, read_pair
from dped_data.inspection.records import CaptureFigures, ListedCapture, PatchSample, StoredCapture
from dped_data.inspection.remeasure import zero_shift_correlation
from dped_data.inspection.report import Leak, RankedCapture, Summary
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.summary import summarise
from dped_data.photos.colour import LUMA

MOST_PAGES = 200
"""Worst patches that get pages: seven files each, so that a report has less than 2,000."""
LARGEST_PATCH_PX = 256
"""Larger pairs are photos, of which many patches are cut."""
LEAST_PATCH_PX = 24
MOST_LOOKED = 20_000
"""Of more, so many are looked at cell by cell, spread evenly: a share of 1 % is then known to 0.1 %."""
_VIEW_SIDE = 16
_CONTRAST = 4.0
_CHUNK = 2048
_LEAST_SPREAD = 0.03
"""As in `ranking`: log brightness ratios that differ by less make no outlier."""
_MOST_LEAKS = 1000
_UNMATCHED, _FOREIGN = 100.0, 1.5
"""Severity of patches that do not match at any shift, and that show two contents; 1 is a shift at the limit."""


@dataclass(frozen=True)
class LoosePatches:
    """What was measured of N loose patches; those that could not be read have False in `read` and nothing else.

    Attributes:
        read: (N,) bool.
        sample: as in records.PatchSample; `position` numbers the patches.
        ncc: (N,) float32 correlation of the luminance as the two lie.
        rgb: (N, 2, 3) float32 mean values of phone and DSLR, 0 to 255.
        clipped: (N, 2) float32 shares of pixels that are burnt out or black.
        size_ratio: (N,) float32, how much larger the DSLR's file is than the phone's.
        view: (N, 16, 16) uint8, the phone patch's luminance, small.
    """

    read: NDArray[np.bool_]
    sample: PatchSample
    ncc: NDArray[np.float32]
    rgb: NDArray[np.float32]
    clipped: NDArray[np.float32]
    size_ratio: NDArray[np.float32]
    view: NDArray[np.uint8]


@dataclass(frozen=True)
class PatchList:
    """Loose patches as they are listed, and where they are: files, or rows of a shard.

    Attributes:
        ids, splits: of the patches.
        files: their files; () where they lie in a shard.
        shard, rows: the shard, and the rows there.
    """

    ids: tuple[str, ...]
    splits: tuple[str, ...]
    files: tuple[PairOfFiles, ...] = ()
    shard: Path | None = None
    rows: tuple[int, ...] = ()

    def part(self, numbers: Sequence[int]) -> PatchList:
        """Some of them."""
        picked = [tuple(column[k] for k in numbers) if column else () for column in (self.files, self.rows)]
        ids, splits = (tuple(column[k] for k in numbers) for column in (self.ids, self.splits))
        return PatchList(ids, splits, picked[0], self.shard, picked[1])  # type: ignore[arg-type]


Pair = tuple[NDArray[np.uint8], NDArray[np.uint8], float]


def read_patches(patches: PatchList) -> list[Pair | str]:
    """Return both halves of each patch and the ratio of their sizes, or why it cannot be read."""
    if patches.shard is not None:
        with open_shard(patches.shard) as file:
            first, last = min(patches.rows), max(patches.rows) + 1
            phone, dslr = file["phone"][first:last], file["dslr"][first:last]
        return [(phone[row - first], dslr[row - first], 1.0) for row in patches.rows]
    result: list[Pair | str] = []
    for pair in patches.files:
        try:
            phone, dslr, ratio = read_pair(pair)
            result.append((_square(phone), _square(dslr), ratio))
        except PhotoError as error:
            result.append(error.fault)
    return result


def _square(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a patch, as wide as high."""
    height, width = patch.shape[:2]
    side = min(height, width)
    if side < LEAST_PATCH_PX:
        raise PhotoError("patch", f"{width}x{height} pixels, at least {LEAST_PATCH_PX} are needed")
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(patch[top : top + side, left : left + side])


def measure_loose(patches: PatchList, settings: InspectSettings, step: int) -> tuple[LoosePatches, dict[str, int]]:
    """Measure some patches, every `step`th cell by cell, and count why others could not be read: one process' work."""
    pairs = read_patches(patches)
    parts = [
        _nothing() if isinstance(pair, str) else _measured(pair, settings, cells=k % step == 0)
        for k, pair in enumerate(pairs)
    ]
    return joined(parts), dict(Counter(pair for pair in pairs if isinstance(pair, str)))


def _measured(pair: Pair, settings: InspectSettings, *, cells: bool) -> LoosePatches:
    phone, dslr, ratio = pair[0][None], pair[1][None], pair[2]
    sample = measure_patches(loose_capture("", phone), np.zeros(1, np.int64), phone, dslr, settings, cells=cells)
    grey = cv2.cvtColor(pair[0], cv2.COLOR_RGB2GRAY)
    return LoosePatches(
        read=np.ones(1, bool),
        sample=sample,
        ncc=np.nan_to_num(zero_shift_correlation(phone, dslr)).astype(np.float32),
        rgb=np.stack([half.mean((0, 1)) for half in pair[:2]])[None].astype(np.float32),
        clipped=np.array([[clipped_share(half) for half in pair[:2]]], np.float32),
        size_ratio=np.array([ratio], np.float32),
        view=cv2.resize(grey, (_VIEW_SIDE, _VIEW_SIDE), interpolation=cv2.INTER_AREA)[None],
    )


def _nothing() -> LoosePatches:
    """A patch that could not be read."""
    none, unknown = np.zeros(1, bool), np.full(1, np.nan, np.float32)
    pair, zero = np.full((1, 2), np.nan, np.float32), np.zeros(1, np.float32)
    sample = PatchSample(
        position=np.zeros(1, np.int64),
        phone_xy=np.zeros((1, 2), np.int32),
        error_px=unknown,
        before_px=pair,
        shift_px=pair,
        deviation_px=unknown,
        correlation=zero,
        measured=none,
        matched=none,
        contrast=zero,
        looked=none,
        told=none,
        foreign=np.zeros(1, np.int32),
        scale=unknown,
        sharpness=unknown,
    )
    rgb, view = np.zeros((1, 2, 3), np.float32), np.zeros((1, _VIEW_SIDE, _VIEW_SIDE), np.uint8)
    return LoosePatches(none, sample, unknown, rgb, rgb[:, :, 0], unknown, view)


def joined(parts: Sequence[LoosePatches]) -> LoosePatches:
    """All patches of several lists, numbered in order."""
    samples = [part.sample for part in parts]
    columns = {f.name: np.concatenate([getattr(s, f.name) for s in samples]) for f in fields(PatchSample)}
    columns["position"] = np.arange(len(columns["position"]))
    others = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(LoosePatches)[:1]}
    others |= {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(LoosePatches)[2:]}
    return LoosePatches(sample=PatchSample(**columns), **others)


def loose_capture(name: str, phone: NDArray[np.uint8], index: int = 0, split: str = "train") -> StoredCapture:
    """A capture that consists of one loose patch, or of patches cut side by side."""
    side, count = phone.shape[1], len(phone)
    row = CaptureRow(name, "", "", split, "kept", patches=count)
    return StoredCapture(
        listed=ListedCapture(row, index, "", -1),
        rows=np.arange(count),
        phone_xy=np.zeros((count, 2), np.int32),
        shift_px=np.full((count, 2), np.nan, np.float32),
        ncc=np.zeros(count, np.float32),
        error_px=np.full(count, np.nan, np.float32),
        window_xy=np.zeros((0, 2), np.int32),
        window_reason=np.zeros(0, np.uint8),
        phone_size_wh=(side, side),
        dslr_size_wh=(side, side),
        dslr_from_phone=np.full((3, 3), np.nan),
    )


def summarise_loose(
    patches: PatchList, loose: LoosePatches, reasons: dict[str, int], settings: InspectSettings
) -> Summary:
    """Sum up loose patches: what `summarise` says of one capture that holds them all, and what they share."""
    read = loose.read
    sample = _rows(loose.sample, np.flatnonzero(read))
    row = CaptureRow("all", "", "", "train", "kept", patches=int(read.sum()))
    one = CaptureFigures(
        listed=ListedCapture(row, 0, "", 0),
        phone_wh=(1, 1),
        ncc=loose.ncc[read],
        error_px=sample.error_px,
        windows=(0,) * len(WINDOW_REASONS),
        sample=sample,
        look=None,
        view=None,
        time_s=None,
    )
    shared, deviation = _shared_shift(sample)
    leaks, highest = find_repeated(patches, loose, settings.repeated_correlation)
    splits = np.array(patches.splits)[read]
    summary = summarise([one], 1, settings)
    own = np.hypot(*(sample.shift_px[sample.measured] - (shared or (0.0, 0.0))).T)
    return replace(
        summary,
        captures_by_status={"kept": int(read.sum()), **({"failed": int((~read).sum())} if not read.all() else {})},
        reasons={f"read: {reason}": count for reason, count in sorted(reasons.items(), key=lambda item: -item[1])},
        patches_by_split={name: int((splits == name).sum()) for name in SPLITS},
        systematic_px=shared,
        systematic_deviation_px=deviation,
        random_px=float(np.median(own)) if len(own) else None,
        leaks=leaks,
        leak_correlation=highest,
    )


def _rows(sample: PatchSample, rows: NDArray[np.int64]) -> PatchSample:
    return PatchSample(**{f.name: getattr(sample, f.name)[rows] for f in fields(PatchSample)})


def _shared_shift(sample: PatchSample) -> tuple[tuple[float, float] | None, float]:
    """Median of the measured shifts, and the standard deviation of that median."""
    shifts = sample.shift_px[sample.measured].astype(np.float64)
    if len(shifts) == 0:
        return None, 0.0
    middle = np.median(shifts, 0)
    spread = 1.4826 * np.median(np.abs(shifts - middle), 0)
    return (float(middle[0]), float(middle[1])), float(1.2533 * np.hypot(*spread) / np.sqrt(len(shifts)))


def find_repeated(patches: PatchList, loose: LoosePatches, limit: float) -> tuple[tuple[Leak, ...], float]:
    """Return patches that stand in two splits, most alike first, and the highest correlation between splits.

    Compared are pictures of 16x16 pixels without their mean and slope: above `limit` they are one and the same patch,
    or overlap by nearly all.
    """
    usable = np.flatnonzero(loose.read & (loose.sample.contrast >= _CONTRAST))
    splits = np.array(patches.splits)[usable]
    details = _details(loose.view[usable])
    leaks, highest = [], 0.0
    for number, one in enumerate(SPLITS):
        mine = np.flatnonzero(splits == one)
        others = np.flatnonzero(np.isin(splits, SPLITS[number + 1 :]))
        for start in range(0, len(mine) if len(others) else 0, _CHUNK):
            part = mine[start : start + _CHUNK]
            alike = details[part] @ details[others].T
            highest = max(highest, float(alike.max()))
            for row, column in np.argwhere(alike > limit)[:_MOST_LEAKS]:
                first, second = usable[part[row]], usable[others[column]]
                leaks.append(Leak(patches.ids[first], patches.ids[second], float(alike[row, column])))
    leaks.sort(key=lambda leak: (-leak.correlation, leak.first, leak.second))
    return tuple(leaks[:_MOST_LEAKS]), highest


def _details(views: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Views without their mean and slope, of length one (N, 256)."""
    values = views.reshape(len(views), _VIEW_SIDE**2).astype(np.float32)
    y, x = np.mgrid[0:_VIEW_SIDE, 0:_VIEW_SIDE].reshape(2, -1) - (_VIEW_SIDE - 1) / 2
    plane = np.linalg.qr(np.stack([np.ones_like(x), x, y], 1))[0].astype(np.float32)
    values -= (values @ plane) @ plane.T
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(length > _VIEW_SIDE, values / np.maximum(length, 1e-6), 0.0)  # a grey level per pixel at least


def rank_loose(
    patches: PatchList, loose: LoosePatches, summary: Summary, settings: InspectSettings, most: int
) -> tuple[RankedCapture, ...]:
    """Return the `most` worst patches, worst first."""
    s = loose.sample
    severity = np.where(s.measured, np.hypot(*np.nan_to_num(s.shift_px).T) / max(settings.capture_fail_px, 1e-6), 0.0)
    unmatched = loose.read & (s.contrast >= _CONTRAST) & ~s.matched
    severity = np.maximum(severity, np.where(unmatched, _UNMATCHED - s.correlation, 0.0))
    severity = np.maximum(severity, np.where(s.told & (s.foreign > 0), _FOREIGN + 0.01 * s.foreign, 0.0))
    severity = np.maximum(severity, loose.clipped.max(1) / max(settings.clipped_fail, 1e-6))
    blurred = np.nan_to_num(s.sharpness, nan=np.inf) < settings.sharpness_fail
    severity = np.where(loose.read, np.maximum(severity, np.where(blurred, 1.0, 0.0)), -1.0)
    worst = np.argsort(-severity, kind="stable")[:most]
    leaking = {name for leak in summary.leaks for name in (leak.first, leak.second)}
    rows: list[RankedCapture] = []
    for index, k in enumerate(worst):
        if severity[k] < 0:
            break
        flags = {
            "shifted": bool(s.measured[k]) and float(np.hypot(*s.shift_px[k])) > settings.capture_warn_px,
            "no match": bool(unmatched[k]),
            "two contents": bool(s.told[k] and s.foreign[k] > 0),
            "clipped": float(loose.clipped[k].max()) > settings.clipped_fail,
            "blurred": bool(blurred[k]),
            "leak": patches.ids[k] in leaking,
        }
        rows.append(_ranked(patches, loose, int(k), index, float(severity[k]), flags))
    return tuple(rows)


def _ranked(
    patches: PatchList, loose: LoosePatches, k: int, index: int, severity: float, flags: dict[str, bool]
) -> RankedCapture:
    s, known = loose.sample, bool(loose.sample.measured[k])
    shift = (float(s.shift_px[k, 0]), float(s.shift_px[k, 1])) if known else None
    length = float(np.hypot(*s.shift_px[k])) if known else None
    files = patches.files[k] if patches.files else None
    light = loose.rgb[k] @ LUMA
    return RankedCapture(
        capture_id=patches.ids[k],
        index=index,
        split=patches.splits[k],
        status="kept",
        reason="",
        measured=None,
        limit=None,
        phone_file=files.phone.name if files else "",
        dslr_file=files.dslr.name if files else "",
        time_s=None,
        windows=0,
        stored_windows=0,
        patches=1,
        coverage=0.0,
        ncc_p50=float(loose.ncc[k]),
        error_p50_px=None,
        shift_px=shift,
        own_shift_px=length,
        shift_length_px=length,
        shift_p90_px=length,
        match_share=float(s.matched[k]) if s.contrast[k] >= _CONTRAST else None,
        foreign_share=float(s.foreign[k] > 0) if s.told[k] else None,
        sharpness=float(s.sharpness[k]) if np.isfinite(s.sharpness[k]) else None,
        brightness=(float(light[0]), float(light[1])),
        brightness_off=0.0,
        colour_off=0.0,
        clipped=(float(loose.clipped[k, 0]), float(loose.clipped[k, 1])),
        decided=False,
        severity=severity,
        flags=tuple(name for name, up in flags.items() if up),
        pictured=True,
    )


@dataclass(frozen=True)
class Share:
    """How many patches have a fault, of how many that can tell; the ids of some of them, worst first."""

    bad: int
    told: int
    ids: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Share of those that tell; None where none does."""
        return self.bad / self.told if self.told else None


@dataclass(frozen=True)
class Shares:
    """What the checks of loose patches rest on, question by question, and how many patches there are."""

    matching: Share
    foreign: Share
    exposure: Share
    sharpness: Share
    look: Share
    looked: int
    there: int


def count_shares(
    patches: PatchList, loose: LoosePatches, ranked: Sequence[RankedCapture], settings: InspectSettings
) -> Shares:
    """Count the patches with each fault; `ranked` gives the ids of the worst."""
    s, read = loose.sample, loose.read
    contrast = read & (s.contrast >= _CONTRAST)
    sharp = np.isfinite(s.sharpness)

    def share(told: NDArray[np.bool_], bad: NDArray[np.bool_], flag: str) -> Share:
        ids = tuple(c.capture_id for c in ranked if flag in c.flags)
        return Share(int((told & bad).sum()), int(told.sum()), ids)

    light = np.log((loose.rgb[:, 1] + 1) / (loose.rgb[:, 0] + 1)) @ LUMA
    middle = np.median(light[read]) if read.any() else 0.0
    spread = 1.4826 * np.median(np.abs(light[read] - middle)) if read.any() else 1.0
    outlying = np.abs(light - middle) > settings.outlier_warn * max(float(spread), _LEAST_SPREAD)
    return Shares(
        matching=share(contrast, ~s.matched, "no match"),
        foreign=share(s.told, s.foreign > 0, "two contents"),
        exposure=share(read, loose.clipped.max(1) > settings.clipped_fail, "clipped"),
        sharpness=share(sharp, s.sharpness < settings.sharpness_fail, "blurred"),
        look=share(read & s.matched, outlying, "brightness"),
        looked=int(s.looked.sum()),
        there=int(read.sum()),
    )

"""Checks on the phone's mosaics: what the level of white burns out, a plausible black, one range of exposures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from dped_data.common.spread_rows import spread_rows
from dped_data.dataset.shards import open_shard
from dped_data.inspection.records import Dataset, ListedCapture
from dped_data.inspection.report import Check
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.verdict import grade
from dped_data.photos.mosaic_facts import mosaic_light

_DARKEST = 0.001
"""Ours: share of the samples that is darker than the figure taken for the darkest; fewer are dead or noisy cells."""
_BLACK_WARN, _BLACK_FAIL = 0.02, 0.05
"""Ours: how far the darkest samples lie below the level of black, share of the range from black to white. Reading noise
of phones is below 0.01 of it."""
_STOPS_WARN, _STOPS_FAIL = 1.0, 3.0
"""Ours: how far outside the range of the training captures a sensitivity or an exposure time may lie, stops."""


@dataclass(frozen=True)
class MosaicFigures:
    """What the mosaics of one capture say.

    Attributes:
        capture_id, split: of the capture.
        saturated: share of the sampled samples at the level of white or above.
        darkest: light of the darkest samples, 0 at the level of black, 1 at that of white.
        iso, exposure_s: as the RAW file states them, NaN where it does not.
    """

    capture_id: str
    split: str
    saturated: float
    darkest: float
    iso: float
    exposure_s: float


def measure_mosaics(folder: Path, dataset: Dataset, settings: InspectSettings) -> list[MosaicFigures]:
    """Measure the mosaics of every capture that has any, of as many patches each as are re-measured."""
    by_shard = sorted((c for c in dataset.captures if c.shard), key=lambda c: (c.shard, c.number))
    return [
        figures
        for shard, members in groupby(by_shard, key=lambda capture: capture.shard)
        for figures in _of_shard(folder / shard, [*members], settings.sample_patches)
    ]


def _of_shard(path: Path, captures: Sequence[ListedCapture], sample: int) -> Iterator[MosaicFigures]:
    with open_shard(path) as file:
        if "phone_raw" not in file:
            return
        capture_of = file["capture"][:]
        for listed in captures:
            rows = np.flatnonzero(capture_of == listed.number)
            if not len(rows):
                continue
            mosaics = file["phone_raw"][rows[spread_rows(len(rows), sample)]]
            black, white, iso, exposure_s = (
                file[f"raw_{name}"][listed.number] for name in ("black", "white", "iso", "exposure_s")
            )
            yield MosaicFigures(
                capture_id=listed.row.capture_id,
                split=listed.row.split,
                saturated=float((mosaics >= white).mean()),
                darkest=float(np.quantile(mosaic_light(mosaics, black, white), _DARKEST)),
                iso=float(iso),
                exposure_s=float(exposure_s),
            )


def judge_mosaics(figures: Sequence[MosaicFigures], settings: InspectSettings) -> tuple[Check, ...]:
    """Return the checks on mosaics; none where there are no mosaics."""
    return (_saturation(figures, settings), _black(figures), _exposures(figures)) if figures else ()


def _saturation(figures: Sequence[MosaicFigures], settings: InspectSettings) -> Check:
    limits = (settings.clipped_warn, settings.clipped_fail)
    worst = max(f.saturated for f in figures)
    ids = tuple(f.capture_id for f in figures if f.saturated > limits[0])
    text = f"{_captures(ids)} at the sensor's level of white over a large part; the worst over {worst:.1%}"
    status = grade(worst, *limits)
    return Check("RAW saturation", status, worst, *limits, "", text, len(figures), len(figures), ids)


def _black(figures: Sequence[MosaicFigures]) -> Check:
    limits = (_BLACK_WARN, _BLACK_FAIL)
    worst = max(-f.darkest for f in figures)
    ids = tuple(f.capture_id for f in figures if -f.darkest > limits[0])
    text = f"the darkest samples lie {max(worst, 0):.1%} of the range below the level of black at most"
    if ids:
        text += ": it is stated too high, or not that of these samples"
    status = grade(worst, *limits)
    return Check("RAW black level", status, max(worst, 0.0), *limits, "", text, len(figures), len(figures), ids)


def _exposures(figures: Sequence[MosaicFigures]) -> Check:
    limits = (_STOPS_WARN, _STOPS_FAIL)
    known = [f for f in figures if not np.isnan([f.iso, f.exposure_s]).any()]
    train = [f for f in known if f.split == "train"]
    evidence = (len(known), len(figures))
    if not train or len(known) < len(figures):
        text = f"{len(known)} of {len(figures)} captures state sensitivity and exposure time, all are needed to tell"
        return Check("RAW exposures", "unknown", None, *limits, "stops", text, *evidence)
    isos, times = [f.iso for f in train], [f.exposure_s for f in train]
    outside = {f.capture_id: max(_stops(f.iso, isos), _stops(f.exposure_s, times)) for f in known}
    worst = max(outside.values())
    ids = tuple(name for name, stops in outside.items() if stops > limits[0])
    ranges = f"ISO {min(f.iso for f in known):g} to {max(f.iso for f in known):g}, "
    ranges += f"{min(f.exposure_s for f in known):.2g} to {max(f.exposure_s for f in known):.2g} s"
    text = f"{ranges}; val and test lie {worst:.1f} stops outside the training captures' range at most"
    return Check("RAW exposures", grade(worst, *limits), worst, *limits, "stops", text, *evidence, ids)


def _stops(value: float, among: Sequence[float]) -> float:
    """How far a value lies outside the range of others, stops; 0 inside."""
    low, high = min(among), max(among)
    return float(max(np.log2(low / value), np.log2(value / high), 0.0))


def _captures(ids: Sequence[str]) -> str:
    return "1 capture is" if len(ids) == 1 else f"{len(ids) or 'no'} captures are"

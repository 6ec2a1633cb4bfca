"""Sum up what was measured in every capture: quantiles, what all captures share, drift, near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from dped_data.align.records import CONTRAST_CLASSES, CONTRAST_LIMITS, WINDOW_REASONS
from dped_data.captures.records import SPLITS
from dped_data.inspection.records import CaptureFigures, PatchSample
from dped_data.inspection.report import FieldCell, Gain, Histogram, Quantiles, Summary
from dped_data.inspection.settings import InspectSettings
from dped_data.inspection.split_leaks import find_leaks

FIELD_COLUMNS, FIELD_ROWS = 8, 6
MIN_CAPTURES = 5
"""Fewer captures than this cannot tell what all of them share from what each has of its own."""
MIN_TIMED = 2 * MIN_CAPTURES
"""Fewer captures than this at known times cannot tell a drift from chance."""
MIN_SHIFTS = 5
"""Fewer measured patches than this give a capture no shift of its own."""
_CELL_PATCHES = 8
_BINS = 40


def summarise(figures: Sequence[CaptureFigures], patch_size: int, settings: InspectSettings) -> Summary:
    """Sum up all captures of a dataset, in the order of the dataset."""
    leaks, leak_correlation = find_leaks(
        figures, settings.leak_correlation
    )  # first: the most memory, and nothing else held beside it
    samples = [f.sample for f in figures if f.sample is not None]
    none = np.zeros(0, np.float32)
    lengths = np.concatenate([np.hypot(*s.shift_px[s.measured].T) for s in samples] or [none])
    systematic, deviation = _systematic(figures)
    field = _field(figures, patch_size)
    own = [s.shift_px[s.measured] - (systematic or (0.0, 0.0)) for s in samples]
    random = np.concatenate([np.hypot(*part.T) for part in own] or [none])
    sampled = sum(len(s.position) for s in samples)
    ncc = np.concatenate([f.ncc for f in figures] or [none])
    scale = np.concatenate([s.scale for s in samples] or [none])
    error = np.concatenate([f.error_px for f in figures] or [none])
    return Summary(
        captures_by_status=_count(f.listed.row.status for f in figures),
        reasons=_count(f"{f.listed.row.stage}: {f.listed.row.reason}" for f in figures if f.listed.row.reason),
        windows_by_reason=_windows(figures),
        patches_by_split={name: sum(len(f.ncc) for f in figures if f.listed.row.split == name) for name in SPLITS},
        contrast=_contrast(np.concatenate([s.contrast for s in samples] or [none])),
        ncc=_quantiles(ncc),
        error_px=_quantiles(error),
        sampled=sampled,
        predicted=sum(int((s.measured & np.isfinite(s.error_px)).sum()) for s in samples),
        shift_px=_quantiles(lengths),
        histograms=_histograms(ncc, error, lengths),
        measurable=len(lengths) / sampled if sampled else 0.0,
        ce90_px=float(np.quantile(lengths, 0.9)) if len(lengths) else None,
        gain=_gain(samples),
        systematic_px=systematic,
        systematic_deviation_px=deviation,
        random_px=float(np.median(random)) if len(random) else None,
        field=field,
        field_px=_field_px(field, systematic),
        drift_px=_drift(figures),
        looked=sum(int(s.looked.sum()) for s in samples),
        scaled=int(np.isfinite(scale).sum()),
        scale=float(np.nanmedian(scale)) if np.isfinite(scale).any() else None,
        calibration=_calibration(figures),
        leaks=leaks,
        leak_correlation=leak_correlation,
    )


def capture_shift(figures: CaptureFigures) -> tuple[float, float] | None:
    """Median of a capture's measured shifts, x and y; None when too few patches could be measured."""
    sample = figures.sample
    if sample is None or sample.measured.sum() < MIN_SHIFTS:
        return None
    x, y = np.median(sample.shift_px[sample.measured], 0)
    return float(x), float(y)


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _windows(figures: Sequence[CaptureFigures]) -> dict[str, int]:
    counts = np.zeros(len(WINDOW_REASONS), np.int64)
    for f in figures:
        counts += f.windows
    return {name: int(count) for name, count in zip(WINDOW_REASONS, counts, strict=True)}


def _contrast(values: NDArray[np.float32]) -> dict[str, int]:
    counts = np.bincount(np.digitize(values, CONTRAST_LIMITS), minlength=len(CONTRAST_CLASSES))
    return {name: int(count) for name, count in zip(CONTRAST_CLASSES, counts, strict=True)}


def _quantiles(values: NDArray[np.floating]) -> Quantiles | None:
    """Quantiles of the finite values; imported datasets have no geometry and hold NaN."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    return Quantiles(len(values), *(float(q) for q in np.quantile(values, [0.1, 0.5, 0.9, 0.99])))


def _histograms(ncc: NDArray[Any], error: NDArray[Any], lengths: NDArray[Any]) -> dict[str, Histogram]:
    """Histograms whose range depends on the values, so that good and bad datasets both fill their picture."""
    result = {}
    for name, values in (("ncc", ncc), ("error_px", error), ("shift_px", lengths)):
        finite = values[np.isfinite(values)]
        if len(finite) == 0:
            continue
        if name == "ncc":
            low, high = float(np.floor(finite.min() * 20) / 20), 1.0
        else:
            low, high = 0.0, max(0.2, float(np.ceil(np.quantile(finite, 0.995) * 10) / 10))
        counts, _ = np.histogram(finite.clip(low, high), _BINS, (low, max(high, low + 0.05)))
        result[name] = Histogram(low, max(high, low + 0.05), tuple(int(c) for c in counts))
    return result


def _gain(samples: Sequence[PatchSample]) -> Gain | None:
    """CE90 before and after the refinement, over the patches that tell both."""
    before, after = [np.zeros(0)], [np.zeros(0)]
    for s in samples:
        both = s.measured & np.isfinite(s.before_px).all(1)
        before.append(np.hypot(*s.before_px[both].T))
        after.append(np.hypot(*s.shift_px[both].T))
    lengths = np.stack([np.concatenate(before), np.concatenate(after)])
    if not lengths.size:
        return None
    ce90 = np.quantile(lengths, 0.9, axis=1)
    return Gain(float(ce90[0]), float(ce90[1]), lengths.shape[1])


def _systematic(figures: Sequence[CaptureFigures]) -> tuple[tuple[float, float] | None, float]:
    """Median over captures of each capture's shift, and the standard deviation of that median."""
    shifts = np.array([shift for f in figures if (shift := capture_shift(f)) is not None])
    if len(shifts) < MIN_CAPTURES:
        return None, 0.0
    middle = np.median(shifts, 0)
    spread = 1.4826 * np.median(np.abs(shifts - middle), 0)
    deviation = 1.2533 * float(np.hypot(*spread)) / np.sqrt(len(shifts))  # of a median of normal values
    return (float(middle[0]), float(middle[1])), float(deviation)


def _field(figures: Sequence[CaptureFigures], patch_size: int) -> tuple[FieldCell, ...]:
    """Median shift in each cell of a grid over the photo, all captures together."""
    places, shifts, befores = [], [], []
    for f in figures:
        if f.sample is None or not f.sample.measured.any():
            continue
        centre = f.sample.phone_xy[f.sample.measured] + patch_size / 2
        places.append(centre / f.phone_wh)
        shifts.append(f.sample.shift_px[f.sample.measured])
        befores.append(f.sample.before_px[f.sample.measured])
    if len(places) < MIN_CAPTURES:
        return ()
    place, shift = np.concatenate(places).clip(0, 0.9999), np.concatenate(shifts)
    before = np.concatenate(befores)
    column, row = (place * (FIELD_COLUMNS, FIELD_ROWS)).astype(int).T
    cells = []
    for y in range(FIELD_ROWS):
        for x in range(FIELD_COLUMNS):
            inside = (column == x) & (row == y)
            if inside.sum() >= _CELL_PATCHES:
                dx, dy = np.median(shift[inside], 0)
                earlier = _middle(before[inside])
                cells.append(
                    FieldCell(
                        x=(x + 0.5) / FIELD_COLUMNS,
                        y=(y + 0.5) / FIELD_ROWS,
                        dx_px=float(dx),
                        dy_px=float(dy),
                        count=int(inside.sum()),
                        before_dx_px=earlier[0],
                        before_dy_px=earlier[1],
                    )
                )
    return tuple(cells)


def _middle(shifts: NDArray[np.float32]) -> tuple[float | None, float | None]:
    """Median of the finite ones of (n, 2) shifts; None where there is none."""
    known = shifts[np.isfinite(shifts).all(1)]
    if not len(known):
        return None, None
    x, y = np.median(known, 0)
    return float(x), float(y)


def _field_px(field: Sequence[FieldCell], systematic: tuple[float, float] | None) -> float:
    """90 % quantile over the cells of the shift beyond the systematic one: a lens fault moves many cells, not one."""
    if not field:
        return 0.0
    x, y = systematic or (0.0, 0.0)
    return float(np.quantile([np.hypot(cell.dx_px - x, cell.dy_px - y) for cell in field], 0.9))


def _drift(figures: Sequence[CaptureFigures]) -> float | None:
    """Length of the shift's change from first to last capture by Theil-Sen; 0 when it may be chance (99 %)."""
    timed = [(f.time_s, shift) for f in figures if f.time_s is not None and (shift := capture_shift(f)) is not None]
    times = np.array([time for time, _ in timed])
    if len(timed) < MIN_TIMED or np.ptp(times) == 0:
        return None
    shifts = np.array([shift for _, shift in timed])
    change = []
    for axis in (0, 1):
        slope, _, low, high = theilslopes(shifts[:, axis], times, 0.99)
        change.append(float(slope * np.ptp(times)) if low * high > 0 else 0.0)
    return float(np.linalg.norm(change))


def _calibration(figures: Sequence[CaptureFigures]) -> float | None:
    """Median ratio of the re-measured length to what prediction and the measurement's own noise explain together."""
    ratios = []
    for f in figures:
        if f.sample is None:
            continue
        m = f.sample.measured
        predicted = f.sample.error_px[m]
        explained = np.hypot(predicted, f.sample.deviation_px[m])
        usable = np.isfinite(predicted) & (explained > 0)
        ratios.append(np.hypot(*f.sample.shift_px[m].T)[usable] / explained[usable])
    pooled = np.concatenate(ratios) if ratios else np.zeros(0)
    # A normal error of 1 px root mean square has a median length of 0.8326 px.
    return float(np.median(pooled) / 0.8326) if len(pooled) else None

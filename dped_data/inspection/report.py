"""What the inspection says of a whole dataset: figures, checks, ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dped_data.dataset.review_file import Decision

Status = Literal["pass", "warn", "fail", "unknown"]


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of a figure over patches; `count` says over how many."""

    count: int
    p10: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Histogram:
    """Counts of values in equal bins from `low` to `high`; values outside fall into the outermost bins."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class FieldCell:
    """One cell of the residual field: centre in shares of the photo, median shift in pixels, patches it rests on.

    `before_dx_px` and `before_dy_px` are the median of what the single homography left there; None where unknown.
    """

    x: float
    y: float
    dx_px: float
    dy_px: float
    count: int
    before_dx_px: float | None
    before_dy_px: float | None


@dataclass(frozen=True)
class Gain:
    """What the refinement brought: radii that hold 90 % of the shifts of the same patches, before it and after it."""

    before_px: float
    after_px: float
    count: int


@dataclass(frozen=True)
class Leak:
    """Two captures in different splits that show the same scene, and how alike they look (0 to 1)."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True)
class Summary:
    """Figures of the whole dataset.

    Attributes:
        captures_by_status: kept, rejected, failed.
        reasons: "stage: reason" -> captures.
        windows_by_reason: reason -> windows; "kept" included.
        patches_by_split: split -> patches.
        contrast: contrast class -> sampled patches.
        ncc, error_px: of all stored patches.
        sampled: patches that were looked at again.
        predicted: of these, those that could be measured and have a predicted error.
        shift_px: lengths of the re-measured shifts; None when no patch could be measured.
        histograms: of "ncc", "error_px" and "shift_px"; those without values are left out.
        measurable: share of the sampled patches with enough texture to be measured.
        ce90_px: radius that holds 90 % of the re-measured shifts.
        gain: against what the single homography left; None when no patch tells both.
        systematic_px: shift that all captures share, x and y; None with fewer than 5 captures that can be measured.
        systematic_deviation_px: its standard deviation.
        random_px: median length of what remains when the systematic part is removed.
        field: the residual field over the photo.
        field_px: largest cell of the field beyond the systematic part that is significant.
        drift_px: change of the shift from the first to the last capture; None without capture times.
        looked, scaled: patches looked at cell by cell, and those of them whose scale can be told.
        scale: how much larger the DSLR patches show their content, minus 1, in the median; None when none can be told.
        calibration: median of re-measured length over what the predicted error and the measurement's noise explain;
            1 when the prediction is right.
        leaks: near-duplicates across splits, most alike first.
        leak_correlation: of the two captures in different splits that look most alike; 0 when none are at all.
    """

    captures_by_status: dict[str, int]
    reasons: dict[str, int]
    windows_by_reason: dict[str, int]
    patches_by_split: dict[str, int]
    contrast: dict[str, int]
    ncc: Quantiles | None
    error_px: Quantiles | None
    sampled: int
    predicted: int
    shift_px: Quantiles | None
    histograms: dict[str, Histogram]
    measurable: float
    ce90_px: float | None
    gain: Gain | None
    systematic_px: tuple[float, float] | None
    systematic_deviation_px: float
    random_px: float | None
    field: tuple[FieldCell, ...]
    field_px: float
    drift_px: float | None
    looked: int
    scaled: int
    scale: float | None
    calibration: float | None
    leaks: tuple[Leak, ...]
    leak_correlation: float


@dataclass(frozen=True)
class Check:
    """One question to the dataset and its answer.

    Attributes:
        name: stable identifier.
        status: pass, warn, fail, or unknown where too little was measured to pass.
        measured: the figure that decided; None only where the status is unknown.
        warn, fail: limits it was held against; None where there is none.
        unit: of the figures; "" for plain numbers.
        text: the answer as one sentence.
        count: how many patches, captures or regions were measured for it.
        of: how many of them there are; of patches, how many were sampled.
        captures: ids of the captures concerned, worst first.
    """

    name: str
    status: Status
    measured: float | None
    warn: float | None
    fail: float | None
    unit: str
    text: str
    count: int
    of: int
    captures: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of what there is that was measured."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True)
class RankedCapture:
    """A capture's figures in the report, with its place in the ranking.

    Attributes:
        severity: how far it is beyond the limits; 1 and more fails, captures are ranked by it, worst first.
        flags: short names of what is wrong with it.
        pictured: whether there is anything to see of it, patches or photos.
        shift_px: median of its re-measured shifts, x and y; None when nothing could be measured.
        own_shift_px: length of `shift_px` beyond what all captures share.
        shift_length_px, shift_p90_px: median and 90 % quantile of their lengths.
        match_share: share of the patches with contrast that match at all; None when none has contrast.
        foreign_share: share of the patches that show two contents; None where too few tell.
        sharpness: median of the DSLR patches' fine detail over the phone's; None where too few tell.
        brightness: mean luminance of phone and DSLR patches, 0 to 255.
        brightness_off, colour_off: robust deviations of the cameras' relative brightness and colour from the others'.
        windows: of the capture, by its table; `stored_windows` those that the shard tells.
        decided: whether a person has rejected it.
    """

    capture_id: str
    index: int
    split: str
    status: str
    reason: str
    measured: float | None
    limit: float | None
    phone_file: str
    dslr_file: str
    time_s: float | None
    windows: int
    stored_windows: int
    patches: int
    coverage: float
    ncc_p50: float | None
    error_p50_px: float | None
    shift_px: tuple[float, float] | None
    own_shift_px: float | None
    shift_length_px: float | None
    shift_p90_px: float | None
    match_share: float | None
    foreign_share: float | None
    sharpness: float | None
    brightness: tuple[float, float] | None
    brightness_off: float
    colour_off: float
    clipped: tuple[float, float] | None
    decided: bool
    severity: float
    flags: tuple[str, ...]
    pictured: bool


@dataclass(frozen=True)
class InspectReport:
    """What `inspect_pairs` finds; `as_json` gives it to programs.

    Attributes:
        dataset, phone, dslr, digest: which dataset.
        verdict: what the checks come to (`verdict.judge`).
        weakest: name of the check that the verdict hangs on.
        captures: every capture, worst first.
        photos: the captures folder, "" when the photos are not at hand.
        page: the report's first page.
        review: the decisions of people that the dataset holds.
        settings: what was asked of it: InspectSettings as plain values.
        kind: "captures", or "patches": loose ones, of which `captures` has the worst alone.
    """

    dataset: str
    phone: str
    dslr: str
    digest: str
    verdict: Status
    weakest: str
    checks: tuple[Check, ...]
    summary: Summary
    captures: tuple[RankedCapture, ...]
    photos: str = ""
    page: str = ""
    review: tuple[Decision, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)
    kind: Literal["captures", "patches"] = "captures"

    @property
    def exit_status(self) -> int:
        """0, or 1 when the verdict is fail; what is unknown is not known to be bad."""
        return int(self.verdict == "fail")

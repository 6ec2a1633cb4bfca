"""What is stored and what is measured, capture by capture: the types between the parts of the inspection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.review_file import Decision


@dataclass(frozen=True)
class ListedCapture:
    """A capture of the dataset and where it is stored: all that is held of it before it is measured.

    Attributes:
        row: its row in captures.csv.
        index: running number over all captures of the dataset; names its folder in the report.
        shard: shard file relative to the dataset; "" when nothing of the capture is stored.
        number: its place in the shard's `captures`; -1 when nothing is stored.
    """

    row: CaptureRow
    index: int
    shard: str
    number: int


@dataclass(frozen=True)
class StoredCapture:
    """Where a capture's N patches lie and everything a shard says of it but the pixels; held while it is measured.

    Attributes:
        listed: the capture.
        rows: (N,) int64 rows of its patches in the shard.
        phone_xy, shift_px, ncc, error_px, window_xy, window_reason: as in records.Patches.
        phone_size_wh, dslr_size_wh: sizes of the upright photos, pixels; (0, 0) where unknown.
        dslr_from_phone: (3, 3) float64; NaN where unknown.
    """

    listed: ListedCapture
    rows: NDArray[np.int64]
    phone_xy: NDArray[np.int32]
    shift_px: NDArray[np.float32]
    ncc: NDArray[np.float32]
    error_px: NDArray[np.float32]
    window_xy: NDArray[np.int32]
    window_reason: NDArray[np.uint8]
    phone_size_wh: tuple[int, int]
    dslr_size_wh: tuple[int, int]
    dslr_from_phone: NDArray[np.float64]


@dataclass(frozen=True)
class PatchSample:
    """The re-measured patches of one capture, n of its N.

    Attributes:
        position: (n,) int64, which of the capture's patches.
        phone_xy, error_px: of these patches, as in records.Patches.
        before_px: (n, 2) float32, what the single homography left of them by the builder's word (the `shift_px` it
            stores); NaN where unknown. Points the same way as `shift_px`, so that the two can be drawn side by side.
        shift_px, deviation_px, correlation, measured: as in remeasure.Shifts.
        matched: (n,) bool, whether the pair correlates at some shift well inside the search: that it shows the same.
        contrast: (n,) float32, standard deviation of the phone patch's luminance, grey levels.
        looked: (n,) bool, whether it was also looked at cell by cell.
        told, foreign, scale: (n,) as in cells.Cells; False, 0 and NaN where it was not.
        sharpness: (n,) float32, as in `cells.relative_sharpness`; NaN where it was not, or cannot be told.
    """

    position: NDArray[np.int64]
    phone_xy: NDArray[np.int32]
    error_px: NDArray[np.float32]
    before_px: NDArray[np.float32]
    shift_px: NDArray[np.float32]
    deviation_px: NDArray[np.float32]
    correlation: NDArray[np.float32]
    measured: NDArray[np.bool_]
    matched: NDArray[np.bool_]
    contrast: NDArray[np.float32]
    looked: NDArray[np.bool_]
    told: NDArray[np.bool_]
    foreign: NDArray[np.int32]
    scale: NDArray[np.float32]
    sharpness: NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """Brightness and colour of a capture's sampled patches.

    Attributes:
        phone_rgb, dslr_rgb: (3,) mean values, 0 to 255.
        phone_clipped, dslr_clipped: share of pixels with a channel at 250 or more, or all at 4 or less.
        phone_from_dslr: (3, 4) float64, affine colour transform that makes the DSLR look like the phone; values 0 to 1.
    """

    phone_rgb: NDArray[np.float64]
    dslr_rgb: NDArray[np.float64]
    phone_clipped: float
    dslr_clipped: float
    phone_from_dslr: NDArray[np.float64]


@dataclass(frozen=True)
class SceneView:
    """The phone photo, whole and squeezed, for finding near-duplicates.

    Attributes:
        coarse: (16, 16, 3) uint8 RGB.
        grey: (64, 64) uint8 luminance.
    """

    coarse: NDArray[np.uint8]
    grey: NDArray[np.uint8]


@dataclass(frozen=True)
class CaptureFigures:
    """What the whole dataset's figures need of one capture. Held for every capture at once, hence no more than that.

    Attributes:
        listed: the capture.
        phone_wh: size of the upright phone photo, pixels; where unknown, of the part that patches cover.
        ncc, error_px: (N,) of all its patches, as in records.Patches.
        windows: windows by reason, in the order of records.WINDOW_REASONS.
        sample: the re-measured patches, None when nothing is stored.
        look: brightness and colour, None when nothing is stored.
        view: None when neither photo nor patches exist.
        time_s: capture time by the phone's clock, seconds since 1970; None if unknown.
    """

    listed: ListedCapture
    phone_wh: tuple[int, int]
    ncc: NDArray[np.float32]
    error_px: NDArray[np.float32]
    windows: tuple[int, ...]
    sample: PatchSample | None
    look: Look | None
    view: SceneView | None
    time_s: float | None


@dataclass(frozen=True)
class Dataset:
    """A dataset opened for inspection: its manifest's words and its captures without pixels.

    Attributes:
        captures_folder: where the photos lie, None when they are not at hand.
        review: what people decided on its captures; see `review_file.standing`.
    """

    phone: str
    dslr: str
    digest: str
    alignment: str
    patch_size: int
    captures: tuple[ListedCapture, ...]
    captures_folder: Path | None
    review: tuple[Decision, ...] = ()

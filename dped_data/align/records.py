"""The types that pass between stages, and the conventions they follow.

Conventions, stated once:
- Photos: (H, W, 3) uint8, RGB, sRGB, upright (EXIF orientation applied, embedded ICC profile converted).
- Points: (N, 2), x then y, pixels; the centre of the top-left pixel is (0, 0). Rectangles are half-open.
- Transforms are named `target_from_source`; `dslr_from_phone` maps phone pixels to DSLR pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dped_data.align.smooth_map import SmoothMap


@dataclass(frozen=True)
class Features:
    """SIFT keypoints of one photo: `xy` (N, 2) float64 in full-resolution pixels, `descriptors` (N, 128) float32."""

    xy: NDArray[np.float64]
    descriptors: NDArray[np.float32]


@dataclass(frozen=True)
class Matches:
    """Matched keypoints: row i of `phone_xy` (N, 2) and of `dslr_xy` (N, 2) show the same thing."""

    phone_xy: NDArray[np.float64]
    dslr_xy: NDArray[np.float64]


@dataclass(frozen=True)
class Homography:
    """A homography that passed its tests.

    Attributes:
        dslr_from_phone: (3, 3) float64, [2, 2] = 1; maps phone pixels to DSLR pixels.
        inlier: (N,) bool, which of the matches agree with it.
        residual_px: root mean square distance of the inliers, phone pixels.
    """

    dslr_from_phone: NDArray[np.float64]
    inlier: NDArray[np.bool_]
    residual_px: float


WINDOW_REASONS: tuple[str, ...] = (
    *("kept", "texture", "error", "quadrant", "ncc", "outside", "foreign", "clipped", "blurred", "light"),
    "lost",
)
"""Why a window was dropped: too little texture and no neighbours to tell where it lies; predicted error too large; a
part of it moves on its own (depth edge); correlation too low; not inside the DSLR photo; a part of it shows content
that the other photo lacks at that place; the DSLR clips where the phone does not; the DSLR half is less sharp than the
phone half; the light differs over it, as by a shadow in one photo; it has texture, but its tracking failed.
Shards hold the index: new reasons go to the end."""


@dataclass(frozen=True)
class FieldPrior:
    """How displacements vary over the photo, in phone pixels.

    Attributes:
        near_px, near_sd: length and amplitude of the short-range part.
        far_px, far_sd: length and amplitude of the long-range part.
        nugget_sd: what a window's displacement may differ from the field, beyond its own measurement error.
    """

    near_px: float
    near_sd: float
    far_px: float
    far_sd: float
    nugget_sd: float


@dataclass(frozen=True)
class MeasuredField:
    """N measured displacements against the smooth map, phone pixels, and how the field between them varies.

    Attributes:
        centre_xy, displacement: (N, 2).
        covariance: (N, 2, 2) of the displacements.
        usable: (N,) bool, measurements that may inform their neighbours.
        prior: amplitudes and lengths of the field.
    """

    centre_xy: NDArray[np.float64]
    displacement: NDArray[np.float64]
    covariance: NDArray[np.float64]
    usable: NDArray[np.bool_]
    prior: FieldPrior


@dataclass(frozen=True)
class Alignment:
    """Where every window of the phone photo lies in the DSLR photo, and how sure that is.

    W windows, in reading order.

    Attributes:
        dslr_from_phone: the smooth map (a function of points (..., 2)): homography, lens distortion, slow warp.
        field: what was measured against it.
        window_xy: (W, 2) int32, top-left corners in the phone photo.
        dslr_xy: (W, 5, 5, 2) float64 nodes as in `Patches`.
        shift_px: (W, 2) displacement beyond the homography at the window's centre, phone pixels.
        angle_deg: (W,) rotation beyond the homography, degrees.
        error_px: (W,) predicted root mean square misalignment, phone pixels.
        reason: (W,) uint8, index into WINDOW_REASONS; 0 for windows that have passed so far.
        overlap: share of the phone photo that the DSLR photo covers, 0 to 1.
    """

    dslr_from_phone: SmoothMap
    field: MeasuredField
    window_xy: NDArray[np.int32]
    dslr_xy: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    angle_deg: NDArray[np.float64]
    error_px: NDArray[np.float64]
    reason: NDArray[np.uint8]
    overlap: float


@dataclass(frozen=True)
class Patches:
    """The matched patches of one capture, in reading order, and the verdict on every window.

    N kept patches of side S, W windows in all.

    Attributes:
        phone: (N, S, S, 3) uint8, cut from the phone photo at whole pixels, never resampled.
        dslr: (N, S, S, 3) uint8, sampled once, anti-aliased, from the full-resolution DSLR photo.
        phone_xy: (N, 2) int32, top-left corner in the phone photo.
        dslr_xy: (N, 5, 5, 2) float64, where the patch pixels at rows and columns
            linspace(0, S-1, 5) lie in the DSLR photo.
        shift_px: (N, 2) float32, displacement beyond the global homography at the patch centre, phone pixels.
        angle_deg: (N,) float32, rotation beyond the global homography, degrees, positive from x towards y.
        ncc: (N,) float32, zero-mean normalised cross-correlation of the luminance of `phone` and `dslr`.
        error_px: (N,) float32, predicted remaining misalignment, phone pixels (standard deviation of the distance).
        window_xy: (W, 2) int32, top-left corners of every window that was considered.
        window_reason: (W,) uint8, index into WINDOW_REASONS.
        flat: (N,) bool, kept for its small predicted error although noise holds its NCC down; None: none is.
        phone_clipped, dslr_clipped, sharpness, light_ev: (N,) float32 as in target_quality.TargetQuality; None: not
            measured.
        valid: (N, S, S) bool, False where one half shows content that the other lacks; None: nothing is masked.
        phone_raw: (N, S/2, S/2, 4) uint16, the phone's mosaic at the patch, packed as mosaic.CELLS; None: not kept.
        dslr_linear: (N, S, S, 3) uint16, the DSLR's linear light through `dslr_xy`, sRGB's primaries; None: not kept.
    """

    phone: NDArray[np.uint8]
    dslr: NDArray[np.uint8]
    phone_xy: NDArray[np.int32]
    dslr_xy: NDArray[np.float64]
    shift_px: NDArray[np.float32]
    angle_deg: NDArray[np.float32]
    ncc: NDArray[np.float32]
    error_px: NDArray[np.float32]
    window_xy: NDArray[np.int32]
    window_reason: NDArray[np.uint8]
    flat: NDArray[np.bool_] | None = None
    phone_clipped: NDArray[np.float32] | None = None
    dslr_clipped: NDArray[np.float32] | None = None
    sharpness: NDArray[np.float32] | None = None
    light_ev: NDArray[np.float32] | None = None
    valid: NDArray[np.bool_] | None = None
    phone_raw: NDArray[np.uint16] | None = None
    dslr_linear: NDArray[np.uint16] | None = None


@dataclass(frozen=True)
class ToneNotes:
    """How the tones of two photos of one scene compare, so that mis-exposed captures can be found.

    Attributes:
        gain_rgb: the DSLR's light over the phone's, per channel: median ratio in linear light where neither clips.
        phone_clipped, dslr_clipped: share of the overlap, 0 to 1, where a channel is at its upper end.
    """

    gain_rgb: tuple[float, float, float]
    phone_clipped: float
    dslr_clipped: float


CONTRAST_CLASSES: tuple[str, ...] = ("flat", "soft", "textured")
CONTRAST_LIMITS: tuple[float, float] = (4.0, 12.0)
"""Ours: standard deviation of a window's luminance, grey levels, that ends "flat" and "soft"."""


@dataclass(frozen=True)
class ContrastCounts:
    """Windows considered and windows kept, one number for each of CONTRAST_CLASSES."""

    considered: tuple[int, int, int]
    kept: tuple[int, int, int]


@dataclass(frozen=True)
class AlignedCapture:
    """What `align_capture` finds in one capture: its patches and the figures of its row in captures.csv.

    Attributes:
        keypoints: keypoints in the phone photo and in the DSLR photo, the smaller count.
        matches, inliers: matches, and those that agree with the homography.
        residual_px: root mean square distance of the inliers to the homography, phone pixels.
        overlap: share of the phone photo that the DSLR photo covers, 0 to 1.
        dslr_from_phone: (3, 3) float64 homography.
        phone_size_wh, dslr_size_wh: sizes of the upright photos, pixels.
        tones: how the photos' colours compare.
        contrast: how many windows of each class of contrast were kept.
        alignment: where every window lies; None with the paper's alignment.
    """

    patches: Patches
    keypoints: int
    matches: int
    inliers: int
    residual_px: float
    overlap: float
    dslr_from_phone: NDArray[np.float64]
    phone_size_wh: tuple[int, int]
    dslr_size_wh: tuple[int, int]
    tones: ToneNotes
    contrast: ContrastCounts
    alignment: Alignment | None

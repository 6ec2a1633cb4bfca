"""Which files count as photos, and what a photo says of itself."""

from __future__ import annotations

from dataclasses import dataclass

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr",
    ".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
})
# fmt: on
"""Of cameras whose files LibRaw reads."""
PHOTO_SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff"} | HEIF_SUFFIXES | RAW_SUFFIXES
"""File suffixes (lower case) that count as photos."""


@dataclass(frozen=True)
class PhotoHeader:
    """What a photo says of itself without being decoded.

    Attributes:
        width_px, height_px: size when upright.
        time_s: capture time by the camera's clock, seconds since 1970 without a time zone; None if not stated.
        has_subseconds: whether the time is finer than a second.
        utc_offset_s: how far the camera's clock was ahead of UTC, seconds; None if not stated.
        has_gain_map: whether a second picture tells how bright displays are to show it; only the first is ever read.
    """

    width_px: int
    height_px: int
    time_s: float | None
    has_subseconds: bool
    utc_offset_s: float | None = None
    has_gain_map: bool = False

"""What pairing yields: captures, photos without a partner, how two clocks relate, and the names of the splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Capture:
    """One scene taken by phone and DSLR at the same moment.

    Attributes:
        capture_id: the phone photo's path below its camera folder, without suffix, with "/" between folders.
        phone_file, dslr_file: paths relative to the captures folder, with "/" between folders.
        time_s: capture time by the phone's clock, seconds since 1970 without a time zone; None if unknown.
        folder_split: the split that the folders prescribe (CAPTURES/train|test/<camera>), None if they do not.
        phone_raw_file: the RAW file with the phone's mosaic, `phone_file` itself where that is aligned; None where no
            mosaic is asked for.
    """

    capture_id: str
    phone_file: str
    dslr_file: str
    time_s: float | None
    folder_split: Split | None = None
    phone_raw_file: str | None = None


@dataclass(frozen=True)
class Unpaired:
    """A photo without a partner: its path relative to the captures folder, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class ClockFit:
    """dslr_time = phone_time + offset_s + drift * (phone_time - reference_s), and how well pairs obey it.

    Attributes:
        offset_s: the DSLR clock's lead over the phone clock at `reference_s`, seconds.
        drift: seconds gained per second.
        reference_s: phone time at which the offset holds.
        residual_s: median absolute difference of the pairs after the fit, seconds.
        pairs: pairs that support the fit.
    """

    offset_s: float
    drift: float
    reference_s: float
    residual_s: float
    pairs: int


@dataclass(frozen=True)
class Pairing:
    """The captures of a rig, sorted by capture_id, and every photo that found no partner.

    `notes` are lines for the person: files that were ignored, doubts about the pairing.
    """

    captures: tuple[Capture, ...]
    unpaired: tuple[Unpaired, ...]
    method: Literal["name", "time", "list"]
    clock: ClockFit | None
    notes: tuple[str, ...] = ()

"""Stage 1: two cameras' folders of photos become captures, paired by name or by capture time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dped_data.captures.capture_times import PhotoTime, read_times
from dped_data.captures.clock_fit import MIN_PAIRS
from dped_data.captures.clock_lines import MAX_DRIFT
from dped_data.captures.listing import CameraPhotos, list_cameras
from dped_data.captures.pair_by_name import PhotoPairs, pair_by_name, share_of_equal_names
from dped_data.captures.pair_by_time import pair_by_time
from dped_data.captures.records import Capture, ClockFit, Pairing, Split, Unpaired
from dped_data.common.spread_rows import spread_rows
from dped_data.settings import PairingSettings

MIN_EQUAL_NAMES = 0.9
"""Share of equal names from which `auto` pairs by name."""
_CHECKED_PAIRS = 40
_COINCIDENCE_S = 120.0


def find_captures(captures_dir: Path, phone: str, dslr: str, settings: PairingSettings) -> Pairing:
    """Pair the photos of two cameras below `captures_dir`; reads file names and headers, never pixels.

    By name: equal paths below the two camera folders (suffixes do not count), else equal stems that are unique in both.
    By time: EXIF capture times, after the clocks' offset and drift are estimated from the times themselves (clock.py);
    only pairs that cannot be mistaken. `auto` takes names when at least 90 % of the names in the folder with fewer of
    them exist in the other one, else times. Photos laid out as CAPTURES/train|test/<camera>/ keep the split of their
    folders and are paired by name unless settings.pairing is "time".

    Returns:
        captures sorted by id, with the phone's capture times where the photos state them; every other photo with the
        reason; the clocks' relation if it was estimated; notes on ignored files and doubts.
    Raises:
        InputError: a folder is missing, unreadable or without photos, or the times do not tell which photos belong
            together.
    """
    captures: list[Capture] = []
    unpaired: list[Unpaired] = []
    notes: list[str] = []
    clock: ClockFit | None = None
    method: Literal["name", "time"] = "name"
    for phones, dslrs in list_cameras(captures_dir, phone, dslr):
        notes += _ignored(phones) + _ignored(dslrs)
        method, why = _choose(phones, dslrs, settings)
        if method == "time":
            found, clock, times = pair_by_time(captures_dir, phones, dslrs, settings.max_time_residual_s, why)
        else:
            found = pair_by_name(phones, dslrs)
            times = read_times(captures_dir, [pair[0].file for pair in found.pairs], phone)
            notes += _coincidence(captures_dir, found, times, dslr)
        captures += _captures(found, times, phones.split)
        unpaired += (*found.unpaired, *phones.misnamed, *dslrs.misnamed)
    captures.sort(key=lambda capture: capture.capture_id)
    unpaired.sort(key=lambda photo: photo.file)
    return Pairing(tuple(captures), tuple(unpaired), method, clock, tuple(notes))


def _choose(
    phones: CameraPhotos, dslrs: CameraPhotos, settings: PairingSettings
) -> tuple[Literal["name", "time"], str]:
    """Return the method of pairing, and why it is not by name."""
    if settings.pairing != "auto":
        return settings.pairing, ""
    share = share_of_equal_names(phones, dslrs)
    if phones.split or share >= MIN_EQUAL_NAMES:
        return "name", ""
    return "time", f" (only {share:.0%} of the names are equal, pairing by name takes {MIN_EQUAL_NAMES:.0%})"


def _captures(found: PhotoPairs, times: Sequence[PhotoTime], split: Split | None) -> list[Capture]:
    return [
        Capture(phone.key, phone.file, dslr.file, time.time_s, split)
        for (phone, dslr), time in zip(found.pairs, times, strict=True)
    ]


def _ignored(camera: CameraPhotos) -> list[str]:
    parts = [f"{count} {suffix}" for suffix, count in sorted(camera.others.items())]
    parts += [f"{camera.hidden} hidden"] if camera.hidden else []
    total = sum(camera.others.values()) + camera.hidden
    files = "1 file that is no photo was" if total == 1 else f"{total} files that are no photos were"
    return [f"{camera.camera}: {files} ignored ({', '.join(parts)})"] if total else []


def _coincidence(captures_dir: Path, found: PhotoPairs, times: Sequence[PhotoTime], dslr: str) -> list[str]:
    """Warn when the names are equal but the capture times of a sample of the pairs contradict them."""
    timed = [(pair[1].file, t.time_s) for pair, t in zip(found.pairs, times, strict=True) if t.time_s is not None]
    picked = [timed[i] for i in spread_rows(len(timed), _CHECKED_PAIRS)]
    partners = read_times(captures_dir, [file for file, _ in picked], dslr)
    both = [(p, d.time_s) for (_, p), d in zip(picked, partners, strict=True) if d.time_s is not None]
    if len(both) < MIN_PAIRS:
        return []
    phone_s, dslr_s = np.array(both).T
    differences = dslr_s - phone_s
    spread = float(np.median(np.abs(differences - np.median(differences))))
    if spread <= _COINCIDENCE_S + MAX_DRIFT * float(np.ptp(phone_s)):
        return []
    return [
        f"the names are equal, but the times between the two photos of a capture differ by {spread:.0f} s (median); "
        "if the cameras number their photos independently, use --pairing time"
    ]

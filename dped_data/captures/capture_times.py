"""Capture times of many photos, from their headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dped_data.common.progress import progress
from dped_data.errors import PhotoError
from dped_data.photos.reading import read_header

_READERS = 8
"""Threads: they wait for the disk or the network together; a warm header costs well under a millisecond."""


@dataclass(frozen=True)
class PhotoTime:
    """What a photo's header says of its capture time.

    Attributes:
        time_s: seconds since 1970 by the camera's clock, None if not stated or not usable.
        has_subseconds: whether it is finer than a second.
        fault: why there is none, "" if there is one.
        utc_offset_s: how far the clock was ahead of UTC, seconds; None if not stated.
        is_readable, has_gain_map: what else the header tells.
    """

    time_s: float | None
    has_subseconds: bool
    fault: str
    utc_offset_s: float | None = None
    is_readable: bool = True
    has_gain_map: bool = False


def read_times(captures_dir: Path, files: Sequence[str], camera: str) -> list[PhotoTime]:
    """Read the capture times of a camera's `files` (relative to the captures folder), in their order; no pixels.

    A clock that follows its owner through time zones is read as if it had stayed in the one that most photos state.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        times = readers.map(_read_time, (captures_dir / file for file in files))
        return in_one_zone([*progress(times, total=len(files), label=f"capture times of {camera}", unit="photo")])


def told_by_headers(files: Sequence[str], times: Sequence[PhotoTime], camera: str) -> list[str]:
    """Return notes on the photos of a camera whose headers tell that they will fail, or are read in part."""
    failing = [(file, time.fault) for file, time in zip(files, times, strict=True) if not time.is_readable]
    maps = sum(time.has_gain_map for time in times)
    notes = [f"{camera}: {len(failing)} photos fail (first: {failing[0][0]}: {failing[0][1]})"] if failing else []
    return notes + ([f"{camera}: {maps} photos have gain maps; their base pictures are taken"] if maps else [])


def in_one_zone(times: Sequence[PhotoTime]) -> list[PhotoTime]:
    """Return the times as a clock shows them that stays in the zone stated most often; as they are if zones agree."""
    zones = Counter(time.utc_offset_s for time in times if time.time_s is not None and time.utc_offset_s is not None)
    if len(zones) < 2:
        return [*times]
    home = min(zones, key=lambda zone: (-zones[zone], zone))
    return [_moved(time, home) for time in times]


def _moved(time: PhotoTime, home: float) -> PhotoTime:
    if time.time_s is None:
        return time
    if time.utc_offset_s is None:
        return PhotoTime(None, False, "its capture time states no time zone, and those of the other photos differ")
    return replace(time, time_s=time.time_s + home - time.utc_offset_s, utc_offset_s=home)


def _read_time(path: Path) -> PhotoTime:
    try:
        header = read_header(path)
    except PhotoError as error:
        return PhotoTime(None, False, f"cannot be read: {error.fault}", is_readable=False)
    fault = "no capture time in its EXIF data" if header.time_s is None else ""
    return PhotoTime(header.time_s, header.has_subseconds, fault, header.utc_offset_s, True, header.has_gain_map)

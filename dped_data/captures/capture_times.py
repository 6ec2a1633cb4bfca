"""Capture times of many photos, from their headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
        time_s: seconds since 1970 by the camera's clock, None if not stated.
        has_subseconds: whether it is finer than a second.
        fault: why the header cannot be read, "" if it can.
    """

    time_s: float | None
    has_subseconds: bool
    fault: str


def read_times(captures_dir: Path, files: Sequence[str], camera: str) -> list[PhotoTime]:
    """Read the capture times of `files` (relative to the captures folder), in their order; no pixel is decoded."""
    with ThreadPoolExecutor(_READERS) as readers:
        times = readers.map(_read_time, (captures_dir / file for file in files))
        return list(progress(times, total=len(files), label=f"capture times of {camera}", unit="photo"))


def _read_time(path: Path) -> PhotoTime:
    try:
        header = read_header(path)
    except PhotoError as error:
        return PhotoTime(None, False, error.fault)
    return PhotoTime(header.time_s, header.has_subseconds, "")

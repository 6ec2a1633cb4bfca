"""Workers that align every scene once and remember it: what is left is what a build costs besides aligning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dped_data import build
from dped_data.captures.records import Capture
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.shards import ShardCapture
from dped_data.settings import BuildSettings
from dped_data.work.photo_reader import PhotoReader

_align = build.align_capture
_known: dict[tuple[str, str], tuple[CaptureRow, ShardCapture | None]] = {}


def remember_scenes() -> None:
    """Make builds of this process use such workers."""
    build.align_capture = align_capture


def align_capture(
    photos: PhotoReader, capture: Capture, settings: BuildSettings, folder: Path, row: CaptureRow
) -> tuple[CaptureRow, ShardCapture | None]:
    """Read the photos as ever, and align them if their bytes are new."""
    files = {"phone_file": capture.phone_file, "dslr_file": capture.dslr_file}
    for file in files.values():
        photos.read(file)
    key = (photos.sha256[capture.phone_file], photos.sha256[capture.dslr_file])
    if key not in _known:
        _known[key] = _align(photos, capture, settings, folder, row)
    row, kept = _known[key]
    name = {"capture_id": capture.capture_id, **files}
    return replace(row, **name, seconds=0.0), replace(kept, **name) if kept else None

"""The RAW file of each of the phone's shots, for builds that keep its mosaic."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

from dped_data.captures.listing import CameraPhotos
from dped_data.captures.records import Capture, Pairing, Unpaired
from dped_data.photos.formats import HEIF_SUFFIXES, JPEG_SUFFIXES, RAW_SUFFIXES
from dped_data.settings import RawSettings

Aligned = Literal["developed", "jpeg"]
"""Which photo of a shot is aligned: its RAW file, developed, or the camera's JPEG or HEIC."""


def asked_raw(settings: RawSettings) -> Aligned | None:
    """Return which photo of the phone's shots is aligned where their mosaics are to be kept, else None."""
    return settings.phone_aligned if settings.phone_raw else None


def with_raw_files(pairing: Pairing, phone: CameraPhotos, aligned: Aligned) -> Pairing:
    """Return the pairing with the file that is aligned and the RAW file of each of the phone's shots.

    Files of one shot have one path without suffix. Captures whose shot lacks one of the files are left out; their
    photos are listed with the reason.

    Args:
        pairing: of the phone's photos, by whichever file of a shot.
        phone: all its photos, before any was left out.
        aligned: which file of a shot is aligned.
    """
    shots: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"raw": [], "jpeg": []})
    shot_of = {photo.file: photo.key for photo in phone.photos}
    for file, key in shot_of.items():
        suffix = Path(file).suffix.lower()
        if suffix in RAW_SUFFIXES:
            shots[key]["raw"].append(file)
        elif suffix in JPEG_SUFFIXES | HEIF_SUFFIXES:
            shots[key]["jpeg"].append(file)
    captures: list[Capture] = []
    unpaired = {photo.file: photo for photo in pairing.unpaired}
    for capture in pairing.captures:
        files = shots[shot_of[capture.phone_file]]
        needed = ("raw",) if aligned == "developed" else ("raw", "jpeg")
        if fault := next((_fault(kind, files[kind]) for kind in needed if len(files[kind]) != 1), ""):
            for file in (capture.phone_file, capture.dslr_file):
                unpaired[file] = Unpaired(file, f"{capture.phone_file}: {fault}")
            continue
        raw = files["raw"][0]
        taken = raw if aligned == "developed" else files["jpeg"][0]
        captures.append(replace(capture, phone_file=taken, phone_raw_file=raw))
        for file in {*files["raw"], *files["jpeg"], capture.phone_file} - {raw, taken}:
            unpaired[file] = Unpaired(file, f"the same shot as {raw}, which is developed (--phone-aligned developed)")
        for file in (raw, taken):
            unpaired.pop(file, None)
    left = tuple(unpaired[file] for file in sorted(unpaired))
    return replace(pairing, captures=tuple(captures), unpaired=left)


def _fault(kind: str, files: list[str]) -> str:
    what, option = ("RAW file", "--phone-raw") if kind == "raw" else ("JPEG or HEIC", "--phone-aligned jpeg")
    return f"its shot has {len(files) or 'no'} {what}{'s' if len(files) > 1 else ''}, {option} needs one"

"""Stage 1: two cameras' folders of photos become captures, paired by name or by capture time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from dped_data.captures.capture_times import read_times, told_by_headers
from dped_data.captures.listing import CameraPhotos, list_cameras
from dped_data.captures.name_check import CameraTimes, NameCheck, check_names
from dped_data.captures.pair_by_list import pair_by_list
from dped_data.captures.pair_by_name import (
    PhotoPairs,
    Preferred,
    by_template,
    one_file_per_shot,
    pair_by_name,
    share_of_equal_names,
)
from dped_data.captures.pair_by_time import pair_by_time, stamp_step
from dped_data.captures.raw_shots import Aligned, with_raw_files
from dped_data.captures.records import Capture, Pairing, Split, Unpaired
from dped_data.errors import InputError
from dped_data.settings import PairingSettings

MIN_EQUAL_NAMES = 0.9
"""Share of equal names from which `auto` pairs by name."""
_PREFERRED: Mapping[Aligned, Preferred] = {"developed": "raw", "jpeg": "jpeg"}
_PROVEN_OTHERWISE = (
    "the names are equal, but the capture times of nearly all shots prove another pairing: the cameras number their "
    "photos independently; paired by time (--pairing name insists on the names)"
)

_INDEPENDENT = "; if the cameras number their photos independently, use --pairing time"


def find_captures(
    captures_dir: Path,
    phone: str,
    dslr: str,
    settings: PairingSettings,
    pairs: Path | None = None,
    folders: Mapping[str, str] | None = None,
    phone_raw: Aligned | None = None,
    dslr_raw: bool = False,
) -> Pairing:
    """Pair the photos of two cameras below `captures_dir`; reads file names and headers, never pixels.

    By name: equal paths below the two camera folders (suffixes do not count), else equal stems that are unique in both.
    By time: EXIF capture times, after the clocks' offset and drift are estimated from the times themselves (clock.py);
    only pairs that cannot be mistaken. `auto` takes names when at least 90 % of the names in the folder with fewer of
    them exist in the other one, else times. It does not believe names that the capture times contradict: where they
    prove another pairing of nearly all shots, it takes them, else it stops. Photos laid out as
    CAPTURES/train|test/<camera>/ keep the split of their folders and are paired by name unless settings.pairing is
    "time".

    A list in the file `pairs` beats all of this. `folders` are as in `list_cameras`. Of a shot that a camera stored as
    RAW, too, one file is used. With `phone_raw` each capture has the RAW file of the phone's shot, and `phone_raw` says
    which file of the shot is aligned; with `dslr_raw` the DSLR's RAW files are taken whatever `settings` prefer.

    Returns:
        captures sorted by id, with the phone's capture times where the photos state them; every other photo with the
        reason; the clocks' relation if it was estimated; notes on ignored files and doubts.
    Raises:
        UsageError: a name template without a *.
        InputError: a folder is missing, unreadable or without photos, the list of pairs is at fault, the times do not
            tell which photos belong together, or they contradict the names and do not tell what is right.
    """
    cameras = list_cameras(captures_dir, phone, dslr, folders)
    if pairs is not None and len(cameras) > 1:
        raise InputError(
            f"{captures_dir}: holds folders for training and testing, which a list of pairs does not go with"
        )
    prefer = settings.prefer if phone_raw is None else _PREFERRED[phone_raw]
    settings = replace(settings, prefer="raw") if dslr_raw else settings
    places = [_pair_place(captures_dir, phones, dslrs, settings, pairs, prefer) for phones, dslrs in cameras]
    if phone_raw is not None:
        places = [with_raw_files(place, phones, phone_raw) for place, (phones, _) in zip(places, cameras, strict=True)]
    return Pairing(
        tuple(sorted((c for place in places for c in place.captures), key=lambda capture: capture.capture_id)),
        tuple(sorted((u for place in places for u in place.unpaired), key=lambda photo: photo.file)),
        places[-1].method,
        places[-1].clock,
        tuple(note for place in places for note in place.notes),
    )


def _pair_place(
    captures_dir: Path,
    phones: CameraPhotos,
    dslrs: CameraPhotos,
    settings: PairingSettings,
    pairs: Path | None,
    prefer: Preferred,
) -> Pairing:
    """Pair the photos of two folders; of the phone's shots `prefer` says which file stands for one."""
    notes = _ignored(phones) + _ignored(dslrs)
    unpaired = [*phones.misnamed, *dslrs.misnamed]
    if pairs is not None:
        found = pair_by_list(pairs, phones, dslrs)
        check, stated = _check(captures_dir, found, phones, dslrs, settings, notes)
        notes += _doubts(check, found, phones, stated, f"{pairs.name} pairs them", "")
        return Pairing(
            _captures(found, _known(check), phones.split), (*found.unpaired, *unpaired), "list", None, (*notes,)
        )
    phones, dslrs = (
        _named(camera, template, preferred, unpaired, notes)
        for camera, template, preferred in (
            (phones, settings.phone_name, prefer),
            (dslrs, settings.dslr_name, settings.prefer),
        )
    )
    method, why = _choose(phones, dslrs, settings)
    if method == "name":
        named = _pair_named(captures_dir, phones, dslrs, settings, notes)
        if named is not None:
            found, times, doubts = named
            captures = _captures(found, times, phones.split)
            return Pairing(captures, (*found.unpaired, *unpaired), "name", None, (*notes, *doubts))
        why = " (the times contradict the names)"
        notes.append(_PROVEN_OTHERWISE)
    found, clock, by_clock = pair_by_time(captures_dir, phones, dslrs, settings.max_time_residual_s, why)
    notes += [note for note in found.notes if note not in notes]
    captures = _captures(found, [time.time_s for time in by_clock], phones.split)
    return Pairing(captures, (*found.unpaired, *unpaired), "time", clock, tuple(notes))


def _named(
    camera: CameraPhotos, template: str, prefer: Preferred, unpaired: list[Unpaired], notes: list[str]
) -> CameraPhotos:
    """Return the camera with one file per shot, named by the scene; add to `unpaired` and `notes` what is left."""
    camera, passed = one_file_per_shot(camera, prefer)
    if passed:
        kind, other = ("RAW file", "JPEG") if prefer == "raw" else ("JPEG", "RAW file")
        notes.append(f"{camera.camera}: the {kind} is taken of {len(passed)} shots that have a {other}, too (--prefer)")
    camera, unlike = by_template(camera, template)
    unpaired += passed + unlike
    return camera


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


def _pair_named(
    captures_dir: Path, phones: CameraPhotos, dslrs: CameraPhotos, settings: PairingSettings, told: list[str]
) -> tuple[PhotoPairs, list[float | None], list[str]] | None:
    """Return the pairs by name, when each was taken, and doubts; None where `auto` is to believe the times instead.

    What the headers tell is added to `told`.
    """
    found = pair_by_name(phones, dslrs)
    check, stated = _check(captures_dir, found, phones, dslrs, settings, told)
    insists = settings.pairing == "name"
    if check.finding == "other" and not insists:
        return None
    if check.finding == "contradict" and not insists:
        raise InputError(
            f"{captures_dir}: names and capture times contradict each other: {len(found.pairs)} photos of "
            f"{phones.camera} and {dslrs.camera} have equal names, but {_consistency(check)}, and the times do not "
            "prove what is right; --pairing name believes the names, --pairing time the times, --pairs FILE your list"
        )
    times = _known(check)
    notes = _doubts(check, found, phones, stated, "the names are equal", _INDEPENDENT)
    wrong = {*check.wrong} if not insists else set()
    if not wrong:
        return found, times, notes
    reason = "its name is that of {}, but their times contradict it; --pairing name believes the names"
    kept = [i for i in range(len(found.pairs)) if i not in wrong]
    torn = [found.pairs[i] for i in sorted(wrong)]
    unpaired = [Unpaired(photo.file, reason.format(other.file)) for pair in torn for photo, other in (pair, pair[::-1])]
    pairs_left = PhotoPairs(tuple(found.pairs[i] for i in kept), (*found.unpaired, *unpaired))
    return pairs_left, [times[i] for i in kept], notes


def _check(
    captures_dir: Path,
    found: PhotoPairs,
    phones: CameraPhotos,
    dslrs: CameraPhotos,
    settings: PairingSettings,
    told: list[str],
) -> tuple[NameCheck, CameraTimes]:
    """Hold pairs against the capture times of all photos; return the phone's times, too; add notes to `told`."""
    cameras = [_times_of(captures_dir, camera, told) for camera in (phones, dslrs)]
    places = [{photo.file: i for i, photo in enumerate(camera.photos)} for camera in (phones, dslrs)]
    pairs = [(places[0][phone.file], places[1][dslr.file]) for phone, dslr in found.pairs]
    return check_names(cameras[0], cameras[1], pairs, settings.max_time_residual_s), cameras[0]


def _known(check: NameCheck) -> list[float | None]:
    return [None if np.isnan(time_s) else time_s for time_s in check.time_s.tolist()]


def _times_of(captures_dir: Path, camera: CameraPhotos, told: list[str]) -> CameraTimes:
    files = [photo.file for photo in camera.photos]
    stated = read_times(captures_dir, files, camera.camera)
    told += told_by_headers(files, stated, camera.camera)
    known = [time for time in stated if time.time_s is not None]
    seconds = [np.nan if time.time_s is None else time.time_s for time in stated]
    return CameraTimes(np.array(seconds, np.float64), stamp_step(known))


def _consistency(check: NameCheck) -> str:
    return f"the times of only {check.agreeing} of {check.judged} such pairs fit one another"


def _doubts(
    check: NameCheck, found: PhotoPairs, phones: CameraPhotos, times: CameraTimes, why_paired: str, cure: str
) -> list[str]:
    """Return what a person should know of the times of pairs."""
    doubts: list[str] = []
    if check.finding in ("other", "contradict"):
        doubts.append(f"{why_paired}, but {_consistency(check)}{cure}")
    if check.finding == "unknown" and check.judged:
        doubts.append("the capture times are too uneven to confirm the pairs")
    if check.odd:
        first = found.pairs[check.odd[0]]
        doubts.append(
            f"a clock was set otherwise for {len(check.odd)} captures (first: {first[0].file}, {first[1].file}); "
            "sessions go by the clock that went on"
        )
    by_file = dict(zip((photo.file for photo in phones.photos), times.time_s.tolist(), strict=True))
    absurd = [
        pair[0].file
        for pair, time_s in zip(found.pairs, check.time_s.tolist(), strict=True)
        if np.isnan(time_s) and not np.isnan(by_file[pair[0].file])
    ]
    if absurd:
        doubts.append(
            f"{len(absurd)} capture times lie years from the others and are not used (first: {absurd[0]}): "
            "a reset clock?"
        )
    return doubts


def _captures(found: PhotoPairs, times: Sequence[float | None], split: Split | None) -> tuple[Capture, ...]:
    return tuple(
        Capture(phone.key, phone.file, dslr.file, time_s, split)
        for (phone, dslr), time_s in zip(found.pairs, times, strict=True)
    )


def _ignored(camera: CameraPhotos) -> list[str]:
    parts = [f"{count} {suffix}" for suffix, count in sorted(camera.others.items())]
    parts += [f"{camera.hidden} hidden"] if camera.hidden else []
    total = sum(camera.others.values()) + camera.hidden
    files = "1 file that is no photo was" if total == 1 else f"{total} files that are no photos were"
    return [f"{camera.camera}: {files} ignored ({', '.join(parts)})"] if total else []

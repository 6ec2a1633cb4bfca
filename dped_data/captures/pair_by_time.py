"""Photos of two cameras that belong together because they were taken at the same moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.capture_times import PhotoTime, read_times, told_by_headers
from dped_data.captures.clock_fit import MIN_PAIRS, ClockUnknown, clock_settings, far_apart
from dped_data.captures.listing import CameraPhotos, ListedPhoto
from dped_data.captures.pair_by_name import PhotoPairs, namesakes
from dped_data.captures.records import ClockFit, Unpaired
from dped_data.captures.shot_pairs import Partners, pair_shots
from dped_data.errors import InputError

_RESET = "its capture time lies years from the others: a reset clock?"
_YEAR_S = 366 * 86400.0


def pair_by_time(
    captures_dir: Path, phones: CameraPhotos, dslrs: CameraPhotos, limit_s: float, why: str
) -> tuple[PhotoPairs, ClockFit, list[PhotoTime]]:
    """Pair photos whose capture times cannot be mistaken.

    Args:
        limit_s: largest time between two paired photos once the clocks are related, seconds.
        why: why not by name, for messages.
    Returns:
        the pairs and the photos without one; the clocks' relation; the phone's time of each pair.
    Raises:
        InputError: too few photos state a time, or the times do not tell how the clocks relate.
    """
    unpaired = namesakes(phones)  # their capture ids would be equal
    lists: list[list[ListedPhoto]] = []
    times: list[list[PhotoTime]] = []
    notes: list[str] = []
    for camera in (phones, dslrs):
        stated = read_times(captures_dir, [photo.file for photo in camera.photos], camera.camera)
        notes += told_by_headers([photo.file for photo in camera.photos], stated, camera.camera)
        for photo, time in zip(camera.photos, stated, strict=True):
            if photo.file not in unpaired and time.time_s is None:
                unpaired[photo.file] = Unpaired(photo.file, time.fault)
        usable = [(p, t) for p, t in zip(camera.photos, stated, strict=True) if p.file not in unpaired]
        lists.append([photo for photo, _ in usable])
        times.append([time for _, time in usable])
    where = f"{captures_dir}: cannot pair {phones.camera} and {dslrs.camera} by capture time{why}"
    cure = "give the two photos of each capture the same name and use --pairing name"
    if min(len(lists[0]), len(lists[1])) < MIN_PAIRS:
        counts = [
            f"{len(u)} of {len(c.photos)} photos of {c.camera}" for u, c in zip(lists, (phones, dslrs), strict=True)
        ]
        raise InputError(f"{where}: {' and '.join(counts)} state one, at least {MIN_PAIRS} each are needed; {cure}")
    try:
        pairs, clock, left = _pair_settings(lists, times, (phones.camera, dslrs.camera), limit_s)
    except ClockUnknown as unknown:
        raise InputError(f"{where}: {unknown}; {cure}") from None
    if not pairs:
        raise InputError(f"{where}: every shot fits several others; {cure}")
    unpaired |= left
    unpaired |= _of_reset_clocks(unpaired, lists, times)
    pairs.sort()
    found = PhotoPairs(tuple((lists[0][i], lists[1][j]) for i, j in pairs), tuple(unpaired.values()), (*notes,))
    return found, clock, [_steady(times[0][i], times[1][j], clock) for i, j in pairs]


def _pair_settings(
    lists: Sequence[Sequence[ListedPhoto]],
    times: Sequence[Sequence[PhotoTime]],
    cameras: tuple[str, str],
    limit_s: float,
) -> tuple[list[tuple[int, int]], ClockFit, dict[str, Unpaired]]:
    """Pair the shots of each setting of a clock that was reset, or all at once; the first setting gives the relation.

    Each must prove its own relation of the clocks; the shots of one that does not stay without a partner.
    """
    seconds = [_seconds(stated) for stated in times]
    everything = [np.arange(len(stated)) for stated in seconds]
    settings = [clock_settings(stated) for stated in seconds]
    reset = 0 if len(settings[0]) > 1 else 1
    # Years between the shots of both cameras are years.
    was_reset = len(settings[reset]) > 1 and len(settings[1 - reset]) <= 1
    rounds = settings[reset] if was_reset else [everything[reset]]
    pairs: list[tuple[int, int]] = []
    unpaired: dict[str, Unpaired] = {}
    clock: ClockFit | None = None
    for shots in rounds:
        taken = [pair[1 - reset] for pair in pairs]
        members = [shots, np.setdiff1d(everything[1 - reset], taken)]
        phone, dslr = members if reset == 0 else members[::-1]
        some = [[lists[side][i] for i in index] for side, index in enumerate((phone, dslr))]
        try:
            partners = pair_shots(
                seconds[0][phone], seconds[1][dslr], (stamp_step(times[0]), stamp_step(times[1])), limit_s
            )
        except ClockUnknown as unknown:
            if clock is None:
                raise
            reason = f"the clock of {cameras[reset]} was reset before it, and {unknown}"
            unpaired |= {photo.file: Unpaired(photo.file, reason) for photo in some[reset]}
            continue
        clock = clock or partners.match.fit
        unpaired |= _unpaired(partners, some, cameras)
        pairs += [(int(phone[i]), int(dslr[j])) for i, j in enumerate(partners.dslr_of_phone) if j >= 0]
    assert clock is not None  # the first round has it or raises
    paired = {photo.file for i, j in pairs for photo in (lists[0][i], lists[1][j])}
    told = {photo.file for photo in lists[reset]} & {*unpaired}
    far = [lists[reset][i] for i in np.setdiff1d(everything[reset], np.concatenate(rounds))]
    unpaired |= {photo.file: Unpaired(photo.file, _RESET) for photo in far if photo.file not in told}
    return pairs, clock, {file: photo for file, photo in unpaired.items() if file not in paired}


def _steady(phone: PhotoTime, dslr: PhotoTime, clock: ClockFit) -> PhotoTime:
    """Return the phone's time, or what the DSLR's says if years lie between: one of the clocks was reset."""
    assert phone.time_s is not None and dslr.time_s is not None  # of pairs by time
    by_dslr = dslr.time_s - clock.offset_s
    near = min((phone.time_s, by_dslr), key=lambda time_s: abs(time_s - clock.reference_s))
    return phone if abs(phone.time_s - by_dslr) < _YEAR_S else replace(phone, time_s=near)


def _seconds(times: Sequence[PhotoTime]) -> NDArray[np.float64]:
    return np.array([time.time_s for time in times], np.float64)


def stamp_step(times: Sequence[PhotoTime]) -> float:
    """Return the step of a camera's time stamps: 0 if they have sub-seconds that are used, else 1 second."""
    used = any(time.time_s is not None and time.time_s % 1 for time in times)
    return 0.0 if used and all(time.has_subseconds for time in times) else 1.0


def _of_reset_clocks(
    unpaired: Mapping[str, Unpaired], lists: Sequence[Sequence[ListedPhoto]], times: Sequence[Sequence[PhotoTime]]
) -> dict[str, Unpaired]:
    """Return, by file, those of the photos without a partner whose time is absurd among their camera's others."""
    return {
        photos[index].file: Unpaired(photos[index].file, _RESET)
        for photos, stated in zip(lists, times, strict=True)
        for index in np.flatnonzero(far_apart(_seconds(stated))).tolist()
        if photos[index].file in unpaired
    }


def _unpaired(
    partners: Partners, lists: Sequence[Sequence[ListedPhoto]], cameras: tuple[str, str]
) -> dict[str, Unpaired]:
    """Return, by file, the photos with a usable time but no sure partner, with the reason."""
    reach = f"within {partners.reach_s:.2f} s of its time"
    partner_of = (partners.dslr_of_phone, np.full(len(lists[1]), -1))
    for i, j in enumerate(partners.dslr_of_phone):
        if j >= 0:
            partner_of[1][j] = i
    unpaired: dict[str, Unpaired] = {}
    for side, counts in enumerate((partners.phone_candidates, partners.dslr_candidates)):
        other = cameras[1 - side]
        for index in np.flatnonzero(partner_of[side] < 0).tolist():
            if counts[index] == 0:
                reason = f"no photo of {other} {reach}"
            elif counts[index] > 1:
                reason = f"ambiguous: {counts[index]} photos of {other} {reach}"
            elif side == 0 and partners.doubtful[index]:
                reason = "ambiguous: the shots around it do not prove one offset between the clocks"
            else:
                reason = f"ambiguous: the one photo of {other} {reach} fits another photo too, or is at the edge"
            unpaired[lists[side][index].file] = Unpaired(lists[side][index].file, reason)
    return unpaired

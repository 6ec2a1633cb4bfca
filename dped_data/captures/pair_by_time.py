"""Photos of two cameras that belong together because they were taken at the same moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.captures.capture_times import PhotoTime, read_times
from dped_data.captures.clock_fit import MIN_PAIRS, ClockUnknown, far_apart
from dped_data.captures.listing import CameraPhotos, ListedPhoto
from dped_data.captures.pair_by_name import PhotoPairs, namesakes
from dped_data.captures.records import ClockFit, Unpaired
from dped_data.captures.shot_pairs import Partners, pair_shots
from dped_data.errors import InputError


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
    for camera in (phones, dslrs):
        stated = read_times(captures_dir, [photo.file for photo in camera.photos], camera.camera)
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
        partners = pair_shots(
            _seconds(times[0]), _seconds(times[1]), (stamp_step(times[0]), stamp_step(times[1])), limit_s
        )
    except ClockUnknown as unknown:
        raise InputError(f"{where}: {unknown}; {cure}") from None
    if not np.any(partners.dslr_of_phone >= 0):
        raise InputError(f"{where}: every shot fits several others; {cure}")
    pairs = [(i, int(j)) for i, j in enumerate(partners.dslr_of_phone) if j >= 0]
    unpaired |= _unpaired(partners, lists, (phones.camera, dslrs.camera))
    unpaired |= _of_reset_clocks(unpaired, lists, times)
    found = PhotoPairs(tuple((lists[0][i], lists[1][j]) for i, j in pairs), tuple(unpaired.values()))
    return found, partners.match.fit, [times[0][i] for i, _ in pairs]


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
        photos[index].file: Unpaired(photos[index].file, "its capture time lies years from the others: a reset clock?")
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

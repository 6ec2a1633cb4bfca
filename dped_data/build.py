"""The order of the build, written once: pair, split, align every capture, write shards, then tables and manifest.

align_capture -> build_shard (one unit of work, in a worker process) -> build_dataset (all of them, resumable).
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.aligned_files import remove_aligned, write_aligned
from dped_data.capture_table import CAPTURES_NAME, CaptureRow, read_captures
from dped_data.captures import find_captures
from dped_data.dataset_folder import built_origin, check_place, finish, locked, prepare
from dped_data.errors import CaptureRejected, InputError, PhotoError, UsageError
from dped_data.files import sha256_of_file
from dped_data.manifest import Manifest
from dped_data.parallel import Backend, run_parallel
from dped_data.photo_listing import has_camera
from dped_data.photos import decode_photo, read_bytes
from dped_data.progress import progress_bar
from dped_data.records import SPLITS, AlignedCapture, Capture, Pairing, Split
from dped_data.review_file import read_review
from dped_data.reviewed import apply_review
from dped_data.settings import BuildSettings, Rig
from dped_data.settings_machinery import settings_dict
from dped_data.shards import ShardCapture, write_shard
from dped_data.split import assign_splits
from dped_data.work_units import Unit, UnitRecord, finished_units, plan_units, unfinished_path, write_record


@dataclass(frozen=True)
class Plan:
    """Pairing and split of a build, before any pixel is read; `splits` is aligned with `pairing.captures`."""

    pairing: Pairing
    splits: tuple[Split, ...]


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        folder: the dataset (OUT/<phone>).
        manifest: its manifest.
        rows: one row per capture, in the order of captures.csv.
        reused: captures that an earlier run had finished.
        seconds: time the run took.
    """

    folder: Path
    manifest: Manifest
    rows: tuple[CaptureRow, ...]
    reused: int
    seconds: float


def choose_phone(captures: Path, rig: Rig) -> str:
    """Return the only phone of the rig that has a folder below `captures`.

    Raises:
        InputError: there is no captures folder or no phone's folder in it; UsageError: there are several.
    """
    phones = [camera.name for camera in rig.cameras if camera.name != rig.dslr]
    if not captures.is_dir():
        raise InputError(
            f"{captures}: no such folder; put each camera's photos into a folder of its own "
            f"({captures}/{phones[0]}, {captures}/{rig.dslr}) or name another place with --captures"
        )
    present = [name for name in phones if has_camera(captures, name)]
    if len(present) > 1:
        raise UsageError(f"{captures}: holds photos of {', '.join(present)}; choose one with --phone")
    if not present:
        found = ", ".join(sorted(path.name for path in captures.iterdir() if path.is_dir())) or "no folder"
        raise InputError(
            f"{captures}: has no folder of a phone of rig '{rig.name}' ({', '.join(phones)}), it has: {found}; "
            "describe your cameras in a TOML file and pass --rig FILE"
        )
    return present[0]


def plan_dataset(captures: Path, phone: str, settings: BuildSettings, folder: Path | None = None) -> Plan:
    """Pair the photos below `captures` and assign the splits; reads headers only.

    Captures of the dataset in `folder`, if there is one, keep the split that its captures.csv states.

    Raises:
        UsageError: the rig has no such phone.
        InputError: a camera folder is missing, unreadable or empty.
    """
    settings.rig.phone(phone)
    pairing = find_captures(captures, phone, settings.rig.dslr, settings.pairing)
    known = read_captures(folder) if folder and (folder / CAPTURES_NAME).exists() else []
    earlier = {row.capture_id: split for row in known for split in SPLITS if row.split == split}
    return Plan(pairing, assign_splits(pairing.captures, settings.split, earlier))


def check_captures(plan: Plan, captures: Path, phone: str, dslr: str) -> None:
    """Raise InputError if nothing could be paired."""
    if plan.pairing.captures:
        return
    first = plan.pairing.unpaired[0] if plan.pairing.unpaired else None
    detail = f" (first: {first.file}: {first.reason})" if first else ""
    raise InputError(
        f"{captures}: no photo of '{phone}' pairs with one of '{dslr}'{detail}; "
        "run with --dry-run to see all, or choose --pairing name or --pairing time"
    )


def align_capture(
    root: Path, capture: Capture, settings: BuildSettings, folder: Path
) -> tuple[CaptureRow, ShardCapture | None]:
    """Read and align one capture; return its row and, unless it yields nothing, its patches.

    With `settings.shards.keep_aligned` the whole aligned photo is written below `folder`.
    The one place where a poor or broken photo becomes a row with a reason.
    """
    from dped_data.align import align_photos  # brings the compiled numerics, which --dry-run does not need
    from dped_data.whole_photo import warp_aligned

    start = time.perf_counter()
    row = CaptureRow(capture.capture_id, capture.phone_file, capture.dslr_file, "", "kept")
    shard_capture = None
    try:
        phone, phone_sha256 = _read(root, capture.phone_file, "phone")
        dslr, dslr_sha256 = _read(root, capture.dslr_file, "dslr")
        aligned = align_photos(phone, dslr, settings)
        row = _row_of(row, aligned)
        if row.status == "kept":
            if settings.shards.keep_aligned and aligned.alignment is not None:
                warped = warp_aligned(dslr, aligned.alignment, aligned.phone_size_wh)
                write_aligned(folder, capture.capture_id, warped.photo, warped.valid, warped.error_px)
            shard_capture = ShardCapture(
                capture.capture_id,
                capture.phone_file,
                capture.dslr_file,
                phone_sha256,
                dslr_sha256,
                aligned.phone_size_wh,
                aligned.dslr_size_wh,
                aligned.dslr_from_phone,
                aligned.patches,
            )
    except CaptureRejected as rejected:
        row = replace(row, status="rejected", **vars(rejected))
    except PhotoError as error:
        row = replace(row, status="failed", stage="read", reason=str(error.fault))
    return replace(row, seconds=round(time.perf_counter() - start, 3)), shard_capture


def _read(root: Path, file: str, camera: str) -> tuple[NDArray[np.uint8], str]:
    """Return the decoded photo and the sha256 of its file; PhotoError says which camera's photo is at fault."""
    try:
        data = read_bytes(root / file)
        return decode_photo(data, Path(file).name), hashlib.sha256(data).hexdigest()
    except PhotoError as error:
        raise PhotoError(file, f"{camera} photo: {error.fault}") from None


def _row_of(row: CaptureRow, aligned: AlignedCapture) -> CaptureRow:
    patches = aligned.patches
    kept = len(patches.ncc)
    row = replace(
        row,
        keypoints=aligned.keypoints,
        matches=aligned.matches,
        inliers=aligned.inliers,
        residual_px=aligned.residual_px,
        overlap=aligned.overlap,
        windows=len(patches.window_xy),
        patches=kept,
        median_ncc=float(np.median(patches.ncc)) if kept else None,
    )
    if (tones := aligned.tones) is not None:
        gain_r, gain_g, gain_b = tones.gain_rgb
        row = replace(row, gain_r=gain_r, gain_g=gain_g, gain_b=gain_b)
        row = replace(row, phone_clipped=tones.phone_clipped, dslr_clipped=tones.dslr_clipped)
    return (
        row
        if kept
        else replace(row, status="rejected", stage="patches", reason="no window passed", measured=0, limit=1)
    )


def build_shard(unit: Unit, root: Path, folder: Path, settings: BuildSettings, digest: str) -> UnitRecord:
    """Align the captures of one unit, write their shard and the unit's record; the work of one worker process."""
    outcomes = [align_capture(root, capture, settings, folder) for capture in unit.captures]
    kept = [shard_capture for _, shard_capture in outcomes if shard_capture is not None]
    size, sha256 = 0, ""
    if kept:
        path = unfinished_path(folder, unit)
        text = json.dumps(settings_dict(settings), sort_keys=True)
        attributes = {"digest": digest, "settings": text, "unit": unit.key, "alignment": settings.alignment}
        write_shard(path, kept, attributes, settings.shards.compression)
        size, sha256 = path.stat().st_size, sha256_of_file(path)
    photos = {c.phone_file: c.phone_sha256 for c in kept} | {c.dslr_file: c.dslr_sha256 for c in kept}
    files = [file for c in unit.captures for file in (c.phone_file, c.dslr_file)]
    record = UnitRecord(
        key=unit.key,
        patches=sum(len(c.patches.ncc) for c in kept),
        bytes=size,
        sha256=sha256,
        photo_sha256={file: photos.get(file, "") for file in files},
        rows=tuple(row for row, _ in outcomes),
    )
    write_record(folder, record)
    return record


def build_dataset(
    captures: Path | str,
    out: Path | str,
    phone: str,
    settings: BuildSettings | None = None,
    *,
    jobs: int = -1,
    backend: Backend = "loky",
    overwrite: bool = False,
    retry_failed: bool = False,
    review: Path | None = None,
) -> BuildReport:
    """Build the dataset OUT/<phone> from the photos in CAPTURES/<camera>/, or finish or extend the one that is there.

    The same photos and settings give the same shards and manifest, byte for byte, for any number of jobs and after any
    interruption. Only units of captures that are new, changed or unfinished are aligned.

    Args:
        captures: folder with one folder of photos per camera.
        out: folder of datasets.
        phone: the phone's name in the rig.
        settings: default BuildSettings().
        jobs: worker processes; -1 means one per core.
        backend: "loky" for processes on this machine, "dask" for a Dask cluster.
        overwrite: replace a dataset that was built with other settings.
        retry_failed: align units again that hold a failed capture.
        review: a person's verdicts (review.csv): captures rejected there are left out, without aligning any again.
    Raises:
        UsageError: no such phone, or a dataset that would lie among the photos.
        InputError: photos or folders that cannot be used, other settings than the dataset's, another build at work.
    """
    start = time.perf_counter()
    settings = settings or BuildSettings()
    captures, folder = Path(captures), Path(out) / phone
    settings.rig.phone(phone)
    check_place(folder, captures)
    if settings.shards.keep_aligned and settings.alignment == "paper":
        raise UsageError("--keep-aligned needs --alignment refined: the paper's method aligns patches, not photos")
    plan = plan_dataset(captures, phone, settings, None if overwrite else folder)
    check_captures(plan, captures, phone, settings.rig.dslr)
    with locked(folder):
        digest = prepare(folder, captures, settings_dict(settings), overwrite)
        units = plan_units(plan.pairing.captures, plan.splits, captures, digest, settings.shards.captures_per_shard)
        records = finished_units(folder, units, captures, retry_failed)
        reused = sum(len(unit.captures) for unit in units if unit.key in records)
        calls = [(unit, captures, folder, settings, digest) for unit in units if unit.key not in records]
        with progress_bar(len(plan.pairing.captures), label="aligning", unit="capture") as bar:
            bar.update(reused)
            for record in run_parallel(build_shard, calls, jobs, backend):
                records[record.key] = record
                bar.update(len(record.rows))
        rejected = read_review(review) if review else frozenset()
        reviewed = apply_review(folder, units, records, rejected, settings.shards.compression)
        remove_aligned(
            folder, {row.capture_id for record in reviewed.records.values() for row in record.rows if row.patches}
        )
        manifest, rows = finish(
            folder,
            built_origin(phone, settings),
            reviewed.units,
            reviewed.records,
            plan.pairing.unpaired,
            reviewed.set_aside,
        )
    return BuildReport(folder, manifest, rows, reused, time.perf_counter() - start)

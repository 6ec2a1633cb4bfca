"""The order of the build, written once: pair, split, align every capture, write shards, then tables and manifest.

align_capture -> build_shard (one unit of work, in a worker process) -> build_dataset (all of them, resumable).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import AlignedCapture
from dped_data.captures.records import Capture
from dped_data.captures.remote_headers import header_mirror, named_as
from dped_data.common.cache import cache_folder
from dped_data.common.dask_cluster import Cluster
from dped_data.common.files import sha256_of_file
from dped_data.common.malloc import refusals_told
from dped_data.common.parallel import Backend
from dped_data.common.progress import progress_bar
from dped_data.common.remote_folder import RemoteFolder, remote_folder
from dped_data.common.typed_settings import settings_dict
from dped_data.common.work_folder import make_work_folder
from dped_data.dataset.aligned_photos import check_aligned, remove_aligned, write_aligned
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.manifest import Manifest
from dped_data.dataset.places import WORK_FOLDER, unnumbered_shard_name
from dped_data.dataset.review_file import read_review
from dped_data.dataset.shards import ShardCapture, write_shard
from dped_data.errors import CaptureRejected, PhotoError, UsageError
from dped_data.photos.reading import decode_photo
from dped_data.plan import check_captures, plan_dataset
from dped_data.settings import BuildSettings
from dped_data.work.apply_review import apply_review
from dped_data.work.crash_log import CAPTURE_TIMEOUT_S, UnitWatch, failed_in_worker
from dped_data.work.crash_safe_pool import run_units
from dped_data.work.folder import built_origin, check_place, finish, library_versions, locked, prepare
from dped_data.work.photo_reader import PhotoReader
from dped_data.work.remote_copy import begin_remote, fetch_dataset, fetch_under_lock, publish, send_unit
from dped_data.work.units import Unit, UnitRecord, finished_units, plan_units, write_record


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


def align_capture(
    photos: PhotoReader, capture: Capture, settings: BuildSettings, folder: Path
) -> tuple[CaptureRow, ShardCapture | None]:
    """Read and align one capture; return its row and, unless it yields nothing, its patches.

    With `settings.shards.keep_aligned` the whole aligned photo is written below `folder`.
    The one place where a poor or broken photo becomes a row with a reason.
    """
    from dped_data.align.pipeline import align_photos  # brings the compiled numerics, which --dry-run does not need
    from dped_data.align.warped_photo import warp_aligned

    start = time.perf_counter()
    row = CaptureRow(capture.capture_id, capture.phone_file, capture.dslr_file, "", "kept")
    shard_capture = None
    try:
        phone = _read(photos, capture.phone_file, "phone")
        dslr = _read(photos, capture.dslr_file, "dslr")
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
                photos.sha256[capture.phone_file],
                photos.sha256[capture.dslr_file],
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


def _read(photos: PhotoReader, file: str, camera: str) -> NDArray[np.uint8]:
    """Return the decoded photo; PhotoError says which camera's photo is at fault."""
    try:
        with refusals_told():
            return decode_photo(photos.read(file), Path(file).name)
    except PhotoError as error:
        raise PhotoError(file, f"{camera} photo: {error.fault}") from None


def _row_of(row: CaptureRow, aligned: AlignedCapture) -> CaptureRow:
    patches = aligned.patches
    kept = len(patches.ncc)
    tones, contrast = aligned.tones, aligned.contrast
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
        flat_windows=contrast.considered[0],
        flat_patches=contrast.kept[0],
        soft_windows=contrast.considered[1],
        soft_patches=contrast.kept[1],
        textured_windows=contrast.considered[2],
        textured_patches=contrast.kept[2],
        gain_r=tones.gain_rgb[0],
        gain_g=tones.gain_rgb[1],
        gain_b=tones.gain_rgb[2],
        phone_clipped=tones.phone_clipped,
        dslr_clipped=tones.dslr_clipped,
    )
    if kept:
        return row
    return replace(row, status="rejected", stage="patches", reason="no window passed", measured=0, limit=1)


def _align_watched(
    watch: UnitWatch, photos: PhotoReader, capture: Capture, settings: BuildSettings, folder: Path
) -> tuple[CaptureRow, ShardCapture | None]:
    """`align_capture`, unless the capture has killed its worker before."""
    if reason := watch.reason_against(capture.capture_id):
        return failed_in_worker(capture, reason), None
    with watch.watching(capture.capture_id):
        return align_capture(photos, capture, settings, folder)


def build_shard(
    unit: Unit,
    root: Path | RemoteFolder,
    folder: Path,
    settings: BuildSettings,
    digest: str,
    limit_s: float = 0,
    target: RemoteFolder | None = None,
) -> UnitRecord:
    """Align the captures of one unit, write their shard and the unit's record; the work of one worker process.

    With `target` both are sent there as well; `folder` may then be this machine's own.
    """
    if target is not None:
        (folder / unit.split).mkdir(parents=True, exist_ok=True)
        make_work_folder(folder / WORK_FOLDER, whole_folder=True)
    watch, photos = UnitWatch(folder, unit.key, limit_s), PhotoReader(root)
    outcomes = [_align_watched(watch, photos, capture, settings, folder) for capture in unit.captures]
    kept = [shard_capture for _, shard_capture in outcomes if shard_capture is not None]
    size, sha256 = 0, ""
    if kept:
        path = folder / unnumbered_shard_name(unit.split, unit.key)
        text = json.dumps(settings_dict(settings), sort_keys=True)
        attributes = {"digest": digest, "settings": text, "unit": unit.key, "alignment": settings.alignment}
        write_shard(path, kept, attributes, settings.shards.compression)
        size, sha256 = path.stat().st_size, sha256_of_file(path)
    patches, rows = sum(len(c.patches.ncc) for c in kept), tuple(row for row, _ in outcomes)
    record = UnitRecord(unit.key, patches, size, sha256, photos.sha256, rows, photos.mtime_ns, photos.state)
    write_record(folder, record)
    if target is not None:
        send_unit(target, folder, unit, record)
    watch.finish()
    return record


def _with_progress(aligned: Iterator[UnitRecord], captures: int, reused: int) -> dict[str, UnitRecord]:
    """Return the records by key as they come in, with a bar that counts captures."""
    records = {}
    with progress_bar(captures, label="aligning", unit="capture") as bar:
        bar.update(reused)
        for record in aligned:
            records[record.key] = record
            bar.update(len(record.rows))
    return records


def _cluster(scheduler: str, photos: Path | None, folder: Path | None) -> Cluster:
    source, target = (path.absolute() if path else None for path in (photos, folder))
    return Cluster(scheduler, source, target / WORK_FOLDER if target else None, library_versions())


def build_dataset(
    captures: Path | str,
    out: Path | str,
    phone: str,
    settings: BuildSettings | None = None,
    *,
    jobs: int = -1,
    backend: Backend = "loky",
    scheduler: str | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    review: Path | None = None,
    capture_timeout_s: float = CAPTURE_TIMEOUT_S,
) -> BuildReport:
    """Build the dataset OUT/<phone> from the photos in CAPTURES/<camera>/, or finish or extend the one that is there.

    The same photos and settings give the same shards and manifest, byte for byte, for any number of jobs and after any
    interruption. Only units of captures that are new, changed or unfinished are aligned.

    Args:
        captures: folder with one folder of photos per camera, or an address such as s3://bucket/captures.
        out: folder of datasets, or an address; then the dataset is built in the cache and sent there unit by unit.
        phone: the phone's name in the rig.
        settings: default BuildSettings().
        jobs: worker processes; -1 means one per core.
        backend: "loky" for processes on this machine, "dask" for a Dask cluster.
        scheduler: with "dask", address of a scheduler whose workers do the work; None starts a cluster on this machine.
        overwrite: replace a dataset that was built with other settings.
        retry_failed: align units again that hold a failed capture.
        review: a person's verdicts (review.csv): captures rejected there are left out, without aligning any again.
        capture_timeout_s: a capture that takes longer twice fails, seconds; 0 for no limit.
    Raises:
        UsageError: no such phone, or a dataset that would lie among the photos.
        InputError: photos or folders that cannot be used, other settings than the dataset's, another build at work.
    """
    start = time.perf_counter()
    settings = settings or BuildSettings()
    settings.rig.phone(phone)
    source, target = remote_folder(captures), remote_folder(out, phone)
    check_place(target.url if target else Path(out) / phone, captures)
    folder = cache_folder(target.url) / phone if target else Path(out) / phone
    if settings.shards.keep_aligned and settings.alignment == "paper":
        raise UsageError("--keep-aligned needs --alignment refined: the paper's method aligns patches, not photos")
    own = fetch_under_lock(target, folder) if target else None
    photos = header_mirror(source) if source else Path(captures)
    with named_as(source, photos):
        plan = plan_dataset(photos, phone, settings, None if overwrite else folder)
        check_captures(plan, photos, phone, settings.rig.dslr)
    places = (source or photos.absolute(), folder.absolute())  # workers elsewhere have another working folder
    cluster = _cluster(scheduler, None if source else photos, None if target else folder) if scheduler else None
    with locked(folder):
        digest = prepare(folder, captures, settings_dict(settings), overwrite)
        units = plan_units(plan.pairing.captures, plan.splits, photos, digest, settings.shards.captures_per_shard)
        records = finished_units(folder, units, photos, retry_failed)
        if own:
            begin_remote(own, folder, units, records, settings.shards.keep_aligned)
        reused = sum(len(unit.captures) for unit in units if unit.key in records)
        common = (*places, settings, digest, capture_timeout_s, target)
        calls = {unit.key: (unit, *common) for unit in units if unit.key not in records}
        if settings.shards.keep_aligned:
            check_aligned(folder, (capture.capture_id for call in calls.values() for capture in call[0].captures))
        aligned = run_units(build_shard, calls, folder, jobs, backend, cluster)
        records |= _with_progress(aligned, len(plan.pairing.captures), reused)
        if target and cluster:  # workers on other machines have left their shards in the store only
            fetch_dataset(target, folder)
        rejected = read_review(review) if review else frozenset()
        reviewed = apply_review(folder, units, records, rejected, settings.shards.compression)
        kept = {row.capture_id for record in reviewed.records.values() for row in record.rows if row.patches}
        remove_aligned(folder, kept)
        manifest, rows = finish(
            folder,
            built_origin(phone, settings),
            reviewed.units,
            reviewed.records,
            plan.pairing.unpaired,
            reviewed.set_aside,
        )
        if target:
            publish(target, folder)
    return BuildReport(folder, manifest, rows, reused, time.perf_counter() - start)

"""The order of the build, written once: pair, split, align every capture; work/lifecycle.py keeps what that yields."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import AlignedCapture
from dped_data.captures.folders import Captures, photo_folders
from dped_data.captures.records import Capture
from dped_data.captures.remote_headers import headers_of
from dped_data.common.malloc import refusals_told
from dped_data.common.parallel import Backend
from dped_data.common.progress import note
from dped_data.common.remote_folder import RemoteFolder, remote_folder
from dped_data.common.typed_settings import settings_dict
from dped_data.dataset.aligned_photos import read_map, write_aligned, write_map, write_overlay
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.manifest import Manifest, pictures_of, settings_on_disk
from dped_data.dataset.review_file import decisions_on
from dped_data.dataset.shards import ShardCapture
from dped_data.errors import PhotoError, UsageError
from dped_data.photos.mosaic import Mosaic, cut_mosaic, decode_mosaic
from dped_data.photos.raw import decode_linear
from dped_data.photos.reading import decode_photo
from dped_data.photos.same_geometry import check_same_geometry
from dped_data.plan import Plan, check_captures, plan_dataset
from dped_data.settings import PICTURE_SETTINGS, BuildSettings, RawSettings, asked_pictures, deciding, with_pictures
from dped_data.work.crash_log import CAPTURE_TIMEOUT_S
from dped_data.work.destination import destination
from dped_data.work.folder import built_origin, check_place
from dped_data.work.lifecycle import CaptureWork, Material, PictureWork, Workers, make_dataset
from dped_data.work.photo_reader import PhotoReader

if TYPE_CHECKING:
    from dped_data.align.warped_photo import PhotoMap

Decoded = TypeVar("Decoded")


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
    photos: PhotoReader, capture: Capture, settings: BuildSettings, folder: Path, row: CaptureRow
) -> tuple[CaptureRow, ShardCapture | None]:
    """Read and align one capture; return its row and, unless no window passes, its patches.

    What the settings ask for of pictures of the whole capture is written below `folder`.

    Raises:
        CaptureRejected: the photos are no usable pair. PhotoError: one of them cannot be read.
    """
    from dped_data.align.pipeline import align_photos  # brings the compiled numerics, which plans do not need
    from dped_data.align.resampling import sample_dslr_16
    from dped_data.align.warped_photo import PhotoMap, map_to_bytes

    phone, mosaic = _read_phone(photos, capture, settings.raw)
    dslr, linear = _read_dslr(photos, capture.dslr_file, settings.raw)
    aligned = align_photos(phone, dslr, settings, None if mosaic is None else mosaic.red_xy)
    row = _row_of(row, aligned)
    if row.status != "kept":
        return row, None
    if aligned.alignment is not None:
        photo_map = PhotoMap(aligned.alignment.dslr_from_phone, aligned.alignment.field)
        write_map(folder, capture.capture_id, _proof(photos, capture, settings), map_to_bytes(photo_map))
        _write_pictures(folder, capture, phone, dslr, photo_map, settings)
    patches, raw_file = aligned.patches, capture.phone_raw_file or ""
    if mosaic is not None:
        patches = replace(patches, phone_raw=cut_mosaic(mosaic, patches.phone_xy, settings.patches.patch_size))
    if linear is not None:
        sampled = sample_dslr_16(linear, patches.dslr_xy, settings.patches.patch_size)
        patches = replace(patches, dslr_linear=sampled)
    return row, ShardCapture(
        capture.capture_id,
        capture.phone_file,
        capture.dslr_file,
        photos.sha256[capture.phone_file],
        photos.sha256[capture.dslr_file],
        aligned.phone_size_wh,
        aligned.dslr_size_wh,
        aligned.dslr_from_phone,
        patches,
        None if mosaic is None else mosaic.facts,
        raw_file,
        photos.sha256.get(raw_file, ""),
    )


def draw_capture(source: Path | RemoteFolder, capture: Capture, settings: BuildSettings, folder: Path) -> None:
    """Draw the pictures of a capture that was aligned before, by the map that was kept of it.

    A capture of an earlier version, of which none was kept, is aligned again; that gives the same map.
    """
    from dped_data.align.pipeline import align_photos
    from dped_data.align.warped_photo import PhotoMap, map_from_bytes, map_to_bytes

    photos, photo_map = PhotoReader(source), None
    try:
        phone, mosaic = _read_phone(photos, capture, settings.raw)
        dslr = _read(photos, capture.dslr_file, "dslr photo", settings.raw, decode_photo)
    except PhotoError as error:
        note(f"{capture.capture_id}: no pictures; {error}")
        return
    proof = _proof(photos, capture, settings)
    with suppress(ValueError):
        photo_map = map_from_bytes(read_map(folder, capture.capture_id, proof) or b"")
    if photo_map is None:
        alignment = align_photos(phone, dslr, settings, None if mosaic is None else mosaic.red_xy).alignment
        assert alignment is not None, "pictures are of refined alignments only"
        photo_map = PhotoMap(alignment.dslr_from_phone, alignment.field)
        write_map(folder, capture.capture_id, proof, map_to_bytes(photo_map))
    _write_pictures(folder, capture, phone, dslr, photo_map, settings)


def _proof(photos: PhotoReader, capture: Capture, settings: BuildSettings) -> str:
    """What a map of a capture belongs to: the settings that decide it, and the photos' bytes."""
    decided = json.dumps(settings_dict(deciding(settings)), sort_keys=True)
    files = (capture.phone_file, capture.dslr_file, capture.phone_raw_file)
    parts = [decided, *(photos.sha256[file] for file in files if file is not None)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _write_pictures(
    folder: Path,
    capture: Capture,
    phone: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    photo_map: PhotoMap,
    settings: BuildSettings,
) -> None:
    from dped_data.align.warped_photo import warp_aligned

    if not asked_pictures(settings):
        return
    warped = warp_aligned(dslr, photo_map, (phone.shape[1], phone.shape[0]))
    if settings.shards.keep_aligned:
        write_aligned(folder, capture.capture_id, warped.photo, warped.valid, warped.error_px)
    if settings.shards.overlays:
        write_overlay(folder, capture.capture_id, phone, warped.photo, warped.valid)


def _read_phone(photos: PhotoReader, capture: Capture, raw: RawSettings) -> tuple[NDArray[np.uint8], Mosaic | None]:
    """Return the phone's photo that is aligned, and the mosaic of its size where that is asked for."""
    file = capture.phone_raw_file
    if file is None:
        return _read(photos, capture.phone_file, "phone photo", raw, decode_photo), None
    photo, mosaic = _read(photos, file, "phone RAW", raw, decode_mosaic)
    if file == capture.phone_file:
        return photo, mosaic
    jpeg = _read(photos, capture.phone_file, "phone photo", raw, decode_photo)
    check_same_geometry(jpeg, photo)
    return jpeg, mosaic


def _read(
    photos: PhotoReader, file: str, what: str, raw: RawSettings, decode: Callable[[bytes, str, RawSettings], Decoded]
) -> Decoded:
    """Return what `decode` makes of a file; PhotoError says `what` is at fault."""
    try:
        with refusals_told():
            return decode(photos.read(file), Path(file).name, raw)
    except PhotoError as error:
        raise PhotoError(file, f"{what}: {error.fault}") from None


def _read_dslr(photos: PhotoReader, file: str, raw: RawSettings) -> tuple[NDArray[np.uint8], NDArray[np.uint16] | None]:
    """Return the DSLR's photo, and its linear light where that is asked for."""
    if not raw.dslr_linear:
        return _read(photos, file, "dslr photo", raw, decode_photo), None
    return _read(photos, file, "dslr photo", raw, decode_linear)


def _check_mosaic_settings(settings: BuildSettings) -> None:
    """Raise UsageError for settings by which patches could not begin at red cells."""
    if not settings.raw.phone_raw:
        return
    if settings.alignment == "paper":
        raise UsageError("--phone-raw needs --alignment refined: the paper's method moves patches off the pattern")
    size, stride = settings.patches.patch_size, settings.patches.stride
    for flag, value in (("--patch-size", size), ("--stride", stride)):
        if value % 2:
            raise UsageError(f"{flag} {value} with --phone-raw: must be even, as the pattern of the mosaic repeats")


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


def build_dataset(
    captures: Captures,
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
    pairs: Path | None = None,
    capture_timeout_s: float = CAPTURE_TIMEOUT_S,
    show_plan: Callable[[Plan], None] | None = None,
) -> BuildReport:
    """Build the dataset OUT/<phone> from the photos in CAPTURES/<camera>/, or finish or extend the one that is there.

    The same photos and settings give the same shards and manifest, byte for byte, for any number of jobs and after any
    interruption. Only units of captures that are new, changed or unfinished are aligned.

    Args:
        captures: folder with one folder of photos per camera, an address such as s3://bucket/captures, or a mapping
            from the cameras to their folders, wherever these are.
        out: folder of datasets, or an address; then the dataset is built in the cache and sent there unit by unit.
        phone: the phone's name in the rig.
        settings: default BuildSettings().
        jobs: worker processes; -1 means one per core.
        backend: "loky" for processes on this machine, "dask" for a Dask cluster.
        scheduler: with "dask", address of a scheduler whose workers do the work; None starts a cluster on this machine.
        overwrite: replace a dataset that was built with other settings.
        retry_failed: align units again that hold a failed capture.
        review: a person's verdicts (review.csv): captures rejected there are left out, without aligning any again.
        pairs: a list of the pairs (CSV: phone file, DSLR file) instead of pairing by names or times.
        capture_timeout_s: a capture that takes longer twice fails, seconds; 0 for no limit.
        show_plan: is handed the plan before work begins.
    Raises:
        UsageError: no such phone, or a dataset that would lie among the photos.
        InputError: photos, folders, a review or a list of pairs that cannot be used, other settings than the dataset's,
            another build at work.
    """
    start = time.perf_counter()
    settings = settings or BuildSettings()
    settings.rig.phone(phone)
    target = destination(out, phone)
    photos = photo_folders(captures, phone, settings.rig.dslr)
    for place in photos.places:
        check_place(target.place, place)
    if asked_pictures(settings) and settings.alignment == "paper":
        flags = " and ".join(f"--{PICTURE_SETTINGS[kind].replace('_', '-')}" for kind in asked_pictures(settings))
        raise UsageError(f"{flags} need --alignment refined: the paper's method aligns patches, not photos")
    if settings.patches.mask_cells and settings.alignment == "paper":
        raise UsageError("--mask-cells needs --alignment refined: the paper's method asks no cells")
    _check_mosaic_settings(settings)
    target.fetch()
    before = None if overwrite else target.folder
    decided = deciding(settings, settings_on_disk(before) if before else None)
    kinds = {*asked_pictures(settings), *(pictures_of(before) if before else ())}
    settings = with_pictures(settings, kinds)
    with headers_of(photos.root) as headers:
        plan = plan_dataset(headers, phone, settings, before, pairs, photos.below)
        if show_plan:
            show_plan(plan)
        for warning in plan.warnings:
            note(warning)
        check_captures(plan, captures if photos.below else headers, phone, settings.rig.dslr)
    decisions = decisions_on(plan.pairing.captures, review)
    material = Material(
        plan.pairing.captures,
        plan.splits,
        plan.pairing.unpaired,
        place=photos.root,
        headers=headers,
        source=remote_folder(photos.root) or headers.absolute(),  # workers elsewhere have another working folder
        captures_per_shard=settings.shards.captures_per_shard,
    )
    work = CaptureWork(
        align_capture,
        settings,
        settings.alignment,
        settings.shards.compression,
        limit_s=capture_timeout_s,
        timed=True,
        recorded=decided,
    )
    finished = make_dataset(
        target,
        material,
        work,
        built_origin(phone, decided, photos.below, asked_pictures(settings)),
        Workers(jobs, backend, scheduler),
        command="build-dataset",
        label="aligning",
        unit="capture",
        overwrite=overwrite,
        retry_failed=retry_failed,
        decisions=decisions,
        pictures=PictureWork(asked_pictures(settings), draw_capture, settings),
    )
    seconds = time.perf_counter() - start
    return BuildReport(target.folder, finished.manifest, finished.rows, finished.reused, seconds)

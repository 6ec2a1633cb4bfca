"""The life of a dataset, written once: lock, prepare, plan the units, run what is left, record, finish.

Builds and imports hand in the function of one capture and the place where the dataset goes; whatever happens in
between, the same command goes on where it stood.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dped_data.captures.records import Capture, Split, Unpaired
from dped_data.common.dask_cluster import Cluster
from dped_data.common.parallel import Backend, run_parallel
from dped_data.common.progress import progress_bar
from dped_data.common.remote_folder import RemoteFolder
from dped_data.common.typed_settings import settings_dict
from dped_data.common.written_record import Written
from dped_data.dataset.aligned_photos import check_pictures, remove_pictures
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.manifest import Manifest
from dped_data.dataset.places import WORK_FOLDER, picture_names, unnumbered_shard_name
from dped_data.dataset.review_file import Decision, rejected_by, standing
from dped_data.dataset.shards import ShardCapture, write_shard
from dped_data.errors import CaptureRejected, PhotoError
from dped_data.work.apply_review import apply_review, keep_review
from dped_data.work.crash_log import UnitWatch, failed_in_worker
from dped_data.work.crash_safe_pool import run_units
from dped_data.work.destination import Destination
from dped_data.work.folder import Origin, finish, library_versions, locked, prepare
from dped_data.work.photo_reader import PhotoReader
from dped_data.work.units import Unit, UnitRecord, finished_units, plan_units, write_record

CaptureFunction: TypeAlias = Callable[
    [PhotoReader, Capture, Any, Path, CaptureRow], tuple[CaptureRow, ShardCapture | None]
]
"""(photos, capture, settings, dataset's folder, the capture's row so far) -> the row, and the patches if there are any.

It raises CaptureRejected and PhotoError for photos that are no usable pair; it runs in a worker process."""


@dataclass(frozen=True)
class CaptureWork:
    """What is done with every capture of a dataset; it travels to the workers.

    Attributes:
        function: works on one capture; a function of a module.
        settings: handed to it, and written into every shard.
        alignment: how the patches were aligned, as shards and manifest say it.
        compression: of the shards.
        limit_s: a capture that takes longer, twice, is set aside; seconds, 0 for none.
        timed: whether the rows say how long each capture took.
        recorded: what is written into every shard in place of `settings`, where that is less.
    """

    function: CaptureFunction
    settings: Any
    alignment: str
    compression: Literal["none", "gzip", "lzf"] = "none"
    limit_s: float = 0
    timed: bool = False
    recorded: Any = None


@dataclass(frozen=True)
class PictureWork:
    """Pictures of whole captures that a dataset has beside its shards.

    Attributes:
        kinds: which (`places.PICTURES`).
        function: draws those of one capture that was worked on before: (where the photos are, capture, settings,
            dataset's folder); a function of a module. The work on a capture draws its own.
        settings: handed to it.
    """

    kinds: tuple[str, ...]
    function: Callable[[Path | RemoteFolder, Capture, Any, Path], None]
    settings: Any


@dataclass(frozen=True)
class Material:
    """What a dataset is made of.

    Attributes:
        captures, splits: the captures in order, and the split of each.
        unpaired: photos without a partner.
        place: where a person finds the photos: a folder or an address.
        headers: local folder with the names, sizes and headers of the photos.
        source: what the workers read the photos from.
        captures_per_shard: captures in a unit of work, on average.
    """

    captures: Sequence[Capture]
    splits: Sequence[Split]
    unpaired: Sequence[Unpaired]
    place: Path | str
    headers: Path
    source: Path | RemoteFolder
    captures_per_shard: int


@dataclass(frozen=True)
class Workers:
    """Who works: `jobs` processes of this machine (-1: one per core), or a Dask cluster, one that runs or a new one."""

    jobs: int = -1
    backend: Backend = "loky"
    scheduler: str | None = None


@dataclass(frozen=True)
class Finished:
    """A dataset that is whole: its manifest, a row per capture as in captures.csv, captures that were done before."""

    manifest: Manifest
    rows: tuple[CaptureRow, ...]
    reused: int


def make_dataset(
    destination: Destination,
    material: Material,
    work: CaptureWork,
    origin: Origin,
    workers: Workers,
    *,
    command: str,
    label: str,
    unit: str,
    overwrite: bool = False,
    retry_failed: bool = False,
    decisions: Sequence[Decision] = (),
    pictures: PictureWork | None = None,
) -> Finished:
    """Make the dataset, or finish or extend the one that is there.

    Args:
        destination: where it goes; `Destination.fetch` has been called.
        material, work, origin, workers: of what, how, from where, by whom.
        command: that holds the folder meanwhile.
        label, unit: words of the progress bar: what is done, with how many of what.
        overwrite: replace a dataset of other settings.
        retry_failed: work again on units that hold a failed capture.
        decisions: of people, added to those that the dataset holds: captures that they reject are left out.
        pictures: of whole captures, that `work` draws too.
    Raises:
        InputError: folders that cannot be used, other settings than the dataset's, another command at work.
    """
    folder = destination.folder
    cluster = _cluster(workers.scheduler, material.source, destination) if workers.scheduler else None
    with locked(folder, command):
        digest = prepare(folder, material.place, origin.settings, overwrite)
        review = keep_review(folder, decisions)
        units = plan_units(material.captures, material.splits, material.headers, digest, material.captures_per_shard)
        records = finished_units(folder, units, material.headers, retry_failed)
        left = [unit for unit in units if unit.key not in records]
        kinds = pictures.kinds if pictures else ()
        destination.begin(units, left, kinds)
        check_pictures(folder, (capture.capture_id for unit in units for capture in unit.captures), kinds)
        reused = sum(len(unit.captures) for unit in units if unit.key in records)
        calls = {unit.key: (unit, material.source, destination, work, digest) for unit in left}
        done = run_units(work_on_unit, calls, folder, workers.jobs, workers.backend, cluster)
        with progress_bar(len(material.captures), label=label, unit=unit) as bar:
            bar.update(reused)
            for record in done:
                records[record.key] = record
                bar.update(len(record.rows))
        if cluster:
            destination.collect()
        reviewed = apply_review(folder, units, records, rejected_by(review), work.compression)
        kept = _kept(reviewed.records.values())
        remove_pictures(folder, kept)
        if pictures:
            _draw_missing(pictures, kept, material, destination, workers)
        manifest, rows = finish(
            folder, origin, reviewed.units, reviewed.records, material.unpaired, standing(review), reviewed.set_aside
        )
        destination.publish()
    return Finished(manifest, rows, reused)


def _draw_missing(
    pictures: PictureWork, kept: Collection[str], material: Material, destination: Destination, workers: Workers
) -> None:
    """Draw what the captures `kept` lack that were worked on before pictures were asked for; on this machine."""
    captures = [capture for capture in material.captures if capture.capture_id in kept]
    lacking = [c for c in captures if not all(map(destination.has, picture_names([c.capture_id], pictures.kinds)))]
    folder = destination.folder.absolute()
    calls = [(material.source, capture, pictures.settings, folder) for capture in lacking]
    with progress_bar(len(calls), label="drawing", unit="capture", silent=not calls) as bar:
        for _ in run_parallel(pictures.function, calls, workers.jobs):
            bar.update(1)


def _kept(records: Collection[UnitRecord]) -> set[str]:
    return {row.capture_id for record in records for row in record.rows if row.patches}


def _cluster(scheduler: str, source: Path | RemoteFolder, destination: Destination) -> Cluster:
    """The cluster whose workers must see what is not in a store."""
    seen = source.absolute() if isinstance(source, Path) else None
    shared = destination.shared_folder
    return Cluster(scheduler, seen, shared.absolute() / WORK_FOLDER if shared else None, library_versions())


def work_on_unit(
    unit: Unit, source: Path | RemoteFolder, destination: Destination, work: CaptureWork, digest: str
) -> UnitRecord:
    """Work on the captures of one unit, write their shard and the unit's record; what one worker process does."""
    folder = destination.folder
    destination.prepare_worker(unit)
    watch, photos = UnitWatch(folder, unit.key, work.limit_s), PhotoReader(source)
    outcomes = [_work_on_capture(watch, photos, capture, work, folder) for capture in unit.captures]
    kept = [shard_capture for _, shard_capture in outcomes if shard_capture is not None]
    shard = Written(0, "")
    if kept:
        text = json.dumps(settings_dict(work.recorded or work.settings), sort_keys=True)
        attributes = {"digest": digest, "settings": text, "unit": unit.key, "alignment": work.alignment}
        path = folder / unnumbered_shard_name(unit.split, unit.key)
        shard = write_shard(path, kept, attributes, work.compression)
    patches, rows = sum(len(c.patches.ncc) for c in kept), tuple(row for row, _ in outcomes)
    record = UnitRecord(
        unit.key, patches, shard.bytes, shard.sha256, photos.sha256, rows, photos.mtime_ns, photos.state
    )
    write_record(folder, record)
    destination.send(unit, record)
    watch.finish()
    return record


def _work_on_capture(
    watch: UnitWatch, photos: PhotoReader, capture: Capture, work: CaptureWork, folder: Path
) -> tuple[CaptureRow, ShardCapture | None]:
    """Return the row of a capture and, unless it yields nothing, its patches.

    The one place where a poor or broken photo, or one that kills its workers, becomes a row with a reason.
    """
    if reason := watch.reason_against(capture.capture_id):
        return failed_in_worker(capture, reason), None
    row = CaptureRow(capture.capture_id, capture.phone_file, capture.dslr_file, "", "kept")
    shard_capture = None
    start = time.perf_counter()
    with watch.watching(capture.capture_id):
        try:
            row, shard_capture = work.function(photos, capture, work.settings, folder, row)
        except CaptureRejected as rejected:
            row = replace(row, status="rejected", **vars(rejected))
        except PhotoError as error:
            row = replace(row, status="failed", stage="read", reason=str(error.fault))
    if work.timed:
        row = replace(row, seconds=round(time.perf_counter() - start, 3))
    return row, shard_capture

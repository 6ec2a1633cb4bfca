"""Leave out the captures that a person rejected, without aligning any other again.

The shard of a unit that loses captures is copied without them; the whole one is set aside in the work folder, so that a
verdict can be taken back at no cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dped_data.common.files import atomic_write_text
from dped_data.common.ownership import keep_changed
from dped_data.common.written_record import Written
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.places import REVIEW_NAME, unnumbered_shard_name
from dped_data.dataset.review_file import Decision, read_decisions, review_text, with_added
from dped_data.dataset.shards import read_shard, write_shard
from dped_data.work.units import Unit, UnitRecord, shards_by_key


@dataclass(frozen=True)
class Reviewed:
    """Units and records as they are published, and the keys of the whole shards that stay in the work folder."""

    units: tuple[Unit, ...]
    records: Mapping[str, UnitRecord]
    set_aside: frozenset[str]


def keep_review(folder: Path, added: Sequence[Decision]) -> list[Decision]:
    """Add decisions to the dataset's own review and return all of it, in order. Call under the dataset's lock.

    A person may have edited it: what it says counts.

    Raises:
        InputError: the dataset's review.csv cannot be read as one.
    """
    path = folder / REVIEW_NAME
    own = read_decisions(path) if path.exists() else []
    decisions = with_added(own, added)
    if decisions != own:
        keep_changed(path)
        atomic_write_text(path, review_text(decisions))
    return decisions


def apply_review(
    folder: Path,
    units: Sequence[Unit],
    records: Mapping[str, UnitRecord],
    rejected: Collection[str],
    compression: Literal["none", "gzip", "lzf"],
) -> Reviewed:
    """Return what to publish when the captures `rejected` (ids) are left out. Call under the dataset's lock."""
    published: list[Unit] = []
    published_records: dict[str, UnitRecord] = {}
    set_aside: set[str] = set()
    for unit in units:
        record = records[unit.key]
        dropped = {row.capture_id for row in record.rows if row.status == "kept" and row.capture_id in rejected}
        if dropped:
            set_aside.add(unit.key)
            key = hashlib.sha256("\n".join([unit.key, *sorted(dropped)]).encode()).hexdigest()
            unit = replace(unit, key=key)
            record = _without(folder, unit, record, dropped, compression)
        published.append(unit)
        published_records[unit.key] = record
    return Reviewed(tuple(published), published_records, frozenset(set_aside))


def _without(
    folder: Path, unit: Unit, record: UnitRecord, dropped: set[str], compression: Literal["none", "gzip", "lzf"]
) -> UnitRecord:
    """Write the shard of `unit`, the one of `record` without the captures `dropped`, and return its record."""
    captures, attributes = read_shard(shards_by_key(folder)[record.key])
    left = [capture for capture in captures if capture.capture_id not in dropped]
    shard = Written(0, "")
    if left:
        path = folder / unnumbered_shard_name(unit.split, unit.key)
        shard = write_shard(path, left, {**attributes, "unit": unit.key}, compression)
    return replace(
        record,
        key=unit.key,
        patches=sum(len(capture.patches.ncc) for capture in left),
        bytes=shard.bytes,
        sha256=shard.sha256,
        rows=tuple(_rejected(row) if row.capture_id in dropped else row for row in record.rows),
    )


def _rejected(row: CaptureRow) -> CaptureRow:
    return replace(row, status="rejected", stage="review", reason="rejected by a person", patches=0, median_ncc=None)

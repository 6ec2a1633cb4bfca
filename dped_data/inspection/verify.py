"""Check that a dataset is what its manifest says, and that its patches can be made again from the photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dped_data.captures.records import SPLITS
from dped_data.common.parallel import run_parallel
from dped_data.common.progress import progress_bar
from dped_data.dataset.capture_table import CaptureRow, read_captures
from dped_data.dataset.manifest import Manifest, dataset_digest, read_manifest
from dped_data.dataset.places import CAPTURES_NAME, MANIFEST_NAME
from dped_data.inspection.dataset_reader import find_captures_folder
from dped_data.inspection.verify_shard import Fault, ShardCheck, verify_shard


@dataclass(frozen=True)
class VerifyReport:
    """What `verify_dataset` found.

    Attributes:
        dataset: the folder.
        shards, patches: checked.
        phone_patches, dslr_patches, mosaics: made again from the photos and compared byte by byte.
        not_recreated: why patches were not made again -> how many.
        faults: everything that is not as it should be; empty for a sound dataset.
    """

    dataset: str
    shards: int
    patches: int
    phone_patches: int
    dslr_patches: int
    mosaics: int
    not_recreated: dict[str, int]
    faults: tuple[Fault, ...]

    @property
    def exit_status(self) -> int:
        """0, or 1 when there are faults."""
        return int(bool(self.faults))


def verify_dataset(dataset: Path, phone: str, *, captures: Path | None = None, jobs: int = -1) -> VerifyReport:
    """Check manifest, tables and every shard of DATASET/PHONE, and make its patches again from the photos.

    Args:
        dataset: folder that holds one dataset per phone.
        phone: name of the phone.
        captures: folder of the photos; None looks where the dataset says. Without photos nothing is made again.
        jobs: processes; -1 for one per core.
    Raises:
        InputError: no dataset there, its manifest or captures.csv cannot be read, or `captures` is no folder.
    """
    folder = dataset / phone
    manifest = read_manifest(folder)
    photos = find_captures_folder(folder, captures)
    faults = [Fault(MANIFEST_NAME, None, "", text) for text in _manifest_faults(manifest, folder)]
    if (folder / CAPTURES_NAME).exists() or manifest.source == "built":
        faults += [Fault(CAPTURES_NAME, None, "", text) for text in _table_faults(manifest, read_captures(folder))]
    calls = [(folder, entry, manifest, photos) for split in SPLITS for entry in manifest.splits[split].shards]
    checks: list[ShardCheck] = []
    with progress_bar(len(calls), label="verifying", unit="shard") as bar:
        for check in run_parallel(verify_shard, calls, jobs):
            checks.append(check)
            bar.update()
    skipped: Counter[str] = Counter()
    for check in checks:
        skipped.update(check.not_recreated)
    return VerifyReport(
        dataset=str(folder),
        shards=len(checks),
        patches=sum(check.patches for check in checks),
        phone_patches=sum(check.phone_patches for check in checks),
        dslr_patches=sum(check.dslr_patches for check in checks),
        mosaics=sum(check.mosaics for check in checks),
        not_recreated=dict(sorted(skipped.items())),
        faults=(*faults, *(fault for check in checks for fault in check.faults)),
    )


def _manifest_faults(manifest: Manifest, folder: Path) -> Iterator[str]:
    """Yield what the manifest says against itself or against the folder."""
    digest = dataset_digest(manifest.settings, manifest.review)
    if digest != manifest.digest:
        yield f"the settings' digest is {digest[:12]}, the manifest says {manifest.digest[:12]}: it was edited"
    if manifest.phone != folder.resolve().name:
        yield f"phone is '{manifest.phone}', the folder is '{folder.resolve().name}'"
    for split in SPLITS:
        entry = manifest.splits[split]
        held = sum(shard.patches for shard in entry.shards)
        if held != entry.patches:
            yield f"{split} has {entry.patches} patches, its shards {held}"
    total, stated = sum(manifest.splits[split].patches for split in SPLITS), manifest.totals.get("patches")
    if stated is not None and total != stated:
        yield f"totals say {stated} patches, the splits {total}"
    listed = Counter(shard.file for split in SPLITS for shard in manifest.splits[split].shards)
    yield from (f"shard {name} is listed {times} times" for name, times in listed.items() if times > 1)
    present = {f"{split}/{path.name}" for split in SPLITS for path in (folder / split).glob("*.h5")}
    yield from (f"shard {name} is on disk but not listed" for name in sorted(present - {*listed}))


def _table_faults(manifest: Manifest, rows: list[CaptureRow]) -> Iterator[str]:
    """Yield where captures.csv and the manifest disagree."""
    for name, times in Counter(row.capture_id for row in rows).items():
        if times > 1:
            yield f"capture {name} has {times} rows"
    for split in SPLITS:
        kept, stated = sum(row.patches or 0 for row in rows if row.split == split), manifest.splits[split].patches
        if kept != stated:
            yield f"rows of {split} have {kept} patches, the manifest says {stated}"
    states = Counter(row.status for row in rows) | Counter({"captures": len(rows)})
    for name in ("captures", "kept", "rejected", "failed"):
        stated_total = manifest.totals.get(name, states[name])
        if stated_total != states[name]:
            yield f"{states[name]} {name}, the manifest says {stated_total}"


def verify_text(report: VerifyReport, most: int = 50) -> str:
    """Return the report as text: what was checked, then one line per fault, `most` at most."""
    lines = [
        f"{report.dataset}: {report.patches:,} patches in {report.shards} shards checked; "
        f"made again from the photos: {report.phone_patches:,} phone, {report.dslr_patches:,} DSLR patches"
        + (f", {report.mosaics:,} mosaics" if report.mosaics else "")
    ]
    lines += [f"  not made again: {count:,} patches, {reason}" for reason, count in report.not_recreated.items()]
    lines += [f"FAULT {fault.text_line}" for fault in report.faults[:most]]
    if len(report.faults) > most:
        lines.append(f"... and {len(report.faults) - most:,} more")
    count = len(report.faults)
    lines.append(f"verdict: {'sound' if count == 0 else '1 fault' if count == 1 else f'{count:,} faults'}")
    return "\n".join(lines)

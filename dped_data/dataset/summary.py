"""What a build did, as text for the terminal."""

from __future__ import annotations

from collections import Counter

from dped_data.align.records import CONTRAST_CLASSES
from dped_data.captures.records import SPLITS
from dped_data.dataset.manifest import Manifest
from dped_data.dataset.places import REVIEW_NAME


def build_text(folder: str, manifest: Manifest, reused: int, seconds: float, next_step: str = "") -> str:
    """Return a summary: captures by status, a table of the splits, reasons of rejection, the command to go on with."""
    totals = manifest.totals
    earlier = f" ({reused} from an earlier run)" if reused else ""
    lines = [
        f"{folder}: {totals['patches']:,} patches of {manifest.patch_size} px from {totals['kept']:,} of "
        f"{totals['captures']:,} captures{earlier}, {seconds:.1f} s",
        f"  {'split':<8}{'captures':>10}{'patches':>10}{'shards':>8}",
    ]
    for split in SPLITS:
        entry = manifest.splits[split]
        lines.append(f"  {split:<8}{entry.captures:>10,}{entry.patches:>10,}{len(entry.shards):>8,}")
    if any(totals.get(f"{kind}_windows") for kind in CONTRAST_CLASSES):
        shares = [f"{kind} {totals[f'{kind}_patches']:,} of {totals[f'{kind}_windows']:,}" for kind in CONTRAST_CLASSES]
        lines.append(f"  windows kept by contrast: {', '.join(shares)}")
    if totals["rejected"] or totals["failed"]:
        lines.append(
            f"  not used: {totals['rejected']:,} rejected, {totals['failed']:,} failed (captures.csv has each)"
        )
        lines += [f"  {count:>8,}  {reason}" for reason, count in manifest.rejections.items()]
    if manifest.pictures:
        lines.append(f"  pictures of whole captures: {', '.join(f'{kind}/' for kind in manifest.pictures)}")
    if manifest.review:
        counts = Counter(decision.verdict for decision in manifest.review)
        told = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in ("reject", "accept") if counts[verdict])
        lines.append(f"  decisions of people were applied: {told} ({REVIEW_NAME}; the verdict clear takes one back)")
    if totals["unpaired_photos"]:
        lines.append(f"  {totals['unpaired_photos']:,} photos without a partner (unpaired.csv has each)")
    if next_step:
        lines.append(f"  look at it with: {next_step}")
    return "\n".join(lines)

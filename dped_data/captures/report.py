"""The pairing and the split of a rig's photos, as text for the terminal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from dped_data.captures.photo_sizes import sizes_text
from dped_data.captures.records import SPLITS, Capture, ClockFit, Pairing, Split, Unpaired
from dped_data.common.terminal_lines import shortened, wrapped

_ROWS = 10


def pairing_table(
    pairing: Pairing,
    splits: Sequence[Split],
    rows: int = _ROWS,
    photo_sizes: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """Return what a person wants to know before a build: method, clocks, splits, first captures, photos left over.

    Args:
        pairing: the pairing.
        splits: the split of each of its captures.
        rows: captures, and photos without a partner, that are shown one by one.
        photo_sizes: camera -> "WIDTHxHEIGHT" -> photos, of those that were looked at.
    """
    lines = [
        f"{len(pairing.captures):,} captures paired by {_METHODS[pairing.method]}, "
        f"{len(pairing.unpaired):,} photos without a partner"
    ]
    if pairing.clock is not None:
        lines += wrapped(clock_text(pairing.clock), "  clocks: ")
    sizes = [f"{camera} {sizes_text(counts)}" for camera, counts in (photo_sizes or {}).items() if counts]
    lines += wrapped("; ".join(sizes), "  photos: ") if sizes else []
    lines += [line for note in pairing.notes for line in wrapped(note, "  note: ")]
    lines += ["", *_split_lines(pairing.captures, splits), "", *_capture_lines(pairing.captures, splits, rows)]
    if pairing.unpaired:
        lines += ["", *_unpaired_lines(pairing.unpaired, rows)]
    if max(len(pairing.captures), len(pairing.unpaired)) > rows:
        lines += ["", "  all of them: --json"]
    return "\n".join(lines)


_LONGEST = 24
"""Ours: letters of a photo's name, so that a row with both has 79."""
_METHODS = {"name": "name", "time": "capture time", "list": "the list given"}


def clock_text(clock: ClockFit) -> str:
    """Return the clocks' relation as one line."""
    hours, rest = divmod(abs(clock.offset_s), 3600)
    minutes, seconds = divmod(rest, 60)
    amount = (
        (f"{hours:.0f} h " if hours else "") + (f"{minutes:.0f} min " if hours or minutes else "") + f"{seconds:.1f} s"
    )
    return (
        f"the DSLR's is {amount} {'ahead of' if clock.offset_s >= 0 else 'behind'} the phone's and gains "
        f"{clock.drift * 3600:+.3f} s per hour; {clock.pairs:,} pairs agree to {clock.residual_s:.2f} s (median)"
    )


def _split_lines(captures: Sequence[Capture], splits: Sequence[Split]) -> list[str]:
    lines = [f"  {'split':<8}{'captures':>10}{'share':>8}   from                  to"]
    for split in SPLITS:
        held = [c for c, s in zip(captures, splits, strict=True) if s == split]
        share = len(held) / max(1, len(captures))
        times = [c.time_s for c in held if c.time_s is not None]
        span = f"   {_moment(min(times)):<22}{_moment(max(times))}" if times else ""
        lines.append(f"  {split:<8}{len(held):>10,}{share:>8.1%}{span}")
    return lines


def _capture_lines(captures: Sequence[Capture], splits: Sequence[Split], rows: int) -> list[str]:
    shown = [
        (shortened(c.phone_file, _LONGEST), shortened(c.dslr_file, _LONGEST), split, _moment(c.time_s))
        for c, split in zip(captures[:rows], splits[:rows], strict=True)
    ]
    phone = max([len("phone photo"), *(len(file) for file, _, _, _ in shown)]) + 2
    dslr = max([len("DSLR photo"), *(len(file) for _, file, _, _ in shown)]) + 2
    lines = [f"  {'phone photo':<{phone}}{'DSLR photo':<{dslr}}{'split':<6}time"]
    lines += [f"  {one:<{phone}}{other:<{dslr}}{split:<6}{time}" for one, other, split, time in shown]
    return [*lines, *_more(len(captures), rows)]


def _unpaired_lines(unpaired: Sequence[Unpaired], rows: int) -> list[str]:
    kinds: defaultdict[str, list[Unpaired]] = defaultdict(list)
    for photo in unpaired:
        kinds[_kind(photo.reason)].append(photo)
    lines = ["  photos without a partner, by reason:"]
    for kind, photos in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        lines.append(f"  {len(photos):>8,}  {kind}")
    lines.append("")
    lines += [f"  {photo.file}: {photo.reason}" for photo in unpaired[:rows]]
    return [*lines, *_more(len(unpaired), rows)]


def _kind(reason: str) -> str:
    """Return what reasons of one kind have in common: no file names and no figures."""
    if reason.startswith("ambiguous: ") and "have the same name" in reason:
        return "ambiguous: several photos of one camera have the same name"
    return re.sub(r" \([^)]*\)|; .*", "", re.sub(r"'[^']*'|\d+(?:\.\d+)?(?= photos)", "…", reason))


def _more(total: int, rows: int) -> list[str]:
    return [f"  … and {total - rows:,} more"] if total > rows else []


def _moment(time_s: float | None) -> str:
    if time_s is None:
        return "unknown"
    return datetime.fromtimestamp(time_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")

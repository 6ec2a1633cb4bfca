"""Stage 2: captures are divided into train, val and test by whole shooting sessions, before any pixel is read."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from dped_data.captures.records import Capture, Split
from dped_data.common.natural_order import natural_key
from dped_data.settings import SplitSettings

_FEWEST_SESSIONS = 3
"""With fewer sessions than splits, blocks of consecutive captures take their place."""
_TIMED_SHARE = 0.5
_FIRST_TEST = 3
_FIRST_VAL = 8
"""Captures that come before the first block for testing and for validation: ten captures fill all three splits."""
_BLOCK_SHARE = 1 / 20
_FAR_RATIO, _FAR_CAPTURES = 2, 3
"""Ours: a split is worth a word when it is off by this factor and by this many captures."""


def assign_splits(
    captures: Sequence[Capture], settings: SplitSettings, earlier: Mapping[str, Split] | None = None
) -> tuple[Split, ...]:
    """Return the split of each capture, in the order of `captures`.

    Whole sessions, when most captures have times: in the order of the times, a gap of settings.session_gap_s ends a
    session (a capture without a time joins its neighbour by name). Of the first two sessions the larger one goes to
    train, the smaller one to test; the third goes to val; each later one to the split that lacks most, judged by what
    came before it alone.

    Blocks of consecutive captures, when there are no times (natural order of the names: IMG_9 before IMG_10) or fewer
    than three sessions: a block holds a twentieth of what came before it, at least 1 and at most settings.session_block
    captures, and ends with its folder. The first three captures go to train, the ninth to val, every other block to the
    split that lacks most; ten captures fill all three splits.

    The aim for n captures is `test_captures * tanh(test_share * n / test_captures)` for test, that is test_share of a
    small set and about test_captures (the paper: around 100) of a large one, and the same with val_share for val.
    Train is never empty.

    Stability: a session or block is judged only by what comes before it, never by its own size, so captures taken
    later change nothing, whether they lengthen the last session or begin new ones. Where that cannot hold (a third
    session turns blocks into sessions; captures are inserted before others), `earlier` holds it: captures keep the
    split that it states, and new captures of a session follow its earlier ones.

    Captures with a `folder_split` keep it; only when no folder is called val, some of "train" become "val".

    Args:
        captures: in any order, capture_id unique.
        settings: session gap, block length and the sizes aimed at.
        earlier: capture_id -> split of an earlier assignment that is to be kept.
    """
    prescribed = {c.capture_id: c.folder_split for c in captures if c.folder_split}
    fixed = {c.capture_id: earlier[c.capture_id] for c in captures if c.capture_id in earlier} if earlier else {}
    fixed |= {name: split for name, split in prescribed.items() if split != "train"}
    free = [c for c in captures if prescribed.get(c.capture_id, "train") == "train"]
    aims = _Aims(
        test=0.0 if prescribed or not settings.test_captures else settings.test_share,
        val=0.0 if "val" in prescribed.values() else settings.val_share,
        most=settings.test_captures,
    )
    ordered = sorted(free, key=lambda c: natural_key(c.capture_id))
    sessions = find_sessions(ordered, settings.session_gap_s)
    if len(sessions) >= _FEWEST_SESSIONS:
        chosen = _split_sessions(sessions, aims, fixed)
    else:
        ordered = [capture for session in sessions for capture in session] or ordered
        chosen = _split_blocks(ordered, aims, settings.session_block)
    return tuple(fixed.get(c.capture_id) or chosen[c.capture_id] for c in captures)


def split_warnings(captures: Sequence[Capture], splits: Sequence[Split], settings: SplitSettings) -> tuple[str, ...]:
    """Return a line for test and for val where it holds less than half or more than twice what the settings ask for.

    Differences of one or two captures are no matter, and neither is a split that folders prescribe.
    """
    if any(capture.folder_split for capture in captures):
        return ()
    aims = _Aims(settings.test_share if settings.test_captures else 0.0, settings.val_share, settings.test_captures)
    counts, lines = Counter(splits), []
    for split in ("test", "val"):
        asked, held = aims.size(split, len(captures)), counts[split]
        if abs(held - asked) >= _FAR_CAPTURES and not asked / _FAR_RATIO <= held <= asked * _FAR_RATIO:
            lines.append(
                f"split: {split} has {held:,} of {len(captures):,} captures, about {asked:,.0f} were asked for; "
                "shooting sessions are not divided and captures keep their split; a smaller --session-gap-s makes more "
                "sessions"
            )
    return tuple(lines)


def find_sessions(by_name: Sequence[Capture], gap_s: float) -> list[list[Capture]]:
    """Return the shooting sessions in the order of time, [] when too few captures state one.

    A capture without a time takes that of the capture before it in `by_name` (of the first known one at the start).
    """
    known = [c.time_s for c in by_name if c.time_s is not None]
    if len(known) <= _TIMED_SHARE * len(by_name):
        return []
    times: list[float] = []
    for capture in by_name:
        before = times[-1] if times else known[0]
        times.append(before if capture.time_s is None else capture.time_s)
    order = sorted(range(len(by_name)), key=lambda i: (times[i], i))
    sessions = [[by_name[order[0]]]]
    for before_i, i in itertools.pairwise(order):
        if times[i] - times[before_i] >= gap_s:
            sessions.append([])
        sessions[-1].append(by_name[i])
    return sessions


@dataclass(frozen=True)
class _Aims:
    """Shares that test and val should hold of a small set, and how many captures of a large one (0: no limit)."""

    test: float
    val: float
    most: int

    def share(self, split: Split) -> float:
        return self.test if split == "test" else self.val

    def size(self, split: Split, captures: float) -> float:
        wanted = self.share(split) * captures
        return self.most * math.tanh(wanted / self.most) if self.most else wanted


@dataclass
class _Tally:
    """What has been assigned so far: captures by split, and the sizes of the sessions."""

    aims: _Aims
    counts: Counter[Split] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)

    def add(self, splits: Iterable[Split]) -> None:
        size = self.counts.total()
        self.counts.update(splits)
        self.sizes.append(self.counts.total() - size)

    def next_split(self, size: float) -> Split:
        """Return the split that lacks most if about `size` captures are to be added."""
        total = self.counts.total() + size
        lacks: dict[Split, float] = {}
        names: tuple[Split, ...] = ("test", "val")
        for split in names:
            aim, held = self.aims.size(split, total), self.counts[split]
            starved = held < aim / 2 and held + size <= self.aims.share(split) * total
            if aim > 0 and (held + size / 2 <= aim or starved):
                lacks[split] = 1 - held / aim
        return max(lacks, key=lambda split: (lacks[split], split == "test")) if lacks else "train"


def _split_blocks(ordered: Sequence[Capture], aims: _Aims, longest: int) -> dict[str, Split]:
    chosen: dict[str, Split] = {}
    tally = _Tally(aims)
    while len(chosen) < len(ordered):
        done = len(chosen)
        length = min(max(1, int(done * _BLOCK_SHARE)), longest)
        split: Split = tally.next_split(length)
        if done < _FIRST_TEST or (split == "val" and done < _FIRST_VAL):
            split = "train"
        elif done >= _FIRST_VAL and aims.val and not tally.counts["val"]:
            split = "val"
        folder = ordered[done].capture_id.rpartition("/")[0]
        block = [c for c in ordered[done : done + length] if c.capture_id.rpartition("/")[0] == folder]
        chosen |= {capture.capture_id: split for capture in block}
        tally.add(split for _ in block)
    return chosen


def _split_sessions(sessions: Sequence[Sequence[Capture]], aims: _Aims, fixed: Mapping[str, Split]) -> dict[str, Split]:
    """Assign at least three whole sessions in order, those with captures of a fixed split first."""
    chosen: dict[str, Split] = {}
    tally = _Tally(aims)
    new: list[Sequence[Capture]] = []
    for session in sessions:
        held = {fixed[c.capture_id] for c in session if c.capture_id in fixed}
        if held:
            follow: Split = held.pop() if len(held) == 1 else "train"
            chosen |= {c.capture_id: fixed.get(c.capture_id, follow) for c in session}
            tally.add(chosen[c.capture_id] for c in session)
        else:
            new.append(session)
    begin = [] if tally.sizes else _first_three(new, aims)
    for index, session in enumerate(new):
        later = tally.next_split(median(tally.sizes or [0])) if tally.counts["train"] else "train"
        split = begin[index] if index < len(begin) else later
        chosen |= {c.capture_id: split for c in session}
        tally.add(split for _ in session)
    return chosen


def _first_three(sessions: Sequence[Sequence[Capture]], aims: _Aims) -> list[Split]:
    """Return the splits of the first three sessions; the size of the third, which may still grow, plays no part."""
    test: Split = "test" if aims.test else "train"
    val: Split = "val" if aims.val else "train"
    return ["train", test, val] if len(sessions[0]) >= len(sessions[1]) else [test, "train", val]

"""Which capture a worker is at, written where the next worker finds it: one that kills workers is set aside.

Every unit has a log in the work folder while it is being worked on: a line when a capture begins, a line when it ends.
A capture that began and did not end has killed its worker: the system was short of memory, a library crashed, or the
time limit ended it. One that was refused memory counts the same, though its worker lives. The log tells the next
worker, whatever process or machine that is.
"""

from __future__ import annotations

import faulthandler
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from dped_data.captures.records import Capture
from dped_data.common.malloc import refusals_told
from dped_data.common.ownership import remove
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.places import crash_log_name, crash_logs

DEATHS_ALLOWED = 2
"""Workers that a capture may kill before it is set aside; one death may be chance."""
CAPTURE_TIMEOUT_S = 600.0
"""Ours: a hundred times what a pair of 50-megapixel photos takes; a suspended laptop is forgiven once."""
_TIMED_OUT = "Timeout ("  # how faulthandler's text begins
_REFUSED = "refused"


@dataclass(frozen=True)
class WatchLog:
    """What a unit's log says.

    Attributes:
        deaths: capture (its id as JSON) -> times it began and did not end.
        timed_out: captures whose last death was the time limit's.
        refused: captures whose last death was that memory was refused.
        dead: the capture that was at work when the log ends, None if none was.
    """

    deaths: Counter[str]
    timed_out: frozenset[str]
    refused: frozenset[str]
    dead: str | None


def read_watch(path: Path) -> WatchLog:
    """Read a unit's log; an empty one where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    deaths: Counter[str] = Counter()
    timed_out: set[str] = set()
    refused: set[str] = set()
    dead: str | None = None
    for line in lines:
        event, _, value = line.partition(" ")
        if event in ("begin", "end") and dead is not None:
            if event == "begin":
                deaths[dead] += 1
            dead = None
        if event == "begin":
            dead = value
            timed_out.discard(dead)
            refused.discard(dead)
        elif line.startswith(_TIMED_OUT) and dead is not None:
            timed_out.add(dead)
        elif event == _REFUSED and dead is not None:
            refused.add(dead)
    if dead is not None:
        deaths[dead] += 1
    return WatchLog(deaths, frozenset(timed_out), frozenset(refused), dead)


def remove_watches(folder: Path) -> None:
    """Forget what earlier runs noted. Call under the dataset's lock."""
    for path in crash_logs(folder):
        remove(path)


def failed_in_worker(capture: Capture, reason: str) -> CaptureRow:
    """The row of a capture that is set aside."""
    return CaptureRow(capture.capture_id, capture.phone_file, capture.dslr_file, "", "failed", "worker", reason)


class UnitWatch:
    """Watches the captures of one unit in one worker process."""

    def __init__(self, folder: Path, key: str, limit_s: float) -> None:
        """Read what earlier workers left; `limit_s` ends the process when one capture takes longer, 0 never does."""
        self.path = folder / crash_log_name(key)
        self.limit_s = limit_s
        self._earlier = read_watch(self.path)
        self._log: TextIOWrapper | None = None

    def reason_against(self, capture_id: str) -> str | None:
        """Return why a capture is to be set aside, in words that are the same every time; None if nothing is known."""
        name = json.dumps(capture_id)
        if self._earlier.deaths[name] < DEATHS_ALLOWED:
            return None
        if name in self._earlier.timed_out:
            return f"took longer than {self.limit_s:g} s, twice"
        if name in self._earlier.refused:
            return "memory was refused, twice"
        return "its worker process was killed, twice"

    @contextmanager
    def watching(self, capture_id: str) -> Iterator[None]:
        """Note that the capture is at work, and end this process when that takes longer than the limit.

        A timer outside Python ends it, since compiled code cannot be interrupted; where it stood is in the log.

        Raises:
            MemoryError: memory was refused, whatever library says so in its own words.
        """
        if self._log is None:
            self._log = self.path.open("a", encoding="utf-8", buffering=1)
        self._log.write(f"begin {json.dumps(capture_id)}\n")
        if self.limit_s:
            faulthandler.dump_traceback_later(self.limit_s, exit=True, file=self._log)
        ended = "end"
        try:
            with refusals_told():
                yield
        except MemoryError:
            ended = _REFUSED
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._log.write(f"{ended}\n")

    def finish(self) -> None:
        """Forget the unit's log. Call when its record has been written."""
        if self._log is not None:
            self._log.close()
        remove(self.path)

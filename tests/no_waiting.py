"""For tests of what once waited for ever: they fail instead."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_S = 300
"""By the clock: far more than a busy machine needs for what is inside."""


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise TimeoutError in the code inside when it is not done in time, also while it waits for the system."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"not done in {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

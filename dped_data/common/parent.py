"""End this process when the one that started it is gone."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

_LOOKED_EVERY_S = 0.2


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after the process `parent` (default: the one that is its parent now) is gone.

    Whatever ended that one, and whatever this one is at: what nobody waits for shall not go on writing.
    """
    known = os.getppid() if parent is None else parent
    threading.Thread(target=_end_when_orphaned, args=(known,), daemon=True).start()


@cache
def end_with_agent() -> None:
    """End this process, if `torchrun` started it, soon after its agent is gone: nobody else would."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()


def _end_when_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOKED_EVERY_S)
    os._exit(1)

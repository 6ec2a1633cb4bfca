"""Work that kills its worker, for tests of the pool: each death costs a new one, which imports little but this file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from dped_data.dataset.places import crash_log_name
from dped_data.work.crash_log import UnitWatch

DEADLY, STUCK, ONCE, HUNGRY, HUNGRY_ONCE = "deadly", "stuck", "once", "hungry", "unlucky"


def work(folder: Path, key: str, captures: tuple[str, ...], limit_s: float = 0) -> tuple[str, dict[str, str]]:
    """What work_on_unit does, but for the photos: captures are named for what they do to their worker."""
    watch = UnitWatch(folder, key, limit_s)
    outcome = {}
    for capture in captures:
        if reason := watch.reason_against(capture):
            outcome[capture] = reason
            continue
        with watch.watching(capture):
            if capture.startswith(DEADLY):
                os.kill(os.getpid(), signal.SIGKILL)
            if capture.startswith(STUCK):
                time.sleep(60)
            if capture.startswith(ONCE) and not (folder / capture).exists():
                (folder / capture).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if capture.startswith(HUNGRY):
                refuse_memory()
            if capture.startswith(HUNGRY_ONCE) and not (folder / capture).exists():
                (folder / capture).touch()
                refuse_numpy()
            outcome[capture] = "done"
    watch.finish()
    return key, outcome


def refuse_memory() -> None:
    """As OpenCV does when the system refuses it memory."""
    import cv2

    raise cv2.error("alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 10000000000 bytes")


def refuse_numpy() -> None:
    """Ask for more memory than there is."""
    import numpy as np

    np.empty(1 << 50)


def refused_between_captures(key: str) -> str:
    if key == "b":
        raise OSError("Can't synchronously write data (memory allocation failed for chunk)")
    return key


def die_between_captures() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_second_try(folder: Path, key: str) -> None:
    if not (folder / crash_log_name(key)).exists():
        with UnitWatch(folder, key, 0).watching("a"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

"""A terminal for tests: what a command prints there, Ctrl-C included."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def at_terminal(
    arguments: Sequence[str], cwd: Path, columns: int, interrupt_at: Callable[[str], bool] | None = None
) -> str:
    """What a command prints at a terminal of this width; Ctrl-C is pressed once `interrupt_at` of it is true."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "cli", *arguments]
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    text = ""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux: the last follower has closed
            break
        if not part:
            break
        text += part.decode()
        if interrupt_at is not None and interrupt_at(text):
            os.killpg(process.pid, signal.SIGINT)
            interrupt_at = None
    os.close(leader)
    process.wait(60)
    return text


def lines_at_terminal(text: str) -> list[str]:
    """The lines of what was printed, each state of a bar as one."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text))

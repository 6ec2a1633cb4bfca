"""`dped train` at a terminal: the bar keeps to its width, says the time left, and the same command goes on."""

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
from collections.abc import Callable
from pathlib import Path

import pytest
from make_shards import make_dataset

ROOT = Path(__file__).parents[1]
COMMAND = (
    "train --steps 300 --batch-size 2 --content-weight 0 --texture-weight 0 --device cpu --precision fp32 "
    "--checkpoint-every 20 --method srcnn"
)


def at_terminal(arguments: str, cwd: Path, columns: int, interrupt_at: Callable[[str], bool] | None = None) -> str:
    """What a command prints at a terminal of this width; Ctrl-C is pressed once `interrupt_at` of it is true."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "cli", *arguments.split()]
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "dataset" / "toy", train=6, val=2, test=0)
    return tmp_path


def bars(text: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]", text) if line.startswith("train srcnn") and "/300" in line]


def test_the_same_command_goes_on_after_ctrl_c(folder: Path) -> None:
    stopped = at_terminal(COMMAND, folder, 80, lambda text: any((folder / "runs/toy/checkpoints").glob("step-*")))
    assert not (folder / "runs/toy/checkpoints/step-0000300.safetensors").exists()
    assert "same command" in stopped, stopped
    done = at_terminal(COMMAND, folder, 120)
    assert "enhancer.safetensors: 300 steps" in done, done
    first = int(re.findall(r"(\d+)/300", done)[0])
    assert first >= 20 and first % 20 == 0
    for text, columns in ((stopped, 80), (done, 120)):
        lines = bars(text)
        assert lines and max(map(len, lines)) <= columns, lines
        assert re.search(r"/300 steps \[\d\d:\d\d<\d\d:\d\d\], loss ", lines[-1]), lines[-1]
    assert "dped evaluate --model runs/toy/enhancer.safetensors" in done

"""`dped train` at a terminal: the bar keeps to its width, says the time left, and the same command goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from make_shards import make_dataset
from terminal import at_terminal

COMMAND = (
    "train --steps 300 --batch-size 2 --content-weight 0 --texture-weight 0 --device cpu --precision fp32 "
    "--checkpoint-every 20 --method srcnn"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "dataset" / "toy", train=6, val=2, test=0)
    return tmp_path


def bars(text: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]", text) if line.startswith("train srcnn") and "/300" in line]


def test_the_same_command_goes_on_after_ctrl_c(folder: Path) -> None:
    stopped = at_terminal(
        COMMAND.split(), folder, 80, lambda text: any((folder / "runs/toy/checkpoints").glob("step-*"))
    )
    assert not (folder / "runs/toy/checkpoints/step-0000300.safetensors").exists()
    assert "same command" in stopped, stopped
    done = at_terminal(COMMAND.split(), folder, 120)
    assert "enhancer.safetensors: 300 steps" in done, done
    first = int(re.findall(r"(\d+)/300", done)[0])
    assert first >= 20 and first % 20 == 0
    for text, columns in ((stopped, 80), (done, 120)):
        lines = bars(text)
        assert lines and max(map(len, lines)) <= columns, lines
        assert re.search(r"/300 steps \[\d\d:\d\d<\d\d:\d\d\], loss ", lines[-1]), lines[-1]
    assert "dped evaluate --model runs/toy/enhancer.safetensors" in done

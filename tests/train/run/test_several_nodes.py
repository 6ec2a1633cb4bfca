"""Two torchrun launches, as two machines would make them, train together; one of them speaks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from make_shards import make_dataset

from dped_train.networks.file import load_enhancer

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_launches_on_loopback_are_one_training(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data/toy")
    train = "train --data data --out runs --steps 3 --batch-size 4 --content-weight 0 --device cpu --precision fp32"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    port = free_port()
    nodes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"),
                *(f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}"),
                *("-m", "cli", *train.split()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        for rank in (0, 1)
    ]
    answers = [node.communicate(timeout=240) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], answers
    assert "3 steps" in answers[0][0] and answers[1][0] == ""
    load_enhancer(tmp_path / "runs/toy/enhancer.safetensors")

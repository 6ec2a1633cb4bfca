"""Statistics and gradients summed over processes are those of the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from dped_train.networks.dped import Enhancer
from dped_train.run.distributed import SharedBatchNorm, joined_processes, share_batch_norms

WORKER = """
import torch, torch.distributed as dist
from dped_train.run.distributed import SharedBatchNorm, sum_gradients, summed
from dped_train.networks.dped import BatchNorm

dist.init_process_group("gloo")
rank = dist.get_rank()
x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
target = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
share = slice(0, 2) if rank == 0 else slice(2, 5)
whole, shared = BatchNorm(3), SharedBatchNorm(3)
mine, its = x.clone().requires_grad_(), x[share].clone().requires_grad_()
expected = whole(mine, relu=True, skip=mine)
found = shared(its, relu=True, skip=its)
(expected - target).square().sum().backward()
(found - target[share]).square().sum().backward()
sum_gradients(shared.parameters(), 2)
torch.testing.assert_close(found, expected[share])
torch.testing.assert_close(its.grad, mine.grad[share])
for name, value in whole.named_parameters():
    torch.testing.assert_close(dict(shared.named_parameters())[name].grad, value.grad)
for name, value in whole.named_buffers():
    torch.testing.assert_close(dict(shared.named_buffers())[name], value)
far = 100 + 0.01 * torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(2))
found, exact = SharedBatchNorm(3)(far[share]), BatchNorm(3).double()(far.double())[share]
assert (found - exact).abs().max() < 1e-3, (found - exact).abs().max()
assert summed(torch.tensor([rank + 1.0]), 2).item() == 3
dist.destroy_process_group()
"""


def run_twofold(folder: Path, text: str) -> None:
    """Run a script in two processes of torchrun; both must end well."""
    script = folder / "worker.py"
    script.write_text(text)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr


def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    run_twofold(tmp_path, WORKER)


AGAIN = """
import torch
from dped_train.run.distributed import joined_processes, summed

for _ in range(3):
    with joined_processes("cpu") as process:
        assert summed(torch.tensor([process.rank + 1.0]), process.count).item() == 3
"""


def test_one_process_trains_several_times(tmp_path: Path) -> None:
    run_twofold(tmp_path, AGAIN)


TRAINER = """
import os, pathlib, sys, time
from dped_train.run.distributed import joined_processes

with joined_processes("cpu"):
    pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text(str(os.getpid()))
    time.sleep(600)
"""


def test_trainers_end_when_their_agent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    agent = subprocess.Popen([*command, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL)
    notes = [tmp_path / "0", tmp_path / "1"]
    until = time.monotonic() + 300
    while not all(note.exists() and note.read_text() for note in notes):
        assert agent.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    agent.kill()
    agent.wait()
    until = time.monotonic() + 60
    while any(map(is_running, [int(note.read_text()) for note in notes])):
        assert time.monotonic() < until, "trainers go on without their agent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_sharing_keeps_names_and_weights() -> None:
    network, shared = Enhancer("batch"), Enhancer("batch")
    shared.load_state_dict(network.state_dict())
    share_batch_norms(shared, 1)
    assert not any(isinstance(module, SharedBatchNorm) for module in shared.modules())
    share_batch_norms(shared, 2)
    assert sum(isinstance(module, SharedBatchNorm) for module in shared.modules()) == 8
    assert shared.state_dict().keys() == network.state_dict().keys()
    photo = torch.rand(1, 3, 20, 20)
    torch.testing.assert_close(shared.eval()(photo), network.eval()(photo))


def test_alone_without_torchrun() -> None:
    with joined_processes("cpu") as process:
        assert (process.rank, process.count, process.device, process.leads) == (0, 1, torch.device("cpu"), True)

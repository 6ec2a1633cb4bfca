"""The trainer on a GPU that is not there: it is asked for the right things, and never waited for within a step.

Tensors on `cuda:0` are fake (benchmarks/faked_gpu.py): shapes, types and devices without values.
"""

from __future__ import annotations

import csv
import functools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_shards import make_dataset

from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_train.cpu import fused_instance_norm
from dped_train.data import DISCRIMINATOR_BATCH, PatchPairs
from dped_train.devices import choose_products, chosen_dtype, working_memory
from dped_train.enhancing.streaming import GPU_STRIP_BYTES, map_bytes_within
from dped_train.run.distributed import Process
from dped_train.settings import TrainSettings
from dped_train.train import Run, train

ROOT = Path(__file__).parents[2]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SMALL = TrainSettings(
    steps=4, batch_size=4, content_weight=0.0, checkpoint_every=10, precision="fp32", device="cpu", validation_patches=2
)
STEPS = [f"{recipe} {precision}" for recipe in ("released", "paper") for precision in ("fp32", "bf16", "fp16")]


@pytest.fixture(scope="module")
def on_fake_gpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process found that did everything once on the fake GPU: torch has to be loaded after it."""
    if shutil.which("g++") is None:
        pytest.skip("a fake GPU needs a C++ compiler")
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "faked_gpu.py"),
        "--check",
        str(tmp_path_factory.mktemp("gpu")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("which", STEPS)
def test_a_step_waits_for_nothing_and_copies_from_pinned_memory(on_fake_gpu: dict[str, Any], which: str) -> None:
    """Neither `.item()` nor `.cpu()`, no mask that is counted, no pageable copy; float64 is left to the host."""
    assert on_fake_gpu[which] == {"syncs": [], "pageable": [], "wide": []}


def test_a_training_waits_once_in_as_many_steps_as_asked(on_fake_gpu: dict[str, Any]) -> None:
    found = on_fake_gpu["training"]
    assert found["steps"] == 4
    assert found["fetches"] == [1, 1]
    assert found["syncs"] == found["pageable"] == found["wide"] == []


def test_steps_have_the_same_shapes(on_fake_gpu: dict[str, Any]) -> None:
    first, *others = on_fake_gpu["training"]["gigabytes"]  # the first looks at DSLR patches as well
    assert len(set(others)) == 1 and others[0] < first


def test_evaluation_and_photos_run(on_fake_gpu: dict[str, Any]) -> None:
    assert on_fake_gpu["evaluated"] == 2
    assert on_fake_gpu["enhanced fp32"] == on_fake_gpu["enhanced bf16"] == "enhanced"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of datasets with one phone, `toy`."""
    return make_dataset(tmp_path_factory.mktemp("data") / "toy", train=8, val=2).parent


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if name not in ("seconds", "waited_s")} for row in rows]


def test_figures_that_are_fetched_later_are_the_same(data: Path, tmp_path: Path) -> None:
    for every in (1, 3):
        train(data, None, tmp_path / str(every), replace(SMALL, figures_every=every))
    assert rows_of(tmp_path / "1" / "toy") == rows_of(tmp_path / "3" / "toy")
    assert len(rows_of(tmp_path / "3" / "toy")) == SMALL.steps


def test_a_step_that_is_not_finite_moves_nothing_and_is_named_later(data: Path, tmp_path: Path) -> None:
    run = Run(SMALL, PatchStore(data / "toy", "train"), Process(0, 1, CPU), tmp_path)
    reads = iter(run.batches(0))
    done = [run.moved(next(reads))]
    before = [p.detach().clone() for p in run.state.enhancer.parameters()]
    whole = run.photos
    run.photos = lambda patches: whole(patches) * torch.nan  # type: ignore[method-assign]
    done.append(run.moved(next(reads)))
    run.photos = whole  # type: ignore[method-assign]
    for parameter, value in zip(run.state.enhancer.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
    done.append(run.moved(next(reads)))
    assert all(p.isfinite().all() for p in run.state.enhancer.parameters())
    with pytest.raises(InputError, match=r"^step 2: the texture loss is nan"):
        run.figures_of(done)


def test_half_of_a_batch_shows_the_dslr(data: Path) -> None:
    def shown(halves: bool) -> list[np.ndarray]:
        pairs = PatchPairs(PatchStore(data / "toy", "train"), batch_size=5, seed=0, halves=halves)
        return [pairs.read(DISCRIMINATOR_BATCH, step).show_dslr for step in range(4)]

    assert [int(batch.sum()) for batch in shown(True)] == [3, 2, 3, 2]
    assert len({batch.tobytes() for batch in shown(False)}) > 2


@pytest.mark.parametrize(("relu", "skip"), [(False, False), (True, True)])
def test_torchs_instance_norm_is_the_definition(relu: bool, skip: bool) -> None:
    """What other devices than CPUs take, on the CPU; photos of one pixel become the shift."""
    random = torch.Generator().manual_seed(0)
    results = []
    x = torch.randn(2, 4, 6, 5, generator=random).contiguous(memory_format=torch.channels_last)
    weight, bias, added, slope = (torch.randn(shape, generator=random) for shape in (4, 4, x.shape, x.shape))
    for norm in (fused_instance_norm.torchs_instance_norm, fused_instance_norm._plain_instance_norm):
        inputs = [value.clone().requires_grad_() for value in (x, weight, bias)]
        made = norm(*inputs, relu, added if skip else None)
        results.append([made, *torch.autograd.grad((made * slope).sum(), inputs)])
    torch.testing.assert_close(*results)
    pixel = fused_instance_norm.torchs_instance_norm(x[:, :, :1, :1], weight, bias, False, None)
    torch.testing.assert_close(pixel, bias.view(1, 4, 1, 1).expand(2, 4, 1, 1))


def test_compiled_networks_give_the_same_losses(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch.compile's own tracing, forward and backward; without its code generator, which takes minutes."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    rows = []
    for compiled in (False, True):
        settings = replace(SMALL, recipe="paper", batch_size=2, compile=compiled)
        run = Run(settings, PatchStore(data / "toy", "train"), Process(0, 1, CPU), tmp_path)
        reads = iter(run.batches(0))
        rows.append(run.step(next(reads)))
        assert (run.state.enhancer._compiled_call_impl is not None) == compiled
    assert rows[1] == pytest.approx(rows[0], rel=1e-4)


def test_the_arithmetic_of_a_gpu_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_dtype("tf32", GPU) is chosen_dtype("fp32", GPU) is torch.float32
    with pytest.raises(UsageError, match="^--precision tf32: is a GPU's arithmetic; use fp32 on a CPU$"):
        chosen_dtype("tf32", CPU)
    for precision in ("tf32", "fp32", "bf16"):
        choose_products(precision)
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
    for capability, dtype in (((6, 1), torch.float32), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert chosen_dtype("auto", GPU) is dtype


def test_photos_take_the_gpus_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 * 10**9, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * 10**9)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 10**9)
    memory = working_memory(GPU)
    assert memory == int(0.8 * 7 * 10**9)
    left = map_bytes_within(memory, 10**9, torch.float32, device=GPU)
    assert memory - 60 * GPU_STRIP_BYTES < left < memory - 40 * GPU_STRIP_BYTES  # strips in flight, not the photo

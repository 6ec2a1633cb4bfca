"""One choice of device and precision for training, evaluating and enhancing; GPUs are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from make_shards import make_dataset

from dped_data.errors import UsageError
from dped_data.photos.writing import write_photo
from dped_train.devices import _is_by_amd, chosen_device, chosen_dtype, working_memory
from dped_train.enhancing.photos import LEAST_MEMORY, enhance, memory_by_itself
from dped_train.enhancing.settings import EnhanceSettings
from dped_train.evaluate.evaluate import evaluate
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.file import save_enhancer
from dped_train.settings import TrainSettings
from dped_train.train import train

CPU = torch.device("cpu")


@pytest.fixture(params=[0, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine with so many GPUs that multiply in bfloat16."""
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, device.index))
    return count


def test_a_device_is_the_one_named(gpus: int) -> None:
    assert chosen_device("cpu") == chosen_device("cpu", local_rank=1) == CPU
    if gpus:
        assert chosen_device("auto") == chosen_device("cuda") == chosen_device("cuda:0") == torch.device("cuda", 0)
        assert chosen_device("cuda:1") == torch.device("cuda", 1)
    else:
        assert chosen_device("auto") == chosen_device("auto", local_rank=1) == CPU


@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_processes_of_one_machine_take_a_gpu_each(gpus: int) -> None:
    for rank in range(gpus):
        assert chosen_device("auto", rank) == chosen_device("cuda", rank) == torch.device("cuda", rank)
    with pytest.raises(UsageError, match="--device cuda: needs GPU 2, there are 2, counted from 0; use cpu or auto"):
        chosen_device("cuda", gpus)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("name", ["gpu9", "nonsense", "meta", "mps", "cpu:0", "cuda:", "cuda:-1", "CUDA", ""])
def test_other_names_are_refused_in_one_wording(name: str) -> None:
    with pytest.raises(UsageError, match=f"^--device {name}: no such device; allowed are auto, cpu, cuda and cuda:N$"):
        chosen_device(name)


def test_a_gpu_that_is_not_there_is_refused(gpus: int) -> None:
    for number in (2, 10**30):
        message = rf"^--device cuda:{number}: needs GPU {number}, there are {gpus}, counted from 0; use cpu or auto$"
        with pytest.raises(UsageError, match=message):
            chosen_device(f"cuda:{number}")


def test_training_evaluating_and_enhancing_refuse_alike(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data" / "toy", train=4, val=2, test=2)
    enhancer = Enhancer()
    initialise(enhancer, 0)
    save_enhancer(enhancer, model := tmp_path / "model.safetensors")
    write_photo(photo := tmp_path / "photo.png", torch.zeros(8, 8, 3, dtype=torch.uint8).numpy())
    data, run, out = tmp_path / "data", tmp_path / "runs", tmp_path / "out"
    for name, message in (("gpu9", "no such device; allowed are"), ("cuda:99", "needs GPU 99, there are ")):
        for call in (
            lambda name=name: train(data, None, run, TrainSettings(device=name)),
            lambda name=name: evaluate(data, None, model=model, device=name),
            lambda name=name: enhance(model, photo, out, EnhanceSettings(device=name)),
        ):
            with pytest.raises(UsageError, match=f"^--device {name}: {message}"):
                call()


def test_a_precision_is_the_one_named() -> None:
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        assert chosen_dtype(name, CPU) is dtype
    with pytest.raises(UsageError, match="^--precision fp8: allowed are auto, fp32, tf32, bf16, fp16$"):
        chosen_dtype("fp8", CPU)


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
@pytest.mark.parametrize(("avx512_bf16", "amx"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("by_amd", [False, True])
def test_auto_is_the_half_precision_whose_products_are_faster(
    capability: tuple[int, int], avx512_bf16: bool, amx: bool, by_amd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("dped_train.devices._is_by_amd", lambda: by_amd)
    on_gpu, on_cpu = chosen_dtype("auto", torch.device("cuda", 0)), chosen_dtype("auto", CPU)
    assert on_gpu is (torch.bfloat16 if capability[0] >= 8 else torch.float16)
    assert on_cpu is (torch.bfloat16 if amx or (avx512_bf16 and by_amd) else torch.float32)


@pytest.mark.parametrize(
    ("cpuinfo", "elsewhere", "by_amd"),
    [
        ("vendor_id\t: AuthenticAMD\n", "", True),
        ("vendor_id\t: GenuineIntel\n", "AuthenticAMD", False),
        (None, "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", True),
        (None, "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel", False),
    ],
)
def test_the_maker_of_the_processor(
    cpuinfo: str | None, elsewhere: str, by_amd: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    monkeypatch.setattr("dped_train.devices.Path", lambda _: file)
    monkeypatch.setattr("platform.processor", lambda: elsewhere)
    assert _is_by_amd.__wrapped__() is by_amd


def test_photos_take_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for free in (None, 2 * 10**9, 20 * 10**9):
        monkeypatch.setattr("dped_train.devices.free_memory", lambda found=free: found)
        assert working_memory(CPU) == (free and free // 2)
        for dtype in (torch.float32, torch.bfloat16):
            wanted = 10**10 if free == 20 * 10**9 else LEAST_MEMORY[dtype]
            assert memory_by_itself(dtype, CPU) == wanted

"""Run the trainer on a GPU that is not there: what it would wait for, what it would copy, how long a step could take.

    python benchmarks/faked_gpu.py                    # a table: traffic and roofline of a step at batch 50
    python benchmarks/faked_gpu.py --check OUT        # as tests/train/test_gpu.py: everything once, figures as JSON

Tensors on `cuda:0` are torch's fake ones: shapes, types and devices without values. What lies on the host is real. An
operation that mixes both fails, as it would there. A C++ compiler is needed, a GPU is not; neither is one that torch
was built for. Nothing here says that a GPU computes the right values: only that it is asked for the right things.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TORCH = Path(importlib.util.find_spec("torch").submodule_search_locations[0])  # type: ignore[union-attr, index]


def pretend_a_gpu(folder: Path) -> None:
    """Compile and load what torch needs to believe in a GPU, before torch is imported."""
    assert "torch" not in sys.modules, "torch is loaded already"
    library = folder / "no_gpu.so"
    includes, libraries = f"-I{TORCH / 'include'}", f"-L{TORCH / 'lib'}"
    source = str(ROOT / "benchmarks" / "no_gpu.cpp")
    flags = ["-O0", "-std=c++20", "-shared", "-fPIC", f"-Wl,-rpath,{TORCH / 'lib'}"]
    subprocess.run(["g++", *flags, includes, "-o", str(library), source, libraries, "-lc10", "-ltorch_cpu"], check=True)
    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL).pretend_a_gpu()


with tempfile.TemporaryDirectory() as _folder:
    pretend_a_gpu(Path(_folder))

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from make_shards import make_dataset  # noqa: E402
from torch import Tensor  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map  # noqa: E402
from torch.utils.flop_counter import flop_registry  # noqa: E402
from vgg16_files import VGG16  # noqa: E402

import dped_train.train as training  # noqa: E402
from dped_data.dataset.store import PatchStore  # noqa: E402
from dped_data.photos.writing import write_photo  # noqa: E402
from dped_train.enhancing.photos import enhance  # noqa: E402
from dped_train.enhancing.settings import EnhanceSettings  # noqa: E402
from dped_train.evaluate.evaluate import evaluate  # noqa: E402
from dped_train.networks.vgg import Vgg, VggWeights  # noqa: E402
from dped_train.run.distributed import Process  # noqa: E402
from dped_train.settings import TrainSettings  # noqa: E402

ATEN = torch.ops.aten
COPIES_TO_HOST = (ATEN._to_copy.default, ATEN.copy_.default)
FLOPS = {
    torch.bfloat16: 989e12,
    torch.float16: 989e12,
    torch.float32: 67e12,
}  # of an H100 SXM, dense, by its data sheet
TF32_FLOPS = 494e12
BYTES_PER_S = 3.35e12


class FakedGpu(TorchDispatchMode):
    """Operations on `cuda:0` have no values; what they wait for, copy and move is written down.

    Attributes:
        syncs: what made the host wait for the device, by the line that did.
        pageable: copies to the device that wait, since their memory is not pinned or they are not asked not to wait.
        wide: float64 tensors on the device with more than one value.
        bytes, flops, seconds: traffic and products of what was asked for, and the time that an H100 needs at least.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode()
        self.pinned = set[int]()
        self.tf32 = False
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.syncs, self.pageable, self.wide = list[str](), list[str](), list[str]()
        self.bytes, self.flops, self.seconds = 0, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        device = kwargs.get("device")
        target = torch.device(device).type if device is not None else None
        if not any(isinstance(t, FakeTensor) for t in tensors) and target != "cuda":
            return func(*args, **kwargs)
        if func is ATEN._local_scalar_dense.default:
            self.syncs.append(_line())
            return 0.5 if args[0].dtype.is_floating_point else 1
        if func is ATEN._to_copy.default:
            if isinstance(args[0], FakeTensor) and target == "cpu":
                self.syncs.append(_line())
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
            if not isinstance(args[0], FakeTensor):
                return self._to_device(args[0], kwargs)
        if func is ATEN.copy_.default and not all(isinstance(t, FakeTensor) for t in tensors):
            return self._copied(args[0], args[1])
        if func is ATEN.batch_norm_update_stats.default:  # has no fake form
            with self.fake:
                return torch.empty_like(args[1]), torch.empty_like(args[1])
        for tensor in tensors:
            if not isinstance(tensor, FakeTensor) and tensor.dim():
                raise RuntimeError(
                    f"{func} at {_line()}: {tuple(tensor.shape)} lies on the host, the others on the GPU"
                )
        args, kwargs = tree_map(self._on_gpu, (args, kwargs))
        with self.fake:
            made = func(*args, **kwargs)
        self._count(func, args, kwargs, made)
        return made

    def _on_gpu(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and not isinstance(leaf, FakeTensor):
            return self.fake.from_tensor(leaf)  # a number: GPUs take those from the host
        return leaf

    def _to_device(self, host: Tensor, kwargs: Any) -> Tensor:
        if host.untyped_storage().data_ptr() not in self.pinned or not kwargs.get("non_blocking"):
            self.pageable.append(_line())
        form = kwargs.get("memory_format") or torch.preserve_format
        like = torch.empty_like(host, dtype=kwargs.get("dtype") or host.dtype, device="meta", memory_format=form)
        with self.fake:
            return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="cuda:0")

    def _copied(self, target: Tensor, source: Tensor) -> Tensor:
        (self.pageable if isinstance(target, FakeTensor) else self.syncs).append(_line())
        return target if isinstance(target, FakeTensor) else target.zero_()

    def _count(self, func: Any, args: Any, kwargs: Any, made: Any) -> None:
        results = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if any(t.dtype == torch.float64 and t.numel() > 1 for t in results):
            self.wide.append(_line())
        if func.is_view or func in (ATEN.detach.default, ATEN.empty_like.default, ATEN.empty.memory_format):
            return
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        moved = sum(t.numel() * t.element_size() for t in (*inputs, *results))
        counted = flop_registry.get(func.overloadpacket)
        flops = counted(*args, **kwargs, out_val=made) if counted else 0
        kind = inputs[0].dtype if inputs else torch.float32
        rate = TF32_FLOPS if self.tf32 and kind == torch.float32 else FLOPS.get(kind, FLOPS[torch.float32])
        self.bytes, self.flops = self.bytes + moved, self.flops + flops
        self.seconds += max(moved / BYTES_PER_S, flops / rate)

    def pin(self, host: Tensor, device: object = None) -> Tensor:
        """As `Tensor.pin_memory`: remembered, nothing more."""
        self.pinned.add(host.untyped_storage().data_ptr())
        self._kept = [*getattr(self, "_kept", [])[-1000:], host]  # so that no other memory gets its address
        return host


def _line() -> str:
    """The line of this project that asks."""
    frame, found = sys._getframe(1), "torch"
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if "dped_train" in path.parts:
            return f"{path.name}:{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return found


@contextmanager
def faked_gpu(capability: tuple[int, int] = (9, 0)) -> Iterator[FakedGpu]:
    """A machine whose only GPU is fake."""
    gpu = FakedGpu()
    cuda: Any = torch.cuda
    cuda._lazy_init = lambda: None
    cuda.is_available, cuda.device_count, cuda.current_device = lambda: True, lambda: 1, lambda: 0
    cuda.get_device_capability, cuda.is_bf16_supported = lambda device=None: capability, lambda *a: True
    cuda.mem_get_info = lambda device=None: (10**9 * 64, 10**9 * 80)
    cuda.memory_reserved = cuda.memory_allocated = lambda device=None: 0
    torch.nn.init.trunc_normal_ = lambda tensor, **_: tensor  # nobody sees the values
    torch.Tensor.pin_memory = lambda host, device=None: gpu.pin(host)  # type: ignore[method-assign, assignment]
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) makes a tensor of the host, then copies it
    with gpu:
        yield gpu


def empty_vgg(*_: object, **__: object) -> Vgg:
    """A VGG-16 of zeros: its values are never seen."""
    shapes = [(after, before, 3, 3) for before, after in pairwise(VGG16)]
    weights = VggWeights(
        tuple(torch.zeros(shape) for shape in shapes), tuple(torch.zeros(s[0]) for s in shapes), (0.0,) * 3, (1.0,) * 3
    )
    return Vgg(weights, "empty")


def trained(gpu: FakedGpu, data: Path, out: Path, settings: TrainSettings) -> dict[str, Any]:
    """Train and say what the steps waited for and copied."""
    steps: list[dict[str, Any]] = []
    fetched: list[int] = []
    moved, figures_of = training.Run.moved, training.Run.figures_of

    def counted_step(run: training.Run, read: Any) -> training.StepFigures:
        gpu.forget()
        done = moved(run, read)
        counts = {"syncs": gpu.syncs, "pageable": gpu.pageable, "wide": gpu.wide}
        steps.append(counts | {"gb": gpu.bytes / 1e9, "tflop": gpu.flops / 1e12, "ms": gpu.seconds * 1e3})
        return done

    def counted_fetch(run: training.Run, done: Any) -> list[dict[str, float]]:
        gpu.forget()
        rows = figures_of(run, done)
        fetched.append(len(gpu.syncs))
        return rows

    gpu.tf32 = settings.precision == "tf32"
    training.Run.moved, training.Run.figures_of = counted_step, counted_fetch  # type: ignore[method-assign]
    try:
        training.train(data, None, out, settings)
    finally:
        training.Run.moved, training.Run.figures_of = moved, figures_of  # type: ignore[method-assign]
    return {
        "steps": len(steps),
        "syncs": [line for step in steps for line in step["syncs"]],
        "pageable": [line for step in steps for line in step["pageable"]],
        "wide": [line for step in steps for line in step["wide"]],
        "fetches": fetched,
        "gigabytes": [round(step["gb"], 6) for step in steps],
        "last": {name: steps[-1][name] for name in ("gb", "tflop", "ms")},
    }


def one_step(gpu: FakedGpu, data: Path, settings: TrainSettings) -> dict[str, Any]:
    """Do a run's first step, without what is around it."""
    gpu.forget()
    store = PatchStore(data / "toy", "train")
    run = training.Run(settings, store, Process(0, 1, torch.device("cuda", 0)), data)
    read = next(run.batches(0))
    gpu.forget()
    run.moved(read)
    return {"syncs": [*gpu.syncs], "pageable": [*gpu.pageable], "wide": [*gpu.wide]}


def check(out: Path) -> dict[str, Any]:
    """Everything once on the fake GPU: both recipes in each precision, a whole training, evaluation, a photo."""
    data = make_dataset(out / "data" / "toy", train=12, val=2, test=2).parent
    training.load_vgg = empty_vgg
    small = TrainSettings(batch_size=2, device="cuda", figures_every=2, feature_cache_mb=1)
    found: dict[str, Any] = {}
    with faked_gpu() as gpu:
        for recipe in ("released", "paper"):
            for precision in ("fp32", "bf16", "fp16"):
                settings = replace(small, recipe=recipe, precision=precision)
                found[f"{recipe} {precision}"] = one_step(gpu, data, settings)
        found["training"] = trained(gpu, data, out / "runs", replace(small, steps=4, precision="bf16"))
        model = out / "runs" / "toy" / "enhancer.safetensors"
        found["evaluated"] = evaluate(data, None, model=model, device="cuda").patches
        write_photo(photo := out / "photo.png", np.zeros((40, 60, 3), np.uint8))
        for precision in ("fp32", "bf16"):
            how = EnhanceSettings(device="cuda", precision=precision)
            found[f"enhanced {precision}"] = enhance(model, photo, out / precision, how).photos[0].status
    return found


def table(out: Path) -> None:
    """Print what a step of 50 patches of 100 pixels moves and multiplies, and how long an H100 needs at least."""
    data = make_dataset(out / "data" / "toy", train=100, val=1, test=1, size=100).parent
    training.load_vgg = empty_vgg
    print(f"{'recipe':10}{'precision':>10}{'TFLOP':>8}{'GB':>8}{'ms':>8}")
    with faked_gpu() as gpu:
        for recipe in ("released", "paper"):
            for precision in ("fp32", "tf32", "bf16"):
                settings = TrainSettings(
                    steps=4, device="cuda", recipe=recipe, precision=precision, validation_patches=1
                )
                last = trained(gpu, data, out / recipe / precision, settings)["last"]
                print(f"{recipe:10}{precision:>10}{last['tflop']:8.2f}{last['gb']:8.1f}{last['ms']:8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", metavar="OUT", type=Path, help="folder for what the checks write")
    options = parser.parse_args()
    if options.check:
        print(json.dumps(check(options.check)))
        return
    with tempfile.TemporaryDirectory() as folder:
        table(Path(folder))


if __name__ == "__main__":
    main()

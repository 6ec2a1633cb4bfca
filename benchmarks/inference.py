"""Seconds per megapixel and peak memory of enhancing a whole photo: ours against the plain network and other runtimes.

    python benchmarks/inference.py [--model FILE] [--size 1024x768] [--rounds 3] [--threads 2] [--only NAME…]

Every variant runs in a process of its own, so that its peak memory is its own; the rounds of all variants take turns,
so that a change in what else the machine does hits all alike. The best round counts; only ratios within one run mean
something, and on a busy machine only those of CPU seconds with --threads 1. `plain` is the network as written, with
torch's own instance norm, channels first, the whole photo at once; `whole` is ours with the photo at once; the others
are ours in strips: with all the memory they want (`two maps`), with compact maps, and with one compact map (`stream`,
what large photos get). Where onnxruntime, OpenVINO or TensorFlow is installed, the same network runs there too, whole.
Without --model the weights are random: the time does not depend on them. The last column is the time of TensorFlow
over that of the row, or of OpenVINO in the row's precision where TensorFlow is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import comparing  # noqa: E402
from plain_layers import with_plain_layers  # noqa: E402

from dped_train.enhancing.stored_maps import bytes_per_row  # noqa: E402
from dped_train.enhancing.streaming import WholePhotoEnhancer  # noqa: E402
from dped_train.export import INPUT, write_onnx  # noqa: E402
from dped_train.networks.dped import CHANNELS, Enhancer, initialise  # noqa: E402
from dped_train.networks.file import load_enhancer  # noqa: E402

OURS = {
    f"{name} {precision}": (dtype, maps, compact)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    for name, maps, compact in (("two maps", 2, False), ("two compact maps", 2, True), ("stream", 1, True))
}
OTHERS = ("plain fp32", "whole fp32", "onnxruntime fp32", "openvino fp32", "openvino bf16", "tensorflow fp32")
Photo = NDArray[np.uint8]


def enhancer_of(model: str) -> Enhancer:
    if model:
        return load_enhancer(model)
    enhancer = Enhancer()
    initialise(enhancer, 0)
    return enhancer.eval()


def tensor_of(photo: Photo) -> Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255


def ours(name: str, enhancer: Enhancer, photo: Photo) -> Callable[[], object]:
    dtype, maps, compact = OURS[name]
    height, width = photo.shape[:2]
    allowed = maps * height * bytes_per_row(CHANNELS, width, dtype, compact=compact)
    prepared = WholePhotoEnhancer(enhancer, dtype)
    return lambda: prepared.enhance(photo, allowed)


def plain(enhancer: Enhancer, photo: Photo) -> Callable[[], object]:
    network, x = with_plain_layers(enhancer), tensor_of(photo).contiguous()
    return torch.no_grad()(lambda: network(x))


def whole(enhancer: Enhancer, photo: Photo) -> Callable[[], object]:
    x = tensor_of(photo).contiguous(memory_format=torch.channels_last)
    network = enhancer.to(memory_format=torch.channels_last)
    return torch.no_grad()(lambda: network(x))


def onnxruntime(enhancer: Enhancer, photo: Photo, threads: int) -> Callable[[], object]:
    """With the operator for instance normalisation: 6 % faster than what export-onnx writes, imprecise when large."""
    import onnxruntime as ort

    x = tensor_of(photo).numpy()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "enhancer.onnx"
        write_onnx(with_plain_layers(enhancer).eval(), file, None, {})
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT: x})


def openvino(enhancer: Enhancer, photo: Photo, precision: str, threads: int) -> Callable[[], object]:
    import openvino as ov

    x = tensor_of(photo)
    converted = ov.convert_model(with_plain_layers(enhancer), example_input=x, input=list(x.shape))
    hint = {"INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16"}
    compiled = ov.compile_model(converted, "CPU", hint | {"INFERENCE_NUM_THREADS": threads})
    return lambda: compiled(x.numpy())


def tensorflow(enhancer: Enhancer, photo: Photo, threads: int) -> Callable[[], object]:
    """The released code's graph, in TensorFlow's own operations."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    weights = {name: tf.constant(value.numpy()) for name, value in enhancer.state_dict().items() if value.ndim == 1}
    kernels = {
        name: tf.constant(value.permute(2, 3, 1, 0).contiguous().numpy())
        for name, value in enhancer.state_dict().items()
        if value.ndim == 4
    }

    def convolved(x: object, name: str) -> object:
        return tf.nn.conv2d(x, kernels[f"{name}.weight"], 1, "SAME") + weights[f"{name}.bias"]

    def normalised(x: object, name: str) -> object:
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return weights[f"{name}.weight"] * (x - mean) / (variance + 1e-3) ** 0.5 + weights[f"{name}.bias"]

    @tf.function
    def network(x: object) -> object:
        x = tf.nn.relu(convolved(x, "head"))
        for block in range(4):
            name = f"blocks.{block}"
            y = tf.nn.relu(normalised(convolved(x, f"{name}.conv1"), f"{name}.norm1"))
            x = tf.nn.relu(normalised(convolved(y, f"{name}.conv2"), f"{name}.norm2")) + x
        x = tf.nn.relu(convolved(tf.nn.relu(convolved(x, "body1")), "body2"))
        return tf.nn.tanh(convolved(x, "tail")) * 0.58 + 0.5

    x = tf.constant(photo[None].astype(np.float32) / 255)
    return lambda: network(x).numpy()


def run_of(name: str, enhancer: Enhancer, photo: Photo, threads: int) -> Callable[[], object]:
    kind, precision = name.rsplit(" ", 1)
    if name in OURS:
        return ours(name, enhancer, photo)
    if kind == "openvino":
        return openvino(enhancer, photo, precision, threads)
    if kind == "onnxruntime":
        return onnxruntime(enhancer, photo, threads)
    if kind == "tensorflow":
        return tensorflow(enhancer, photo, threads)
    return plain(enhancer, photo) if kind == "plain" else whole(enhancer, photo)


def serve(name: str, model: str, width: int, height: int, threads: int) -> None:
    """Child process: print "ready", then the seconds of one enhancement for each line read; last the peak memory."""
    torch.set_num_threads(threads)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    run = run_of(name, enhancer_of(model), photo, threads)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, cpu_start = perf_counter(), process_time()
        run()
        seconds, cpu_s = perf_counter() - start, process_time() - cpu_start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mb": round(peak / 1e6)}), flush=True)


def measured(names: list[str], arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Rounds of every variant that can run here, taking turns."""
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for name in names:
            command = [sys.executable, __file__, "--serve", name, "--model", arguments.model, "--size", arguments.size]
            command += ["--threads", str(arguments.threads)]
            waiting = {"OMP_WAIT_POLICY": "passive"} if name in OURS else {}  # as the command line has it
            # one process at a time, as memory and caches would otherwise be shared with those that wait
            done = subprocess.run(command, input="go\n", capture_output=True, text=True, env=environment | waiting)
            if done.returncode != 0:
                print(f"{name}: left out ({done.stderr.strip().splitlines()[-1]})", file=sys.stderr)
                names = [other for other in names if other != name]
                continue
            results.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="enhancer (safetensors); random weights without")
    parser.add_argument("--size", default="1024x768", help="width x height of the photo, px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", help="variants to run; all that are installed without")
    comparing.add_options(parser)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    if arguments.serve:
        serve(arguments.serve, arguments.model, width, height, arguments.threads)
        return 0
    results = measured(arguments.only or [*OTHERS, *OURS], arguments)
    megapixels = width * height / 1e6
    machine = comparing.this_machine(arguments.threads)
    print(machine)
    print(f"{width}x{height}, best of {arguments.rounds} rounds")
    print(f"{'':24}{'seconds':>9}{'s/MP':>8}{'CPU s':>8}{'peak MB':>9}{'x plain':>9}{'x reference':>13}")
    fastest = {name: min(r["seconds"] for r in rounds) for name, rounds in results.items()}
    base = fastest.get("plain fp32", float("nan"))
    for name, rounds in results.items():
        best = fastest[name]
        theirs = fastest.get(f"openvino {name.rsplit(' ', 1)[1]}", float("nan"))
        reference = fastest.get("tensorflow fp32", theirs)
        peak = max(r["peak_mb"] for r in rounds)
        cpu_s = min(r["cpu_s"] for r in rounds)
        figures = f"{best:9.2f}{best / megapixels:8.2f}{cpu_s:8.2f}{peak:9.0f}{base / best:9.2f}"
        print(f"{name:24}{figures}{reference / best:13.2f}")
    return comparing.finish(comparing.Run("inference", machine, fastest, "plain fp32"), arguments)


if __name__ == "__main__":
    sys.exit(main())

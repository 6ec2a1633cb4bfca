"""Peak memory of `dped enhance` on large photos, and how close its strips and bfloat16 come to one pass in float32.

    python benchmarks/whole_photos.py --memory 4000x3000 8165x6124 [--model FILE] [--precision fp32 bf16]
                                       [--memory-mb 1500]
    python benchmarks/whole_photos.py --parity PHOTO… --model FILE…

Memory is the largest resident set of a fresh process that runs the command on a JPEG photo. Parity runs each model on
each photo: once through the network as written, the whole photo at once in float32 (this takes about 10 GB for 3
megapixels), then in strips, in float32 and in bfloat16, keeping two exact maps (as for photos up to some 3 megapixels)
or one compact map.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from dped_data.photos.reading import read_photo  # noqa: E402
from dped_data.photos.writing import write_photo  # noqa: E402
from dped_train.enhancing.stored_maps import bytes_per_row  # noqa: E402
from dped_train.enhancing.streaming import WholePhotoEnhancer  # noqa: E402
from dped_train.networks.dped import CHANNELS, Enhancer, initialise  # noqa: E402
from dped_train.networks.file import load_enhancer, save_enhancer  # noqa: E402

Photo = NDArray[np.uint8]
WAYS = (("two maps", 2, False), ("one compact map", 1, True))  # the most exact and the most common of large photos


def large_photo(width: int, height: int) -> Photo:
    """Scikit-image's photos side by side, enlarged, with the noise that a camera adds."""
    tiles = [cv2.resize(photo(), (600, 400)) for photo in (skimage.data.coffee, skimage.data.rocket)]
    photo = cv2.resize(np.hstack(tiles), (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 1)).astype(np.float32)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def peak_of_enhance(model: Path, photo: Path, out: Path, precision: str, memory_mb: int) -> tuple[float, float]:
    """Run `dped enhance` in a fresh process; return its peak memory in megabytes and its seconds."""
    command = [sys.executable, "-m", "cli", "enhance", str(model), str(photo), "--out", str(out)]
    start = perf_counter()
    command += ["--precision", precision, "--memory-mb", str(memory_mb)]
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"dped enhance ended with status {process.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, perf_counter() - start


def measure_memory(sizes: list[str], precisions: list[str], model: str, memory_mb: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = Path(model).resolve() if model else folder / "random.safetensors"
        if not model:
            enhancer = Enhancer()
            initialise(enhancer, 0)
            save_enhancer(enhancer, file)
        print(f"{'photo':12}{'MP':>6}{'precision':>11}{'peak MB':>9}{'seconds':>9}")
        for size in sizes:
            width, height = map(int, size.split("x"))
            write_photo(folder / f"{size}.jpg", large_photo(width, height))
            for precision in precisions:
                peak, seconds = peak_of_enhance(file, folder / f"{size}.jpg", folder / precision, precision, memory_mb)
                megapixels = width * height / 1e6
                print(f"{size:12}{megapixels:6.1f}{precision:>11}{peak:9.0f}{seconds:9.1f}", flush=True)


def in_one_pass(enhancer: torch.nn.Module, photo: Photo) -> NDArray[np.float32]:
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return np.asarray(enhancer(x)[0].permute(1, 2, 0))


def measure_parity(models: list[str], photos: list[Path]) -> None:
    print(f"{'model':14}{'photo':22}{'way':18}{'precision':>10}{'largest difference':>20}{'PSNR, dB':>10}")
    for model in models:
        enhancer = load_enhancer(model)
        assert isinstance(enhancer, Enhancer)
        for path in photos:
            photo = read_photo(path)
            exact = in_one_pass(enhancer, photo)
            for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
                prepared = WholePhotoEnhancer(enhancer, dtype)
                for way, maps, compact in WAYS:
                    row = bytes_per_row(CHANNELS, photo.shape[1], dtype, compact=compact)
                    found = prepared.enhance(photo, maps * photo.shape[0] * row)
                    largest = np.abs(found - exact).max()
                    psnr = -10 * np.log10(np.mean((found.clip(0, 1) - exact.clip(0, 1)) ** 2))
                    names = f"{Path(model).stem:14}{path.stem:22}{way:18}"
                    print(f"{names}{precision:>10}{largest:20.1e}{psnr:10.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", nargs="+", default=[], metavar="WxH", help="sizes of photos to measure memory with")
    parser.add_argument("--parity", nargs="+", default=[], type=Path, metavar="PHOTO", help="photos to compare with")
    parser.add_argument("--model", nargs="+", default=[""], help="enhancers; random weights without, for memory only")
    parser.add_argument("--memory-mb", type=int, default=0, help="what --memory allows; 0: as the command by itself")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    arguments = parser.parse_args()
    if arguments.parity and not arguments.model[0]:
        parser.error("--parity needs --model: random weights say nothing about photos")
    if not (arguments.memory or arguments.parity):
        parser.error("nothing to do: give --memory or --parity")
    if arguments.memory:
        measure_memory(arguments.memory, arguments.precision, arguments.model[0], arguments.memory_mb)
    if arguments.parity:
        measure_parity(arguments.model, arguments.parity)


if __name__ == "__main__":
    main()

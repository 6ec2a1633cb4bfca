"""How far instance normalisation in onnxruntime is from float64: by its own operator, and as `export-onnx` writes it.

    python benchmarks/onnx_norm.py [--sizes 1024x768 4000x3000 8165x6124]

One channel of values around 3 with standard deviation 1; the largest difference of the normalised values counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from dped_train.cpu import NORM_EPSILON  # noqa: E402
from dped_train.export import INPUT, SplitMeanNorm, write_onnx  # noqa: E402
from dped_train.networks.dped import InstanceNorm  # noqa: E402


class OneChannel(nn.Module):
    """A normalisation of the first channel of a photo."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, photo: object) -> object:
        return self.norm(photo[:, :1])  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["1024x768", "4000x3000", "8165x6124"])
    sizes = parser.parse_args().sizes
    norms = {
        "operator": nn.InstanceNorm2d(1, eps=NORM_EPSILON, affine=True),
        "exported": SplitMeanNorm(InstanceNorm(1)),
    }
    print(f"{'size':12}{'operator':>12}{'exported':>12}")
    for size in sizes:
        width, height = map(int, size.split("x"))
        x = np.random.default_rng(0).standard_normal((1, 3, height, width), np.float32) + 3
        wide = x[:, :1].astype(np.float64)
        exact = (wide - wide.mean()) / np.sqrt(wide.var() + NORM_EPSILON)
        off = {}
        for name, norm in norms.items():
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "norm.onnx"
                write_onnx(OneChannel(norm).eval(), file, None, {})
                session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            off[name] = np.abs(session.run(None, {INPUT: x})[0] - exact).max()
        print(f"{size:12}{off['operator']:12.1e}{off['exported']:12.1e}")


if __name__ == "__main__":
    main()

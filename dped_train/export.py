"""Write an enhancer as one file that runs without this program: ONNX, or a `torch.export` program.

Both map (N, 3, H, W) float32 RGB in [0, 1] to the same shape, not clipped, as the enhancer itself does. TorchScript is
not offered: torch has deprecated it in favour of `torch.export`.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dped_data.common.files import atomic_path
from dped_data.common.ownership import check_free
from dped_data.errors import InputError, UsageError
from dped_train.cpu import NORM_EPSILON
from dped_train.networks.dped import InstanceNorm
from dped_train.networks.file import enhancer_metadata, load_enhancer, sees_mosaics

OPSET = 18  # ours: the oldest that the exporter writes, for the sake of runtimes on phones
LIMIT = 1e-3  # ours: of the difference to torch, a quarter of an 8-bit level
CHECKED_SIZES_WH = ((32, 24), (17, 5), (1, 1))
LARGEST_CHECKED_PX = 1_000_000
FORMATS: dict[str, Literal["onnx", "pt2"]] = {".onnx": "onnx", ".pt2": "pt2"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "photo", "enhanced"


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        file: the file. bytes: its size.
        format: onnx, or pt2 for a `torch.export` program.
        size_wh: the only size of photos it takes, or None for any.
        difference: largest difference to the enhancer in torch over the sizes tried; None where the only size is so
            large that it was not tried.
    """

    file: Path
    bytes: int
    format: Literal["onnx", "pt2"]
    size_wh: tuple[int, int] | None
    difference: float | None


class SplitMeanNorm(nn.Module):
    """Instance normalisation out of means along rows, then of those along columns, for other runtimes.

    onnxruntime's own InstanceNormalization adds up all pixels of a channel one by one in float32: it is off by 3e-3
    for a photo of 12 megapixels and by 2e-2 for 50; this is off by 4e-6 (benchmarks/onnx_norm.py).
    """

    def __init__(self, like: InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias = like.weight, like.bias

    def forward(self, x: Tensor, relu: bool = False, skip: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to the same shape; see `instance_norm`."""
        centred = x - x.mean(3, keepdim=True).mean(2, keepdim=True)
        variance = (centred * centred).mean(3, keepdim=True).mean(2, keepdim=True)
        scale = self.weight.view(1, -1, 1, 1) * (variance + NORM_EPSILON).rsqrt()
        y = centred * scale + self.bias.view(1, -1, 1, 1)
        y = F.relu(y) if relu else y
        return y if skip is None else y + skip


def export_enhancer(
    model: Path | str, out: Path | str, size_wh: tuple[int, int] | None = None, *, overwrite: bool = False
) -> ExportReport:
    """Write the enhancer in `model` to `out`, whole or not at all, after comparing it with torch.

    Args:
        model: an enhancer file.
        out: the file to write: ONNX where its name ends in .onnx, a `torch.export` program where it ends in .pt2. ONNX
            files carry the model's facts in their metadata: sha256, recipe, normalisation, ranges.
        size_wh: width and height of the only photos to take, then one at a time; None for any number of any size.
        overwrite: replace a file that an earlier export wrote there.

    Raises:
        InputError: no usable model, a package that ONNX needs is missing, the export differs from torch, or a file is
            there already.
        UsageError: a size below 1, or another suffix.
    """
    out = Path(out)
    if size_wh is not None and min(size_wh) < 1:
        raise UsageError(f"size {size_wh[0]}x{size_wh[1]}: width and height must be 1 or more")
    if (format_ := FORMATS.get(out.suffix.lower())) is None:
        raise UsageError(f"{out}: its suffix names no format; end it in .onnx (ONNX) or .pt2 (torch.export)")
    check_free(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out}: is there already; --overwrite replaces it, or choose another --out")
    enhancer = load_enhancer(model)
    if sees_mosaics(enhancer):
        raise InputError(f"{model}: sees the mosaics of RAW files (--input raw); exports are for photos alone")
    if format_ == "onnx":
        check_onnx_installed()
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary, _quiet():
        network = portable_form(enhancer)
        if format_ == "onnx":
            write_onnx(network, temporary, size_wh, facts_of(Path(model)))
        else:
            with temporary.open("wb") as file:  # by its name, torch would miss the suffix
                torch.export.save(_program(network, size_wh), file)
        difference = _difference(enhancer, temporary, format_, size_wh)
        if difference is not None and not difference <= LIMIT:
            raise InputError(
                f"{out}: the exported network differs from the model by {difference:.2g}, at most {LIMIT:g} is "
                "allowed; install the versions in constraints.txt"
            )
    return ExportReport(out, out.stat().st_size, format_, size_wh, difference)


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of "2048x1536"; UsageError where it is none."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if found is None:
        raise UsageError(f"--size {text}: not a size; give width and height in pixels, such as 2048x1536")
    return int(found[1]), int(found[2])


def check_onnx_installed() -> None:
    """Raise InputError where a package that ONNX needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)}: not installed, ONNX export needs it; pip install 'dped[onnx]' "
            "(or name a file that ends in .pt2, which needs torch only)"
        )


def facts_of(model: Path) -> dict[str, str]:
    """What an exported file says of itself: where the model comes from, and what goes in and out."""
    stored = enhancer_metadata(model)
    facts = {f"dped.{name}": value for name, value in stored.items() if name != "format_version"}
    facts["dped.input"] = f"{INPUT}: (N, 3, H, W) float32, RGB, sRGB, 0 to 1"
    facts["dped.output"] = f"{OUTPUT}: (N, 3, H, W) float32, RGB, sRGB, not clipped (-0.08 to 1.08): clip to 0 to 1"
    if stored["normalisation"] == "instance":
        facts["dped.statistics"] = "taken over the whole photo: tiles of it give another result"
    return facts


def portable_form(enhancer: nn.Module) -> nn.Module:
    """A copy of the enhancer whose normalisations stay precise in other runtimes, out of operations that all have."""
    changed = copy.deepcopy(enhancer)
    for part in list(changed.modules()):
        for name, norm in list(part.named_children()):
            if isinstance(norm, InstanceNorm):
                part.add_module(name, SplitMeanNorm(norm))
    return changed.eval()


def write_onnx(network: nn.Module, path: Path, size_wh: tuple[int, int] | None, facts: dict[str, str]) -> None:
    """Write `network`, (N, 3, H, W) to the same shape, as one ONNX file with `facts` as its metadata."""
    program = torch.onnx.export(
        network,
        (_sample(size_wh),),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=_dynamic_shapes(size_wh),
    )
    assert program is not None
    for node in program.model.graph:  # each would tell the paths of this machine
        node.metadata_props.clear()
    program.model.metadata_props.clear()
    program.model.metadata_props.update(facts)
    program.save(path, external_data=False)


def _program(network: nn.Module, size_wh: tuple[int, int] | None) -> torch.export.ExportedProgram:
    program = torch.export.export(network, (_sample(size_wh),), dynamic_shapes=_dynamic_shapes(size_wh))
    program.example_inputs = None  # the photo of noise would be stored as well
    return program


def _sample(size_wh: tuple[int, int] | None, count: int | None = None) -> Tensor:
    """Photos of noise; two of 32x24 where any size will do, as a single one would fix the number."""
    width, height = size_wh or (32, 24)
    count = count or (1 if size_wh else 2)
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def _dynamic_shapes(size_wh: tuple[int, int] | None) -> tuple[dict[int, torch.export.Dim]] | None:
    if size_wh is not None:
        return None
    dim = torch.export.Dim
    return ({0: dim("photos", min=1), 2: dim("height", min=1), 3: dim("width", min=1)},)


def _difference(enhancer: nn.Module, path: Path, format_: str, size_wh: tuple[int, int] | None) -> float | None:
    """The largest difference between the enhancer and the file at `path` over the sizes that it takes."""
    if size_wh is not None and size_wh[0] * size_wh[1] > LARGEST_CHECKED_PX:
        return None
    worst = 0.0
    for size in CHECKED_SIZES_WH if size_wh is None else (size_wh,):
        photo = _sample(size)
        with torch.no_grad():
            exact, found = enhancer(photo), _run(path, format_, photo)
        worst = max(worst, float((exact - found).abs().max()))
    return worst


def _run(path: Path, format_: str, photo: Tensor) -> Tensor:
    if format_ == "pt2":
        with path.open("rb") as file:
            result: Tensor = torch.export.load(file).module()(photo)
        return result
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {INPUT: photo.numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about itself (torchvision, deprecations within torch) from the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)

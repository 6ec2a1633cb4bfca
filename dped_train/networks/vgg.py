"""The VGG networks behind the content loss: plain torch, weights from three kinds of files.

VGG-19 gives relu5_4, the layer of the paper (section 3.1.3); VGG-16 gives relu5_3, its last. Which of the two a file
holds is seen from its shapes.
"""

import pickle
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import scipy.io
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dped_data.common.hints import hint
from dped_data.errors import InputError
from dped_train.cpu import Conv3x3
from dped_train.networks.weights import VGG19, fetched

# output channels; None is a 2x2 max pooling. Everything up to the last convolution that the content loss looks at
_VGG16 = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512)
_VGG19 = (64, 64, None, 128, 128, None, *(256,) * 4, None, *(512,) * 4, None, *(512,) * 4)
_RELU2_2 = 5  # entries of both layouts up to relu2_2
ContentLayer = Literal["last", "relu2_2"]
"""Which activations `features` gives: relu5_4 (relu5_3 of VGG-16), or relu2_2, the layer of Johnson et al."""
_LAYOUTS = {"VGG-16": _VGG16, "VGG-19": _VGG19}

_OTHER_WAYS = "name a file with --vgg, or go on without it by --content-weight 0"

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in [0, 1]; torchvision's pre-processing
IMAGENET_STD = (0.229, 0.224, 0.225)
MATCONVNET_MEAN = (123.68, 116.779, 103.939)  # of RGB in [0, 255]; vgg.py of the authors' code

WINOGRAD_CHANNELS = 256
"""Ours: from so many channels on, a Winograd convolution's rounding errors are no larger than those of a plain sum.
With fewer channels they are, and where the inputs of a ReLU or a pooling nearly tie, a rounding error decides which
of them the gradient takes."""

# what torch's restricted unpickler raises on damaged bytes
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    BadZipFile,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


@dataclass(frozen=True)
class VggWeights:
    """Convolutions of a VGG network and how its input is prepared.

    Attributes:
        kernels: (out, in, 3, 3) float32 each, cross-correlation as torch has it.
        biases: (out,) float32 each.
        mean, scale: the network sees (rgb - mean) * scale, RGB in [0, 1], one value for each channel.
    """

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]


class Vgg(nn.Module):
    """A frozen VGG-16 or VGG-19 up to its last convolution, or up to relu2_2.

    Padding is zero and pooling windows at odd borders are kept (TensorFlow's SAME), as in the authors' code.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, weights: VggWeights, source: str, layer: ContentLayer = "last") -> None:
        super().__init__()
        self.name = _recognise(weights, source)
        self.layout = _LAYOUTS[self.name] if layer == "last" else _LAYOUTS[self.name][:_RELU2_2]
        self.layer = layer if layer != "last" else "relu5_4" if self.name == "VGG-19" else "relu5_3"
        self.convolutions = nn.ModuleList()
        count = sum(channels is not None for channels in self.layout)
        for kernel, bias in zip(weights.kernels[:count], weights.biases[:count], strict=True):
            deep = kernel.shape[1] >= WINOGRAD_CHANNELS
            convolution = (Conv3x3 if deep else partial(nn.Conv2d, kernel_size=3, padding=1))(*kernel.shape[1::-1])
            convolution.weight = nn.Parameter(kernel.clone(), requires_grad=False)
            convolution.bias = nn.Parameter(bias.clone(), requires_grad=False)
            self.convolutions.append(convolution)
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(weights.scale).view(1, 3, 1, 1))
        self.eval()

    def features(self, photos: Tensor) -> Tensor:
        """Activations of the last convolution after its ReLU.

        (N, 3, H, W) RGB, nominally in [0, 1], to (N, 512, ceil(H/16), ceil(W/16)), or up to relu2_2 to
        (N, 128, ceil(H/2), ceil(W/2)), computed in the
        network's own type whatever that of `photos`. Gradients flow to `photos` only.
        """
        # always in the weights' own precision: bf16 changes the gradient of the content loss by 14 to 22 % (genuine
        # patches, VGG-16), far beyond the 1 % that mixed precision may cost here
        with torch.autocast(photos.device.type, enabled=False):
            x = (photos.to(self.mean.dtype) - self.mean) * self.scale
            convolutions = iter(self.convolutions)
            for channels in self.layout:
                x = (
                    F.max_pool2d(x, 2, ceil_mode=True)
                    if channels is None
                    else F.relu(next(convolutions)(x), inplace=True)
                )
        return x

    def forward(self, photos: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(photos)


def load_vgg(path: str | Path | None = None, device: str | torch.device = "cpu", layer: ContentLayer = "last") -> Vgg:
    """Load a VGG from a file, or VGG-19 from torch's cache or PyTorch's model server.

    Args:
        path: torchvision's `.pth`, the MatConvNet `.mat` that the authors used, or an `.npz` with `convK.weight`
            and `convK.bias` (K from 0; torchvision's pre-processing). None: the torch hub cache, then a download
            whose hash is checked.
        device: where the network goes.
        layer: how much of it is needed.

    Raises:
        InputError: no such file, not one of the formats, other shapes, or no way to get the weights.
    """
    file = Path(path) if path is not None else _fetched_vgg19()
    if not file.is_file():
        raise InputError(
            f"{file}: no such VGG weights file; `{hint('models', '--fetch', 'vgg19')}` gets it, or {_OTHER_WAYS}"
        )
    readers = {".pth": _read_torchvision, ".pt": _read_torchvision, ".mat": _read_matconvnet, ".npz": _read_npz}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InputError(f"{file}: VGG weights are .pth (torchvision), .mat (MatConvNet) or .npz, not {file.suffix!r}")
    return Vgg(reader(file), str(file), layer).to(device)


def _fetched_vgg19() -> Path:
    try:
        return fetched(VGG19)
    except InputError as error:
        raise InputError(f"{error}, or {_OTHER_WAYS}") from error


def _read_torchvision(path: Path) -> VggWeights:
    """torchvision's state dict: `features.K.weight`, `features.K.bias`, the classifier left aside."""
    state = read_state(path)
    numbers = sorted(int(name.split(".")[1]) for name in state if _is_feature_weight(name))
    kernels = [state[f"features.{number}.weight"] for number in numbers]
    biases = [state.get(f"features.{number}.bias") for number in numbers]
    return _weights(path, kernels, biases)


def read_state(path: Path) -> dict[str, Any]:
    """Read a state dict that torch saved, tensors only; InputError if it is damaged or something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        reason = type(error).__name__  # torch's own words run over many lines
        raise InputError(f"{path}: not a whole file of torch weights ({reason}); fetch it again") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds a {type(state).__name__}, not a state dict")
    return state


def _is_feature_weight(name: object) -> bool:
    parts = str(name).split(".")
    return len(parts) == 3 and parts[0] == "features" and parts[1].isdigit() and parts[2] == "weight"


def _read_npz(path: Path) -> VggWeights:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: not a whole .npz file ({error}); fetch it again") from error
    count = sum(name.startswith("conv") and name.endswith(".weight") for name in arrays)
    kernels = [_tensor(arrays.get(f"conv{number}.weight")) for number in range(count)]
    biases = [_tensor(arrays.get(f"conv{number}.bias")) for number in range(count)]
    return _weights(path, kernels, biases)


def _read_matconvnet(path: Path) -> VggWeights:
    """`imagenet-vgg-verydeep-19.mat`: a list of layers, kernels (columns, rows, in, out) as the authors read them."""
    try:
        layers = scipy.io.loadmat(path)["layers"][0]
        found = [layer[0, 0]["weights"][0] for layer in layers if "weights" in layer.dtype.names]
    except (ValueError, KeyError, TypeError, IndexError, OSError, scipy.io.matlab.MatReadError) as error:
        raise InputError(f"{path}: not a MatConvNet VGG file ({error}); fetch it again") from error
    convolutions = [pair for pair in found if len(pair) == 2 and pair[0].ndim == 4 and pair[0].shape[:2] == (3, 3)]
    kernels = [_tensor(kernel.transpose(3, 2, 1, 0)) for kernel, _ in convolutions]
    biases = [_tensor(bias.reshape(-1)) for _, bias in convolutions]
    mean = tuple(value / 255 for value in MATCONVNET_MEAN)
    return _weights(path, kernels, biases, (mean[0], mean[1], mean[2]), (255.0, 255.0, 255.0))


def _tensor(array: np.ndarray | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(np.array(array, dtype=np.float32))


def _weights(
    path: Path,
    kernels: list[Tensor | None],
    biases: list[Tensor | None],
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    scale: tuple[float, float, float] = (1 / IMAGENET_STD[0], 1 / IMAGENET_STD[1], 1 / IMAGENET_STD[2]),
) -> VggWeights:
    whole = [(k.float(), b.float()) for k, b in zip(kernels, biases, strict=True) if k is not None and b is not None]
    if len(whole) < len(kernels):
        raise InputError(f"{path}: {len(kernels) - len(whole)} convolutions lack their weight or bias; fetch it again")
    return VggWeights(tuple(k for k, _ in whole), tuple(b for _, b in whole), mean, scale)


def _recognise(weights: VggWeights, source: str) -> str:
    found = [(tuple(k.shape), tuple(b.shape)) for k, b in zip(weights.kernels, weights.biases, strict=True)]
    for name, layout in _LAYOUTS.items():
        channels = [3, *(c for c in layout if c is not None)]
        expected = [((o, i, 3, 3), (o,)) for i, o in pairwise(channels)]
        if found == expected:
            return name
    raise InputError(f"{source}: {len(found)} convolutions whose shapes are neither VGG-16's (13) nor VGG-19's (16)")

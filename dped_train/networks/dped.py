"""The two networks of the paper: the enhancer and the discriminator (section 3.2, figure 7).

Both come in two forms. `instance` is what the authors' released training code and released
models use; `batch` is what the paper's text describes. Tensors are (N, C, H, W) float, photos
RGB in [0, 1]. Either memory format works; channels-last is the faster one on most machines.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dped_train.cpu import NORM_EPSILON, Conv3x3, RgbConv2d, instance_norm

Normalisation = Literal["instance", "batch"]
Padding = Literal["zeros", "reflect"]
Input = Literal["rgb", "raw"]
"""What an enhancer sees: a photo, or a packed mosaic, half as wide and as high, of four channels."""

REFLECTED_PX = 8  # ours: zeros beyond the border leave a frame of about 4 px; twice of it is reflected
CHANNELS = 64
BLOCKS = 4
OUTPUT_SCALE = 0.58  # the released code's: tanh * 0.58 + 0.5 reaches a little past [0, 1]
OUTPUT_OFFSET = 0.5
LEAKY_SLOPE = 0.2
INIT_STD = 0.01
INIT_BIAS = 0.01
GRAY_WEIGHTS = (0.2989, 0.5870, 0.1140)  # tf.image.rgb_to_grayscale
# (output channels, kernel, stride) of the discriminator's convolutions; section 3.2, figure 7
DISCRIMINATOR_LAYERS = ((48, 11, 4), (128, 5, 2), (192, 3, 1), (192, 3, 1), (128, 3, 2))
DISCRIMINATOR_UNITS = 1024


class InstanceNorm(nn.Module):
    """`instance_norm` with its scale and shift, both (C,)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, relu: bool = False, skip: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to the same shape; see `instance_norm`."""
        return instance_norm(x, self.weight, self.bias, relu=relu, skip=skip)


class BatchNorm(nn.BatchNorm2d):
    """Torch's batch normalisation with the same optional ReLU and addition behind it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPSILON)

    def forward(self, input: Tensor, relu: bool = False, skip: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to the same shape: scale and shift, then the ReLU, then the addition of `skip`."""
        x = super().forward(input)
        x = F.relu(x, inplace=True) if relu else x
        return x if skip is None else x + skip


def _normalise(kind: Normalisation, channels: int) -> InstanceNorm | BatchNorm:
    return InstanceNorm(channels) if kind == "instance" else BatchNorm(channels)


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions; the ReLU of the second comes before the addition."""

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        self.conv1 = Conv3x3(CHANNELS, CHANNELS)
        self.norm1 = _normalise(normalisation, CHANNELS)
        self.conv2 = Conv3x3(CHANNELS, CHANNELS)
        self.norm2 = _normalise(normalisation, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x), relu=True)
        result: Tensor = self.norm2(self.conv2(y), relu=True, skip=x)
        return result


class Enhancer(nn.Module):
    """The image transformation network: phone photo in, DSLR-like photo out.

    `forward` maps (N, 3, H, W) float RGB in [0, 1] to the same shape, any H and W from 1 up.
    The result is not clipped: it lies in [-0.08, 1.08]. With `instance` the result depends on
    the whole photo, because the statistics are taken over all of it.

    With `input` "raw" it maps a packed mosaic (N, 4, H, W), R, G1, G2, B as `mosaic_codes` has them, to the photo
    (N, 3, 2H, 2W): its first layer sees four channels, its last one makes the 2x2 pixels of each place. Ours: all else
    is the same, at half the size.

    With `padding` "zeros" each convolution sees zeros beyond the border, as the authors' does, which leaves a frame.
    With "reflect" the photo goes in with `REFLECTED_PX` more pixels on each side, its own mirrored, cut off at the
    end.
    """

    def __init__(
        self, normalisation: Normalisation = "instance", padding: Padding = "zeros", input: Input = "rgb"
    ) -> None:
        super().__init__()
        self.normalisation: Normalisation = normalisation
        self.padding: Padding = padding
        self.input: Input = input
        self.head = nn.Conv2d(4 if input == "raw" else 3, CHANNELS, 9, padding=4)
        self.blocks = nn.ModuleList(ResidualBlock(normalisation) for _ in range(BLOCKS))
        self.body1 = Conv3x3(CHANNELS, CHANNELS)
        self.body2 = Conv3x3(CHANNELS, CHANNELS)
        self.tail = RgbConv2d(CHANNELS, 3 * self.scale**2)

    @property
    def scale(self) -> int:
        """How many pixels of the result lie on the side of one place of the input."""
        return 2 if self.input == "raw" else 1

    def residual_blocks(self) -> list[ResidualBlock]:
        """The blocks in their order, typed."""
        return [block for block in self.blocks if isinstance(block, ResidualBlock)]

    @property
    def margin_px(self) -> int:
        """By how many pixels a photo is widened on each side before it goes through the layers."""
        return REFLECTED_PX if self.padding == "reflect" else 0

    def forward(self, photo: Tensor) -> Tensor:
        margin = self.margin_px
        if margin:
            rows, columns = (reflection(size, margin, photo.device) for size in photo.shape[2:])
            photo = photo.index_select(2, rows).index_select(3, columns)
        x = F.relu(self.head(photo), inplace=True)
        for block in self.blocks:
            x = block(x)
        x = F.relu(self.body2(F.relu(self.body1(x), inplace=True)), inplace=True)
        x = self.tail(x)
        x = x[:, :, margin:-margin, margin:-margin] if margin else x
        # bf16 has 8 bits, so it would round the photo to coarser levels than a file's
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        made = torch.tanh(wide) * OUTPUT_SCALE + OUTPUT_OFFSET
        return F.pixel_shuffle(made, self.scale) if self.scale > 1 else made


def reflection(size: int, margin: int, device: torch.device) -> Tensor:
    """Which of `size` rows stand where there are `margin` more on each side, mirrored at the outermost.

    (size + 2 margin,) int64. However small the size is: the mirror image is mirrored again.
    """
    places = torch.arange(-margin, size + margin, device=device)
    last = torch.arange(size, device=device)[-1:]  # a tensor, so that exports for any size can be written
    return last - (places.remainder((2 * last).clamp(min=1)) - last).abs()


def gray_from_rgb(rgb: Tensor) -> Tensor:
    """Luma of (N, 3, H, W) RGB as (N, 1, H, W), with TensorFlow's weights as the authors use."""
    red, green, blue = GRAY_WEIGHTS
    return rgb[:, 0:1] * red + rgb[:, 1:2] * green + rgb[:, 2:3] * blue


class SameConv2d(nn.Conv2d):
    """A strided convolution with TensorFlow's SAME padding.

    The output is ceil(size / stride) wide; when the padding is odd the extra row and column go
    to the bottom and right, which torch's symmetric padding cannot express.
    """

    def forward(self, input: Tensor) -> Tensor:
        vertical = _same_padding(input.shape[2], self.kernel_size[0], self.stride[0])
        horizontal = _same_padding(input.shape[3], self.kernel_size[1], self.stride[1])
        padded = F.pad(input, (*horizontal, *vertical))
        return F.conv2d(padded, self.weight, self.bias, self.stride)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Discriminator(nn.Module):
    """Tells enhanced patches from DSLR patches by their grayscale texture.

    `forward` maps (N, 3, S, S) RGB in [0, 1], or (N, 1, S, S) gray, with S = `patch_size`, to
    logits. `outputs=2` is the released code's form: softmax over (DSLR, enhanced); `outputs=1`
    the paper's: sigmoid, the probability of DSLR. Every convolution is followed by a leaky ReLU
    and then by the normalisation; with `instance` the first is not normalised (released code),
    with `batch` all five are (section 3.2).
    """

    def __init__(
        self,
        normalisation: Normalisation = "instance",
        patch_size: int = 100,
        outputs: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        self.normalisation: Normalisation = normalisation
        self.patch_size = patch_size
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        channels, size = 1, patch_size
        for layer, (filters, kernel, stride) in enumerate(DISCRIMINATOR_LAYERS):
            self.convolutions.append(SameConv2d(channels, filters, kernel, stride))
            plain = layer == 0 and normalisation == "instance"
            self.norms.append(nn.Identity() if plain else _normalise(normalisation, filters))
            channels, size = filters, -(-size // stride)
        self.hidden = nn.Linear(channels * size * size, DISCRIMINATOR_UNITS)
        self.output = nn.Linear(DISCRIMINATOR_UNITS, outputs)

    @property
    def first(self) -> nn.Conv2d:
        """The layer that sees the patches."""
        layer = self.convolutions[0]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, patches: Tensor) -> Tensor:
        x = patches if patches.shape[1] == 1 else gray_from_rgb(patches)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(F.leaky_relu(convolution(x), LEAKY_SLOPE))
        # rows, columns, channels: the order in which TensorFlow flattens, kept so that the
        # released code's weights of this layer mean the same here
        flat = x.permute(0, 2, 3, 1).flatten(1)
        return self.output(F.leaky_relu(self.hidden(flat), LEAKY_SLOPE))


def initialise(module: nn.Module, seed: int) -> None:
    """Set all weights of `module` in place as the released code does; same seed, same weights.

    Weights: normal with standard deviation 0.01, redrawn beyond two deviations. Biases 0.01.
    Normalisations: scale 1, shift 0. (models.py of the authors' code; the paper states nothing.)
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                drawn = torch.empty_like(part.weight, device="cpu", dtype=torch.float32)
                nn.init.trunc_normal_(drawn, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD, generator=generator)
                part.weight.copy_(drawn)
                if part.bias is not None:
                    part.bias.fill_(INIT_BIAS)
            elif isinstance(part, nn.BatchNorm2d):
                part.reset_parameters()
            elif isinstance(part, InstanceNorm):
                part.weight.fill_(1.0)
                part.bias.fill_(0.0)

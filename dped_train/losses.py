"""The four losses of the enhancer, the discriminator's loss, and the two recipes that weigh them.

Section 3.1 of the paper and `train_model.py` of the authors' code (github.com/aiff22/DPED) disagree in more than the
weights; `PAPER` and `RELEASED` state every difference. Photos are (N, 3, H, W) float RGB in [0, 1]; every loss is a
scalar tensor, computed in float32 under autocast too.

Each loss is a sum over patches divided by `batch_size` (or by nothing), so that a batch may be worked through in
parts: give every part the size of the whole batch and add the results, gradients included. With instance
normalisation that equals one pass over the batch up to rounding, and needs a fraction of the memory.

Where a dataset has masks, pixels that are not valid are left out: `leave_out` puts the DSLR's pixels in the place of
the enhanced ones, so that both halves are equal there, and the total variation passes over pairs of neighbours of
which one is not valid. No gradient reaches the enhanced pixels there, from any loss. Sums are divided as before, so
that what is left weighs what it weighed.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from math import log
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dped_train.networks.dped import Normalisation
from dped_train.networks.vgg import ContentLayer, Vgg
from dped_train.photo_tensors import placed

ColourKernel = Literal["paper", "released"]
Adversary = Literal["sigmoid", "softmax"]

BLUR_SIZE = 21  # released code; the paper gives none, and its kernel is below 1e-8 beyond
PAPER_BLUR_AMPLITUDE = 0.053  # equation 4
PAPER_BLUR_SIGMA = 3.0
RELEASED_BLUR_SIGMAS = 3.0  # the released kernel spans this many of its "standard deviations" to each side
SMALLEST_PROBABILITY = 1e-10  # the released code clips predictions there before the logarithm


@dataclass(frozen=True)
class Recipe:
    """How the losses are put together and the networks trained.

    Attributes:
        name: `paper` or `released`.
        content_weight, texture_weight, colour_weight, tv_weight: factors of the four losses in the total.
        colour_kernel: the blur of the colour loss, see `blur_kernel`.
        colour_factor: the colour loss is this times the squared distance of each patch; so is the squared error.
        adversary: `sigmoid`: one logit; the generator minimises -log D, averaged over the batch (equation 5).
            `softmax`: two logits; the generator minimises log(1 - D), which saturates, summed over the batch.
        shown: what a discriminator step sees of each pair: `both` photos, or `either` by a fair coin.
        pretrain_discriminator: whether it first learns to tell phone patches from DSLR patches (section 3.1.2).
        normalisation: of both networks.
        mse_weight: factor of the squared error in the total; neither recipe uses it, table 3 and Dong et al. do.
        content_layer: where the content loss looks: VGG's last layer, or the one of Johnson et al.
    """

    name: Literal["paper", "released"]
    content_weight: float
    texture_weight: float
    colour_weight: float
    tv_weight: float
    colour_kernel: ColourKernel
    colour_factor: float
    adversary: Adversary
    shown: Literal["both", "either"]
    pretrain_discriminator: bool
    normalisation: Normalisation
    mse_weight: float = 0.0
    content_layer: ContentLayer = "last"

    def weight(self, loss: str) -> float:
        """The factor of one of `LOSSES` in the total."""
        return float(getattr(self, f"{loss}_weight"))

    @property
    def discriminator_outputs(self) -> Literal[1, 2]:
        """The number of logits that the discriminator needs for this adversary."""
        return 1 if self.adversary == "sigmoid" else 2


PAPER = Recipe(
    name="paper",
    content_weight=1.0,  # equation 8
    texture_weight=0.4,
    colour_weight=0.1,
    tv_weight=400.0,
    colour_kernel="paper",
    colour_factor=1.0,  # equation 2
    adversary="sigmoid",
    shown="both",
    pretrain_discriminator=True,
    normalisation="batch",
)
RELEASED = Recipe(
    name="released",
    content_weight=10.0,
    texture_weight=1.0,
    colour_weight=0.5,
    tv_weight=2000.0,
    colour_kernel="released",
    colour_factor=0.5,
    adversary="softmax",
    shown="either",
    pretrain_discriminator=False,
    normalisation="instance",
)
RECIPES = {recipe.name: recipe for recipe in (PAPER, RELEASED)}


@dataclass(frozen=True)
class GeneratorLosses:
    """The unweighted losses of the enhancer and their weighted sum, scalar tensors."""

    content: Tensor
    texture: Tensor
    colour: Tensor
    tv: Tensor
    mse: Tensor
    total: Tensor


TOTAL = "total"
LOSSES = tuple(field.name for field in fields(GeneratorLosses) if field.name != TOTAL)
"""The losses by name: the weight of each is NAME_weight in recipe and settings, its column in the log NAME."""


def generator_losses(
    enhanced: Tensor,
    dslr: Tensor,
    *,
    recipe: Recipe,
    discriminator: Callable[[Tensor], Tensor],
    vgg: Vgg | None,
    dslr_features: Tensor | None = None,
    batch_size: int | None = None,
    valid: Tensor | None = None,
) -> GeneratorLosses:
    """All losses of the enhancer for (a part of) a batch; equation 8 with the weights of `recipe`.

    Args:
        enhanced: (N, 3, S, S), what the enhancer made of the phone patches, with gradient.
        dslr: (N, 3, S, S), the DSLR patches.
        recipe: weights and forms.
        discriminator: gives the logits of enhanced patches, as it stands; call `backward(inputs=...)` with the
            enhancer's parameters, then no gradient of the discriminator's weights is computed.
        vgg: the network of the content loss, or None where its weight is 0. A loss of weight 0 is not computed.
        dslr_features: `vgg.features(dslr)` where it is known already; otherwise computed here, without gradient.
        batch_size: patches in the whole batch where these are a part of it; None: N.
        valid: (N, S, S) bool, which pixels count; None: all.
    """
    count = enhanced.shape[0] if batch_size is None else batch_size
    enhanced = leave_out(enhanced, dslr, valid)
    zero = enhanced.new_zeros((), dtype=torch.float32)
    content, texture, mse = zero, zero, zero
    if vgg is not None and recipe.content_weight > 0:
        if dslr_features is None:
            with torch.no_grad():
                dslr_features = vgg.features(dslr)
        content = content_loss(vgg.features(enhanced), dslr_features, count)
    if recipe.texture_weight > 0:
        texture = texture_loss(discriminator(enhanced), recipe.adversary, count)
    colour = colour_loss(enhanced, dslr, recipe.colour_kernel, recipe.colour_factor, count)
    tv = total_variation_loss(enhanced, count, valid)
    if recipe.mse_weight > 0:
        mse = squared_error(enhanced, dslr, recipe.colour_factor, count)
    parts = {"content": content, "texture": texture, "colour": colour, "tv": tv, "mse": mse}
    total = sum((recipe.weight(name) * parts[name] for name in LOSSES), start=zero)
    return GeneratorLosses(**parts, total=total)


def leave_out(photos: Tensor, dslr: Tensor, valid: Tensor | None) -> Tensor:
    """Photos (N, 3, S, S) with the pixels of `dslr` where valid (N, S, S) is False; with None as they are."""
    return photos if valid is None else torch.where(valid[:, None], photos, dslr.to(photos.dtype))


def content_loss(enhanced_features: Tensor, dslr_features: Tensor, batch_size: int | None = None) -> Tensor:
    """Equation 6: sum over (C, h, w) of squared feature differences / (C h w), averaged over the batch.

    The paper prints the norm without a square; the released code squares it, as the loss it follows (Johnson et al.,
    Perceptual losses, equation 2) does, and so do both recipes: unsquared it would hardly weigh anything.
    """
    per_patch = enhanced_features[0].numel()
    count = enhanced_features.shape[0] if batch_size is None else batch_size
    return _sum_of_squares(_widened(enhanced_features) - _widened(dslr_features)) / (per_patch * count)


def colour_loss(
    enhanced: Tensor, dslr: Tensor, kernel: ColourKernel, factor: float, batch_size: int | None = None
) -> Tensor:
    """Equations 2 to 4: `factor` times the squared distance of the blurred patches, averaged over the batch.

    The sum runs over all pixels and channels of a patch (it grows with the patch's area); beyond the border the
    photos count as zero. The blur is linear, so one blur of the difference does.
    """
    count = enhanced.shape[0] if batch_size is None else batch_size
    return factor * _sum_of_squares(blur(_widened(enhanced) - _widened(dslr), kernel)) / count


def squared_error(enhanced: Tensor, dslr: Tensor, factor: float, batch_size: int | None = None) -> Tensor:
    """The colour loss without its blur: `factor` times the squared distance of the patches, averaged over the batch.

    Table 3 puts the "MSE" in the place of the colour loss without a weight; in the same form it weighs the same.
    """
    count = enhanced.shape[0] if batch_size is None else batch_size
    return factor * _sum_of_squares(_widened(enhanced) - _widened(dslr)) / count


def texture_loss(enhanced_logits: Tensor, adversary: Adversary, batch_size: int | None = None) -> Tensor:
    """The generator's side of the adversarial game, from the discriminator's logits for enhanced patches.

    `sigmoid`: mean of -log D (equation 5). `softmax`: sum over the batch of log(1 - D), clipped at log(1e-10), where
    the gradient ends: minus the discriminator's loss, as the released code has it.
    """
    logits = _widened(enhanced_logits)
    if adversary == "sigmoid":
        count = logits.shape[0] if batch_size is None else batch_size
        return F.softplus(-logits).sum() / count
    return _clipped_log_softmax(logits)[:, 1].sum()


def discriminator_loss(logits: Tensor, is_dslr: Tensor, adversary: Adversary, batch_size: int | None = None) -> Tensor:
    """Cross-entropy of the discriminator's verdicts.

    Args:
        logits: (N, 1) or (N, 2) for the patches shown.
        is_dslr: (N,) bool, True where the DSLR patch was shown.
        adversary: `sigmoid` averages over the patches shown, `softmax` sums, clipped at log(1e-10), as released.
        batch_size: patches shown in the whole batch where these are a part of it; None: N.
    """
    logits = _widened(logits)
    if adversary == "sigmoid":
        count = logits.shape[0] if batch_size is None else batch_size
        return F.binary_cross_entropy_with_logits(logits[:, 0], is_dslr.to(logits.dtype), reduction="sum") / count
    column = 1 - is_dslr.long()  # column 0 is DSLR, column 1 is enhanced
    return -_clipped_log_softmax(logits).gather(1, column[:, None]).sum()


def discriminator_accuracy(logits: Tensor, is_dslr: Tensor) -> Tensor:
    """Share of the patches shown that the discriminator took for what they are, in [0, 1]."""
    taken_for_dslr = logits[:, 0] > 0 if logits.shape[1] == 1 else logits[:, 0] >= logits[:, 1]
    return (taken_for_dslr == is_dslr).float().mean()


def total_variation_loss(enhanced: Tensor, batch_size: int | None = None, valid: Tensor | None = None) -> Tensor:
    """Equation 7: mean squared difference of horizontal neighbours plus that of vertical ones.

    Means over all channels and neighbour pairs of a patch, averaged over the batch. The paper divides by C H W and
    prints no square; this is the released code's form in both recipes (1 % apart for patches of 100 pixels; its
    weight of 400 against 2000 stands in the same ratio as that of the colour loss, so both had the same form). Pairs of
    which one pixel is not `valid` (N, S, S) count as equal.
    """
    count = enhanced.shape[0] if batch_size is None else batch_size
    photos = _widened(enhanced)
    across = photos[:, :, :, 1:] - photos[:, :, :, :-1]
    down = photos[:, :, 1:, :] - photos[:, :, :-1, :]
    if valid is not None:
        across = across * (valid[:, None, :, 1:] & valid[:, None, :, :-1])
        down = down * (valid[:, None, 1:, :] & valid[:, None, :-1, :])
    return (_sum_of_squares(across) / across[0].numel() + _sum_of_squares(down) / down[0].numel()) / count


def blur(photos: Tensor, kernel: ColourKernel) -> Tensor:
    """Blur (N, C, H, W) float with zeros beyond the border, gradient included.

    Done as one banded matrix on each side of the photo: for patches of 100 pixels that is many times faster than a
    depthwise convolution, forward and backward.
    """
    with torch.autocast(photos.device.type, enabled=False):
        rows = _blur_matrix(kernel, photos.shape[2], photos.device, photos.dtype)
        columns = _blur_matrix(kernel, photos.shape[3], photos.device, photos.dtype)
        return rows @ photos.contiguous() @ columns


def blur_kernel(kind: ColourKernel) -> Tensor:
    """The blur of the colour loss in one direction, (21,) float64; the outer product with itself is the 2-D kernel.

    `paper`: equation 4 as printed, A exp(-k^2 / 2 sigma) with A = 0.053 and sigma = 3. A is 1 / (2 pi 3), so sigma
    is the variance: the standard deviation is 1.73 px. `released`: the square root of the normal distribution's mass
    in 21 bins over 3.5 of its standard deviations (3 px) to each side, normalised: about 4.2 px.
    """
    if kind == "paper":
        offsets = torch.arange(BLUR_SIZE, dtype=torch.float64) - BLUR_SIZE // 2
        return PAPER_BLUR_AMPLITUDE**0.5 * torch.exp(-(offsets**2) / (2 * PAPER_BLUR_SIGMA))
    half_bin = (2 * RELEASED_BLUR_SIGMAS + 1) / BLUR_SIZE / 2
    edge = RELEASED_BLUR_SIGMAS + half_bin
    mass = torch.special.ndtr(torch.linspace(-edge, edge, BLUR_SIZE + 1, dtype=torch.float64)).diff()
    root = mass.sqrt()
    return root / root.sum()


@lru_cache(maxsize=16)
def _blur_matrix(kind: ColourKernel, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(size, size), symmetric: entry [i, j] is the kernel at i - j."""
    taps = blur_kernel(kind)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for index, tap in enumerate(taps.tolist()):
        offset = index - BLUR_SIZE // 2
        if abs(offset) < size:
            matrix.diagonal(offset).fill_(tap)
    return placed(matrix.to(dtype), device)


def _clipped_log_softmax(logits: Tensor) -> Tensor:
    return F.log_softmax(logits, dim=1).clamp(min=log(SMALLEST_PROBABILITY))


def _widened(values: Tensor) -> Tensor:
    """Half-precision values as float32; float32 and float64 as they are."""
    return values if values.dtype == torch.float64 else values.float()


def _sum_of_squares(values: Tensor) -> Tensor:
    return values.square().sum()

"""How close enhanced patches are to their DSLR patches: PSNR, SSIM, MS-SSIM, LPIPS.

All take two (N, 3, H, W) float RGB tensors in [0, 1] and return one value for each patch. They count values as they
are: round and clip first where a stored photo is meant. Sums run in float64; equal on any device.

`valid` (N, H, W) bool leaves pixels out: no metric depends on their values. Where a window or a layer's pixel sees some
of them, the second photo's stand for the first's, and it counts by the share of valid pixels that it sees.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

K1, K2 = 0.01, 0.03  # Wang et al., Image quality assessment, 2004; data range 1
SSIM_WINDOW = 7  # scikit-image's default: an even window, sample covariance
LUMA_WEIGHTS, LUMA_OFFSET = (65.481, 128.553, 24.966), 16.0  # ITU-R BT.601, 8 bits, of RGB in [0, 1]
MS_SSIM_WINDOW = 11
MS_SSIM_SIGMA = 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., Multiscale structural similarity, 2003


def mean_squared_error(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean squared difference of each patch, (N,) float64; NaN without a valid pixel."""
    _check_shapes(first, second)
    squares = (_doubled(first) - _doubled(second)).square()
    if valid is None:
        return squares.mean(dim=(1, 2, 3))
    counted = valid[:, None].to(squares.device)
    return torch.where(counted, squares, 0.0).mean(dim=1).sum(dim=(1, 2)) / counted.sum(dim=(1, 2, 3))


def psnr_from_mse(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite where the error is 0.

    The authors' figure for a batch is that of the batch's mean error: `psnr_from_mse(mean_squared_error(a, b).mean())`.
    """
    return -10 * torch.log10(mse)


def psnr(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each patch in dB, (N,) float64."""
    return psnr_from_mse(mean_squared_error(first, second, valid))


def filled(first: Tensor, second: Tensor, valid: Tensor | None) -> Tensor:
    """The first photos with the second's pixels where `valid` is False."""
    return first if valid is None else torch.where(valid[:, None], first, second.to(first.dtype))


def ssim(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """Structural similarity of each patch, (N,) float64, as scikit-image defines it.

    `skimage.metrics.structural_similarity(a, b, data_range=1, channel_axis=-1)`: windows of 7x7 with equal weights
    wholly inside the patch, sample covariance, mean over windows and channels. Raises ValueError under 7 px.
    """
    _check_shapes(first, second)
    if min(first.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"patches of {tuple(first.shape[2:])} px are smaller than SSIM's window of {SSIM_WINDOW}")
    samples = SSIM_WINDOW**2
    taps = torch.full((SSIM_WINDOW,), 1 / SSIM_WINDOW, dtype=torch.float64)
    first = filled(first, second, valid)
    luminance, structure = _similarity_maps(first, second, taps, samples / (samples - 1))
    return _mean(luminance * structure, taps, None if valid is None else _doubled(valid[:, None]))


def ssim_gaussian(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """Structural similarity of each patch, (N,) float64, as Wang et al. (2004) and the BasicSR family define it.

    A Gaussian window of 11 px and deviation 1.5 wholly inside the patch, mean over windows and channels. Raises
    ValueError under 11 px.
    """
    _check_shapes(first, second)
    if min(first.shape[2:]) < MS_SSIM_WINDOW:
        raise ValueError(f"patches of {tuple(first.shape[2:])} px are smaller than SSIM's window of {MS_SSIM_WINDOW}")
    taps = _gaussian_taps(MS_SSIM_WINDOW, MS_SSIM_SIGMA)
    luminance, structure = _similarity_maps(filled(first, second, valid), second, taps, 1.0)
    return _mean(luminance * structure, taps, None if valid is None else _doubled(valid[:, None]))


def luma(photos: Tensor) -> Tensor:
    """Y of ITU-R BT.601 as the BasicSR family takes it, (N, 1, H, W) float64 from 16/255 to 235/255."""
    weights = torch.tensor(LUMA_WEIGHTS, dtype=torch.float64).to(_doubled(photos).device)
    return ((_doubled(photos) * weights.view(1, 3, 1, 1)).sum(1, keepdim=True) + LUMA_OFFSET) / 255


def psnr_y(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """`psnr` of the luma."""
    return psnr(luma(first), luma(second), valid)


def ssim_y(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """`ssim_gaussian` of the luma."""
    return ssim_gaussian(luma(first), luma(second), valid)


@dataclass(frozen=True)
class MsSsimLevels:
    """What MS-SSIM is made of: mean SSIM and mean contrast-structure term, (N, 5) float64, finest scale first."""

    similarity: Tensor
    contrast: Tensor


def ms_ssim(first: Tensor, second: Tensor, valid: Tensor | None = None) -> Tensor:
    """Multi-scale structural similarity of each patch, (N,) float64, as the authors' evaluation computes it.

    See `ms_ssim_levels`. Their figure for a batch is `ms_ssim_of_batch`, which differs in the fourth digit.
    """
    return _combined(ms_ssim_levels(first, second, valid))


def ms_ssim_of_batch(first: Tensor, second: Tensor) -> Tensor:
    """The authors' MS-SSIM of a whole batch, scalar float64: terms averaged over the batch before they multiply."""
    levels = ms_ssim_levels(first, second)
    pooled = MsSsimLevels(levels.similarity.mean(0, keepdim=True), levels.contrast.mean(0, keepdim=True))
    return _combined(pooled)[0]


def ms_ssim_levels(first: Tensor, second: Tensor, valid: Tensor | None = None) -> MsSsimLevels:
    """The terms of MS-SSIM at five scales, each half the size of the one before (ssim.py of the authors' code).

    A Gaussian window of 11 px and deviation 1.5 wholly inside the patch, shrunk with its deviation where the patch
    is smaller; RGB channels are averaged; the halving is the mean of 2x2 pixels, with the last row or column
    repeated where the size is odd.
    """
    _check_shapes(first, second)
    photos = _doubled(torch.stack((filled(first, second, valid), second)))
    share = None if valid is None else _doubled(valid[None, :, None])
    similarity, contrast = [], []
    for _ in MS_SSIM_WEIGHTS:
        size = min(MS_SSIM_WINDOW, *photos.shape[3:])
        taps = _gaussian_taps(size, size * MS_SSIM_SIGMA / MS_SSIM_WINDOW)
        luminance, structure = _similarity_maps(photos[0], photos[1], taps, 1.0)
        seen = None if share is None else share[0]
        similarity.append(_mean(luminance * structure, taps, seen))
        contrast.append(_mean(structure, taps, seen))
        photos = _halved(photos)
        share = None if share is None else _halved(share)
    return MsSsimLevels(torch.stack(similarity, dim=1), torch.stack(contrast, dim=1))


def _combined(levels: MsSsimLevels) -> Tensor:
    """Contrast terms of all scales but the coarsest times the coarsest similarity, each to the power of its weight.

    A negative term (patches that contradict each other) counts as 0, where the authors' code gives NaN.
    """
    weights = torch.tensor(MS_SSIM_WEIGHTS, dtype=torch.float64, device=levels.contrast.device)
    terms = torch.cat((levels.contrast[:, :-1], levels.similarity[:, -1:]), dim=1)
    return terms.clamp(min=0).pow(weights).prod(dim=1)


def _similarity_maps(first: Tensor, second: Tensor, taps: Tensor, covariance_factor: float) -> tuple[Tensor, Tensor]:
    """SSIM's luminance term and its contrast-structure term, for every window position and channel."""
    first, second = _doubled(first), _doubled(second)
    rows = _window_matrix(taps, first.shape[2]).to(first.device)
    columns = _window_matrix(taps, first.shape[3]).to(first.device).T

    def mean(values: Tensor) -> Tensor:
        return rows @ values @ columns

    mean1, mean2 = mean(first), mean(second)
    variances = covariance_factor * (mean(first.square() + second.square()) - mean1.square() - mean2.square())
    covariance = covariance_factor * (mean(first * second) - mean1 * mean2)
    luminance = (2 * mean1 * mean2 + K1**2) / (mean1.square() + mean2.square() + K1**2)
    return luminance, (2 * covariance + K2**2) / (variances + K2**2)


def _mean(values: Tensor, taps: Tensor, share: Tensor | None) -> Tensor:
    """The mean (N,) of windows (N, C, h, w), each counting by the share of valid pixels (N, 1, H, W) in it."""
    if share is None:
        return values.mean(dim=(1, 2, 3))
    rows, columns = (_window_matrix(taps, size).to(share.device) for size in share.shape[2:])
    weight = rows @ share @ columns.T
    return (values.mean(dim=1, keepdim=True) * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))


def _window_matrix(taps: Tensor, size: int) -> Tensor:
    """(size - len(taps) + 1, size): row i holds the window that starts at pixel i."""
    positions = size - len(taps) + 1
    matrix = torch.zeros(positions, size, dtype=torch.float64)
    for offset, tap in enumerate(taps.tolist()):
        matrix.diagonal(offset).fill_(tap)
    return matrix


@lru_cache(maxsize=16)
def _gaussian_taps(size: int, sigma: float) -> Tensor:
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    taps = torch.exp(-(offsets**2) / (2 * sigma**2))
    return taps / taps.sum()


def _halved(photos: Tensor) -> Tensor:
    """Means of 2x2 pixels of (2, N, C, H, W); an odd last row or column stands for its missing neighbour too."""
    if photos.shape[3] % 2:
        photos = torch.cat((photos, photos[:, :, :, -1:]), dim=3)
    if photos.shape[4] % 2:
        photos = torch.cat((photos, photos[:, :, :, :, -1:]), dim=4)
    pairs = photos[:, :, :, ::2] + photos[:, :, :, 1::2]
    return (pairs[..., ::2] + pairs[..., 1::2]) / 4


def _doubled(values: Tensor) -> Tensor:
    """Values as float64, on the CPU where the device (Apple's GPU) has no float64."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _check_shapes(first: Tensor, second: Tensor) -> None:
    if first.ndim != 4 or first.shape != second.shape:
        raise ValueError(f"two (N, C, H, W) tensors of one shape are needed, not {first.shape} and {second.shape}")

"""Figure 6: how the squared error and the colour loss grow when a photo is compared with its own shifted copy."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.common.csv_tables import Formatted, csv_text
from dped_data.common.files import atomic_write_bytes, atomic_write_text
from dped_data.common.progress import progress
from dped_data.errors import InputError
from dped_train.losses import BLUR_SIZE, ColourKernel, blur, blur_kernel
from dped_train.photo_tensors import photos_from_bytes

MARGIN_PX = BLUR_SIZE // 2  # within it, the blur would see what lies outside the photo
LENGTH_TOLERANCE_PX = 0.25
LEAST_SIDE_PX = 8
AT_ONCE = 50
KERNELS: tuple[ColourKernel, ...] = ("released", "paper")


@dataclass(frozen=True)
class ShiftLosses:
    """The two losses against the shift, averaged over patches.

    Attributes:
        shift_px: from 0 on, pixels.
        mse: mean squared difference of the patches, values in [0, 1].
        colour: the same of the blurred patches, with the blur of the released code (standard deviation about 4.2 px).
        colour_paper: with the blur of equation 4 as it is printed (1.7 px).
        patches: how many patches were averaged.
    """

    shift_px: tuple[int, ...]
    mse: tuple[float, ...]
    colour: tuple[float, ...]
    colour_paper: tuple[float, ...]
    patches: int

    def ratio(self, shift_px: int) -> float:
        """How many times the squared error is larger than the colour loss at this shift."""
        place = self.shift_px.index(shift_px)
        return self.mse[place] / self.colour[place]

    def share(self, shift_px: int) -> float:
        """The colour loss at this shift, as a share of the squared error at the largest shift."""
        return self.colour[self.shift_px.index(shift_px)] / self.mse[-1]


def shift_losses(photos: NDArray[np.uint8], largest_px: int, seed: int) -> ShiftLosses:
    """Measure figure 6 on patches (N, S, S, 3) uint8.

    Each patch is compared with itself, shifted by n pixels in a direction of its own: among the whole-pixel shifts
    whose length lies within a quarter of a pixel of n, as interpolation would blur, too. Both losses are means over
    the same inner pixels, which neither the shift nor the blur takes from outside the patch.

    Raises:
        InputError: the patches are too small for such shifts.
    """
    side = photos.shape[1] - 2 * (largest_px + MARGIN_PX)
    if side < LEAST_SIDE_PX:
        raise InputError(
            f"patches of {photos.shape[1]} px leave {side} px for shifts of {largest_px}; "
            f"--largest-shift-px {(photos.shape[1] - LEAST_SIDE_PX) // 2 - MARGIN_PX} is the most"
        )
    rng = np.random.default_rng(seed)
    sums = np.zeros((1 + len(KERNELS), largest_px + 1))
    starts = range(0, len(photos), AT_ONCE)
    for start in progress(starts, total=len(starts), label="figure 6", unit="batch"):
        batch = photos_from_bytes(photos[start : start + AT_ONCE], torch.device("cpu"))
        for shift in range(1, largest_px + 1):
            sums[:, shift] += _losses(batch, _shifts(shift, len(batch), rng), largest_px)
    mse, released, paper = (tuple(float(v) for v in row / len(photos)) for row in sums)
    return ShiftLosses(tuple(range(largest_px + 1)), mse, released, paper, len(photos))


def write_shift_csv(path: Path, losses: ShiftLosses) -> None:
    """Write the curves: shift_px, mse, colour, colour_paper, ratio of the first two."""
    rows: list[list[object]] = []
    for shift, mse, colour, paper in zip(losses.shift_px, losses.mse, losses.colour, losses.colour_paper, strict=True):
        ratio = f"{mse / colour:.6g}" if colour else ""
        rows.append([shift, *(Formatted(text) for text in (f"{mse:.6g}", f"{colour:.6g}", f"{paper:.6g}", ratio))])
    atomic_write_text(path, csv_text(["shift_px", "mse", "colour", "colour_paper", "ratio"], rows))


def write_shift_plot(path: Path, losses: ShiftLosses) -> None:
    """Draw figure 6 as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "dped"  # the same curves give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.plot(losses.shift_px, losses.mse, color="#b2182b", marker="o", markersize=3, label="MSE")
    axes.plot(losses.shift_px, losses.colour, color="#2166ac", marker="o", markersize=3, label="colour loss (released)")
    axes.plot(losses.shift_px, losses.colour_paper, color="#2166ac", linestyle="--", label="colour loss (equation 4)")
    axes.set_xlabel("shift between the images, pixels")
    axes.set_ylabel("mean squared difference")
    axes.set_xlim(0, losses.shift_px[-1])
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    data = io.BytesIO()
    figure.savefig(data, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    atomic_write_bytes(path, data.getvalue())


def shift_text(losses: ShiftLosses) -> str:
    """What the curves show, held against what the paper says of figure 6."""
    ratios = ", ".join(f"{losses.ratio(shift):.1f} at {shift} px" for shift in (1, 2, 3, 4, 5, losses.shift_px[-1]))
    sigma = float(torch.sqrt((blur_kernel("released") * torch.arange(-MARGIN_PX, MARGIN_PX + 1) ** 2).sum()))
    return (
        f"Figure 6, {losses.patches} patches: at a shift of 2 px the colour loss is {losses.share(2):.1%} of the "
        f"squared error at {losses.shift_px[-1]} px (the paper: nearly insensitive up to 2 px).\n"
        f"  The squared error is larger than the colour loss by a factor of {ratios} (the paper: 5 to 10 at 3 to 5 "
        f"px, similar magnitude far out). Blur of the released code, standard deviation {sigma:.1f} px."
    )


def _losses(batch: torch.Tensor, shifts_xy: NDArray[np.int64], largest_px: int) -> NDArray[np.float64]:
    """Sums over the batch of the patches' mean squared differences: plain, then after each blur."""
    side = batch.shape[2] - 2 * largest_px
    difference = torch.empty((*batch.shape[:2], side, side))
    inner = slice(largest_px, largest_px + side)
    for place, (x, y) in enumerate((shifts_xy + largest_px).tolist()):
        difference[place] = batch[place, :, inner, inner] - batch[place, :, y : y + side, x : x + side]
    seen = slice(MARGIN_PX, difference.shape[2] - MARGIN_PX)
    every = (difference, *(blur(difference, kernel) for kernel in KERNELS))
    return np.array([float(d[:, :, seen, seen].square().mean(dim=(1, 2, 3)).sum()) for d in every])


def _shifts(length_px: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole-pixel shifts (count, 2) of about this length, in random directions."""
    reach = np.arange(-length_px, length_px + 1)
    grid = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2)
    allowed = grid[np.abs(np.hypot(*grid.T) - length_px) <= LENGTH_TOLERANCE_PX]
    return allowed[rng.integers(len(allowed), size=count)]

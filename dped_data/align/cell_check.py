"""Does every cell of a patch show in one half what it shows in the other? Asked of the pixels as stored."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.displaced_content import (
    LEAST_NOISE,
    LEVELS,
    MARGIN,
    SMOOTHED_NOISE,
    WORTH_SEARCHING,
    displaced_content,
)

MOST_UNEXPLAINED_CELLS = 0.05
"""Share of the cells that may be left unexplained beyond what is usual for the two photos. Ours: an eighth of a
patch's side squared is 2 %."""

USUAL_FACTOR, USUAL_QUANTILE = 8.0, 0.4
"""So many times the photos' patch at this quantile is still usual: where most patches are not explained, it is the
noise that is not as assumed, in dark photos, or the sensors' colours. Ours: 3 times cost rendered rigs 3 % of their
windows; the median let whole scenes with two contents a patch pass as usual."""

NOISE_BLOCK, NOISE_QUANTILE, LEAST_BLOCKS = 6, 0.2, 30
"""Noise at a grey level is that of the smoothest fifth of its blocks of this side, from so many blocks on. Ours."""

LEAST_VARIANCE = LEAST_NOISE / SMOOTHED_NOISE
"""What each photo's pixels are taken to have at least, grey levels squared: smooth blocks of a dark photo show no
noise, only steps, and a gain that makes it as bright as the other photo raises their rounding with it. Ours."""

NOISE_PATCHES = 64
"""Patches that the noise is measured on. Ours: thousands of blocks."""


def cells_disagree(
    phone: NDArray[np.uint8], corner_xy: NDArray[np.int32], phone_patches: NDArray[np.uint8], dslr: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Return (N,) whether cells of a patch are explained by no gain and offset, or far better at another place.

    What counts as usual is told by the patches given: all of one pair of photos.

    Args:
        phone: (H, W, 3) uint8 RGB photo.
        corner_xy, phone_patches: (N, 2), (N, S, S, 3) patches cut from it.
        dslr: (N, S, S, 3) uint8 RGB, the other halves.
    """
    if not len(dslr):
        return np.zeros(0, np.bool_)
    size = dslr.shape[1]
    margins = (MARGIN,) * 4
    grey = cv2.copyMakeBorder(cv2.cvtColor(phone, cv2.COLOR_RGB2GRAY), *margins, cv2.BORDER_REPLICATE)
    around = np.stack([grey[y : y + size + 2 * MARGIN, x : x + size + 2 * MARGIN] for x, y in corner_xy])
    inner = around[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    dslr_grey = cv2.cvtColor(dslr.reshape(-1, size, 3), cv2.COLOR_RGB2GRAY).reshape(-1, size, size)
    every = -(-len(dslr) // NOISE_PATCHES)
    unexplained, evidence = displaced_content(
        around, dslr_grey, noise_by_level(inner[::every]), noise_by_level(dslr_grey[::every])
    )
    most = MOST_UNEXPLAINED_CELLS + USUAL_FACTOR * float(np.quantile(unexplained, USUAL_QUANTILE))
    disagree: NDArray[np.bool_] = unexplained > most
    return disagree | (evidence > WORTH_SEARCHING + USUAL_FACTOR * float(np.median(evidence)))


def noise_by_level(patches: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (LEVELS,) the variance of the pixels' noise by grey level, LEAST_VARIANCE at least.

    From second differences both ways.

    Args:
        patches: (N, S, S) luminance.
    """
    grey = patches.astype(np.int16)
    bend = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    bend = bend[:, :, :-2] - 2 * bend[:, :, 1:-1] + bend[:, :, 2:]
    power = _block_means(np.multiply(bend, bend, dtype=np.int32)).ravel() / 36
    halves = np.floor(_block_means(grey[:, 1:-1, 1:-1]).ravel() / (128 / LEVELS)).astype(np.uint8)  # steps by halves
    power = power[np.argsort(halves, kind="stable")]
    before = np.concatenate(([0], np.cumsum(np.bincount(halves, minlength=2 * LEVELS))))
    known, noise = [], []
    for k in range(LEVELS):  # half a step more on either side
        near = power[before[max(2 * k - 1, 0)] : before[min(2 * k + 3, 2 * LEVELS)]]
        if len(near) >= LEAST_BLOCKS:
            known.append(k)
            noise.append(_quantile(near, NOISE_QUANTILE))
    if not known:
        return np.full(LEVELS, max(_quantile(power, NOISE_QUANTILE), LEAST_VARIANCE))
    return np.maximum(np.interp(np.arange(LEVELS), known, noise), LEAST_VARIANCE)


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return the quantile as numpy's does, to the last digit, without its overhead."""
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    ordered = np.partition(values, (low, high))
    step, part = ordered[high] - ordered[low], at - low
    return float(ordered[low] + step * part if part < 0.5 else ordered[high] - step * (1 - part))


def _block_means(values: NDArray[Any]) -> NDArray[np.float64]:
    count, size = len(values), values.shape[1] // NOISE_BLOCK
    whole = values[:, : size * NOISE_BLOCK, : size * NOISE_BLOCK]
    rows = whole.reshape(count, size, NOISE_BLOCK, -1).sum(axis=2, dtype=np.int32)
    blocks: NDArray[np.float64] = rows.reshape(count, size, size, NOISE_BLOCK).sum(axis=3) / NOISE_BLOCK**2
    return blocks

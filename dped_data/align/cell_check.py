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
    STANDS_OUT,
    displaced_content,
    evidence_at,
)

MOST_UNEXPLAINED_CELLS = 0.05
"""Share of the cells that may be left unexplained beyond what is usual for the two photos. Ours: an eighth of a
patch's side squared is 2 %."""

USUAL_FACTOR, USUAL_QUANTILE = 8.0, 0.4
"""So many times the photos' patch at this quantile is still usual: where most patches are not explained, it is the
noise that is not as assumed, in dark photos, or the sensors' colours. Ours: 3 times cost rendered rigs 3 % of their
windows; the median let whole scenes with two contents a patch pass as usual."""

MOST_EVIDENCE = 12.0
"""Log likelihood ratio for another displacement, beyond what is usual, that may be left, though it speaks for many
displacements: a window may lie wrong as a whole. Ours: below 12 sound windows of real and rendered pairs fall."""

NEAR_SIDES = 2.2
"""What lies elsewhere within so many window sides may reach into a window. Ours: as rivals do."""

SHARED_EVIDENCE, USUAL_SHARED = 3.0, 2.0
"""Log likelihood ratio for the displacement at which another surface lies near by, beyond so many times what the
photos' middle patch has there. Ours: 20 to 1; nothing is sought, so that nothing is found by searching long enough."""

NOISE_BLOCK, NOISE_QUANTILE, LEAST_BLOCKS = 6, 0.2, 30
"""Noise at a grey level is that of the smoothest fifth of its blocks of this side, from so many blocks on. Ours."""

LEAST_VARIANCE = LEAST_NOISE / SMOOTHED_NOISE
"""What each photo's pixels are taken to have at least, grey levels squared: smooth blocks of a dark photo show no
noise, only steps, and a gain that makes it as bright as the other photo raises their rounding with it. Ours."""

SOME_PATCHES = 64
"""Patches that the noise, and what is usual at one displacement, are measured on. Ours: thousands of blocks."""


def cells_disagree(
    phone: NDArray[np.uint8],
    corner_xy: NDArray[np.int32],
    phone_patches: NDArray[np.uint8],
    dslr: NDArray[np.uint8],
    foreign: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return (N,) whether a patch is foreign, or has cells that no gain and offset explain, or far better elsewhere.

    What counts as usual is told by the patches given: all of one pair of photos. A surface that lies elsewhere in one
    of them is looked for in its neighbours as well.

    Args:
        phone: (H, W, 3) uint8 RGB photo.
        corner_xy, phone_patches: (N, 2), (N, S, S, 3) patches cut from it.
        dslr: (N, S, S, 3) uint8 RGB, the other halves.
        foreign: (N,) patches that are known to show something else; they tell of surfaces, not of what is usual.
    """
    if foreign.all():
        return foreign
    size = dslr.shape[1]
    margins = (MARGIN,) * 4
    grey = cv2.copyMakeBorder(cv2.cvtColor(phone, cv2.COLOR_RGB2GRAY), *margins, cv2.BORDER_REPLICATE)
    around = np.stack([grey[y : y + size + 2 * MARGIN, x : x + size + 2 * MARGIN] for x, y in corner_xy])
    inner = around[~foreign, MARGIN:-MARGIN, MARGIN:-MARGIN]
    dslr_grey = cv2.cvtColor(dslr.reshape(-1, size, 3), cv2.COLOR_RGB2GRAY).reshape(-1, size, size)
    some = np.zeros(len(dslr), bool)
    some[np.flatnonzero(~foreign)[:: -(-len(inner) // SOME_PATCHES)]] = True
    noise = noise_by_level(inner[some[~foreign]]), noise_by_level(dslr_grey[some])
    found = displaced_content(around, dslr_grey, *noise)
    most = MOST_UNEXPLAINED_CELLS + USUAL_FACTOR * float(np.quantile(found.unexplained[~foreign], USUAL_QUANTILE))
    much = MOST_EVIDENCE + USUAL_FACTOR * float(np.median(found.evidence[~foreign]))
    elsewhere = found.beyond > STANDS_OUT
    disagree = foreign | (found.unexplained > most) | (found.evidence > much) | elsewhere
    for displacement in np.unique(found.displacement[elsewhere], axis=0):
        there = elsewhere & (found.displacement == displacement).all(axis=1)
        apart = np.abs(corner_xy[:, None] - corner_xy[there]).max(axis=2)
        near = (apart < NEAR_SIDES * size).any(axis=1) & ~disagree
        if near.any():
            asked = ~disagree & (near | some)
            shared = evidence_at(around[asked], dslr_grey[asked], *noise, displacement)
            usual = float(np.median(shared[some[asked]])) if some[asked].any() else 0.0
            disagree[asked] |= near[asked] & (shared > SHARED_EVIDENCE + USUAL_SHARED * usual)
    return disagree


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

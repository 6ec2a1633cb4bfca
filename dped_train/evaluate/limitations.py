"""The flaws that section 4.4 of the paper names, as numbers: colours that deviate, too much contrast, amplified noise.

And what enhancing is for beside tones, sharpness.

Every function compares photos pairwise and returns one value for each pair: (N, H, W, 3) uint8 RGB in, (N,) float64
out. NaN stands where a pair has nothing to measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2gray, rgb2lab

from dped_data.common.terminal_lines import wrapped
from dped_train.evaluate.bootstrap import Figure, bootstrap, figure_lines

Photos = NDArray[np.uint8]
Values = NDArray[np.float64]

BLUR_SIGMA_PX = 4.2  # that of the released code's colour loss: it drops texture and small shifts, and keeps colours
EVERY_PX = 4  # of the blurred photo only every fourth pixel is compared: the blur leaves no finer detail
LEAST_SPREAD = 1.0  # L*; ours: below, a patch has no contrast to compare
FINE_SIGMA_PX = 1.0  # ours: what a blur this wide takes from a photo is its fine structure
LEAST_FINE = 0.5  # L*; ours: below, a patch has no fine structure to compare
FLAT_SIGMA_PX = 2.0
FLAT_GRADIENT = 1.0  # grey levels per pixel after smoothing; ours: steeper is texture or an edge
FLAT_TEXTURE = 4.0  # grey levels, root mean square around the smoothed photo; ours: a DSLR's noise is below
LEAST_FLAT_SHARE = 0.05  # of a patch's pixels; ours: fewer make the noise's estimate uncertain by itself
ROUNDING_NOISE = 12**-0.5  # grey levels: rounding to 8 bits leaves no less
ROUNDED_FINE = ROUNDING_NOISE * 100 / 255  # L*, of greys of which 255 levels are about 100
# Immerkaer, Fast noise variance estimation, 1996: answers to noise, neither to constants nor to slopes
_LAPLACIAN_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


@dataclass(frozen=True)
class LimitationReport:
    """One limitation over all patches that have something to measure.

    Attributes:
        limitation: `colour_deviation` (CIEDE2000), `contrast`, `noise` or `sharpness` (ratios: 1 is unchanged).
        against_phone, against_dslr: of the enhanced patches. Means; of ratios geometric ones. None without a patch.
        untouched: of the phone patches against the DSLR patches.
        patches: how many were counted.
    """

    limitation: str
    against_phone: Figure | None
    against_dslr: Figure | None
    untouched: Figure | None
    patches: int


def colour_deviation(first: Photos, second: Photos, valid: NDArray[np.bool_] | None = None) -> Values:
    """Mean CIEDE2000 between the blurred photos; about 1 is just visible side by side (Sharma et al., 2005)."""
    distance = np.asarray(deltaE_ciede2000(_blurred_lab(first), _blurred_lab(second)), np.float64)
    return distance.mean(axis=(1, 2)) if valid is None else _mean(distance, _sparse(valid))


def contrast_ratio(photos: Photos, reference: Photos, valid: NDArray[np.bool_] | None = None) -> Values:
    """Standard deviation of the lightness L* over that of the reference; NaN where that is below `LEAST_SPREAD`."""
    spread, its = (_spread(rgb2lab(p)[..., 0], valid) for p in (photos, reference))
    result: Values = np.full(len(photos), np.nan)
    np.divide(spread, its, out=result, where=np.minimum(spread, its) >= LEAST_SPREAD)
    return result


def sharpness_ratio(photos: Photos, reference: Photos, valid: NDArray[np.bool_] | None = None) -> Values:
    """Root mean square of the fine structure of L* over that of the reference; NaN where that is below `LEAST_FINE`.

    Noise is fine structure, too: to be read beside the noise's ratio. Photos that have none, as where they are clipped,
    count with what rounding leaves.
    """
    fine, its = (_fine_structure(them, valid) for them in (photos, reference))
    result: Values = np.full(len(photos), np.nan)
    np.divide(np.maximum(fine, ROUNDED_FINE), its, out=result, where=its >= LEAST_FINE)
    return result


def noise_ratio(photos: Photos, reference: Photos, flat: NDArray[np.bool_]) -> Values:
    """Noise over that of the reference, both in the `flat` pixels (N, H, W); NaN where those are too few."""
    return noise_levels(photos, flat) / noise_levels(reference, flat)


def noise_levels(photos: Photos, flat: NDArray[np.bool_]) -> Values:
    """Standard deviation of the noise in the flat pixels, grey levels; at least what rounding leaves."""
    answer = np.abs(convolve(_gray_levels(photos), _LAPLACIAN_DIFFERENCE[None]))
    counts = flat.sum(axis=(1, 2))
    enough = counts >= LEAST_FLAT_SHARE * flat[0].size
    sums = (answer * flat).sum(axis=(1, 2))
    mean = np.divide(sums, counts, out=np.full(len(photos), np.nan), where=enough)
    return np.maximum(mean * np.sqrt(np.pi / 2) / 6, ROUNDING_NOISE)


def flat_pixels(phone: Photos, dslr: Photos) -> NDArray[np.bool_]:
    """Where neither photo has texture or an edge, (N, H, W): there, what differs from pixel to pixel is noise.

    Edges and shading show in either photo after smoothing, fine texture in the DSLR's, whose noise is low.
    """
    gray, dslr_gray = _gray_levels(phone), _gray_levels(dslr)
    fine = dslr_gray - _smoothed(dslr_gray)
    flat: NDArray[np.bool_] = np.maximum(_slope(gray), _slope(dslr_gray)) < FLAT_GRADIENT
    flat &= _smoothed(fine**2) < FLAT_TEXTURE**2
    return flat


def limitation_columns(
    enhanced: Photos, phone: Photos, dslr: Photos, valid: NDArray[np.bool_] | None = None
) -> dict[str, Values]:
    """All limitations of (a part of) the patches: columns `<limitation>_<phone|dslr|untouched>`, (N,) each.

    `valid` (N, H, W) leaves pixels out; what is blurred or compared near them sees the DSLR's in their place.
    """
    if valid is not None:
        enhanced, phone = (np.where(valid[..., None], photos, dslr) for photos in (enhanced, phone))
    flat = flat_pixels(phone, dslr)
    if valid is not None:
        flat &= valid
    pairs = {"phone": (enhanced, phone), "dslr": (enhanced, dslr), "untouched": (phone, dslr)}
    columns = {}
    for against, (first, second) in pairs.items():
        columns[f"colour_deviation_{against}"] = colour_deviation(first, second, valid)
        columns[f"contrast_{against}"] = contrast_ratio(first, second, valid)
        columns[f"noise_{against}"] = noise_ratio(first, second, flat)
        columns[f"sharpness_{against}"] = sharpness_ratio(first, second, valid)
    return columns


def limitation_reports(columns: dict[str, Values], group: NDArray[np.int64]) -> tuple[LimitationReport, ...]:
    """Summarise the columns of all patches; `group` (N,) numbers each patch's capture."""
    reports = []
    for name in ("colour_deviation", "contrast", "noise", "sharpness"):
        phone, dslr, untouched = (
            _figure(columns[f"{name}_{against}"], group, ratio=name != "colour_deviation")
            for against in ("phone", "dslr", "untouched")
        )
        counted = int(np.isfinite(columns[f"{name}_dslr"]).sum())
        reports.append(LimitationReport(name, phone, dslr, untouched, counted))
    return tuple(reports)


def limitations_text(reports: tuple[LimitationReport, ...]) -> list[str]:
    """The reports as lines of a table for people."""
    heads = ("against phone", "against DSLR", "phone against DSLR", "patches")
    lines = [f"{'':16}{heads[0]:>17}{heads[1]:>17}{heads[2]:>20}{heads[3]:>10}"]
    for r in reports:
        first, *rest = figure_lines(
            r.limitation, (r.against_phone, r.against_dslr, r.untouched), [2] * 3, 16, (17, 17, 20)
        )
        lines += [f"{first}{r.patches:>10}", *rest]
    return [
        *lines,
        *wrapped(
            "colour_deviation in CIEDE2000 after blur; contrast, noise (in flat regions) and sharpness are ratios"
        ),
    ]


def _figure(values: Values, group: NDArray[np.int64], *, ratio: bool) -> Figure | None:
    there = np.isfinite(values)
    if not there.any():
        return None
    known = np.log(values[there]) if ratio else values[there]
    figure = bootstrap(known, np.unique(group[there], return_inverse=True)[1])
    if not ratio:
        return figure
    return Figure(*(float(np.exp(v)) for v in (figure.mean, figure.low, figure.high)))


def _smoothed(gray: Values, order: tuple[int, int] = (0, 0)) -> Values:
    smooth: Values = gaussian_filter(gray, FLAT_SIGMA_PX, order=order, axes=(1, 2))
    return smooth


def _slope(gray: Values) -> Values:
    down, across = _smoothed(gray, (1, 0)), _smoothed(gray, (0, 1))
    slope: Values = np.hypot(down, across)
    return slope


def _blurred_lab(photos: Photos) -> Values:
    blurred = gaussian_filter(photos.astype(np.float32) / 255, BLUR_SIGMA_PX, axes=(1, 2), truncate=3)
    lab: Values = rgb2lab(_sparse(blurred))
    return lab


def _sparse(values: NDArray[Any]) -> NDArray[Any]:
    """Every EVERY_PX-th pixel of (N, H, W, …)."""
    return values[:, EVERY_PX // 2 :: EVERY_PX, EVERY_PX // 2 :: EVERY_PX]


def _mean(values: Values, counted: NDArray[np.bool_]) -> Values:
    """The mean of each (H, W) over the pixels that count, (N,); NaN without any."""
    counts = counted.sum(axis=(1, 2))
    return np.divide((values * counted).sum(axis=(1, 2)), counts, out=np.full(len(values), np.nan), where=counts > 0)


def _spread(values: Values, valid: NDArray[np.bool_] | None) -> Values:
    """The standard deviation of each (H, W) over the valid pixels, (N,)."""
    if valid is None:
        spread: Values = values.std(axis=(1, 2))
        return spread
    return np.sqrt(_mean((values - _mean(values, valid)[:, None, None]) ** 2, valid))


def _fine_structure(photos: Photos, valid: NDArray[np.bool_] | None) -> Values:
    """The root mean square of what a blur takes from L*, over the valid pixels, (N,)."""
    lightness: Values = rgb2lab(photos)[..., 0]
    fine = lightness - gaussian_filter(lightness, FINE_SIGMA_PX, axes=(1, 2))
    return np.sqrt(_mean(fine**2, np.ones(fine.shape, bool) if valid is None else valid))


def _gray_levels(photos: Photos) -> Values:
    levels: Values = rgb2gray(photos) * 255
    return levels

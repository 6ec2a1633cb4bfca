"""How good a target the DSLR half of a patch is: what clips, how sharp it is, and whether the light is the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels.target_quality import count_clipped, light_change, sharpness


@dataclass(frozen=True)
class TargetQuality:
    """Of N patches, from their pixels alone; where a mask is given, from the valid ones.

    Attributes:
        phone_clipped, dslr_clipped: (N,) share of the pixels, 0 to 1, with a channel at 250 or above.
        sharpness: (N,) fine detail of the DSLR half over that of the phone half, each over its contrast and less its
            noise, where both have an edge; 1 is as sharp as the phone, NaN where noise hides the phone's detail.
        light_ev: (N,) how much the DSLR's light over the phone's changes over the patch, beyond what its brightness and
            colours explain, stops (twice the standard deviation over 4x4 cells); NaN where it is too dark or clipped.
    """

    phone_clipped: NDArray[np.float64]
    dslr_clipped: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    light_ev: NDArray[np.float64]

    def columns(self) -> dict[str, NDArray[np.float32]]:
        """Return what is stored of each patch, by the names of records.Patches."""
        return {name: values.astype(np.float32) for name, values in vars(self).items()}

    def of(self, rows: NDArray[np.bool_]) -> TargetQuality:
        """Return that of some of the patches."""
        return TargetQuality(*(values[rows] for values in vars(self).values()))


def measure_quality(
    phone: NDArray[np.uint8], dslr: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None
) -> TargetQuality:
    """Measure patches (N, S, S, 3) of RGB; valid (N, S, S) leaves pixels out, None leaves out none."""
    count = len(phone)
    mask = np.zeros((0, 0, 0), bool) if valid is None else valid
    quality = TargetQuality(*(np.full(count, np.nan) for _ in range(4)))
    if count:
        count_clipped(phone, mask, quality.phone_clipped)
        count_clipped(dslr, mask, quality.dslr_clipped)
        sharpness(phone, dslr, mask, quality.sharpness)
        light_change(phone, dslr, mask, quality.light_ev)
    return quality

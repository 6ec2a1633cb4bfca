"""What a RAW file says of its mosaic, and how packed patches of one are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.photos.colour import srgb_encode

CELLS = ("R", "G1", "G2", "B")
"""The cells of an upright pattern that begins with red, row by row; the last axis of packed patches."""


LIMITS: Mapping[str, tuple[float, float]] = {
    "black": (0, 2**16 - 1),
    "white": (1, 2**16 - 1),
    "white_balance": (1e-3, 1e3),
    "color_matrix": (-1e3, 1e3),
    "iso": (1, 1e7),
    "exposure_s": (1e-7, 1e5),
}
"""Between what a fact must lie, if it is known. Ours: beyond what any camera has; black is below white, too."""


@dataclass(frozen=True)
class MosaicFacts:
    """What a RAW file says of its mosaic.

    Attributes:
        black: (4,) float32, level of black of each of CELLS; white: level of white.
        cfa: (2, 2) uint8, colours (0 red, 1 green, 2 blue) of the sensor's cells at the top left of what the photo
            shows, as the file has them, before the photo is turned upright.
        orientation: as in EXIF, 1 to 8: how the sensor's rows are turned upright.
        margin_xy: (x, y) of these cells in the file's whole raw image.
        white_balance: (3,) float32, the camera's gains of R, G, B for the shot, that of G being 1; NaN: not stated.
        color_matrix: (3, 3) float32, linear sRGB from white-balanced R, G, B, as LibRaw develops; rows add up to 1. NaN
            where none is known: of old cameras, and of mosaics of others.
        iso, exposure_s: sensitivity and exposure time, NaN where they are not stated.
    """

    black: NDArray[np.float32]
    white: float
    cfa: NDArray[np.uint8]
    orientation: int
    margin_xy: tuple[int, int]
    white_balance: NDArray[np.float32]
    color_matrix: NDArray[np.float32]
    iso: float
    exposure_s: float


def mosaic_light(
    mosaic: NDArray[np.uint16], black: NDArray[np.float32], white: float | NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return packed mosaics (…, 4) as light, float32: 0 at the level of black, 1 at that of white; not clipped.

    `black` (…, 4) and `white` broadcast against the mosaics.
    """
    light: NDArray[np.float32] = (mosaic - black) / (white - black)
    return light


def mosaic_codes(
    mosaic: NDArray[np.uint16],
    black: NDArray[np.float32],
    white: float | NDArray[np.float32],
    gains: NDArray[np.float32],
) -> NDArray[np.uint16]:
    """Return packed mosaics (…, 4) as an enhancer sees them, uint16: white-balanced, from 0 to 1, on sRGB's curve.

    Without the curve most of a photo would lie in a few per cent of the range. `gains` (…, 3) are those of R, G and B;
    where they are not known (NaN) nothing is balanced.
    """
    known = np.where(np.isnan(gains), np.float32(1), gains)[..., [0, 1, 1, 2]]
    light = (mosaic_light(mosaic, black, white) * known).clip(0, 1).astype(np.float32)
    return np.rint(srgb_encode(light) * 65535).astype(np.uint16)

"""What a simulated phone's sensor counts, before any processing: electrons under a Bayer pattern, with their noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dped_data.photos.colour import SRGB_FROM_XYZ
from dped_data.simulation.dng import SensorFacts, encode_dng
from dped_data.simulation.optics import CameraLook, apply_vignetting, mixing

PATTERN = "GRBG"
BORDER_LTRB = (6, 4, 3, 5)
"""Ours: the pattern at the top left of what the photo shows, which does not begin with red, and the masked columns and
rows around that. LibRaw leaves out a row or column behind an odd border; the exact map would not hold then."""
BLACK, WHITE = (252, 256, 260, 256), 4095
"""Ours: levels of a sensor of 12 bits, black another one in each cell of the pattern."""
SENSITIVITY = (0.55, 1.0, 0.65)
"""Ours: of red, green and blue cells for white light, as usual for silicon under daylight."""
ISO, EXPOSURE_S = 100, 1 / 120


def raw_photo(light: NDArray[np.float32], look: CameraLook, time_s: float, rng: np.random.Generator) -> bytes:
    """Expose the sensor to (H, W, 3) linear light, which is overwritten, and return the DNG file.

    The camera's error of white balance is in what it states as neutral. Developed in full precision and without noise
    the file gives the light again, times the gains.
    """
    apply_vignetting(light, look.vignetting)
    exposure = look.gains[1]
    camera_from_light = np.diag(SENSITIVITY) @ mixing(look)
    neutral = np.array(SENSITIVITY) * exposure / np.array(look.gains)
    height, width = light.shape[:2]
    left, top, _, _ = BORDER_LTRB
    facts = SensorFacts(
        pattern=PATTERN,
        black=BLACK,
        white=WHITE,
        neutral=neutral / neutral.max(),
        camera_from_xyz=camera_from_light @ SRGB_FROM_XYZ,
        active_ltrb=(left, top, left + width, top + height),
        orientation=1,
        iso=ISO,
        exposure_s=EXPOSURE_S,
        time_s=time_s,
    )
    return encode_dng(expose(light, exposure * camera_from_light, look, rng), facts)


def expose(
    light: NDArray[np.float32], camera_from_light: NDArray[np.float64], look: CameraLook, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Return the values of the whole sensor, its masked borders included.

    Each cell counts a Poisson number of electrons, `look.full_well` of them for a signal of 1, which is WHITE, and
    reading adds normal noise of `look.read_noise` electrons.

    Args:
        light: (H, W, 3) linear sRGB at the cells' centres.
        camera_from_light: (3, 3) signal of R, G and B cells for it.
        look: of the phone.
        rng: of the noise.
    """
    height, width = light.shape[:2]
    left, top, right, bottom = BORDER_LTRB
    electrons = np.zeros((top + height + bottom, left + width + right))
    black = np.empty_like(electrons)
    shown = electrons[top : top + height, left : left + width]
    for cell in range(4):
        row, column = divmod(cell, 2)
        row_of_colour = camera_from_light["RGB".index(PATTERN[cell])]
        shown[row::2, column::2] = light[row::2, column::2] @ row_of_colour
        black[(top + row) % 2 :: 2, (left + column) % 2 :: 2] = BLACK[cell]
    electrons = rng.poisson(electrons.clip(0) * look.full_well) + look.read_noise * rng.standard_normal(black.shape)
    values = black + electrons * ((WHITE - black) / look.full_well)
    return np.rint(values).clip(0, WHITE).astype(np.uint16)

"""What a simulated camera makes of the light: vignetting, colour, shot noise, denoising, sharpening, tone.

Every step keeps the geometry: all filters are symmetric about the pixel's centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.photos.colour import srgb_encode

LINEAR_LEVELS = 16384


@dataclass(frozen=True)
class CameraLook:
    """How a camera renders light.

    Attributes:
        blur_px: standard deviation of the lens's blur, photo pixels.
        vignetting: loss of light in the corners, share.
        crosstalk: share of each colour channel's signal that comes from the other two.
        gains: exposure times white balance, per channel R, G, B.
        full_well: electrons at full signal; the shot noise follows.
        read_noise: standard deviation of the reading noise, electrons.
        denoise: range of grey levels (share of full) that the denoiser smooths over; 0 means none.
        sharpen: weight of the unsharp mask (standard deviation 1 px) on the finished tones.
        contrast: strength of the S-shaped tone curve, 0 to 1.
        quality: JPEG quality; subsampling: of its colour.
    """

    blur_px: float
    vignetting: float
    crosstalk: float
    gains: tuple[float, float, float]
    full_well: float
    read_noise: float
    denoise: float
    sharpen: float
    contrast: float
    quality: int
    subsampling: Literal["4:2:2", "4:2:0"]


def draw_phone(
    rng: np.random.Generator, full_well: int, exposure_factor: float = 1.0, white_balance: float = 0.15
) -> CameraLook:
    """Draw a phone: small pixels, strong processing. All ranges are ours, wide enough for phones since 2010.

    `exposure_factor` makes all its photos darker or brighter; red and blue are off by up to `white_balance`.
    """
    exposure = rng.uniform(0.75, 1.1) * exposure_factor
    red, blue = rng.uniform(1 - white_balance, 1 + white_balance, 2)
    return CameraLook(
        blur_px=rng.uniform(0.55, 1.0),
        vignetting=0.35,
        crosstalk=rng.uniform(0.08, 0.16),
        gains=(exposure * red, exposure, exposure * blue),
        full_well=full_well * rng.uniform(1.0, 2.5),
        read_noise=3.0,
        denoise=rng.uniform(0.02, 0.05),
        sharpen=rng.uniform(0.4, 0.9),
        contrast=rng.uniform(0.2, 0.5),
        quality=int(rng.integers(85, 94)),
        subsampling="4:2:0",
    )


def dslr_look() -> CameraLook:
    """The DSLR: large pixels, little processing."""
    return CameraLook(0.45, 0.0, 0.0, (1.0, 1.0, 1.0), 20000.0, 5.0, 0.0, 0.0, 0.0, 95, "4:2:2")


def develop(light: NDArray[np.float32], look: CameraLook, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn (H, W, 3) linear light, which is overwritten, into an 8-bit sRGB photo."""
    apply_vignetting(light, look.vignetting)
    _apply_colour(light, look)
    _add_noise(light, look, rng)
    tones = _tone_table(look.contrast)[(light.clip(0, 1) * (LINEAR_LEVELS - 1) + 0.5).astype(np.uint16)]
    if look.denoise:
        tones = cv2.bilateralFilter(tones, 5, look.denoise, 1.5)
    if look.sharpen:
        tones += look.sharpen * (tones - cv2.GaussianBlur(tones, (0, 0), 1.0))
    return (tones.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def apply_vignetting(light: NDArray[np.float32], loss: float) -> None:
    """Darken (H, W, 3) light towards the corners, where the share `loss` of it is lost; in place."""
    if loss:
        height, width = light.shape[:2]
        x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) ** 2
        y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) ** 2
        light *= (1 - loss * (y[:, None] + x) / (x[0] + y[0]))[..., None]


def _apply_colour(light: NDArray[np.float32], look: CameraLook) -> None:
    cv2.transform(light, (np.diag(look.gains) @ mixing(look)).astype(np.float32), dst=light)


def mixing(look: CameraLook) -> NDArray[np.float64]:
    """Return (3, 3): the sensor's R, G, B of linear sRGB; each row adds up to 1."""
    return np.full((3, 3), look.crosstalk / 2) + np.eye(3) * (1 - 1.5 * look.crosstalk)


def _add_noise(light: NDArray[np.float32], look: CameraLook, rng: np.random.Generator) -> None:
    """Shot noise as the normal limit of the Poisson law (hundreds of electrons), plus reading noise."""
    variance = light.clip(0) / np.float32(look.full_well) + np.float32((look.read_noise / look.full_well) ** 2)
    light += np.sqrt(variance) * rng.standard_normal(light.shape, dtype=np.float32)


def _tone_table(contrast: float) -> NDArray[np.float32]:
    """Linear light (LINEAR_LEVELS steps) to tone 0..1: the sRGB curve, then a share `contrast` of a smooth S."""
    linear = np.linspace(0, 1, LINEAR_LEVELS)
    srgb = srgb_encode(linear)
    return ((1 - contrast) * srgb + contrast * srgb * srgb * (3 - 2 * srgb)).astype(np.float32)

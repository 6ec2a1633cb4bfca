"""Colour arithmetic on sRGB photos."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B, as they are encoded, in the luma of a photo (ITU-R BT.601)."""
_XYZ_FROM_ADOBE = np.array(  # Adobe RGB (1998) Color Image Encoding, section 4.3.5.3 (D65)
    [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
)
_XYZ_FROM_P3 = np.array(  # SMPTE EG 432-1 primaries with D65, as Display P3 has them
    [[0.486571, 0.265668, 0.198217], [0.228975, 0.691739, 0.079287], [0.0, 0.045113, 1.043944]]
)
_XYZ_FROM_BT601 = np.array(  # ITU-R BT.601, 625 lines, with D65
    [[0.430554, 0.341550, 0.178352], [0.222004, 0.706655, 0.071341], [0.020182, 0.129553, 0.939322]]
)
_XYZ_FROM_SMPTE_C = np.array(  # SMPTE 170M, 525 lines, with D65
    [[0.393521, 0.365258, 0.191677], [0.212376, 0.701060, 0.086564], [0.018739, 0.111934, 0.958385]]
)
SRGB_FROM_XYZ = np.array(  # IEC 61966-2-1 (D65)
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
_ADOBE_GAMMA = 563 / 256

Float = TypeVar("Float", np.float32, np.float64)
Codes = TypeVar("Codes", np.uint8, np.uint16)


def srgb_encode(linear: NDArray[Float]) -> NDArray[Float]:
    """Return sRGB code values in [0, 1] for linear light in [0, 1], in its own precision (IEC 61966-2-1)."""
    high = 1.055 * np.power(np.maximum(linear, 1e-8), 1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, high).astype(linear.dtype)


def srgb_decode(code: NDArray[Float]) -> NDArray[Float]:
    """Return linear light in [0, 1] for sRGB code values in [0, 1], in their own precision (IEC 61966-2-1)."""
    return np.where(code <= 0.04045, code / 12.92, np.power((code + 0.055) / 1.055, 2.4)).astype(code.dtype)


def linear_light(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return 8-bit sRGB values as linear light, 0 to 1."""
    return srgb_decode(values / 255.0)


def srgb_from_adobe_rgb(pixels: NDArray[Codes]) -> NDArray[Codes]:
    """Convert (H, W, 3) uint8 or uint16 Adobe RGB (1998) to sRGB; colours outside sRGB are clipped."""
    return srgb_from_stated(pixels, _ADOBE_GAMMA, _XYZ_FROM_ADOBE)


def srgb_from_stated(pixels: NDArray[Codes], gamma: float, xyz_from_rgb: NDArray[np.float64]) -> NDArray[Codes]:
    """Convert (H, W, 3) uint8 or uint16 of any primaries with sRGB's white, and a power for a curve, to sRGB."""
    return _srgb_from(pixels, _all_codes(pixels) ** gamma, xyz_from_rgb)


def srgb_from_display_p3(pixels: NDArray[Codes]) -> NDArray[Codes]:
    """Convert (H, W, 3) uint8 or uint16 Display P3 to sRGB; colours outside sRGB are clipped."""
    return _srgb_from(pixels, srgb_decode(_all_codes(pixels)), _XYZ_FROM_P3)


def srgb_from_bt601(pixels: NDArray[Codes]) -> NDArray[Codes]:
    """Convert (H, W, 3) uint8 or uint16 of BT.601's primaries (625 lines) and the sRGB curve to sRGB."""
    return _srgb_from(pixels, srgb_decode(_all_codes(pixels)), _XYZ_FROM_BT601)


def srgb_from_smpte_c(pixels: NDArray[Codes]) -> NDArray[Codes]:
    """Convert (H, W, 3) uint8 or uint16 of BT.601's primaries (525 lines) and the sRGB curve to sRGB."""
    return _srgb_from(pixels, srgb_decode(_all_codes(pixels)), _XYZ_FROM_SMPTE_C)


def _all_codes(pixels: NDArray[Codes]) -> NDArray[np.float64]:
    """All values that such pixels can have, as 0 to 1."""
    top = int(np.iinfo(pixels.dtype).max)
    return np.arange(top + 1) / top


def _srgb_from(
    pixels: NDArray[Codes], linear: NDArray[np.float64], xyz_from_rgb: NDArray[np.float64]
) -> NDArray[Codes]:
    """Convert by the linear light (256,) or (65536,) of the codes and the matrix of the primaries."""
    linear_of_code = linear.astype(np.float32)
    matrix = (SRGB_FROM_XYZ @ xyz_from_rgb).astype(np.float32)
    result = np.empty_like(pixels)
    for start in range(0, len(pixels), 256):  # strips keep the memory small
        light = linear_of_code[pixels[start : start + 256]] @ matrix.T
        result[start : start + 256] = np.rint(srgb_encode(np.clip(light, 0, 1)) * (len(linear) - 1))
    return result

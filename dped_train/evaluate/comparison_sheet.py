"""Pictures that let a person judge: phone | enhanced | DSLR, a row for each patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GAP_PX = 4
WHITE = 255


def comparison_sheet(columns: Sequence[NDArray[np.uint8]], scale: int = 1) -> NDArray[np.uint8]:
    """Lay photos of equal size side by side, a row for each patch, on white.

    Args:
        columns: for each column (phone, enhanced, DSLR, say) an (n, H, W, 3) uint8 RGB array.
        scale: each pixel becomes scale x scale pixels.
    Returns:
        (height, width, 3) uint8 RGB.
    """
    photos = np.stack(columns).repeat(scale, axis=2).repeat(scale, axis=3)
    across, down, height, width, _ = photos.shape
    sheet = np.full((down * (height + GAP_PX) - GAP_PX, across * (width + GAP_PX) - GAP_PX, 3), WHITE, np.uint8)
    for column in range(across):
        for row in range(down):
            top, left = row * (height + GAP_PX), column * (width + GAP_PX)
            sheet[top : top + height, left : left + width] = photos[column, row]
    return sheet

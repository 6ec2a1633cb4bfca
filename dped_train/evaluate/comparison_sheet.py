"""Pictures that let a person judge: phone | enhanced | DSLR, a row for each patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP_PX = 4
WHITE = 255
HEADING_PX = 22
FONT_PX = 13
LEAST_COLUMN_PX = 100
"""What a heading such as `enhanced` needs; smaller patches are enlarged."""
Photos = NDArray[np.uint8]


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


@dataclass(frozen=True)
class Column:
    """One column of a sheet: its heading, and a patch for each row, (n, S, S, 3) uint8."""

    heading: str
    photos: Photos


def headed_sheet(columns: Sequence[Column], scale: int = 2) -> Photos:
    """Lay columns side by side with their headings above; each pixel becomes scale x scale. (h, w, 3) uint8."""
    sheet = comparison_sheet([column.photos for column in columns], scale)
    page = np.full((sheet.shape[0] + HEADING_PX, *sheet.shape[1:]), WHITE, np.uint8)
    page[HEADING_PX:] = sheet
    picture = Image.fromarray(page)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PX)
    width = columns[0].photos.shape[2] * scale
    for place, column in enumerate(columns):
        draw.text((place * (width + GAP_PX), 2), _fitting(column.heading, width, font), fill=(0, 0, 0), font=font)
    return np.asarray(picture)


def phone_enhanced_dslr(phone: Photos, enhanced: Photos, dslr: Photos, scale: int = 1) -> Photos:
    """The sheet that evaluations and validations leave: the three photos of each patch, headed. (h, w, 3) uint8."""
    scale = max(scale, -(-LEAST_COLUMN_PX // phone.shape[2]))
    return headed_sheet([Column("phone", phone), Column("enhanced", enhanced), Column("DSLR", dslr)], scale)


def _fitting(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text

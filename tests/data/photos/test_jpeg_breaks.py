"""What breaks off in the middle of a scan is damage; what is cut along rows and columns is a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dped_data.errors import PhotoError
from dped_data.photos.reading import decode_photo

UNIT = 16
HEIGHT, WIDTH = 30 * UNIT, 40 * UNIT


def scene() -> NDArray[np.float64]:
    """A picture (H, W, 3) of waves and noise around mid grey."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = 100 + 25 * np.sin(x / 37 + y / 90) + 20 * np.cos(y / 41)
    return waves[..., None] + rng.normal(0, 3, (HEIGHT, WIDTH, 3))


def behind(row: int, column: int) -> NDArray[np.bool_]:
    """The pixels (H, W) of the units from a place of the scan on."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] // UNIT
    return (y > row) | ((y == row) & (x >= column))


def jpeg(picture: NDArray[np.float64], **how: object) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(np.rint(picture).clip(0, 255).astype(np.uint8)).save(stored, "JPEG", quality=95, **how)
    return stored.getvalue()


@pytest.mark.parametrize("shift", [(30, 30, 30), (0, 0, -40), (-25, 10, 0)])
@pytest.mark.parametrize("column", [7, 20, 33])
def test_colours_that_jump_in_the_middle_of_a_row_are_damage(shift: tuple[int, ...], column: int) -> None:
    picture = scene()
    assert decode_photo(jpeg(picture), "a.jpg").shape == (HEIGHT, WIDTH, 3)
    picture[behind(12, column)] += shift
    with pytest.raises(PhotoError, match="breaks off"):
        decode_photo(jpeg(picture, progressive=column == 7), "a.jpg")


def test_a_flat_end_is_damage() -> None:
    picture = scene()
    picture[behind(25, 11)] = 128
    with pytest.raises(PhotoError, match="breaks off"):
        decode_photo(jpeg(picture), "a.jpg")


@pytest.mark.parametrize("edge", ["bars", "horizon", "frame", "wide frame", "steps", "grey ground", "night"])
def test_edges_of_pictures_are_not(edge: str) -> None:
    picture = scene()
    if edge == "bars":
        picture[: 4 * UNIT] = picture[-4 * UNIT :] = 0
    elif edge == "horizon":
        picture[12 * UNIT :] += 60
    elif edge == "frame":
        picture[5 * UNIT : 20 * UNIT, 8 * UNIT : 30 * UNIT] += 60
    elif edge == "wide frame":
        picture[5 * UNIT : 20 * UNIT, 4 * UNIT :] += 60
    elif edge == "steps":
        for row in range(30):
            picture[row * UNIT :, row * UNIT :] += 4
    elif edge == "grey ground":
        flat = np.full_like(picture, 128)
        flat[6 * UNIT : 20 * UNIT, 8 * UNIT : 30 * UNIT] = picture[6 * UNIT : 20 * UNIT, 8 * UNIT : 30 * UNIT]
        picture = flat
    else:
        picture -= np.linspace(0, 200, HEIGHT)[:, None, None]
    assert decode_photo(jpeg(picture), "a.jpg").shape == (HEIGHT, WIDTH, 3)

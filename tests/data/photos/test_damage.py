"""Damaged PNG, TIFF and HEIC photos fail with a reason, and nothing of it is written past the report."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from dped_data.errors import PhotoError
from dped_data.photos.reading import decode_photo


def picture() -> NDArray[np.uint8]:
    """A picture (300, 400, 3) that packs badly, so that its files have many sectors."""
    rng = np.random.default_rng(2)
    waves = 120 + 60 * np.sin(np.arange(400) / 30) + np.linspace(0, 40, 300)[:, None]
    return (waves[..., None] + rng.integers(-9, 10, (300, 400, 3))).astype(np.uint8)


def file_of(kind: str) -> bytes:
    stored = io.BytesIO()
    if kind in ("heic", "tiles"):
        pillow_heif = pytest.importorskip("pillow_heif")
        tile = 128 if kind == "tiles" else 0
        pillow_heif.from_pillow(Image.fromarray(picture())).save(stored, quality=95, tile_size=tile)
    elif kind == "png":
        Image.fromarray(picture()).save(stored, "PNG")
    elif kind == "raw":
        tifffile.imwrite(stored, picture(), photometric="rgb")
    else:
        Image.fromarray(picture()).save(stored, "TIFF", compression=f"tiff_{kind}" if kind != "jpeg" else kind)
    return stored.getvalue()


@pytest.mark.parametrize("kind", ["png", "lzw", "adobe_deflate", "jpeg", "raw", "heic", "tiles"])
def test_a_file_that_ends_early_fails(kind: str) -> None:
    data = file_of(kind)
    assert decode_photo(data, "a.jpg").shape == (300, 400, 3)
    with pytest.raises(PhotoError):
        decode_photo(data[: len(data) * 3 // 4], "a.jpg")


SUMMED = ("png", "lzw", "adobe_deflate", "jpeg", "heic", "tiles")


@pytest.mark.parametrize("kind", SUMMED)
@pytest.mark.parametrize("filling", ["zeros", "noise"])
def test_a_sector_that_is_lost_fails(kind: str, filling: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = file_of(kind)
    rng = np.random.default_rng(3)
    for start in range(len(data) // 4 // 512 * 512, len(data) - 1024, len(data) // 5):
        sector = bytes(512) if filling == "zeros" else rng.integers(1, 256, 512, np.uint8).tobytes()
        with pytest.raises(PhotoError, match="damaged|truncated"):
            decode_photo(data[:start] + sector + data[start + 512 :], "a.jpg")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["raw", "packbits"])
def test_zeros_that_no_picture_holds_fail_and_black_areas_do_not(kind: str) -> None:
    dark = picture()
    dark[100:220, 40:] = 0
    dark[250:] = 0
    stored = io.BytesIO()
    Image.fromarray(dark).save(stored, "TIFF", compression=kind)
    data = stored.getvalue()
    assert np.array_equal(decode_photo(data, "a.tif"), dark)
    for start, stop in ((8192, 16384), (20480, len(data) if kind == "raw" else 28672)):
        with pytest.raises(PhotoError, match="zeros|damaged"):
            decode_photo(data[:start] + bytes(stop - start) + data[stop:], "a.tif")


def test_sums_behind_the_last_row_count() -> None:
    """Decoders stop at the last pixel; a wrong sum behind it says that one before is wrong, too."""
    png = bytearray(file_of("png"))
    png[-16 - 1] ^= 1  # the sum of the last chunk of pixels, before IEND
    with pytest.raises(PhotoError, match="check sum"):
        decode_photo(bytes(png), "a.png")

"""A mosaic's cells lie where the photo's pixels lie, whatever the pattern, the orientation and the borders."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from photo_files import smooth_photo, write_dng
from PIL import Image

from dped_data.errors import CaptureRejected, PhotoError
from dped_data.photos.mosaic import Mosaic, cut_mosaic, decode_mosaic, read_mosaic
from dped_data.photos.mosaic_facts import CELLS
from dped_data.photos.same_geometry import check_same_geometry, displacements
from dped_data.photos.writing import encode_photo
from dped_data.settings import RawSettings
from dped_data.simulation.dng import SensorFacts, encode_dng

rawpy = pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
BLACK, WHITE = 256, 4095
BLACK_OF = {"R": 260, "G": 256, "B": 252}
SIZE = 16


def dng(
    values: NDArray[np.uint16], pattern: str, orientation: int = 1, active: tuple[int, int, int, int] | None = None
) -> bytes:
    height, width = values.shape
    facts = SensorFacts(
        pattern=pattern,
        black=tuple(BLACK_OF[colour] for colour in pattern),
        white=WHITE,
        neutral=np.array([0.5, 1.0, 0.8]),
        camera_from_xyz=np.array([[0.8, -0.2, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]]),
        active_ltrb=active or (0, 0, width, height),
        orientation=orientation,
        iso=320,
        exposure_s=1 / 60,
        time_s=1.5e9,
    )
    return encode_dng(values, facts)


def decoded(data: bytes) -> tuple[NDArray[np.uint8], Mosaic]:
    return decode_mosaic(data, "a.dng", RawSettings())


def grid(mosaic: Mosaic, size: int = SIZE) -> NDArray[np.int32]:
    """The corners of all whole patches that begin at red cells."""
    height, width = mosaic.values.shape
    x, y = (range(red, side - size + 1, size) for red, side in zip(mosaic.red_xy, (width, height), strict=True))
    return np.array([(column, row) for row in y for column in x], np.int32)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_a_bright_cell_comes_out_at_its_pixel(pattern: str, orientation: int) -> None:
    """Single bright cells are planted into the sensor; LibRaw's own development says where the photo shows them.

    Sides and borders are odd ones, so that turning moves the pattern.
    """
    left, top, right, bottom = 7, 4, 7 + 51, 4 + 37
    cells = [(left + 12, top + 9), (left + 27, top + 22), (left + 40, top + 15), (left + 19, top + 28)]
    for column, row in cells:
        values = np.full((48, 64), 600, np.uint16)
        values[row, column] = 3900
        photo, mosaic = decoded(dng(values, pattern, orientation, (left, top, right, bottom)))
        colour = pattern[(row - top) % 2 * 2 + (column - left) % 2]
        channel = "RGB".index(colour)
        rise = photo.astype(int) - np.median(photo, axis=(0, 1)).astype(int)
        y, x = np.unravel_index(rise[..., channel].argmax(), photo.shape[:2])
        assert mosaic.values[y, x] == 3900
        patches, corners = cut_mosaic(mosaic, grid(mosaic), SIZE), grid(mosaic)
        found = np.argwhere(patches == 3900)
        assert len(found) == 1
        patch, i, j, cell = found[0]
        assert CELLS[cell][0] == colour
        assert (corners[patch] + [2 * j + cell % 2, 2 * i + cell // 2]).tolist() == [x, y]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_facts_lead_from_a_patch_back_to_the_sensor(orientation: int) -> None:
    """By what the shard keeps, the whole raw image gives every sample again, as docs/format.md says."""
    values = np.random.default_rng(orientation).integers(300, 4000, (49, 66)).astype(np.uint16)
    data = dng(values, "GBRG", orientation, (6, 8, 6 + 55, 8 + 38))
    _, mosaic = decoded(data)
    facts = mosaic.facts
    assert (facts.orientation, facts.margin_xy, facts.cfa.tolist()) == (orientation, (6, 8), [[1, 2], [0, 1]])
    assert (facts.white, facts.iso) == (WHITE, 320)
    assert facts.black.tolist() == [BLACK_OF[name[0]] for name in CELLS]
    assert facts.exposure_s == pytest.approx(1 / 60)
    assert np.allclose(facts.white_balance, [2, 1, 1.25])
    assert np.allclose(facts.color_matrix.sum(axis=1), 1, atol=1e-4)
    height, width = mosaic.values.shape
    with rawpy.imread(io.BytesIO(data)) as raw:
        whole = raw.raw_image.copy()
    for (x, y), packed in zip(grid(mosaic), cut_mosaic(mosaic, grid(mosaic), SIZE), strict=True):
        for i, j, cell in np.random.default_rng(0).integers(0, (SIZE // 2, SIZE // 2, 4), (20, 3)):
            column, row = x + 2 * j + cell % 2, y + 2 * i + cell // 2
            column = width - 1 - column if orientation in (2, 3, 6, 7) else column
            row = height - 1 - row if orientation in (3, 4, 7, 8) else row
            column, row = (row, column) if orientation >= 5 else (column, row)
            column, row = column + facts.margin_xy[0], row + facts.margin_xy[1]
            assert whole[row, column] == packed[i, j, cell]
            colour = facts.cfa[(row - facts.margin_xy[1]) % 2, (column - facts.margin_xy[0]) % 2]
            assert "RGB"[colour] == CELLS[cell][0]


def test_values_outlive_the_file() -> None:
    """LibRaw frees its memory when the file is closed, also where the whole of it is what the photo shows."""
    values = np.random.default_rng(0).integers(300, 4000, (400, 600)).astype(np.uint16)
    mosaics = [decoded(dng(values, "RGGB"))[1], read_mosaic(dng(values, "RGGB"), "a.dng")]
    for mosaic in mosaics:
        assert mosaic.values.flags.owndata
        assert np.array_equal(mosaic.values, values)


def test_patches_begin_at_red_cells() -> None:
    _, mosaic = decoded(dng(np.full((40, 40), 500, np.uint16), "GRBG"))
    assert mosaic.red_xy == (1, 0)
    for corner, size in (((0, 0), 16), ((1, 1), 16), ((1, 0), 15)):
        with pytest.raises(ValueError, match="begin at a red cell"):
            cut_mosaic(mosaic, np.array([corner], np.int32), size)


def test_what_has_no_bayer_pattern_is_refused(tmp_path: Path) -> None:
    write_dng(tmp_path / "grey.dng", grey=True)
    with pytest.raises(PhotoError, match="no Bayer pattern .it has: none., so that no mosaic can be had"):
        decode_mosaic((tmp_path / "grey.dng").read_bytes(), "grey.dng", RawSettings())
    jpeg = encode_photo(smooth_photo(), ".jpg", quality=90)
    with pytest.raises(PhotoError, match="is no camera RAW file, so that it has no mosaic"):
        decode_mosaic(jpeg, "a.dng", RawSettings())
    sound = dng(np.full((240, 320), 500, np.uint16), "RGGB")
    with pytest.raises(PhotoError, match="truncated camera RAW"):
        decoded(sound[: len(sound) // 2])


def test_facts_that_cannot_be_true_are_no_facts() -> None:
    """A shard with them could not be read again: levels fail the file, what is besides is not known."""
    values = np.full((64, 80), 500, np.uint16)
    sound = dng(values, "RGGB")
    white, black = (struct.pack("<HHI", *tag) for tag in ((50717, 4, 1), (50714, 3, 4)))
    at = sound.index(white) + 8
    with pytest.raises(PhotoError, match="damaged camera RAW file .black at 260, white at 256"):
        decoded(sound[:at] + struct.pack("<I", 256) + sound[at + 4 :])
    place = int.from_bytes(sound[sound.index(black) + 8 :][:4], "little")
    with pytest.raises(PhotoError, match="damaged camera RAW file .black at 65535, white at 4095"):
        decoded(sound[:place] + b"\xff" * 8 + sound[place + 8 :])
    neutral = int.from_bytes(sound[sound.index(struct.pack("<HHI", 50728, 5, 3)) + 8 :][:4], "little")
    odd = sound[:neutral] + struct.pack("<I", 1) + sound[neutral + 4 :]
    assert np.isnan(decoded(odd)[1].facts.white_balance).all()
    assert not np.isnan(decoded(sound)[1].facts.white_balance).any()


def test_a_jpeg_of_another_geometry_is_found() -> None:
    photo = np.asarray(Image.fromarray(smooth_photo(480, 640)).convert("RGB")).copy()
    photo ^= np.random.default_rng(0).integers(0, 64, (120, 160, 1), np.uint8).repeat(4, 0).repeat(4, 1)
    check_same_geometry(photo, photo // 2 + 10)
    assert displacements(photo, photo).max() < 0.01
    with pytest.raises(CaptureRejected, match=r"another geometry than its RAW file .measured 0.99\d*, limit 0.5"):
        check_same_geometry(photo, np.roll(photo, 1, axis=1))
    with pytest.raises(CaptureRejected, match=r"not of the size of its RAW file .measured 640, limit 639"):
        check_same_geometry(photo, photo[:, :-1])

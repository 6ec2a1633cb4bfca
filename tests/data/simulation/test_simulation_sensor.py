"""A simulated phone's RAW file: LibRaw reads what was written, and its development is the light."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from dped_data.photos.colour import srgb_encode
from dped_data.photos.exif import capture_time
from dped_data.photos.raw import decode_raw, raw_exif
from dped_data.photos.reading import read_header
from dped_data.photos.writing import write_photo
from dped_data.settings import Camera, Rig
from dped_data.simulation import SimulationSettings, read_truths, simulate_rig
from dped_data.simulation.dng import SensorFacts, encode_dng
from dped_data.simulation.optics import CameraLook, draw_phone
from dped_data.simulation.sensor import BLACK, BORDER_LTRB, PATTERN, WHITE, expose, raw_photo

rawpy = pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
RIG = Rig("small", "slr", (Camera("pocket", 320, 240), Camera("slr", 450, 300)))
TIME_S = 1_500_000_000.25
LEFT, TOP, RIGHT, BOTTOM = BORDER_LTRB
SHOWN = (slice(TOP, -BOTTOM), slice(LEFT, -RIGHT))


def look(**changes: object) -> CameraLook:
    return replace(draw_phone(np.random.default_rng(5), 1200), vignetting=0.0, **changes)


def light_steps() -> NDArray[np.float32]:
    """Linear light (160, 240, 3): flat fields of many colours, broad beside what a demosaic mixes."""
    colours = np.random.default_rng(3).uniform(0.05, 0.5, (4, 6, 3))
    return np.kron(colours, np.ones((40, 40, 1))).astype(np.float32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_libraw_reads_what_was_written(orientation: int) -> None:
    mosaic = np.random.default_rng(orientation).integers(300, 4000, (61, 83)).astype(np.uint16)
    facts = SensorFacts(
        pattern="GBRG",
        black=(252, 256, 260, 258),
        white=4000,
        neutral=np.array([0.5, 1.0, 0.625]),
        camera_from_xyz=np.eye(3) * 0.7 + 0.1,
        active_ltrb=(6, 4, 77, 53),
        orientation=orientation,
        iso=250,
        exposure_s=1 / 125,
        time_s=TIME_S,
    )
    data = encode_dng(mosaic, facts)
    with rawpy.imread(io.BytesIO(data)) as raw:
        assert np.array_equal(raw.raw_image, mosaic)
        assert np.array_equal(raw.raw_image_visible, mosaic[4:53, 6:77])
        colours = raw.raw_colors_visible[:2, :2]
        assert ["RGBG"[index] for index in colours.ravel()] == [*"GBRG"]
        assert [raw.black_level_per_channel[index] for index in colours.ravel()] == [252, 256, 260, 258]
        assert raw.white_level == 4000
        assert np.allclose(raw.camera_whitebalance[:3], [2, 1, 1.6])
        assert raw.sizes.flip == (0, 1, 3, 2, 4, 6, 7, 5)[orientation - 1]
    exif = raw_exif(io.BytesIO(data))
    assert capture_time(exif).time_s == TIME_S
    assert exif.get_ifd(34665)[34855] == 250
    assert float(exif.get_ifd(34665)[33434]) == 1 / 125
    assert decode_raw(data, "a.dng").shape == ((49, 71, 3) if orientation <= 4 else (71, 49, 3))


def test_development_gives_the_light_again() -> None:
    light = light_steps()
    bright = look(full_well=1e7, read_noise=0.0)
    photo = decode_raw(raw_photo(light.copy(), bright, TIME_S, np.random.default_rng(0)), "a.dng")
    truth = srgb_encode((light * np.array(bright.gains)).clip(0, 1).astype(np.float64)) * 255
    inner = (photo - truth).reshape(4, 40, 6, 40, 3)[:, 10:30, :, 10:30]
    assert np.abs(inner).max() < 2


def test_values_are_electrons_with_their_noise() -> None:
    light = np.full((200, 300, 3), 0.2, np.float32)
    phone = look(full_well=1500.0)
    values = expose(light, np.diag([0.5, 1.0, 0.65]), phone, np.random.default_rng(1))
    shown = values[SHOWN].astype(np.float64)
    for cell, colour in enumerate(PATTERN):
        electrons = 1500 * 0.2 * {"R": 0.5, "G": 1.0, "B": 0.65}[colour]
        per_electron = (WHITE - BLACK[cell]) / 1500
        counts = (shown[cell // 2 :: 2, cell % 2 :: 2] - BLACK[cell]) / per_electron
        assert counts.mean() == pytest.approx(electrons, rel=0.01)
        assert counts.var() == pytest.approx(electrons + 9 + 1 / (12 * per_electron**2), rel=0.05)
    border = values[:TOP].astype(np.float64)
    assert abs(border.mean() - 256) < 1 and border.shape[1] == LEFT + 300 + RIGHT


def test_a_rig_of_raw_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_photo(tmp_path / "photos" / "a.png", skimage.data.coffee())
    settings = SimulationSettings(count=1, phone_raw=True)
    simulate_rig(tmp_path / "photos", tmp_path / "one", RIG, "pocket", settings, jobs=1)
    (truth,) = read_truths(tmp_path / "one")
    assert truth.phone_file == "pocket/0001.dng"
    header = read_header(tmp_path / "one" / "captures" / truth.phone_file)
    assert (header.width_px, header.height_px, header.has_subseconds) == (320, 240, True)


def test_the_same_seed_gives_the_same_bytes() -> None:
    light = light_steps()
    files = [raw_photo(light.copy(), look(), TIME_S, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]

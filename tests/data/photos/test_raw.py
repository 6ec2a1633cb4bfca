"""RAW photos are known by their bytes, dated and sized undeveloped, and developed alike whatever they show."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from photo_files import smooth_photo, write_dng
from PIL import ExifTags, Image

from dped_data.common.typed_settings import digest_of, settings_dict
from dped_data.errors import PhotoError
from dped_data.photos.colour import srgb_encode
from dped_data.photos.exif import capture_time, exif_with_time
from dped_data.photos.formats import PHOTO_SUFFIXES
from dped_data.photos.raw import decode_linear, decode_raw, is_raw, raw_exif, raw_settings_of
from dped_data.photos.reading import decode_photo, read_header, read_photo
from dped_data.photos.writing import carried_exif
from dped_data.settings import BuildSettings, RawSettings

rawpy = pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
TIME = 1_500_000_000.5


def little_endian(tags: dict[int, object]) -> bytes:
    """A TIFF file of these tags alone."""
    exif = Image.Exif()
    exif.endian = "<"
    exif.update(tags)
    return exif.tobytes().removeprefix(b"Exif\0\0")


def camera_file(kind: str) -> bytes:
    """The head of a camera's RAW file with the EXIF data of TIME, as makers arrange it."""
    exif = Image.Exif()
    exif.load(exif_with_time(TIME))
    details = dict(exif.get_ifd(ExifTags.IFD.Exif))
    block = little_endian({ExifTags.Base.ExifOffset: details})
    if kind in ("orf", "rw2"):
        return (b"IIRO" if kind == "orf" else b"IIU\0") + block[4:]
    if kind == "raf":
        preview = io.BytesIO()
        Image.new("RGB", (8, 8)).save(preview, "JPEG", exif=b"Exif\0\0" + block)
        places = struct.pack(">II", 200, len(preview.getvalue()))
        return (b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + places).ljust(200, b"\0") + preview.getvalue()
    if kind == "mrw":
        return b"\0MRM" + bytes(4) + b"\0PRD" + struct.pack(">I", 8) + bytes(8) + b"\0TTW" + bytes(4) + block
    boxes = b""
    for name, tags in ((b"CMT1", {ExifTags.Base.Model: "A"}), (b"CMT2", details)):
        body = little_endian(tags)
        boxes += struct.pack(">I", 8 + len(body)) + name + body
    return b"\0\0\0\x18ftypcrx " + bytes(24) + bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + boxes


@pytest.mark.parametrize("kind", ["orf", "rw2", "raf", "mrw", "cr3"])
def test_the_times_of_all_makers_are_read(kind: str) -> None:
    file = io.BytesIO(camera_file(kind))
    assert is_raw(file, "a.jpg")
    assert capture_time(raw_exif(file)).time_s == TIME


@pytest.mark.parametrize("name", ["a.dng", "a.nef", "a.tif", "a.jpg"])
def test_raw_is_what_the_bytes_say(tmp_path: Path, name: str) -> None:
    write_dng(tmp_path / name)
    assert read_photo(tmp_path / name).shape == (320, 240, 3)
    header = read_header(tmp_path / name)
    assert (header.width_px, header.height_px, header.time_s) == (240, 320, 1_500_000_000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_suffix_of_raw_makes_no_raw(tmp_path: Path, kind: str) -> None:
    photo = smooth_photo()
    Image.fromarray(photo).save(tmp_path / "a.dng", kind, quality=98)
    assert np.abs(read_photo(tmp_path / "a.dng").astype(int) - photo).mean() < 2
    assert read_header(tmp_path / "a.dng").width_px == photo.shape[1]


def test_a_preview_of_a_raw_file_is_no_photo(tmp_path: Path) -> None:
    """A file of which no directory tells that it is RAW, but one that it is a preview, is left to LibRaw."""
    tifffile.imwrite(tmp_path / "a.nef", smooth_photo(), subfiletype=1)
    with pytest.raises(PhotoError, match="RAW file"):
        read_photo(tmp_path / "a.nef")


def test_makers_suffixes_are_listed() -> None:
    assert {".nef", ".arw", ".cr2", ".cr3", ".raf", ".orf", ".rw2", ".pef", ".srw", ".dng", ".hif"} <= PHOTO_SUFFIXES


def scene() -> NDArray[np.float64]:
    """Linear light (240, 320) of grey steps, broad beside what a demosaic mixes."""
    return np.kron(np.linspace(0.02, 0.5, 48).reshape(6, 8), np.ones((40, 40)))


def developed(path: Path, light: NDArray[np.float64], how: RawSettings | None = None) -> NDArray[np.uint8]:
    black = 1024
    write_dng(path, mosaic=np.rint(black + light * (65535 - black)).astype(np.uint16), black=black)
    return np.rot90(read_photo(path, how))


def inner(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middles of the scene's steps."""
    return photo.reshape(6, 40, 8, 40, 3)[:, 10:30, :, 10:30]


def test_development_is_srgb_and_knows_no_scene(tmp_path: Path) -> None:
    light = scene()
    photo = developed(tmp_path / "a.dng", light)
    truth = srgb_encode(light)[..., None] * 255
    assert np.abs(inner(photo - truth)).max() <= 1
    with_lamp = light.copy()
    with_lamp[:60, :80] = 1
    other = developed(tmp_path / "b.dng", with_lamp)
    assert other[:50, :70].min() == 255
    assert np.array_equal(photo[70:], other[70:])
    assert np.array_equal(photo[:, 90:], other[:, 90:])
    darker = developed(tmp_path / "c.dng", light / 4)
    assert np.abs(inner(darker - srgb_encode(light / 4)[..., None] * 255)).max() <= 1


def test_brightness_and_balance_are_settings(tmp_path: Path) -> None:
    dark = scene() / 4
    auto, fixed = (developed(tmp_path / "a.dng", dark, RawSettings(kind)) for kind in ("auto", "fixed"))
    assert auto.mean() > 1.5 * fixed.mean()
    digests = {
        digest_of(settings_dict(BuildSettings(raw=RawSettings(*how))), 1)
        for how in (("auto", "camera"), ("fixed", "camera"), ("fixed", "daylight"))
    }
    assert len(digests) == 3
    assert raw_settings_of({}) == RawSettings("auto", "camera")
    assert raw_settings_of(settings_dict(BuildSettings())) == RawSettings("fixed", "camera")


def test_lost_values_fail_the_photo(tmp_path: Path) -> None:
    light = scene()
    developed(tmp_path / "a.dng", light)
    sound = (tmp_path / "a.dng").read_bytes()
    assert decode_raw(sound, "a.dng").shape == (320, 240, 3)
    with pytest.raises(PhotoError, match="truncated camera RAW"):
        decode_photo(sound[: len(sound) * 2 // 3], "a.dng")
    start = len(sound) // 2 // 512 * 512
    with pytest.raises(PhotoError, match="damaged camera RAW file .values that no sensor gives"):
        decode_photo(sound[:start] + bytes(512) + sound[start + 512 :], "a.dng")


def test_what_a_raw_file_says_of_its_photo_is_carried(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng")
    block = carried_exif(tmp_path / "a.dng", (240, 320))
    assert block is not None
    exif = Image.Exif()
    exif.load(block)
    assert exif[ExifTags.Base.DateTime] == "2017:07:14 02:40:00"
    assert exif[ExifTags.Base.Orientation] == 1
    assert not {50706, 33421, 33422, 50721} & {*exif}


def test_linear_light_leaves_the_photo_as_it_is(tmp_path: Path) -> None:
    light = scene()
    photo = developed(tmp_path / "a.dng", light)
    for how in (RawSettings(), RawSettings("auto")):
        again, linear = decode_linear((tmp_path / "a.dng").read_bytes(), "a.dng", how)
        assert np.array_equal(again, read_photo(tmp_path / "a.dng", how))
        assert np.abs(inner(np.rot90(linear) / 65535 - light[..., None])).max() < 0.003  # nothing is stretched
    assert photo.shape == (240, 320, 3)
    with pytest.raises(PhotoError, match="is no camera RAW file, which --dslr-linear needs"):
        decode_linear(b"\xff\xd8\xff", "a.jpg", RawSettings())


def test_a_makers_wish_for_the_exposure_is_not_applied(tmp_path: Path) -> None:
    """So that two exposures of one light stay as far apart as they were."""
    photos = []
    for stops in (0, -1, 2):
        write_dng(tmp_path / "a.dng", baseline_exposure=stops)
        photos.append(read_photo(tmp_path / "a.dng"))
    assert photos[0].std() > 10
    assert np.array_equal(photos[0], photos[1]) and np.array_equal(photos[0], photos[2])

"""A PNG photo's colours are what its chunks state, in their order of rank, or refused by name, by the header too."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_profiles import Light, curve, grey_profile
from numpy.typing import NDArray
from PIL import ExifTags, Image

from dped_data.errors import PhotoError
from dped_data.photos.colour import srgb_decode, srgb_encode, srgb_from_adobe_rgb, srgb_from_display_p3
from dped_data.photos.deep import read_deep_photo
from dped_data.photos.reading import decode_photo, read_header, read_photo

PHOTO = np.random.default_rng(4).integers(0, 256, (30, 40, 3)).astype(np.uint8)
SRGB_XY = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_XY = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


SRGB_D65 = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
ADOBE_D65 = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
P3_D65 = np.array([[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0.0, 0.04511, 1.04394]])


def encoded(photo: NDArray[np.uint8]) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(photo).save(stored, "PNG")
    return stored.getvalue()


def png(**words: bytes) -> bytes:
    return with_words(encoded(PHOTO), words)


def with_words(data: bytes, words: dict[str, bytes]) -> bytes:
    added = b"".join(
        struct.pack(">I", len(value)) + kind.encode() + value + struct.pack(">I", zlib.crc32(kind.encode() + value))
        for kind, value in words.items()
    )
    return data[:33] + added + data[33:]


def gamma(value: float) -> bytes:
    return struct.pack(">I", round(100_000 * value))


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"cICP": bytes([1, 13, 0, 1])},
        {"gAMA": gamma(1 / 2.2)},
        {"gAMA": gamma(1 / 2.2), "cHRM": struct.pack(">8I", *SRGB_XY)},
        {"sRGB": b"\0", "gAMA": gamma(1.0)},
        {"gAMA": gamma(0)},
    ],
)
def test_srgb_by_any_word_stays_as_it_is(words: dict[str, bytes]) -> None:
    assert np.array_equal(decode_photo(png(**words), "a.png"), PHOTO)


def test_display_p3_adobe_rgb_and_linear_light_are_converted() -> None:
    p3 = png(gAMA=gamma(1.0), cICP=bytes([12, 13, 0, 1]))  # the code points rank first
    assert np.array_equal(decode_photo(p3, "a.png"), srgb_from_display_p3(PHOTO))
    adobe = decode_photo(png(gAMA=gamma(256 / 563), cHRM=struct.pack(">8I", *ADOBE_XY)), "a.png")
    assert np.abs(adobe.astype(int) - srgb_from_adobe_rgb(PHOTO)).max() <= 2
    linear = decode_photo(png(gAMA=gamma(1.0)), "a.png")
    assert np.abs(linear - 255 * srgb_encode(PHOTO / 255.0)).max() < 1.5


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"cICP": bytes([9, 16, 0, 1])}, "PQ is 16"),
        ({"cICP": bytes([1, 18, 0, 1])}, "HLG 18"),
        ({"gAMA": gamma(0.5), "cHRM": struct.pack(">8I", 34570, 35850, *SRGB_XY[2:])}, "another white"),
        ({"gAMA": gamma(0.5), "cHRM": struct.pack(">8I", *SRGB_XY[:2], *SRGB_XY[2:4] * 3)}, "no primaries"),
    ],
)
def test_other_colours_are_refused_and_the_header_knows(tmp_path: Path, words: dict[str, bytes], fault: str) -> None:
    (tmp_path / "a.png").write_bytes(png(**words))
    for read in (read_photo, read_header):
        with pytest.raises(PhotoError, match=fault):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("words", "xyz_from_rgb", "light"),
    [
        ({"gAMA": gamma(1.0)}, SRGB_D65, lambda v: v),
        ({"gAMA": gamma(256 / 563), "cHRM": struct.pack(">8I", *ADOBE_XY)}, ADOBE_D65, lambda v: v ** (563 / 256)),
        ({"cICP": bytes([12, 13, 0, 1])}, P3_D65, srgb_decode),
        ({"cICP": bytes([12, 13, 0, 1]), "iCCP": b"p\0\0" + zlib.compress(grey_profile(curve()))}, P3_D65, srgb_decode),
    ],
    ids=["linear", "adobe", "display p3", "code points before a profile"],
)
@pytest.mark.parametrize("grey", [False, True])
def test_sixteen_bits_are_converted_in_all_their_levels(
    tmp_path: Path, words: dict[str, bytes], xyz_from_rgb: NDArray[np.float64], light: Light, grey: bool
) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    photo = ramp if grey else np.stack([ramp, ramp // 2 + 10_000, ramp[::-1]], -1)
    path = tmp_path / "a.png"
    path.write_bytes(with_words(cv2.imencode(".png", photo if grey else photo[..., ::-1])[1].tobytes(), words))
    found = read_deep_photo(path)
    rgb = np.repeat(photo[..., None], 3, 2) if grey else photo
    truth = srgb_encode(np.clip(light(rgb / 65535) @ (np.linalg.inv(SRGB_D65) @ xyz_from_rgb).T, 0, 1)) * 65535
    assert found.dtype == np.uint16 and np.unique(found[..., 0]).size > 30_000
    assert np.abs(found - truth).max() < 128
    coarse = (rgb >> 8).astype(np.uint8)
    eight = decode_photo(with_words(encoded(coarse[..., 0] if grey else coarse), words), "a.png")
    path.write_bytes(with_words(cv2.imencode(".png", coarse[..., ::-1] * np.uint16(257))[1].tobytes(), words))
    assert np.abs(read_deep_photo(path) / 257 - eight).max() <= 0.502


def test_a_mark_of_adobe_rgb_beside_such_words_is_not_applied_too() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 2
    words = {"gAMA": gamma(256 / 563), "cHRM": struct.pack(">8I", *ADOBE_XY)}
    marked = words | {"eXIf": exif.tobytes().removeprefix(b"Exif\0\0")}
    assert np.array_equal(decode_photo(png(**marked), "a.png"), decode_photo(png(**words), "a.png"))
    mark = {"eXIf": marked["eXIf"]}
    assert np.array_equal(decode_photo(png(**mark), "a.png"), srgb_from_adobe_rgb(PHOTO))
    assert np.array_equal(decode_photo(png(sRGB=b"\0", **mark), "a.png"), PHOTO)

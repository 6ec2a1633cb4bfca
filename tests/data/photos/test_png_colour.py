"""A PNG photo's colours are what its chunks state, in their order of rank, or refused by name, by the header too."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dped_data.errors import PhotoError
from dped_data.photos.colour import srgb_encode, srgb_from_adobe_rgb, srgb_from_display_p3
from dped_data.photos.deep import read_deep_photo
from dped_data.photos.reading import decode_photo, read_header, read_photo

PHOTO = np.random.default_rng(4).integers(0, 256, (30, 40, 3)).astype(np.uint8)
SRGB_XY = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_XY = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


def png(**words: bytes) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(PHOTO).save(stored, "PNG")
    data = stored.getvalue()
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


def test_sixteen_bits_with_such_words_come_as_they_are_shown(tmp_path: Path) -> None:
    import cv2

    deep = cv2.imencode(".png", PHOTO[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    word = gamma(1.0)
    chunk = struct.pack(">I", 4) + b"gAMA" + word + struct.pack(">I", zlib.crc32(b"gAMA" + word))
    (tmp_path / "a.png").write_bytes(deep[:33] + chunk + deep[33:])
    assert np.array_equal(read_deep_photo(tmp_path / "a.png"), read_photo(tmp_path / "a.png"))

"""Photos come out upright, sRGB, RGB and 8 bits, or raise one clear error."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from photo_files import adobe_rgb_from_srgb, oriented, png_header, smooth_photo, write_dng
from PIL import ExifTags, Image, ImageCms

from dped_data.errors import PhotoError
from dped_data.photos.colour import srgb_decode, srgb_encode, srgb_from_adobe_rgb
from dped_data.photos.deep import read_deep_photo
from dped_data.photos.exif import exif_with_time
from dped_data.photos.reading import decode_photo, read_header, read_photo
from dped_data.photos.writing import write_photo


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = smooth_photo()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"photo{suffix}"
    write_photo(path, oriented(upright, orientation), quality=100, subsampling="4:4:4", exif=exif.tobytes())
    photo = read_photo(path)
    assert photo.shape == upright.shape
    assert np.abs(photo.astype(int) - upright).max() <= (6 if suffix == ".jpg" else 0)
    header = read_header(path)
    assert (header.width_px, header.height_px) == (64, 48)


def test_capture_time_survives_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_photo(path, smooth_photo(), exif=exif_with_time(1_500_000_000.125))
    header = read_header(path)
    assert header.time_s == pytest.approx(1_500_000_000.125, abs=1e-3)
    assert header.has_subseconds


def test_photo_without_exif_has_no_time(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", smooth_photo())
    assert read_header(tmp_path / "a.png").time_s is None


def test_grey_cmyk_16_bit_palette_and_alpha_become_rgb(tmp_path: Path) -> None:
    photo = smooth_photo()
    grey = photo[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.jpg", quality=100)
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    cv2.imwrite(str(tmp_path / "deep.png"), photo[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep.tif"), photo[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deepgrey.png"), grey.astype(np.uint16) * 257)
    Image.fromarray(np.dstack([photo, np.full_like(grey, 128)])).save(tmp_path / "alpha.png")
    grey_rgb = np.repeat(grey[..., None], 3, -1)
    for name, truth, tolerance in [
        ("grey.jpg", grey_rgb, 3),
        ("cmyk.jpg", photo, 6),
        ("deep.png", photo, 0),
        ("deep.tif", photo, 0),
        ("deepgrey.png", grey_rgb, 0),
        ("alpha.png", photo, 0),
    ]:
        read = read_photo(tmp_path / name)
        assert read.shape == photo.shape and read.dtype == np.uint8, name
        assert np.abs(read.astype(int) - truth).max() <= tolerance, name


def pale_photo() -> NDArray[np.uint8]:
    """Colours whose Adobe RGB codes are not so dark that 8 bits are too coarse for them."""
    return (100 + smooth_photo() // 2).astype(np.uint8)


def exif_of_colours(space: int, index: str = "") -> bytes:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.ColorSpace] = space
    if index:
        details[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: index}
    return exif.tobytes()


@pytest.mark.parametrize("said", [(65535, "R03"), (2, "R03"), (2, "")])
def test_adobe_rgb_mark_of_a_dslr_is_converted(tmp_path: Path, said: tuple[int, str]) -> None:
    """By the standard's mark, and by a colour space of 2, in any depth; a profile knows better."""
    photo, exif = pale_photo(), exif_of_colours(*said)
    stored, how = adobe_rgb_from_srgb(photo), {"quality": 100, "subsampling": "4:4:4"}
    write_photo(tmp_path / "_MG_1.jpg", stored, exif=exif, **how)
    assert np.abs(read_photo(tmp_path / "_MG_1.jpg").astype(int) - photo).mean() < 1
    assert np.abs(stored.astype(int) - photo).mean() > 2  # the test can fail
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_photo(tmp_path / "_MG_2.jpg", photo, exif=exif, icc_profile=srgb, **how)
    assert np.abs(read_photo(tmp_path / "_MG_2.jpg").astype(int) - photo).mean() < 1
    deep = cv2.imencode(".png", stored[..., ::-1] * np.uint16(257))[1].tobytes()
    word = exif.removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(word)) + b"eXIf" + word + struct.pack(">I", zlib.crc32(b"eXIf" + word))
    (tmp_path / "_MG_3.png").write_bytes(deep[:33] + chunk + deep[33:])
    found = read_deep_photo(tmp_path / "_MG_3.png")
    assert found.dtype == np.uint16 and np.abs(found / 257 - photo).mean() < 0.5


@pytest.mark.parametrize("said", [(1, "R98"), (1, ""), (65535, "")])
def test_other_marks_leave_srgb_as_it_is(tmp_path: Path, said: tuple[int, str]) -> None:
    photo = pale_photo()
    write_photo(tmp_path / "a.png", photo, exif=exif_of_colours(*said))
    assert np.array_equal(read_photo(tmp_path / "a.png"), photo)


def test_adobe_rgb_arithmetic_inverts_the_encoding() -> None:
    photo = pale_photo()
    assert np.abs(srgb_from_adobe_rgb(adobe_rgb_from_srgb(photo)).astype(int) - photo).max() <= 2


def test_srgb_transfer_curves_are_inverse() -> None:
    code = np.linspace(0, 1, 1001, dtype=np.float32)
    assert np.abs(srgb_encode(srgb_decode(code)) - code).max() < 1e-5


def test_embedded_profile_is_converted(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    photo = smooth_photo()
    write_photo(tmp_path / "a.png", photo, icc_profile=profile.tobytes())  # a profile of another kind is ignored
    assert np.array_equal(read_photo(tmp_path / "a.png"), photo)
    write_photo(tmp_path / "b.png", photo, icc_profile=b"not a profile")
    assert np.array_equal(read_photo(tmp_path / "b.png"), photo)


def test_the_largest_photos_of_todays_phones_are_no_bombs(tmp_path: Path) -> None:
    (tmp_path / "200.png").write_bytes(png_header(16320, 12240))
    header = read_header(tmp_path / "200.png")
    assert (header.width_px, header.height_px) == (16320, 12240)


def test_broken_files_raise_one_clear_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(smooth_photo(400, 600)).save(buffer, "JPEG", quality=95)
    png = io.BytesIO()
    Image.fromarray(smooth_photo()).save(png, "PNG")
    cases = {
        "cut.jpg": (buffer.getvalue()[:3000], "truncated JPEG"),
        "empty.jpg": (b"", "empty file"),
        "text.jpg": (b"these are not the photos you are looking for", "not a photo"),
        "bomb.png": (png_header(60000, 60000), "more than 250 megapixels"),
        "large.png": (png_header(16000, 16000), "more than 250 megapixels"),
        "cut.png": (png.getvalue()[:-40], "truncated or damaged"),
    }
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PhotoError, match=words) as caught:
            read_photo(tmp_path / name)
        assert str(caught.value).startswith(f"{name}: ")
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path / "missing.jpg")


def test_stray_bytes_between_markers_are_tolerated() -> None:
    buffer = io.BytesIO()
    Image.fromarray(smooth_photo()).save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    stray = data[:-2] + b"\0\0\0" + data[-2:]  # before the end-of-image marker, as some phones write it
    assert np.array_equal(decode_photo(stray, "a.jpg"), decode_photo(data, "a.jpg"))


def camera_jpeg(**how: Any) -> bytes:
    """A photo with texture everywhere, so that damage anywhere shows, as a JPEG file."""
    noise = np.random.default_rng(1).integers(-30, 30, (300, 400, 3))
    buffer = io.BytesIO()
    Image.fromarray((smooth_photo(300, 400) + noise).clip(0, 255).astype(np.uint8)).save(buffer, **how)
    return buffer.getvalue()


JPEG_KINDS = {
    "baseline": {"format": "JPEG", "quality": 92},
    "restart": {"format": "JPEG", "quality": 92, "restart_marker_rows": 1},
    "optimised": {"format": "JPEG", "quality": 92, "optimize": True},
    "progressive": {"format": "JPEG", "quality": 92, "progressive": True},
    "multi": {"format": "MPO", "quality": 92, "save_all": True, "append_images": [Image.new("RGB", (64, 48))]},
}


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("filling", ["zeroed", "overwritten"])
def test_a_damaged_sector_is_never_taken_for_a_sound_photo(kind: str, filling: str) -> None:
    data = camera_jpeg(**JPEG_KINDS[kind])
    sound = decode_photo(data, "a.jpg")
    first, rng, refused, wrong = data.index(b"\xff\xda") + 20, np.random.default_rng(2), 0, 0
    last = data.index(b"\xff\xd9", first) - 512
    for start in range((first // 512 + 1) * 512, last, 512):
        sector = bytes(512) if filling == "zeroed" else rng.integers(0, 256, 512, np.uint8).tobytes()
        try:
            taken = decode_photo(data[:start] + sector + data[start + 512 :], "a.jpg")
        except PhotoError:
            refused += 1
            continue
        wrong += bool((np.abs(taken.astype(int) - sound).max(axis=-1) > 8).mean() > 0.01)
    assert refused > 20 and not wrong


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_what_is_wrong_with_a_jpeg_and_costs_no_pixel_is_tolerated(kind: str) -> None:
    data = camera_jpeg(**JPEG_KINDS[kind])
    sound = decode_photo(data, "a.jpg")
    end = data.index(b"\xff\xd9", data.index(b"\xff\xda"))
    harmless = {
        "no end marker": data[:end],
        "bytes behind the end": data[: end + 2] + b"trailing" * 99,
        "zeros before the end": data[:end] + bytes(300) + data[end:],
        "stray bytes before a header": data.replace(b"\xff\xdb", b"\1\2\3\xff\xdb", 1),
    }
    for fault, changed in harmless.items():
        assert np.array_equal(decode_photo(changed, "a.jpg"), sound), fault
    with pytest.raises(PhotoError, match="truncated"):
        decode_photo(data[: end - 600], "a.jpg")


@pytest.mark.parametrize("optimize", [False, True])
def test_flat_photos_are_no_zeroed_ones(optimize: bool) -> None:
    for mode, value in itertools.product(("RGB", "L"), (0, 128, 255)):
        buffer = io.BytesIO()
        Image.new(mode, (1500, 1000), (value,) * len(mode)).save(buffer, "JPEG", optimize=optimize)
        assert np.unique(decode_photo(buffer.getvalue(), "flat.jpg")).tolist() == [value]


@pytest.mark.realdata
def test_sound_photos_of_cameras_are_read(shared_data: Path) -> None:
    photos = [path for folder in ("photos", "city100", "realtruth") for path in (shared_data / folder).rglob("*.jpg")]
    assert len(photos) > 30
    for path in photos:
        read_photo(path)


def test_heic_photos_are_read_with_the_extra(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra dped[heif]")
    pillow_heif.register_heif_opener()
    photo = smooth_photo(96, 128)
    exif = exif_with_time(1_500_000_000)
    Image.fromarray(photo).save(tmp_path / "a.heic", quality=95, exif=exif)
    assert np.abs(read_photo(tmp_path / "a.heic").astype(int) - photo).mean() < 2
    header = read_header(tmp_path / "a.heic")
    assert (header.width_px, header.height_px, header.time_s) == (128, 96, 1_500_000_000)


def test_raw_photos_are_developed_upright_with_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
    write_dng(tmp_path / "a.dng")
    photo = read_photo(tmp_path / "a.dng")
    assert photo.shape == (320, 240, 3)
    assert photo[20:140].mean() + 30 < photo[180:300].mean()  # what was left is on top
    header = read_header(tmp_path / "a.dng")
    assert (header.width_px, header.height_px, header.time_s) == (240, 320, 1_500_000_000)
    (tmp_path / "b.dng").write_bytes((tmp_path / "a.dng").read_bytes()[:100])
    with pytest.raises(PhotoError, match="RAW file"):
        read_photo(tmp_path / "b.dng")


def test_missing_extras_name_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(PhotoError, match=r"dped\[raw\]"):
        decode_photo(b"II*\0", "a.CR2")
    with pytest.raises(PhotoError, match=r"dped\[heif\]"):
        decode_photo(b"\0\0\0\x18ftypheic", "a.heic")


def test_unwritable_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"use \.jpg, \.png or \.tif"):
        write_photo(tmp_path / "a.gif", smooth_photo())


@pytest.mark.parametrize("name", ["a.jpg", "a.heic", "a.png", "a.tif"])
def test_the_format_is_what_the_bytes_say(tmp_path: Path, name: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = smooth_photo()
    heic = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(photo)).save(heic, quality=100)
    png, jpeg = io.BytesIO(), io.BytesIO()
    Image.fromarray(photo).save(png, "PNG")
    Image.fromarray(photo).save(jpeg, "JPEG", quality=98)
    for data in (heic.getvalue(), png.getvalue(), jpeg.getvalue()):
        (tmp_path / name).write_bytes(data)
        assert np.abs(read_photo(tmp_path / name).astype(int) - photo).mean() < 2
        assert read_header(tmp_path / name).width_px == photo.shape[1]


def test_a_heics_own_colour_description_counts(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = np.full((64, 64, 3), (200, 90, 60), np.uint8)
    for primaries, transfer, wanted in (
        (1, 13, (200, 90, 60)),
        (12, 13, (216, 81, 49)),
        (5, 1, (203, 90, 60)),
        (6, 6, (195, 93, 59)),
        (9, 16, None),
        (1, 18, None),
    ):
        heic = io.BytesIO()
        saved = pillow_heif.from_pillow(Image.fromarray(photo))
        saved.save(heic, quality=100, chroma=444, color_primaries=primaries, transfer_characteristics=transfer)
        if wanted is None:
            with pytest.raises(PhotoError, match=rf"transfer {transfer}.*not converted"):
                decode_photo(heic.getvalue(), "a.heic")
            (tmp_path / "a.heic").write_bytes(heic.getvalue())
            with pytest.raises(PhotoError, match="PQ is 16"):  # a plan knows
                read_header(tmp_path / "a.heic")
        else:
            assert np.abs(decode_photo(heic.getvalue(), "a.heic").astype(int) - wanted).max() <= 3


def test_a_profile_is_judged_by_what_it_does_to_colours() -> None:
    """The built-in sRGB leaves every pixel; a profile that is called so and is another one is converted."""
    photo = smooth_photo()
    plain, named = io.BytesIO(), io.BytesIO()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photo).save(plain, "PNG", icc_profile=srgb)
    assert np.array_equal(decode_photo(plain.getvalue(), "a.png"), photo)
    curve = srgb.index(b"para")
    linear = srgb[: curve + 12] + (65536).to_bytes(4, "big") + srgb[curve + 16 :]  # exponent 1 in place of 2.4
    Image.fromarray(photo).save(named, "PNG", icc_profile=linear)
    assert np.abs(decode_photo(named.getvalue(), "a.png").astype(int) - photo).mean() > 10


def test_deep_tiffs_are_neither_garbled_nor_inverted(tmp_path: Path) -> None:
    photo = smooth_photo()
    deep = photo.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "planar.tif", deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_photo(tmp_path / "planar.tif"), photo)
    planar = {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}
    tifffile.imwrite(tmp_path / "packed.tif", deep.transpose(2, 0, 1), **planar)
    with pytest.raises(PhotoError, match="planar TIFFs are not supported"):
        read_photo(tmp_path / "packed.tif")
    for order in "<>":
        tifffile.imwrite(tmp_path / "white.tif", 65535 - deep[..., 0], photometric="miniswhite", byteorder=order)
        assert np.array_equal(read_photo(tmp_path / "white.tif"), np.repeat(photo[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["u32", "signed", "float", "lab", "grey alpha", "avif", "jp2", "webp", "gif", "bmp"])
def test_what_is_not_read_is_refused_by_name(kind: str) -> None:
    """None of them comes out as another picture than it is."""
    photo, stored = smooth_photo(), io.BytesIO()
    if kind == "u32":
        tifffile.imwrite(stored, photo[..., 0].astype(np.uint32) << 24)
    elif kind == "signed":
        tifffile.imwrite(stored, photo[..., 0].astype(np.int16) * 100)
    elif kind == "float":
        tifffile.imwrite(stored, (photo / 255).astype(np.float32), photometric="rgb")
    elif kind == "grey alpha":
        two = photo[..., :2] * np.uint16(257)
        tifffile.imwrite(stored, two, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
        with pytest.raises(PhotoError, match="MINISBLACK, 2 x 16 bits a pixel"):
            decode_photo(stored.getvalue(), "a.tif")
    elif kind == "lab":
        tifffile.imwrite(stored, photo, photometric="cielab")
    else:
        Image.fromarray(photo).save(stored, {"jp2": "JPEG2000"}.get(kind, kind.upper()))
    with pytest.raises(PhotoError, match=r"not supported(?: \(.*\))?; save it|not read; save it as"):
        decode_photo(stored.getvalue(), "a.jpg")


def test_gain_maps_are_noticed_and_the_base_picture_is_read(tmp_path: Path) -> None:
    """Ultra HDR and its like: a multi-picture file whose second picture says how bright displays are to show it."""
    photo = smooth_photo()
    xmp = b'<x:xmpmeta xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
    small = Image.fromarray(255 - photo[::4, ::4])
    Image.fromarray(photo).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[small], quality=98, xmp=xmp, subsampling=0
    )
    Image.fromarray(photo).save(tmp_path / "b.jpg", "MPO", save_all=True, append_images=[small], quality=98)
    iso = io.BytesIO()
    Image.fromarray(photo).save(iso, "JPEG", quality=98)
    segment = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
    marked = b"\xff\xd8\xff\xe2" + (len(segment) + 2).to_bytes(2, "big") + segment + iso.getvalue()[2:]
    (tmp_path / "c.jpg").write_bytes(marked)
    assert [read_header(tmp_path / f"{name}.jpg").has_gain_map for name in "abc"] == [True, False, True]
    for name in "abc":
        assert np.abs(read_photo(tmp_path / f"{name}.jpg").astype(int) - photo).mean() < 2

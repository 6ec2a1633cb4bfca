"""Photos that claim far more than they hold are refused before they are decoded; no decoder's fault is a traceback."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tifffile
from photo_files import png_header, profile_named, smooth_photo, write_dng
from PIL import ExifTags, Image, ImageFile

import dped_data.photos.bounds as bounds
from dped_data.errors import PhotoError
from dped_data.photos.decoding import decoding
from dped_data.photos.exif import capture_time, exif_with_time
from dped_data.photos.jpeg_segments import JpegSegment, jpeg_segments
from dped_data.photos.preview import read_preview
from dped_data.photos.reading import decode_photo, read_header, read_photo


def jpeg(**options: object) -> bytes:
    data = io.BytesIO()
    Image.fromarray(smooth_photo()).save(data, "JPEG", **options)
    return data.getvalue()


def with_scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive photo until it has `count`."""
    scans = data.count(b"\xff\xda")
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - scans) + data[-2:]


def test_a_photo_of_too_many_scans_is_refused(tmp_path: Path) -> None:
    cmyk = io.BytesIO()
    Image.fromarray(smooth_photo()).convert("CMYK").save(cmyk, "JPEG", progressive=True)
    with pytest.raises(PhotoError, match="Inconsistent progression"):  # so many are looked at; these repeat one another
        decode_photo(with_scans(cmyk.getvalue(), bounds.MOST_SCANS), "a.jpg")
    for data in (jpeg(progressive=True), cmyk.getvalue()):
        with pytest.raises(PhotoError, match="more than 50 scans"):
            decode_photo(with_scans(data, bounds.MOST_SCANS + 1), "a.jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(with_scans(jpeg(progressive=True), bounds.MOST_SCANS))
    assert read_preview(path, 16)[0] is not None
    path.write_bytes(with_scans(jpeg(progressive=True), bounds.MOST_SCANS + 1))
    assert read_preview(path, 16) == (None, None)


def test_only_photos_that_may_have_many_scans_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[JpegSegment] = []

    def counted(data: bytes) -> Iterator[JpegSegment]:
        for segment in jpeg_segments(data):
            seen.append(segment)
            yield segment

    monkeypatch.setattr(bounds, "jpeg_segments", counted)
    data = jpeg()
    bounds.check_scans("a.jpg", data + data[2:])
    assert len(seen) < 15 and max(segment.end for segment in seen) < 700


def test_a_photo_of_too_many_segments_is_refused(tmp_path: Path) -> None:
    data = jpeg(exif=exif_with_time(1.5e9))
    path = tmp_path / "a.jpg"
    comment = b"\xff\xfe\0\2"
    path.write_bytes(data[:2] + comment * 5000 + data[2:])
    assert read_header(path).time_s == 1.5e9
    path.write_bytes(data[:2] + comment * 10_000 + data[2:])
    for read in (read_header, read_photo):
        with pytest.raises(PhotoError, match="more than 10,000 segments"):
            read(path)


def with_tile(data: bytes, width: int, height: int) -> bytes:
    """A tiled TIFF that claims tiles of another size."""
    for tag, value in ((322, width), (323, height)):
        place = next(
            data.index(struct.pack("<HH", tag, kind)) for kind in (3, 4) if struct.pack("<HH", tag, kind) in data
        )
        data = data[: place + 2] + struct.pack("<HII", 4, 1, value) + data[place + 12 :]
    return data


def test_a_tiff_of_one_huge_tile_is_refused() -> None:
    data = io.BytesIO()
    tifffile.imwrite(data, smooth_photo(), tile=(1024, 1024), compression="zlib", photometric="rgb")
    usual = data.getvalue()
    assert np.array_equal(decode_photo(usual, "a.tif"), smooth_photo())
    assert np.array_equal(decode_photo(with_tile(usual, 1024, 1024), "a.tif"), smooth_photo())
    for size in ((22_000, 22_000), (2000, 1024), (1024, 2000)):
        with pytest.raises(PhotoError, match="truncated or damaged"):
            decode_photo(with_tile(usual, *size), "a.tif")


def test_a_header_is_read_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(self: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.tif", "TIFF")):
        Image.fromarray(smooth_photo()).save(tmp_path / name, kind)
        assert read_header(tmp_path / name).width_px == 64
    (tmp_path / "b.png").write_bytes(png_header(16000, 15000))
    assert read_header(tmp_path / "b.png").height_px == 15000


def test_an_exif_block_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = io.BytesIO()
    Image.fromarray(smooth_photo()).save(data, "PNG", exif=exif)
    parts = data.getvalue()
    start = parts.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(parts[start : start + 4])
    (tmp_path / "a.png").write_bytes(parts[:start] + parts[end:-12] + parts[start:end] + parts[-12:])
    header = read_header(tmp_path / "a.png")
    assert (header.width_px, header.height_px) == (48, 64)
    assert np.array_equal(read_photo(tmp_path / "a.png"), np.rot90(smooth_photo(), -1))


@pytest.mark.parametrize(
    "raised", [struct.error("x"), AttributeError("x"), SystemError("x"), RecursionError("x"), ZeroDivisionError("x")]
)
def test_whatever_a_decoder_raises_is_the_photos_failure(monkeypatch: pytest.MonkeyPatch, raised: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise raised

    png = io.BytesIO()
    Image.fromarray(smooth_photo()).save(png, "PNG")
    monkeypatch.setattr(simplejpeg, "decode_jpeg", fails)
    with pytest.raises(PhotoError, match=r"^a\.jpg: damaged JPEG$"):
        decode_photo(jpeg(), "a.jpg")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fails)
    with pytest.raises(PhotoError, match=r"^a\.png: truncated or damaged photo$"):
        decode_photo(png.getvalue(), "a.png")
    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(PhotoError, match=r"^a\.png: not a photo"):
        decode_photo(png.getvalue(), "a.png")


def test_want_of_memory_is_not_the_photos_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for raised in (MemoryError(), ValueError("Insufficient memory (case 4)"), RuntimeError("std::bad_alloc")):
        with pytest.raises(MemoryError), decoding("a.jpg", "damaged"):
            raise raised
    with pytest.raises(PhotoError), decoding("a.heic", "damaged"):
        raise RuntimeError("Memory allocation error: Security limit exceeded")


def test_a_colour_profile_with_a_name_in_another_language_is_applied() -> None:
    plain, french = (jpeg(icc_profile=profile_named(name)) for name in (b"Display", "écran".encode("latin-1")))
    assert np.array_equal(decode_photo(french, "a.jpg"), decode_photo(plain, "a.jpg"))


def test_any_broken_byte_of_a_colour_profile_leaves_the_photo_readable() -> None:
    profile = profile_named(b"Display")
    for place in [*range(0, 300, 3), *range(300, len(profile), 40)]:
        broken = profile[:place] + bytes((profile[place] ^ 0x80,)) + profile[place + 1 :]
        assert decode_photo(jpeg(icc_profile=broken), "a.jpg").shape == (48, 64, 3)


def test_any_broken_bit_of_a_heic_photos_size_is_a_reason() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra dped[heif]")
    pillow_heif.register_heif_opener()
    data = io.BytesIO()
    Image.fromarray(smooth_photo()).save(data, "HEIF")
    sound = data.getvalue()
    size = sound.index(b"ispe") + 8
    faults = set()
    for bit in range(64):
        broken = bytearray(sound)
        broken[size + bit // 8] ^= 1 << bit % 8
        try:
            decode_photo(bytes(broken), "a.heic")
        except PhotoError as error:
            faults.add(error.fault)
    assert faults  # else nothing was broken
    assert all("\n" not in fault for fault in faults)


def test_any_broken_byte_of_a_raw_photos_tags_is_a_reason(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
    write_dng(tmp_path / "a.dng", 24, 32)
    sound = (tmp_path / "a.dng").read_bytes()
    refused = 0
    for place in range(0, 400, 3):
        (tmp_path / "b.dng").write_bytes(sound[:place] + bytes((sound[place] ^ 0xFF,)) + sound[place + 1 :])
        try:
            read_header(tmp_path / "b.dng")
            read_photo(tmp_path / "b.dng")
        except PhotoError:
            refused += 1
    assert refused > 5


def test_a_raw_photo_of_a_grey_sensor_is_grey(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
    write_dng(tmp_path / "a.dng", 24, 32, grey=True)
    photo = read_photo(tmp_path / "a.dng")
    assert photo.shape == (32, 24, 3) and np.ptp(photo, axis=2).max() == 0 < np.ptp(photo)


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_with(chunks: bytes, behind: bytes = b"") -> bytes:
    """A PNG photo with more chunks before its pixels and behind them."""
    data = io.BytesIO()
    Image.fromarray(smooth_photo()).save(data, "PNG")
    sound = data.getvalue()
    return sound[:33] + chunks + sound[33:-12] + behind + sound[-12:]


def test_a_png_of_too_many_chunks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    text, packed = png_chunk(b"tEXt", b"a\0b"), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b"))
    path.write_bytes(png_with(text * 5000 + packed * 50, text * 2000))
    assert np.array_equal(read_photo(path), smooth_photo())
    for chunks, fault in ((text * 10_001, "10,000 chunks of metadata"), (packed * 101, "100 chunks of compressed")):
        path.write_bytes(png_with(chunks))
        for read in (read_header, read_photo):
            with pytest.raises(PhotoError, match=f"more than {fault}"):
                read(path)
        path.write_bytes(png_with(b"", chunks))
        assert read_header(path).width_px == 64
        with pytest.raises(PhotoError, match=f"more than {fault}"):
            read_photo(path)
    with pytest.raises(PhotoError, match="more than 262,144 chunks of pixels"):
        decode_photo(png_with(b"", png_chunk(b"IDAT", b"") * 2**18), "a.png")


def test_a_large_profile_of_a_png_is_passed_over_and_a_huge_one_named() -> None:
    def with_profile(size: int) -> bytes:
        return png_with(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(size))))

    assert np.array_equal(decode_photo(with_profile(3_000_000), "a.png"), smooth_photo())
    for data in (with_profile(2**23 + 1), png_with(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**23 + 1))))):
        with pytest.raises(PhotoError, match="unpack to more than 8 MB each or 64 MB in all"):
            decode_photo(data, "a.png")


def tiff_of_jpeg(data: bytes, parts: int = 1) -> bytes:
    """A TIFF file of strips of the photo's height that all are one JPEG picture."""
    tags = [(256, 4, 64), (257, 4, 48 * parts), (258, 3, 8), (259, 3, 7), (262, 3, 1), (273, 4, 0), (277, 3, 1)]
    tags += [(278, 4, 48), (279, 4, 0)]
    lists = 8 + 2 + 12 * len(tags) + 4
    values = {273: lists, 279: lists + 4 * parts} if parts > 1 else {273: lists, 279: len(data)}
    place = lists + (8 * parts if parts > 1 else 0)
    directory = b"".join(
        struct.pack("<HHII", tag, kind, parts if tag in values else 1, values.get(tag, value))
        for tag, kind, value in tags
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    arrays = struct.pack(f"<{2 * parts}I", *[place] * parts, *[len(data)] * parts) if parts > 1 else b""
    return head + arrays + data


@pytest.mark.parametrize("parts", [1, 3])
def test_a_tiff_of_jpeg_pictures_with_too_many_scans_is_refused(parts: int) -> None:
    data = io.BytesIO()
    Image.fromarray(smooth_photo()).convert("L").save(data, "JPEG", progressive=True)
    grey = data.getvalue()
    assert decode_photo(tiff_of_jpeg(grey, parts), "a.tif").shape == (48 * parts, 64, 3)
    with pytest.raises(PhotoError, match="progression"):  # decoded, and found to repeat itself
        decode_photo(tiff_of_jpeg(with_scans(grey, bounds.MOST_SCANS), parts), "a.tif")
    with pytest.raises(PhotoError, match="more than 50 scans"):
        decode_photo(tiff_of_jpeg(with_scans(grey, bounds.MOST_SCANS + 1), parts), "a.tif")


def test_a_photo_with_a_side_that_no_camera_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for width, height in ((bounds.MAX_SIDE + 1, 1), (1, bounds.MAX_SIDE + 1)):
        path.write_bytes(png_header(width, height))
        with pytest.raises(PhotoError, match=f"{width} x {height} px, a side may have 65,535 at most"):
            read_header(path)
    path.write_bytes(png_header(bounds.MAX_SIDE, 1))
    assert read_header(path).width_px == bounds.MAX_SIDE


@pytest.mark.parametrize("text", ["9999:12:31 23:59:59", "0001:01:01 00:00:00", "1899:12:31 23:59:59"])
def test_years_that_no_clock_means_are_no_time(text: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = text
    assert capture_time(exif).time_s is None


@pytest.mark.parametrize("text", ["9998:12:31 23:59:59", "1900:01:01 00:00:00", "2017:05:01 10:00:00"])
def test_subseconds_never_make_it_the_next_second(text: str) -> None:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = text
    details[ExifTags.Base.SubsecTimeOriginal] = "999999999"
    time_s, has_subseconds, _ = capture_time(exif)
    assert time_s is not None and has_subseconds
    assert datetime.fromtimestamp(time_s, tz=UTC).strftime("%Y:%m:%d %H:%M:%S") == text
    details[ExifTags.Base.SubsecTimeOriginal] = "25"
    assert capture_time(exif)[0] == datetime.fromtimestamp(time_s, tz=UTC).replace(microsecond=250_000).timestamp()


def test_a_size_of_zero_is_the_files_fault_whatever_libheif_calls_it() -> None:
    with pytest.raises(PhotoError), decoding("a.heic", "damaged"):
        raise RuntimeError("Memory allocation error: Invalid image size: zero width or height")

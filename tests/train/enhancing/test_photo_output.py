"""Enhanced photos as files: pixels, bit depth, EXIF data and profile come back as other programs read them."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from dped_data.photos.writing import LARGEST_JPEG_EXIF, carried_exif, srgb_profile, write_enhanced


def photo_with_exif(path: Path, maker_note: bytes = b"note", byte_order: str = "<") -> None:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Model] = "Phone 1"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2026:01:02 03:04:05"
    details[ExifTags.Base.MakerNote] = maker_note
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    Image.new("RGB", (8, 6), (10, 200, 30)).save(path, exif=exif)


def described(profile: bytes) -> str:
    return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))


def pixels(kind: type[np.uint8] | type[np.uint16]) -> np.ndarray:
    top = np.iinfo(kind).max
    return np.random.default_rng(0).integers(0, top, (7, 5, 3), dtype=kind, endpoint=True)


def test_exif_is_carried_with_the_orientation_set_upright(tmp_path: Path) -> None:
    photo_with_exif(tmp_path / "a.jpg")
    write_enhanced(tmp_path / "b.jpg", pixels(np.uint8), 95, carried_exif(tmp_path / "a.jpg", (5, 7)))
    with Image.open(tmp_path / "b.jpg") as image:
        exif = image.getexif()
    assert exif[ExifTags.Base.Orientation] == 1
    assert exif[ExifTags.Base.Model] == "Phone 1"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2026:01:02 03:04:05"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_exif_too_large_for_jpeg_loses_the_cameras_notes_only(tmp_path: Path) -> None:
    photo_with_exif(tmp_path / "a.png", maker_note=b"x" * LARGEST_JPEG_EXIF)
    block = carried_exif(tmp_path / "a.png", (5, 7))
    assert block is not None
    assert len(block) < 1000
    exif = Image.Exif()
    exif.load(block)
    assert exif[ExifTags.Base.Model] == "Phone 1"


def test_photos_without_exif_carry_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    assert carried_exif(tmp_path / "a.png", (5, 7)) is None
    (tmp_path / "b.cr2").write_bytes(b"no photo")
    assert carried_exif(tmp_path / "b.cr2", (5, 7)) is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_lossless_formats_keep_every_value(tmp_path: Path, suffix: str) -> None:
    for kind in (np.uint8, np.uint16):
        path = tmp_path / f"{kind.__name__}{suffix}"
        write_enhanced(path, pixels(kind), 95, None)
        read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert read is not None
        assert read.dtype == kind
        np.testing.assert_array_equal(read[:, :, ::-1], pixels(kind))


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_lossless_formats_carry_exif_and_profile(
    tmp_path: Path, suffix: str, kind: type[np.uint8] | type[np.uint16], byte_order: str
) -> None:
    photo_with_exif(tmp_path / "a.jpg", byte_order=byte_order)
    path = tmp_path / f"b{suffix}"
    made = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (701, 203, 3), kind)  # several strips
    write_enhanced(path, made, 95, carried_exif(tmp_path / "a.jpg", (203, 701)))
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    assert read is not None
    np.testing.assert_array_equal(read[:, :, ::-1], made)
    with Image.open(path) as image:
        exif = image.getexif()
        assert exif[ExifTags.Base.Model] == "Phone 1" and exif[ExifTags.Base.Orientation] == 1
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2026:01:02 03:04:05"
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
        assert "sRGB" in described(image.info["icc_profile"])
    if suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            np.testing.assert_array_equal(file.asarray(), made)


def test_what_a_file_says_of_itself_stays_behind(tmp_path: Path) -> None:
    """A TIFF's strips and compression mean nothing in another file, and a size is that of the enhanced photo."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight] = 8, 6
    write_enhanced(tmp_path / "a.tif", pixels(np.uint16), 95, exif.tobytes())
    with Image.open(tmp_path / "a.tif") as image:
        assert ExifTags.Base.StripOffsets in image.getexif()
    for name in ("b.jpg", "b.tif"):
        write_enhanced(tmp_path / name, pixels(np.uint8), 95, carried_exif(tmp_path / "a.tif", (5, 7)))
        with Image.open(tmp_path / name) as image:
            carried = image.getexif()
            details = carried.get_ifd(ExifTags.IFD.Exif)
        assert (details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]) == (5, 7)
        assert carried[ExifTags.Base.Artist] == "somebody"
        assert name == "b.tif" or {*carried} == {ExifTags.Base.Artist, ExifTags.Base.Orientation, ExifTags.IFD.Exif}


def test_every_format_says_that_it_is_srgb(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.tif"):
        write_enhanced(tmp_path / name, pixels(np.uint8), 95, None)
        with Image.open(tmp_path / name) as image:
            assert "sRGB" in described(image.info["icc_profile"])
    write_enhanced(tmp_path / "deep.tif", pixels(np.uint16), 95, None)
    with tifffile.TiffFile(tmp_path / "deep.tif") as file:
        assert "sRGB" in described(file.pages[0].tags["InterColorProfile"].value)


def test_the_same_photo_gives_the_same_bytes(tmp_path: Path) -> None:
    """The profile that Little CMS makes carries the time of day; ours does not."""
    assert srgb_profile()[24:36] == b"\x07\xd0\0\1\0\1\0\0\0\0\0\0"
    for kind, name in ((np.uint8, "a.jpg"), (np.uint8, "a.tif"), (np.uint16, "b.png"), (np.uint16, "b.tif")):
        written = []
        for folder in ("first", "second"):
            write_enhanced(tmp_path / folder / name, pixels(kind), 95, None)
            written.append((tmp_path / folder / name).read_bytes())
        assert written[0] == written[1]

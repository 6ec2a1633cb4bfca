"""Copies of photos keep what is seen, bit by bit, and nothing else."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.reading import decode_photo, read_photo
from dped_data.study.clean_copy import clean_copy

SECRET = b"Canon EOS 70D"


def picture(mode: str = "RGB", size: tuple[int, int] = (61, 43)) -> Image.Image:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, size[0])[None, :, None] + rng.normal(0, 20, (size[1], size[0], 3))
    return Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).convert(mode)


def telling_exif(orientation: int = 1, mark: str | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = SECRET.decode()
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    if mark:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: mark}
    return exif


@cache  # a new one says another second
def profile_bytes() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def info_of(data: bytes) -> tuple[Image.Exif, dict]:
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif(), dict(image.info)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "optimize": True}])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_jpeg_data_is_copied_and_everything_else_left_out(tmp_path: Path, options: dict, orientation: int) -> None:
    path = tmp_path / "photo.jpg"
    picture().save(path, exif=telling_exif(orientation), comment=SECRET, icc_profile=profile_bytes(), **options)
    path.write_bytes(path.read_bytes() + b"\xff\xd8 a film follows: " + SECRET)  # as motion photos have it
    copy = clean_copy(path)
    assert SECRET not in copy.data and b"2020" not in copy.data
    assert not copy.is_recoded and copy.suffix == ".jpg"
    assert np.array_equal(decode_photo(copy.data, "copy.jpg"), read_photo(path))
    assert (copy.height_px, copy.width_px) == read_photo(path).shape[:2]
    exif, info = info_of(copy.data)
    assert dict(exif) == ({} if orientation == 1 else {ExifTags.Base.Orientation: orientation})
    assert info["icc_profile"] == profile_bytes()
    start = path.read_bytes().index(b"\xff\xda")
    end = path.read_bytes().index(b"\xff\xd8 a film")
    assert path.read_bytes()[start:end] in copy.data  # the compressed scans, byte for byte


def test_grey_jpegs_stay_grey_jpegs(tmp_path: Path) -> None:
    picture("L").save(tmp_path / "grey.jpg", comment=SECRET)
    copy = clean_copy(tmp_path / "grey.jpg")
    assert not copy.is_recoded and SECRET not in copy.data
    assert np.array_equal(decode_photo(copy.data, "copy.jpg"), read_photo(tmp_path / "grey.jpg"))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_png_data_is_copied_without_its_texts(tmp_path: Path, mode: str) -> None:
    path, texts = tmp_path / "photo.png", PngImagePlugin.PngInfo()
    texts.add_text("Source", SECRET.decode())
    texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    picture(mode).save(path, pnginfo=texts, exif=telling_exif(), icc_profile=profile_bytes(), dpi=(300, 300))
    copy = clean_copy(path)
    assert SECRET not in copy.data
    assert not copy.is_recoded and copy.suffix == ".png"
    assert np.array_equal(decode_photo(copy.data, "copy.png"), read_photo(path))
    exif, info = info_of(copy.data)
    assert not exif and info["icc_profile"] == profile_bytes() and "dpi" not in info


def test_what_browsers_show_wrongly_or_not_at_all_becomes_png(tmp_path: Path) -> None:
    picture().save(tmp_path / "retouched.tif", exif=telling_exif())
    picture("CMYK").save(tmp_path / "press.jpg")
    picture().save(tmp_path / "turned.png", exif=telling_exif(6))
    picture().save(tmp_path / "adobe.jpg", exif=telling_exif(mark="R03"))
    for name in ("retouched.tif", "press.jpg", "turned.png", "adobe.jpg"):
        copy = clean_copy(tmp_path / name)
        assert copy.is_recoded and copy.suffix == ".png", name
        assert SECRET not in copy.data
        assert np.array_equal(decode_photo(copy.data, "copy.png"), read_photo(tmp_path / name)), name
        assert not dict(info_of(copy.data)[0])


def test_damaged_photos_are_named(tmp_path: Path) -> None:
    picture().save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no photo")
    with pytest.raises(PhotoError, match=r"cut\.jpg: truncated JPEG"):
        clean_copy(tmp_path / "cut.jpg")
    with pytest.raises(PhotoError, match=r"text\.png: not a photo"):
        clean_copy(tmp_path / "text.png")


@pytest.mark.realdata
def test_genuine_camera_files_keep_their_pixels(shared_data: Path, tmp_path: Path) -> None:
    """JPEGs as cameras and phones write them: maker notes, several pictures in one file, odd segments."""
    photos = sorted(path for path in shared_data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:400:20]
    assert photos
    for path in photos:
        copy = clean_copy(path)
        assert np.array_equal(decode_photo(copy.data, f"copy{copy.suffix}"), read_photo(path)), path
        assert not {*info_of(copy.data)[0]} - {ExifTags.Base.Orientation}

"""Small pictures of photos are upright and in place; photos that cannot be read leave a gap, not an error."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from planted_dataset import HEIGHT, SIZE, WIDTH, make_dataset, scene

import dped_data.inspection.previews as previews
from dped_data.dataset.layout import open_shard
from dped_data.inspection.dataset_reader import open_dataset, stored_captures
from dped_data.inspection.previews import covered, mosaic, shrink_factor
from dped_data.photos.preview import read_preview
from dped_data.photos.reading import read_photo


@pytest.mark.parametrize("orientation", range(1, 9))
def test_preview_is_the_photo_upright_and_small(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    large = cv2.resize(scene(0), (1000, 800), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    Image.fromarray(large).save(tmp_path / "photo.jpg", quality=95, exif=exif.tobytes())
    preview, _ = read_preview(tmp_path / "photo.jpg", 250)
    assert preview is not None
    whole = read_photo(tmp_path / "photo.jpg")
    expected = cv2.resize(whole, (whole.shape[1] // 4, whole.shape[0] // 4), interpolation=cv2.INTER_AREA)
    assert preview.shape == expected.shape
    assert np.abs(preview.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff\xe0 cut off"])
def test_photo_that_cannot_be_read_is_a_gap(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    assert read_preview(tmp_path / "bad.jpg", 250) == (None, None)
    assert read_preview(tmp_path / "missing.jpg", 250) == (None, None)


@pytest.mark.parametrize("factor", [1, 3])
def test_mosaic_puts_patches_where_they_were_cut(tmp_path: Path, factor: int) -> None:
    photos = tmp_path / "captures"
    folder = make_dataset(tmp_path / "dataset", count=1, photos=photos) / "sony"
    listed = open_dataset(folder, None).captures[:1]
    with open_shard(folder / listed[0].shard) as file:
        (stored,) = stored_captures(file, listed)
        patches = file["phone"][:]
    picture, mask = mosaic(patches, stored, factor), covered(stored, SIZE, factor)
    photo = read_photo(photos / "sony" / "c000.png")
    wide, high = -(-WIDTH // factor) * factor - WIDTH, -(-HEIGHT // factor) * factor - HEIGHT
    padded = cv2.copyMakeBorder(photo, 0, high, 0, wide, cv2.BORDER_CONSTANT)
    expected = cv2.resize(padded, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.array_equal(picture[mask], expected[mask])
    assert mask.mean() == pytest.approx(19 / 20, abs=0.02)


def test_shrink_factor_keeps_the_longer_side_below_the_limit() -> None:
    assert shrink_factor((2592, 1944), 900) == 3
    assert shrink_factor((900, 600), 900) == 1
    assert shrink_factor((600, 901), 900) == 2


@pytest.mark.parametrize("factor", [1, 3])
def test_a_mosaic_is_the_same_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: int) -> None:
    folder = make_dataset(tmp_path / "dataset", count=1) / "sony"
    listed = open_dataset(folder, None).captures[:1]
    with open_shard(folder / listed[0].shard) as file:
        (stored,) = stored_captures(file, listed)
        patches = file["phone"][:]
    whole = mosaic(patches, stored, factor), covered(stored, SIZE, factor)
    monkeypatch.setattr(previews, "_BAND_PIXELS", 7 * WIDTH)
    assert np.array_equal(mosaic(patches, stored, factor), whole[0])
    assert np.array_equal(covered(stored, SIZE, factor), whole[1])


def test_a_mosaic_of_a_huge_photo_takes_no_more_than_its_picture(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "dataset", count=1) / "sony"
    listed = open_dataset(folder, None).captures[:1]
    with open_shard(folder / listed[0].shard) as file:
        (stored,) = stored_captures(file, listed)
        patches = file["phone"][:]
    stored = dataclasses.replace(stored, phone_size_wh=(15_000, 15_000))
    tracemalloc.start()
    try:
        picture = mosaic(patches, stored, 16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert picture.shape == (938, 938, 3)
    assert peak < 64 * 2**20  # the whole photo: 675 MB

"""Photos of 16 bits keep their levels, whatever their format, colours and orientation; others come as always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from photo_files import oriented, smooth_photo, write_dng
from PIL import Image, ImageCms

from dped_data.photos.colour import srgb_decode
from dped_data.photos.deep import is_deep, read_deep_photo
from dped_data.photos.reading import read_photo


def deep_photo() -> NDArray[np.uint16]:
    """(48, 64, 3) with values between those of 8 bits."""
    return (smooth_photo().astype(np.uint32) * 255 + np.arange(64)[None, :, None] * 3).astype(np.uint16)


@pytest.mark.parametrize("kind", ["png", "png alpha", "png grey", "tif", "planar", "white", "alpha", "deflated", "big"])
def test_all_levels_are_read(tmp_path: Path, kind: str) -> None:
    photo = deep_photo()
    path = tmp_path / f"a.{kind[:3] if kind.startswith('png') else 'tif'}"
    opaque = np.full((48, 64, 1), 40_000, np.uint16)
    wanted = photo
    if kind == "png":
        cv2.imwrite(str(path), photo[..., ::-1])
    elif kind == "png alpha":
        cv2.imwrite(str(path), np.concatenate([photo[..., ::-1], opaque], axis=2))
    elif kind == "png grey":
        cv2.imwrite(str(path), photo[..., 0])
        wanted = np.repeat(photo[..., :1], 3, axis=2)
    elif kind == "planar":
        tifffile.imwrite(path, photo.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    elif kind == "white":
        tifffile.imwrite(path, 65535 - photo[..., 0], photometric="miniswhite")
        wanted = np.repeat(photo[..., :1], 3, axis=2)
    elif kind == "alpha":
        tifffile.imwrite(path, np.concatenate([photo, opaque], axis=2), photometric="rgb", extrasamples=["unassalpha"])
    else:
        options: dict[str, Any] = {"deflated": {"compression": "zlib"}, "big": {"bigtiff": True}}.get(kind, {})
        tifffile.imwrite(path, photo, photometric="rgb", **options)
    assert is_deep(path)
    found = read_deep_photo(path)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, wanted)
    assert np.abs(read_photo(path).astype(int) - found / 257).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_photos_come_upright(tmp_path: Path, orientation: int) -> None:
    photo = deep_photo()
    stored = oriented(photo, orientation)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    np.testing.assert_array_equal(read_deep_photo(tmp_path / "a.tif"), photo)


def test_wide_profiles_are_converted_in_16_bits(tmp_path: Path) -> None:
    """A linear profile of sRGB's primaries: its codes are light. A profile of tables comes in 8 bits."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    curve = srgb.index(b"para")
    linear = srgb[: curve + 8] + bytes(4) + (65536).to_bytes(4, "big") + srgb[curve + 16 :]  # kind 0, exponent 1
    photo = deep_photo()
    light = np.rint(srgb_decode(photo / 65535.0) * 65535).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", light, photometric="rgb", iccprofile=linear)
    found = read_deep_photo(tmp_path / "a.tif")
    bright = photo > 5000  # below, 16 bits of light are coarser
    assert np.abs(found.astype(int) - photo)[bright].max() <= 12
    assert np.unique(found[..., 1]).size > 400


def test_others_come_in_8_bits(tmp_path: Path) -> None:
    photo = smooth_photo()
    for kind in ("PNG", "TIFF", "JPEG"):
        Image.fromarray(photo).save(tmp_path / "a", kind)
        assert not is_deep(tmp_path / "a")
        found = read_deep_photo(tmp_path / "a")
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, read_photo(tmp_path / "a"))


def test_raw_photos_are_developed_in_16_bits(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="needs the extra dped[raw]")
    ramp = np.linspace(2000, 60_000, 320 * 240).reshape(240, 320).astype(np.uint16)
    write_dng(tmp_path / "a.dng", mosaic=ramp)
    assert is_deep(tmp_path / "a.dng")
    found = read_deep_photo(tmp_path / "a.dng")
    assert found.dtype == np.uint16 and np.unique(found).size > 5000
    assert np.abs(found / 257 - read_photo(tmp_path / "a.dng")).max() <= 1.01

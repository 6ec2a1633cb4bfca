"""Photos of 16 bits keep their levels, whatever their format, colours and orientation; others come as always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from made_profiles import (
    ADOBE_D50,
    P3_D50,
    PROPHOTO_D50,
    SRGB_CURVE,
    SRGB_D50,
    cmyk_profile,
    curve,
    grey_profile,
    lut_profile,
    matrix_profile,
    parametric,
    table_of,
)
from numpy.typing import NDArray
from photo_files import lzw_tiff, oriented, smooth_photo, write_dng
from PIL import Image

from dped_data.photos import sixteen_bits
from dped_data.photos.colour import srgb_decode, srgb_encode
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


def ramps() -> NDArray[np.uint16]:
    """(256, 256, 3): all levels as grey, and below as colours."""
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    return np.concatenate([np.repeat(ramp[..., None], 3, 2), np.stack([ramp, ramp // 2 + 10_000, ramp // 3], -1)])


PROFILES: dict[str, tuple[bytes, NDArray[np.float64], Any]] = {
    "adobe rgb": (matrix_profile(ADOBE_D50, curve(563)), ADOBE_D50, lambda v: v ** (563 / 256)),
    "display p3": (matrix_profile(P3_D50, parametric(3, *SRGB_CURVE)), P3_D50, srgb_decode),
    "prophoto": (matrix_profile(PROPHOTO_D50, parametric(0, 1.8)), PROPHOTO_D50, lambda v: v**1.8),
    "linear": (matrix_profile(SRGB_D50, curve()), SRGB_D50, lambda v: v),
    "para 1": (
        matrix_profile(P3_D50, parametric(1, 2, 1.1, -0.1)),
        P3_D50,
        lambda v: np.maximum(1.1 * v - 0.1, 0) ** 2,
    ),
    "para 2": (
        matrix_profile(P3_D50, parametric(2, 2, 1.1, -0.1, 0)),
        P3_D50,
        lambda v: np.maximum(1.1 * v - 0.1, 0) ** 2,
    ),
    "para 4": (matrix_profile(P3_D50, parametric(4, *SRGB_CURVE, 0, 0)), P3_D50, srgb_decode),
    "1024 entries": (matrix_profile(ADOBE_D50, table_of(lambda v: v**2.2, 1024), 2), ADOBE_D50, lambda v: v**2.2),
    "4096 entries": (matrix_profile(ADOBE_D50, table_of(lambda v: v**2.2, 4096), 2), ADOBE_D50, lambda v: v**2.2),
    **{
        kind: (lut_profile(kind, ADOBE_D50, 2.2), ADOBE_D50, lambda v: v**2.2)
        for kind in ("mft1", "mft2", "mft2 XYZ", "mAB")
    },
}


@pytest.mark.parametrize("kind", PROFILES)
def test_profiles_are_converted_in_16_bits(tmp_path: Path, kind: str) -> None:
    """Against the colours' own arithmetic in float64: half a level of 255, two for tables of 33 points an axis."""
    profile, xyz_from_rgb, light = PROFILES[kind]
    photo = ramps()
    tifffile.imwrite(tmp_path / "a.tif", photo, photometric="rgb", iccprofile=profile)
    found = read_deep_photo(tmp_path / "a.tif")
    linear = light(photo / 65535) @ (np.linalg.inv(SRGB_D50) @ xyz_from_rgb).T
    truth = srgb_encode(np.clip(linear, 0, 1)) * 65535
    assert found.dtype == np.uint16 and np.unique(found[:256, :, 1]).size > 30_000
    assert np.abs(found - truth).max() < (2 * 257 if kind in ("mft1", "mft2", "mAB") else 128)


@pytest.mark.parametrize("kind", [*PROFILES, "grey", "cmyk"])
def test_8_bits_agree_with_16(tmp_path: Path, kind: str) -> None:
    """The same values in both depths, and colours of all kinds: littlecms rounds to 8 bits, we to 16."""
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    photo, how = colours[..., :3], {"photometric": "rgb"}
    profile = PROFILES[kind][0] if kind in PROFILES else cmyk_profile() if kind == "cmyk" else grey_profile(curve(256))
    if kind == "grey":
        photo, how = colours[..., 0], {"photometric": "minisblack"}
    elif kind == "cmyk":
        photo, how = colours, {"photometric": "separated"}
    tifffile.imwrite(tmp_path / "8.tif", photo, iccprofile=profile, **how)  # type: ignore[arg-type]
    tifffile.imwrite(tmp_path / "16.tif", photo * np.uint16(257), iccprofile=profile, **how)  # type: ignore[arg-type]
    coarse, deep = read_photo(tmp_path / "8.tif"), read_deep_photo(tmp_path / "16.tif")
    assert deep.dtype == np.uint16
    assert np.abs(coarse - deep / 257).max() <= 1
    plain = photo if kind != "grey" else np.repeat(photo[..., None], 3, 2)
    assert kind == "cmyk" or np.abs(coarse.astype(int) - plain).max() > 5  # the test can fail


@pytest.mark.parametrize("kind", ["linear", "prophoto", "mft2"])
def test_16_bits_become_8_after_they_are_converted(tmp_path: Path, kind: str) -> None:
    """Before, linear light would be 13 levels off in the dark; turned as the file says, too."""
    stored = oriented(ramps(), 6)  # type: ignore[arg-type]
    tags = [(274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", iccprofile=PROFILES[kind][0], extratags=tags)
    coarse, deep = read_photo(tmp_path / "a.tif"), read_deep_photo(tmp_path / "a.tif")
    assert coarse.dtype == np.uint8 and coarse.shape == deep.shape == (512, 256, 3)
    assert np.abs(coarse - deep / 257).max() <= 0.502


def test_grey_profiles_are_converted(tmp_path: Path) -> None:
    """Linear grey, in 8 bits and in 16, as JPEG and as TIFF."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wanted = 255 * srgb_encode(ramp / 255.0)
    Image.fromarray(ramp).resize((128, 128), Image.Resampling.NEAREST).save(
        tmp_path / "a.jpg", quality=100, icc_profile=grey_profile(curve())
    )
    assert np.abs(read_photo(tmp_path / "a.jpg")[4::8, 4::8, 1] - wanted)[1:].max() < 2
    tifffile.imwrite(
        tmp_path / "a.tif", ramp * np.uint16(257), photometric="minisblack", iccprofile=grey_profile(curve())
    )
    assert np.abs(read_deep_photo(tmp_path / "a.tif")[..., 2] / 257 - wanted).max() < 0.1


def test_without_littlecms_at_hand_a_profile_costs_the_lower_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", deep_photo(), photometric="rgb", iccprofile=PROFILES["linear"][0])
    monkeypatch.setattr(sixteen_bits, "_littlecms", lambda: None)
    found = read_deep_photo(tmp_path / "a.tif")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, read_photo(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    "profile", [b"no profile", cmyk_profile(), grey_profile(curve())], ids=["broken", "cmyk", "grey"]
)
def test_broken_profiles_and_those_of_other_photos_are_ignored(tmp_path: Path, profile: bytes) -> None:
    tifffile.imwrite(tmp_path / "a.tif", deep_photo(), photometric="rgb", iccprofile=profile)
    np.testing.assert_array_equal(read_deep_photo(tmp_path / "a.tif"), deep_photo())


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["grey", "white", "rgb", "alpha", "turned"])
def test_lzw_is_read_in_full(tmp_path: Path, kind: str, order: str) -> None:
    """Programs compress 16 bits so; tifffile needs another library for it."""
    photo = deep_photo()
    rgba = np.concatenate([photo, np.full((48, 64, 1), 40_000, np.uint16)], axis=2)
    stored = {"grey": photo[..., 0], "white": 65535 - photo[..., 0], "alpha": rgba, "turned": oriented(photo, 6)}  # type: ignore[arg-type]
    tags = {"grey": {262: 1}, "white": {262: 0}, "alpha": {338: 2}, "turned": {274: 6}}.get(kind, {})
    (tmp_path / "a.tif").write_bytes(lzw_tiff(stored.get(kind, photo), tags, order))
    wanted = np.repeat(photo[..., :1], 3, axis=2) if kind in ("grey", "white") else photo
    np.testing.assert_array_equal(read_deep_photo(tmp_path / "a.tif"), wanted)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif"), wanted >> 8)


def test_colours_that_were_multiplied_by_their_opacity_are_divided_by_it(tmp_path: Path) -> None:
    photo, opacity = deep_photo(), np.linspace(0.5, 1, 64)[None, :, None] * np.ones((48, 1, 1))
    stored = np.rint(np.concatenate([photo * opacity, opacity * 65535], axis=2)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    found = read_deep_photo(tmp_path / "a.tif")
    assert np.abs(found.astype(int) - photo).max() <= 2
    assert np.abs(read_photo(tmp_path / "a.tif") - found / 257).max() < 3


def test_inks_without_a_profile_take_their_part_of_the_light(tmp_path: Path) -> None:
    inks = np.random.default_rng(1).integers(0, 65536, (32, 32, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    found = read_deep_photo(tmp_path / "a.tif")
    left = 1 - inks / 65535
    assert np.abs(found - left[..., :3] * left[..., 3:] * 65535).max() <= 1
    assert np.abs(read_photo(tmp_path / "a.tif") - found / 257).max() < 2


def test_heic_of_10_bits_keeps_them(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra dped[heif]")
    photo = (np.linspace(0, 1, 512 * 64 * 3).reshape(64, 512, 3) * 65535).astype(np.uint16)
    pillow_heif.encode("RGB;16", (512, 64), photo.tobytes(), tmp_path / "a.heic", quality=100, chroma=444)
    assert is_deep(tmp_path / "a.heic")
    found = read_deep_photo(tmp_path / "a.heic")
    assert found.dtype == np.uint16 and np.unique(found).size > 900
    assert np.abs(found.astype(int) - photo).mean() < 65
    assert np.abs(read_photo(tmp_path / "a.heic") - found / 257).max() < 2


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

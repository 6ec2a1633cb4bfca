"""Photos as cameras and faults leave them, for tests: orientations, colour spaces, headers that lie."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ImageCms

from dped_data.photos.colour import srgb_decode


def smooth_photo(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A photo whose four corners differ, smooth enough for JPEG."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 2 * x, 60 + 3 * y, 200 - x - y], -1).astype(np.uint8)


def oriented(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Store `upright` the way a camera with that EXIF orientation does (EXIF 2.32, tag 0x0112)."""
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    return np.ascontiguousarray(stored)


def adobe_rgb_from_srgb(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The truth made first: encode sRGB colours in Adobe RGB by the inverse of the published matrices."""
    adobe_to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    srgb_to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    linear = srgb_decode(photo.astype(np.float32) / 255) @ (np.linalg.inv(adobe_to_xyz) @ srgb_to_xyz).T
    return np.rint(np.clip(linear, 0, 1) ** (256 / 563) * 255).astype(np.uint8)


def lzw_tiff(photo: NDArray[np.uint16], tags: dict[int, int], order: str) -> bytes:
    """A TIFF of 16 bits in one strip of LZW codes (TIFF 6.0, section 13), all of 9 bits; it has `tags`, too."""
    height, width, samples = (*photo.shape, 1)[:3]
    data = photo.astype(order + "u2").tobytes()
    codes = [code for start in range(0, len(data), 250) for code in (256, *data[start : start + 250])]
    strip = np.packbits(np.array([*codes, 257])[:, None] >> np.arange(8, -1, -1) & 1).tobytes()
    known = {256: width, 257: height, 259: 5, 262: 2, 274: 1, 277: samples, 278: height, 279: len(strip)} | tags
    start = 10 + 12 * (len(known) + 2) + 4
    bits = struct.pack(f"{order}{samples}H", *[16] * samples)
    entries = {tag: struct.pack(order + "HIH2x", 3, 1, value) for tag, value in known.items()}
    entries[279] = struct.pack(order + "HII", 4, 1, len(strip))
    entries[273] = struct.pack(order + "HII", 4, 1, start + len(bits))
    entries[258] = struct.pack(order + "HI", 3, samples) + (
        bits.ljust(4, b"\0") if samples < 3 else struct.pack(order + "I", start)
    )
    table = b"".join(struct.pack(order + "H", tag) + entries[tag] for tag in sorted(entries))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + table + bytes(4) + bits + strip


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def write_dng(
    path: Path,
    height: int = 240,
    width: int = 320,
    *,
    grey: bool = False,
    mosaic: NDArray[np.uint16] | None = None,
    black: int = 0,
    baseline_exposure: int = 0,
) -> None:
    """A DNG of red-green-blue-green cells, or grey ones, of white level 65535.

    Without `mosaic` (H, W) its left half is darker; it is to be turned a quarter clockwise when viewed.
    """
    if mosaic is None:
        mosaic = np.full((height, width), 8000, np.uint16)
        mosaic[:, : width // 2] //= 4
    identity = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [  # DNG 1.4 specification, chapter 4
        (274, 3, 1, 6, True),  # Orientation
        (306, 2, None, "2017:07:14 02:40:00", True),  # DateTime
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, bytes([0, 1, 1, 2]), True),  # CFAPattern
        (50706, 1, 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, 2, None, "Test Camera", True),  # UniqueCameraModel
        (50714, 4, 1, black, True),  # BlackLevel
        (50717, 4, 1, 65535, True),  # WhiteLevel
        (50721, 10, 9, identity, True),  # ColorMatrix1
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),  # AsShotNeutral
        (50730, 10, 1, (baseline_exposure, 1), True),  # BaselineExposure, stops
        (50778, 3, 1, 21, True),  # CalibrationIlluminant1
    ]
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags)
    if grey:
        photometric = struct.pack("<HHI", 262, 3, 1)
        mosaics, linear = (photometric + struct.pack("<H", value) for value in (32803, 34892))
        path.write_bytes(path.read_bytes().replace(mosaics, linear))


def profile_named(name: bytes) -> bytes:
    """An sRGB profile whose description is `name`, as version 2 of ICC.1 (section 6.5.17) and old programs have it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(1 + 4 + 4 + 2 + 1 + 67)
    entry = profile.index(b"desc", 128)  # in the table of tags
    table = profile[: entry + 4] + struct.pack(">II", len(profile), len(text)) + profile[entry + 12 :]
    return struct.pack(">I", len(table) + len(text)) + table[4:] + text

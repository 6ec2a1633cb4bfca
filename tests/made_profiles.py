"""ICC profiles of known colours, for tests: matrices with curves of every kind, and tables (ICC.1:2022)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

D50 = np.array([0.9642, 1.0, 0.8249])
SHIFT = np.array([0, 128, 128])
"""Of L, a and b before they are stored."""
PERCEPTUAL_BLACK = np.array([0.00336, 0.0034731, 0.00287])
"""What black becomes in tables of version 4 (ICC.1:2022, 6.3.3)."""
SRGB_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
ADOBE_D50 = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
P3_D50 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
PROPHOTO_D50 = np.array([[0.79767, 0.13519, 0.03135], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82511]])
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""As parameters of kinds 3 and 4."""

Light = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))


def _profile(version: int, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(bodies), len(body))
        bodies += body
    head = b"lcms" + bytes([version, 0, 0, 0]) + b"mntr" + space + connection + struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + _fixed(*D50)
    return struct.pack(">I", 132 + 12 * len(tags) + len(bodies)) + head + bytes(128 - 4 - len(head)) + table + bodies


def curve(*entries: int) -> bytes:
    """No entry: linear; one: an exponent times 256; more: a table from 0 to 65535."""
    return b"curv" + bytes(4) + struct.pack(f">I{len(entries)}H", len(entries), *entries)


def table_of(light: Light, entries: int) -> bytes:
    return curve(*(np.rint(light(np.linspace(0, 1, entries)) * 65535).astype(int).tolist()))


def parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(*values)


def matrix_profile(xyz_from_rgb: NDArray[np.float64], curve_tag: bytes, version: int = 4) -> bytes:
    columns = {
        name: b"XYZ " + bytes(4) + _fixed(*xyz_from_rgb[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    return _profile(version, b"RGB ", b"XYZ ", columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve_tag))


def grey_profile(curve_tag: bytes) -> bytes:
    return _profile(2, b"GRAY", b"XYZ ", {b"kTRC": curve_tag, b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50)})


def lab_of(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB of (..., 3) XYZ under D50."""
    t = xyz / D50
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _grid(points: int, inks: int = 3) -> NDArray[np.float64]:
    steps = np.linspace(0, 1, points)
    return np.stack(np.meshgrid(*[steps] * inks, indexing="ij"), axis=-1).reshape(-1, inks)


def lut_profile(kind: str, xyz_from_rgb: NDArray[np.float64], exponent: float) -> bytes:
    """Light as a power of codes, and primaries, in tables. `kind`: mft1 or mft2, and mAB, to Lab; "mft2 XYZ" to XYZ.

    The table to XYZ is exact at any place: light is made by its input curves, and is linear in the rest.
    """
    steps = np.linspace(0, 1, 4096)
    identity = b"".join(_fixed(float(i % 4 == 0)) for i in range(9))
    points = 2 if kind == "mft2 XYZ" else 33
    grid = _grid(points)
    if kind == "mft2 XYZ":
        stored, first = np.rint(grid @ xyz_from_rgb.T * 32768), np.rint(steps**exponent * 65535)
    else:
        black = PERCEPTUAL_BLACK if kind == "mAB" else np.zeros(3)
        lab = lab_of(grid**exponent @ xyz_from_rgb.T * (1 - black / D50) + black)
        scales = {"mft1": (2.55, 1.0), "mft2": (652.8, 256.0), "mAB": (655.35, 257.0)}[kind]
        stored = np.rint(np.clip((lab + SHIFT) * np.array(scales)[[0, 1, 1]], 0, 65535))
        first = np.rint(steps * 65535)
    if kind == "mAB":
        straight, data = curve() * 3, stored.astype(">u2").tobytes()
        clut = bytes([points] * 3 + [0] * 13) + bytes([2, 0, 0, 0]) + data + bytes(-len(data) % 4)
        places = struct.pack(">5I", 32, 0, 0, 32 + len(straight), 32 + len(straight) + len(clut))
        body = b"mAB " + bytes(4) + bytes([3, 3, 0, 0]) + places + straight + clut + straight
        return _profile(4, b"RGB ", b"Lab ", {b"A2B0": body})
    if kind == "mft1":
        ends = np.tile(np.arange(256), 3).astype(np.uint8).tobytes()
        body = (
            b"mft1" + bytes(4) + bytes([3, 3, points, 0]) + identity + ends + stored.astype(np.uint8).tobytes() + ends
        )
    else:
        last = np.tile([0, 65535], 3).astype(">u2").tobytes()
        body = b"mft2" + bytes(4) + bytes([3, 3, points, 0]) + identity + struct.pack(">HH", 4096, 2)
        body += np.tile(first, 3).astype(">u2").tobytes() + stored.astype(">u2").tobytes() + last
    return _profile(2, b"RGB ", b"XYZ " if kind == "mft2 XYZ" else b"Lab ", {b"A2B0": body})


def cmyk_profile() -> bytes:
    """Inks that each take their part of sRGB's light, in tables to Lab of 9 points each."""
    grid = _grid(9, 4)
    lab = lab_of((1 - grid[:, :3]) * (1 - grid[:, 3:]) @ SRGB_D50.T)
    stored = np.rint((lab + SHIFT) * np.array([652.8, 256, 256])).astype(">u2").tobytes()
    identity = b"".join(_fixed(float(i % 4 == 0)) for i in range(9))
    ends = [np.tile([0, 65535], count).astype(">u2").tobytes() for count in (4, 3)]
    body = b"mft2" + bytes(4) + bytes([4, 3, 9, 0]) + identity + struct.pack(">HH", 2, 2) + ends[0] + stored + ends[1]
    return _profile(2, b"CMYK", b"Lab ", {b"A2B0": body})

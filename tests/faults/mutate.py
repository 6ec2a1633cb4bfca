"""Damage to bytes and text, the same for the same generator: what disks, cables, editors and attackers do to files."""

from __future__ import annotations

import re
from random import Random

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_WORDS = (
    "",
    "0",
    "-1",
    "1e309",
    "nan",
    "inf",
    "99999999999999999999",
    "0.5",
    "null",
    "true",
    "[]",
    "{}",
    '"',
    "'",
    ",",
    "\n",
    "\r",
    "\0",
    "../../outside",
    "/etc/passwd",
    "C:\\outside",
    "%s%n",
    "\u202e",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "a" * 3000,
    "[" * 3000,
    "2024-02-30",
    "65535x65535",
)


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Return `data` with one to four kinds of damage."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = _damage(data, rng)
    return data


def mutate_text(data: bytes, rng: Random) -> bytes:
    """Return a text file with one to three of its words, numbers or lines changed; now and then as raw bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    text = data.decode()
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(re.finditer(r"-?\d+(\.\d+)?|\"[^\"\n]*\"|\w+|[^\w\s]", text)) or list(re.finditer("", text))
        place = rng.choice(places)
        new = rng.choice((*_WORDS, rng.choice(places).group(), '"' + rng.choice(_WORDS) + '"'))
        text = text[: place.start()] + new + text[place.end() :]
        if rng.random() < 0.2:
            lines = text.splitlines(keepends=True) or [""]
            one = rng.randrange(len(lines))
            lines[one : one + 1] = [lines[rng.randrange(len(lines))]] * rng.choice((0, 2, 50))
            text = "".join(lines)
    return text.encode("utf-8", "surrogatepass")


def _damage(data: bytes, rng: Random) -> bytes:
    if not data:
        return rng.randbytes(rng.randrange(64))
    at, size = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 64, 1024))
    match rng.randrange(9):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * size + data[at + size :]
        case 2:
            number = rng.choice(_NUMBERS).to_bytes(8, rng.choice(("little", "big")))
            width = rng.choice((1, 2, 4, 8))
            return data[:at] + (number[:width] if number[0] else number[-width:]) + data[at + width :]
        case 3:
            return data[:at]
        case 4:
            return data[:at] + data[at + size :]
        case 5:
            return data[:at] + rng.randbytes(size) + data[at:]
        case 6:
            source = rng.randrange(len(data))
            return data[:at] + data[source : source + size] + data[at + size :]
        case 7:
            return data[:at] + data[at : at + size] * rng.choice((2, 3, 200)) + data[at + size :]
        case _:
            return data[:at] + rng.randbytes(size) + data[at + size :]

"""What a photo claims, held against limits, against itself and against the file's size before it is decoded."""

from __future__ import annotations

import io

from PIL import Image, PngImagePlugin, TiffImagePlugin

from dped_data.errors import PhotoError
from dped_data.photos.jpeg_segments import SCAN, is_frame, jpeg_segments

MAX_PIXELS = 250_000_000
"""Ours: above the 200-megapixel sensors of today's phones, and 750 MB decoded; a larger header is refused unread."""
if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < MAX_PIXELS // 2:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice this; by itself 179 megapixels and more
TOO_LARGE = f"more than {MAX_PIXELS // 10**6} megapixels"
MAX_SIDE = 65_535
"""What JPEG can say. Decoders hold something for every row: one of 250 million pixels, one wide, took 8 GB."""
CLAIMS_TOO_MUCH = "truncated or damaged photo"

MOST_EXPANSION = {"JPEG": 4000, "MPO": 4000, "PNG": 4000, "TIFF": 4000, "RAW": 4000, "HEIF": 20_000}
"""Ours: bytes that one byte of such a file can stand for (deflate: 1,032; HEIC stores a black photo 7,000 times
smaller), lest a small file claim 750 MB of memory."""

MOST_SCANS = 50
"""Ours: five times as many as libjpeg's encoder makes. Each takes as long as decoding the photo once, and 306 bytes."""
MOST_SEGMENTS = 10_000
"""Ours: 640 MB of metadata in segments of full size; small ones cost time and hold nothing."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PACKED = frozenset({b"iCCP", b"zTXt", b"iTXt"})
_MOST_CHUNKS = {
    "pixels": (2**18, "pixels"),
    "packed": (100, "compressed metadata"),
    "other": (MOST_SEGMENTS, "metadata"),
}
"""Ours: libpng writes 8 KB of pixels in each, so that 250 megapixels of 48 bits are 183,000."""
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**23)
"""Ours: 8 MB for a colour profile or a text, twice what profiles of printers take (Pillow: 1 MB); 100 of them unpack in
two seconds, and Pillow holds 64 MB of texts in all."""
_TEXTS_TOO_LARGE = (
    f"its colour profile or its texts unpack to more than {PngImagePlugin.MAX_TEXT_CHUNK >> 20} MB each or "
    f"{PngImagePlugin.MAX_TEXT_MEMORY >> 20} MB in all"
)

_JPEG_IN_TIFF = (6, 7)
_PARTS = ((273, 279), (324, 325))
"""Tags of TIFF 6.0: where the strips lie and how long they are, and the tiles."""
_LEAST_TILE_LIMIT_PX = 1024
"""Ours: small TIFFs may be one tile of a usual size, and tiles are multiples of 16; TIFF 6.0, section 15."""


def check_size(name: str, width: int, height: int) -> None:
    """Refuse more than MAX_PIXELS, and sides of more than MAX_SIDE."""
    if width * height > MAX_PIXELS:
        raise PhotoError(name, TOO_LARGE)
    if max(width, height) > MAX_SIDE:
        raise PhotoError(name, f"{width} x {height} px, a side may have {MAX_SIDE:,} at most")


def check_expansion(name: str, kind: str | None, width: int, height: int, file_bytes: int) -> None:
    """Refuse a file that is far too small for the pixels that it claims; `kind` as Pillow names formats, or RAW."""
    if width * height * 3 > MOST_EXPANSION.get(kind or "", MOST_EXPANSION["PNG"]) * file_bytes:
        raise PhotoError(name, CLAIMS_TOO_MUCH)


def check_tiles(name: str, image: Image.Image) -> None:
    """Refuse a TIFF with tiles far larger than itself: libtiff holds a whole one."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    for tag, side in ((TiffImagePlugin.TILEWIDTH, image.width), (TiffImagePlugin.TILELENGTH, image.height)):
        tile = image.tag_v2.get(tag, 0)
        if not isinstance(tile, int) or tile > max(_LEAST_TILE_LIMIT_PX, 2 * side):
            raise PhotoError(name, CLAIMS_TOO_MUCH)


def check_segments(name: str, source: io.BufferedIOBase) -> None:
    """Refuse a JPEG or PNG file with more metadata before its pixels than is allowed; leaves `source` at its start.

    Reads the lengths only, of MOST_SEGMENTS of a JPEG file or chunks of a PNG file. What is neither passes.
    """
    start = source.read(len(_PNG))
    if start == _PNG:
        _check_chunks(name, source, to_end=False)
    elif start.startswith(b"\xff\xd8"):
        source.seek(2)
        for _ in range(MOST_SEGMENTS):
            head = source.read(4)
            if len(head) < 4 or head[0] != 0xFF or head[1] == SCAN:
                break
            source.seek(max(int.from_bytes(head[2:]), 2) - 2, io.SEEK_CUR)
        else:
            raise PhotoError(name, f"more than {MOST_SEGMENTS:,} segments of metadata")
    source.seek(0)


def fault_when_opening(error: ValueError) -> str:
    """Return the fault of a photo for which Pillow's `open` raised ValueError; "" if it is no limit of Pillow's."""
    return _TEXTS_TOO_LARGE if "MAX_TEXT" in str(error) else ""


def check_all_chunks(name: str, data: bytes) -> None:
    """Refuse a PNG file of too many chunks, those of its pixels and behind them included; others pass."""
    if data.startswith(_PNG):
        source = io.BytesIO(data)
        source.seek(len(_PNG))
        _check_chunks(name, source, to_end=True)


def _check_chunks(name: str, source: io.BufferedIOBase, to_end: bool) -> None:
    """Count the chunks of a PNG file from behind its signature to its first pixels, or to its end."""
    left = {kind: most for kind, (most, _) in _MOST_CHUNKS.items()}
    while len(head := source.read(8)) == 8 and head[4:] != b"IEND":
        kind = "pixels" if head[4:] == b"IDAT" else "packed" if head[4:] in _PACKED else "other"
        if kind == "pixels" and not to_end:
            return
        left[kind] -= 1
        if left[kind] < 0:
            most, what = _MOST_CHUNKS[kind]
            raise PhotoError(name, f"more than {most:,} chunks of {what}")
        source.seek(int.from_bytes(head[:4]) + 4, io.SEEK_CUR)


def check_strips(name: str, image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    """Hold each JPEG picture that a TIFF file has for a strip or a tile against `check_scans`."""
    if image.tag_v2.get(TiffImagePlugin.COMPRESSION) not in _JPEG_IN_TIFF:
        return
    looked_at = 0
    for start, size in parts_of(image):
        part = data[start : start + size]
        looked_at += len(part)
        if looked_at > 2 * len(data):  # parts that overlap one another
            raise PhotoError(name, CLAIMS_TOO_MUCH)
        check_scans(name, part)


def parts_of(image: TiffImagePlugin.TiffImageFile) -> list[tuple[int, int]]:
    """Return place and length of each strip and tile of a TIFF file; of those that stand twice, one."""
    parts: dict[tuple[int, int], None] = {}
    for places, lengths in _PARTS:
        starts, sizes = (_numbers(image.tag_v2.get(tag)) for tag in (places, lengths))
        parts |= dict.fromkeys(zip(starts, sizes, strict=False))
    return [*parts]


def _numbers(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))


def check_scans(name: str, data: bytes) -> None:
    """Refuse a JPEG file with more than MOST_SCANS.

    Only in a file whose first scan does not hold everything can others follow, and only such a file is looked through
    to its end (2 GB a second): libjpeg refuses further scans in any other.
    """
    scans = 0
    is_progressive, components = False, 0
    for segment in jpeg_segments(data):
        payload = data[segment.start + 2 : segment.start + 10]
        if is_frame(segment.marker) and len(payload) > 5:
            is_progressive, components = segment.marker & 0x03 == 2, payload[5]
        elif segment.marker == SCAN:
            scans += 1
            if scans > MOST_SCANS:
                raise PhotoError(name, f"more than {MOST_SCANS} scans")
            if not is_progressive and payload[:1] == bytes((components,)):
                return

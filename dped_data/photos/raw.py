"""Camera RAW files: recognised and dated by their own bytes, sized and developed by LibRaw."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from dped_data.errors import PhotoError
from dped_data.photos.bounds import check_expansion, check_size
from dped_data.photos.decoding import complaints, decoding
from dped_data.photos.exif import CaptureTime, capture_time, read_exif
from dped_data.photos.files import open_photo_file
from dped_data.photos.formats import RAW_SUFFIXES, PhotoHeader
from dped_data.settings import BuildSettings
from dped_data.settings import RawSettings as RawSettings

FAULT = "damaged or unknown camera RAW file"
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_LIKE_TIFF = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
"""Olympus and Panasonic: TIFF files but for these bytes."""
_FUJI, _MINOLTA = b"FUJIFILMCCD-RAW", b"\0MRM"
_OTHERS = ((0, _FUJI), (4, b"ftypcrx "), (6, b"HEAPCCDR"), (0, _MINOLTA), (0, b"FOVb"))
"""Fuji, Canon CR3 and CRW, Minolta, Sigma: place and bytes."""
_NO_RAW = ((0, b"\xff\xd8\xff"), (0, b"\x89PNG"), (4, b"ftyp"))
_DNG_VERSION, _PHOTOMETRIC, _COMPRESSION, _SUB_FILES, _SUB_TYPE = 50706, 262, 259, 330, 254
_PARTS = ((273, 279), (324, 325))
_NUMBERS = {_PHOTOMETRIC, _COMPRESSION, _SUB_FILES, _SUB_TYPE, 273, 279, 324, 325}
_OF_SENSORS = {32803, 34892}
"""Photometric interpretations of TIFF/EP and DNG: a colour filter array, linear values of a sensor."""
_OF_CAMERAS = {32767, 32769, 32770, 32772, 34713, 65000, 65535}
"""Compressions of Sony, Epson, Samsung, Nikon, Kodak and Pentax."""
_MOST_DIRECTORIES, _MOST_ENTRIES, _MOST_NUMBERS = 20, 2000, 2**16
_LEAST_BITS = 0.1
"""Ours, bits a pixel: a tenth of what lossless codes of cameras need for black. A smaller file was cut short."""
_LOST = 64
"""Ours: samples in a row of zeros far below the black level, or anywhere of values twice the white level: both come of
sectors that were never written or belong to another file. Dead and hot pixels are fewer."""
_LEAST_BLACK = 16
_CR3_DATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
"""The box in which a CR3 file keeps its TIFF directories CMT1 (camera, DateTime) and CMT2 (EXIF)."""
_HEAD_BYTES = 2**22
"""Ours: where the directories of Olympus and Panasonic end, and the preview of a Fuji file with its EXIF data."""
_SRGB_CURVE = (2.4, 12.92)
"""Exponent and slope of the linear part, as dcraw gives the curve of IEC 61966-2-1; it computes the rest of them."""
_OF_THE_PHOTO = {
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software),
    *(ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright),
    *(ExifTags.Base.ExifOffset, ExifTags.Base.GPSInfo),
}
"""Tags of the first directory that speak of the photo; the others describe the mosaic."""

_Tags: TypeAlias = dict[int, tuple[int, ...]]


def is_raw(file: BinaryIO, name: str) -> bool:
    """Whether a file holds a sensor's values, by its bytes; its suffix decides only where these leave it open.

    Reads the directories of a TIFF file; leaves `file` at its start.
    """
    head = file.read(16)
    file.seek(0)
    has_suffix = Path(name).suffix.lower() in RAW_SUFFIXES
    if head[:4] in _TIFF:
        with suppress(struct.error, OSError):
            found = _tiff_kind(file, head)
            file.seek(0)
            return found == "raw" or (found == "unsure" and has_suffix)
        file.seek(0)
        return has_suffix
    if head[:4] in _LIKE_TIFF or any(head[place : place + len(mark)] == mark for place, mark in _OTHERS):
        return True
    return has_suffix and not any(head[place : place + len(mark)] == mark for place, mark in _NO_RAW)


def _tiff_kind(file: BinaryIO, head: bytes) -> Literal["raw", "plain", "unsure"]:
    """Judge a TIFF file by its directories: plain where the first holds a whole picture and none below it another."""
    if head[8:10] == b"CR":  # CR2
        return "raw"
    is_plain = True
    for tags in _directories(file, head):
        if _of_sensor(tags):
            return "raw"
        is_plain = is_plain and _SUB_FILES not in tags and tags.get(_SUB_TYPE, (0,))[:1] in ((0,), (2,))
    return "plain" if is_plain else "unsure"


def _of_sensor(tags: _Tags) -> bool:
    """Whether a directory describes a sensor's values, or stands at the head of a DNG file."""
    of_camera = _OF_SENSORS & {*tags.get(_PHOTOMETRIC, ())} or _OF_CAMERAS & {*tags.get(_COMPRESSION, ())}
    return bool(of_camera) or _DNG_VERSION in tags


def _is_cut_short(data: bytes) -> bool:
    """Whether strips or tiles of a TIFF file lie behind its end; libraries fill up what is missing."""
    if data[:4] not in _TIFF:
        return False
    for tags in _directories(io.BytesIO(data), data[:16]):
        for starts, lengths in ((tags.get(a, ()), tags.get(b, ())) for a, b in _PARTS):
            if any(start + length > len(data) for start, length in zip(starts, lengths, strict=False)):
                return True
    return False


def _directories(file: BinaryIO, head: bytes) -> Iterator[_Tags]:
    """Yield the whole numbers of those tags of a TIFF file's directories that tell what they are; struct.error."""
    order = _TIFF[head[:4]]
    places, seen = [struct.unpack(order + "I", head[4:8])[0]], set[int]()
    while places and len(seen) < _MOST_DIRECTORIES:
        place = places.pop(0)
        if place in seen or not place:
            continue
        seen.add(place)
        tags, following = _directory(file, place, order)
        yield tags
        places += [*tags.get(_SUB_FILES, ()), following]


def _directory(file: BinaryIO, place: int, order: str) -> tuple[_Tags, int]:
    """Return a directory, and the next one's place."""
    file.seek(place)
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = file.read(12 * min(count, _MOST_ENTRIES))
    (following,) = struct.unpack(order + "I", (file.read(4) + bytes(4))[:4])
    tags: _Tags = {}
    for tag, kind, number, value in struct.iter_unpack(order + "HHI4s", entries[: len(entries) // 12 * 12]):
        if tag == _DNG_VERSION:
            tags[tag] = ()
        elif tag in _NUMBERS and kind in (3, 4, 13):
            letter, length = ("H", 2) if kind == 3 else ("I", 4)
            number = min(number, _MOST_NUMBERS)
            if number * length > 4:
                file.seek(struct.unpack(order + "I", value)[0])
                value = file.read(number * length)
            tags[tag] = struct.unpack(f"{order}{number}{letter}", value[: number * length])
    return tags, following


@contextmanager
def opened_raw(source: bytes | Path, name: str) -> Iterator[Any]:
    """Open a RAW file with LibRaw, which reads the header only; refuse what it does not know or what is too large."""
    try:
        import rawpy
    except ImportError:
        raise PhotoError(name, "camera RAW photos need an extra: pip install 'dped[raw]'") from None
    with decoding(name, FAULT):
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        raw = rawpy.imread(io.BytesIO(source) if isinstance(source, bytes) else str(source))
    with raw:
        with decoding(name, FAULT):
            sizes = raw.sizes
            width, height = (max(a, b) for a, b in ((sizes.width, sizes.raw_width), (sizes.height, sizes.raw_height)))
            check_size(name, width, height)
            check_expansion(name, "RAW", width, height, size)
        yield raw


def raw_settings_of(recorded: Mapping[str, Any]) -> RawSettings:
    """Return how a dataset with these recorded settings developed RAW photos; by `auto` before that was recorded."""
    raw, before = recorded.get("raw", {}), BuildSettings.frozen_defaults.added
    return RawSettings(*(raw.get(name, before[f"raw.{name}"]) for name in ("raw_brightness", "raw_white_balance")))


def decode_raw(data: bytes, name: str, settings: RawSettings | None = None, *, deep: bool = False) -> NDArray[Any]:
    """Develop to (H, W, 3) in sRGB, uint8 or with `deep` uint16; LibRaw turns the photo upright.

    With fixed brightness the sensor's white level becomes white and nothing that the photo shows changes the rest: no
    stretching of its histogram, no white level taken from its brightest value, no white balance measured in it.
    """
    with opened_raw(data, name) as raw, decoding(name, FAULT):
        unpack(raw, data, name)
        return developed(raw, settings or RawSettings(), deep=deep)


def developed(raw: Any, settings: RawSettings, *, deep: bool = False) -> NDArray[Any]:
    """Develop an opened file whose values are unpacked; as `decode_raw`."""
    photo: NDArray[Any] = raw.postprocess(**_development(raw, settings), output_bps=16 if deep else 8)
    return photo if photo.shape[2] == 3 else np.repeat(photo[..., :1], 3, axis=2)  # grey sensors


def decode_linear(data: bytes, name: str, settings: RawSettings) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return a RAW photo as `decode_raw` does, and its linear light, (H, W, 3) uint16 each, in sRGB's primaries.

    65535 is the sensor's level of white times the white balance; nothing is stretched, whatever the settings say.

    Raises:
        PhotoError: as `decode_raw`, and for another photo than a RAW file.
    """
    if not is_raw(io.BytesIO(data), name):
        raise PhotoError(name, "is no camera RAW file, which --dslr-linear needs")
    with opened_raw(data, name) as raw, decoding(name, FAULT):
        unpack(raw, data, name)
        photo: NDArray[np.uint8] = developed(raw, settings)
        fixed = _development(raw, RawSettings("fixed", settings.raw_white_balance))
        linear: NDArray[np.uint16] = raw.postprocess(**fixed | {"gamma": (1, 1)}, output_bps=16)
        return photo, linear if linear.shape[2] == 3 else np.repeat(linear[..., :1], 3, axis=2)


def unpack(raw: Any, data: bytes, name: str) -> None:
    """Let LibRaw read the sensor's values; PhotoError where some of them were lost."""
    is_short = _is_cut_short(data) or 8 * len(data) < _LEAST_BITS * raw.sizes.raw_width * raw.sizes.raw_height
    if is_short:
        raise PhotoError(name, "truncated camera RAW file")
    with complaints() as told, decoding(name, FAULT):
        raw.unpack()
    if told:
        raise PhotoError(name, f"damaged camera RAW file ({told[0]})")
    values = raw.raw_image
    if values is None:  # colours instead of a mosaic
        return
    white, black = raw.white_level, min(raw.black_level_per_channel[: raw.num_colors])
    if np.count_nonzero(values > 2 * white) > _LOST or (black >= _LEAST_BLACK and _has_zeros(values)):
        raise PhotoError(name, "damaged camera RAW file (values that no sensor gives)")


def _has_zeros(values: NDArray[np.uint16]) -> bool:
    """Whether _LOST zeros follow one another in a row."""
    rows = np.flatnonzero((values == 0).sum(axis=1) > _LOST)
    for row in values[rows]:
        others = np.flatnonzero(np.concatenate([[True], row != 0, [True]]))
        if np.diff(others).max() > _LOST:
            return True
    return False


def _development(raw: Any, settings: RawSettings) -> dict[str, object]:
    """The parameters of LibRaw's development."""
    has_balance = min(raw.camera_whitebalance[:3]) > 0  # else LibRaw would measure one in the photo
    by_camera = settings.raw_white_balance == "camera" and (has_balance or settings.raw_brightness == "auto")
    if settings.raw_brightness == "auto":
        return {"use_camera_wb": by_camera}
    return {"use_camera_wb": by_camera, "no_auto_bright": True, "adjust_maximum_thr": 0.0, "gamma": _SRGB_CURVE}


def raw_header(path: Path) -> PhotoHeader:
    """Read size and capture time; the file's pixels are not read."""
    with open_photo_file(path) as file:  # refuses what is no regular file
        taken = _time_of(raw_exif(file))
    with opened_raw(path, path.name) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        if raw.sizes.flip in (5, 6):  # LibRaw: a quarter turn either way
            width, height = height, width
    return PhotoHeader(width, height, *taken)


def _time_of(exif: Image.Exif) -> CaptureTime:
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        return capture_time(exif)
    return CaptureTime(None, False, None)


def raw_exif(file: BinaryIO) -> Image.Exif:
    """Return what a RAW file says of its photo, as EXIF data; empty where it is damaged or kept in an unknown way.

    TIFF files and what is like them hold it themselves, Fuji files in their preview, CR3 and Minolta files in a box of
    its own. What CRW and X3F files say is not read.
    """
    exif = Image.Exif()
    with suppress(PhotoError), decoding("", "damaged EXIF block"):
        head = file.read(16)
        file.seek(0)
        if head[:4] in _TIFF:
            exif.load_from_fp(file)
        elif head[:4] in _LIKE_TIFF:
            data = file.read(_HEAD_BYTES)
            exif.load_from_fp(io.BytesIO((b"II*\0" if data[:2] == b"II" else b"MM\0*") + data[4:]))
        elif head.startswith(_FUJI):
            data = file.read(_HEAD_BYTES)
            start, length = struct.unpack(">II", data[84:92])
            with Image.open(io.BytesIO(data[start : start + length]), formats=("JPEG",)) as preview:
                exif = read_exif(preview)
        elif head[4:12] == b"ftypcrx ":
            exif = _exif_of_cr3(file.read(_HEAD_BYTES))
        elif head.startswith(_MINOLTA):
            exif.load(b"Exif\0\0" + file.read(_HEAD_BYTES).partition(b"\0TTW")[2][4:])
        exif.get_ifd(ExifTags.IFD.Exif)
        exif.get_ifd(ExifTags.IFD.GPSInfo)
        return exif
    return Image.Exif()


def _exif_of_cr3(data: bytes) -> Image.Exif:
    """Put together the directories that a CR3 file keeps apart."""
    exif = Image.Exif()
    start = data.find(_CR3_DATA)
    for name in (b"CMT1", b"CMT2"):
        place = data.find(name, start)
        if start < 0 or place < 4:
            break
        part = Image.Exif()
        part.load(b"Exif\0\0" + data[place + 4 : place - 4 + int.from_bytes(data[place - 4 : place])])
        target = exif if name == b"CMT1" else exif.get_ifd(ExifTags.IFD.Exif)
        target.update(dict(part))
    return exif


def keep_photos_tags(exif: Image.Exif) -> None:
    """Remove what describes the mosaic from the EXIF data of a RAW file."""
    for tag in {*exif} - _OF_THE_PHOTO:
        del exif[tag]

"""Find the pairs of anybody's set: two folders, or one in a layout that paired sets come in.

| layout | where the pairs lie |
| --- | --- |
| two folders | PHONE_DIR/name, DSLR_DIR/name, folders below included; an ending such as _LR4, x4 or _HR is ignored |
| lq and gt, lr and hr, input and target, phone and dslr, low and high | two folders side by side, below any splits |
| released DPED | <phone> and canon side by side below training_data and test_data |
| RAW to RGB (ZRR) | huawei_raw and canon, mediatek_raw and fujifilm side by side: 16-bit Bayer mosaics in PNG files |
| RealSR, City100 | one folder with name_LR4.png and name_HR.png |
| webdataset | tar files with key.phone.jpg and key.dslr.jpg, or the roles above |
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from dped_data.captures.listing import list_folder
from dped_data.captures.records import SPLITS
from dped_data.common.natural_order import natural_key
from dped_data.errors import InputError, PhotoError
from dped_data.photos.files import LARGEST_FILE, read_bytes
from dped_data.photos.formats import PHOTO_SUFFIXES
from dped_data.photos.reading import decode_photo

ROLES = (
    *(("lq", "gt"), ("lr", "hr"), ("low", "high"), ("input", "target"), ("input", "gt"), ("phone", "dslr")),
    *(("huawei_raw", "canon"), ("huawei_visualized", "canon"), ("mediatek_raw", "fujifilm")),
    *((phone, "canon") for phone in ("iphone", "blackberry", "sony", "huawei")),
)
"""Names that the two halves go by, in lower case; the phone's first."""
_AFFIX = re.compile(r"([_.-]?(lr|hr|lq|gt)\d*|[_.-]?x[1-8])$", re.IGNORECASE)
_RAW = "_raw"
_RAW_WHITE = 4 * 255
"""Of ZRR's mosaics: ten bits (A. Ignatov et al., PyNET, 2020, whose own code divides by this)."""
_SPLIT_WORDS = {"val": ("val", "valid", "validation"), "test": ("test", "testing", "eval")}
_MOST_DEPTH = 4
_ASPECT = 0.02
"""Ours: halves whose proportions differ by more do not show the same part."""


@dataclass(frozen=True)
class PairFile:
    """One half of a pair: a file, or bytes `offset` to `offset + size` of a tar file; `name` is what it is called."""

    path: Path
    name: str
    offset: int = 0
    size: int = -1


@dataclass(frozen=True)
class PairOfFiles:
    """A pair as it was found: its id, its split by the folders' names ("train" where they say nothing), its halves."""

    pair_id: str
    split: str
    phone: PairFile
    dslr: PairFile


def find_pairs(phone: Path, dslr: Path | None) -> tuple[tuple[PairOfFiles, ...], int]:
    """Return the pairs of two folders, or of one folder in a known layout, and the number of files without a partner.

    Raises:
        InputError: a folder is missing, or holds no pair; the message says what was looked for.
    """
    for folder in (phone, dslr):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name one that holds photos or patches")
    if dslr is not None:
        pairs, alone = _matched(_files(phone), _files(dslr), "")
    else:
        pairs, alone = _in_layout(phone)
    if not pairs:
        raise InputError(
            f"{phone}: no pair found{f' with {dslr}' if dslr else ''}; halves of a pair have the same name in two "
            "folders, or lie in a known layout (lq and gt, _LR and _HR, released DPED, ZRR, webdataset)"
        )
    return tuple(sorted(pairs, key=lambda pair: (SPLITS.index(pair.split), natural_key(pair.pair_id)))), alone


def _in_layout(root: Path) -> tuple[list[PairOfFiles], int]:
    pairs: list[PairOfFiles] = []
    alone = 0
    tars = sorted(root.rglob("*.tar"))
    for found, left in (
        *((_matched(*_by_role(_members(tar)), tar.relative_to(root).as_posix())) for tar in tars),
        *(_matched(_files(one), _files(two), place) for place, one, two in _role_folders(root)),
    ):
        pairs += found
        alone += left
    if not pairs:
        return _matched(*_by_suffix(_files(root)), "")
    return pairs, alone


def _files(folder: Path) -> dict[str, PairFile]:
    """The photos below a folder, by their path without suffix."""
    listed = list_folder(folder.parent, folder.name, folder.name, None).photos
    return {photo.key: PairFile(folder.parent / photo.file, photo.file) for photo in listed}


def _members(tar: Path) -> Iterator[tuple[str, str, PairFile]]:
    """The photos in a tar file: key, role (what stands between the key and the suffix), where it lies."""
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                parts = name.name.split(".")
                if member.isreg() and len(parts) > 2 and f".{parts[-1].lower()}" in PHOTO_SUFFIXES:
                    key = str(name.parent / parts[0])
                    yield key, parts[-2].lower(), PairFile(tar, member.name, member.offset_data, member.size)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{tar}: not a readable tar file ({error}); take it out of the folder") from None


def _by_role(members: Iterator[tuple[str, str, PairFile]]) -> tuple[dict[str, PairFile], dict[str, PairFile]]:
    halves: tuple[dict[str, PairFile], dict[str, PairFile]] = ({}, {})
    for key, role, file in members:
        for side in (0, 1):
            if role in {roles[side] for roles in ROLES}:
                halves[side][key] = file
    return halves


def _role_folders(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield folders of two roles that lie side by side, with where that is below `root`."""
    for folder in (root, *sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())):
        place = folder.relative_to(root)
        if len(place.parts) > _MOST_DEPTH:
            continue
        inside = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
        for one, two in ROLES:
            if one in inside and two in inside:
                yield place.as_posix(), inside[one], inside[two]


def _by_suffix(files: dict[str, PairFile]) -> tuple[dict[str, PairFile], dict[str, PairFile]]:
    """Sort the files of one folder by the role that their names end in: _LR4 against _HR, lq against gt."""
    halves: tuple[dict[str, PairFile], dict[str, PairFile]] = ({}, {})
    for key, file in files.items():
        if match := re.search(r"[_.-](lr|lq|hr|gt)\d*$", key, re.IGNORECASE):
            halves[match[1].lower() in ("hr", "gt")][key] = file
    return halves


def _matched(phones: dict[str, PairFile], dslrs: dict[str, PairFile], place: str) -> tuple[list[PairOfFiles], int]:
    """Pair files by their names without affixes; what two files of one side are called is nobody's name."""
    sides = [_by_bare_name(files) for files in (phones, dslrs)]
    names = [name for name in sides[0] if name in sides[1] and len(sides[0][name]) == len(sides[1][name]) == 1]
    pairs = []
    for name in names:
        pair_id = "/".join(part for part in (place, name) if part and part != ".")
        halves = (sides[0][name][0], sides[1][name][0])
        pairs.append(
            PairOfFiles(pair_id, _split_of(f"{place}/{halves[0].name}" if halves[0].size < 0 else place), *halves)
        )
    return pairs, len(phones) + len(dslrs) - 2 * len(pairs)


def _by_bare_name(files: dict[str, PairFile]) -> dict[str, list[PairFile]]:
    result: dict[str, list[PairFile]] = {}
    for key, file in files.items():
        result.setdefault(_AFFIX.sub("", key) or key, []).append(file)
    return result


def _split_of(place: str) -> str:
    """The split that the folders of a file, below the set's, or the name of a tar file speak of."""
    parts = PurePosixPath(place).parts
    folders = parts if place.endswith(".tar") else parts[:-1]
    words = {word for part in folders for word in re.split(r"[^a-z]+", part.lower())}
    return next((split for split, known in _SPLIT_WORDS.items() if words & {*known}), "train")


def read_pair(pair: PairOfFiles) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """Return both halves of a pair at the size of the smaller one, (h, w, 3) uint8, and how much larger the DSLR's is.

    Raises:
        PhotoError: one cannot be read, or their proportions differ.
    """
    phone, dslr = _read(pair.phone), _read(pair.dslr)
    (h, w), (their_h, their_w) = phone.shape[:2], dslr.shape[:2]
    if abs(np.log((their_w / w) / (their_h / h))) > _ASPECT:
        raise PhotoError(pair.dslr.name, f"{their_w}x{their_h} pixels, its partner has {w}x{h}: other proportions")
    size = (min(w, their_w), min(h, their_h))
    return _shrunk(phone, size), _shrunk(dslr, size), their_w / w


def _shrunk(photo: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if photo.shape[1::-1] == size:
        return photo
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def _read(file: PairFile) -> NDArray[np.uint8]:
    if file.size > LARGEST_FILE:
        raise PhotoError(file.name, f"more than {LARGEST_FILE // 2**30} GiB")
    if file.size >= 0:
        with file.path.open("rb") as archive:
            archive.seek(file.offset)
            data = archive.read(file.size)
    else:
        data = read_bytes(file.path)
    if file.path.parent.name.lower().endswith(_RAW) and data[:4] == b"\x89PNG":
        return _developed(data, file.name)
    return decode_photo(data, PurePosixPath(file.name).name)


def _developed(data: bytes, name: str) -> NDArray[np.uint8]:
    """Develop a ten-bit Bayer mosaic (R G over G B) as plainly as can be: interpolated, and by a power of 1/2.2."""
    mosaic = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mosaic is None or mosaic.ndim != 2 or mosaic.dtype != np.uint16:
        raise PhotoError(name, f"not a 16-bit mosaic, as files in a folder ..{_RAW} are")
    linear = cv2.cvtColor(np.minimum(mosaic, _RAW_WHITE), cv2.COLOR_BayerBG2RGB).astype(np.float32) / _RAW_WHITE
    return np.asarray((255 * linear ** (1 / 2.2)).round(), np.uint8)


def names_of_sides(pairs: Sequence[PairOfFiles]) -> tuple[str, str]:
    """What the two sides are called: the folders of the first pair's files, or their roles in a tar file."""
    phone, dslr = (
        file.name.split(".")[-2] if file.size >= 0 else file.path.parent.name
        for file in (pairs[0].phone, pairs[0].dslr)
    )
    return phone, dslr

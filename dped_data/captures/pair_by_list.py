"""Photos of two cameras that belong together because a person's list says so."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from dped_data.captures.listing import CameraPhotos, ListedPhoto
from dped_data.captures.pair_by_name import PhotoPairs
from dped_data.captures.records import Unpaired
from dped_data.common.csv_tables import MARK, separator_of
from dped_data.common.foreign_files import MOST_LIST_BYTES, read_limited
from dped_data.common.names import shown
from dped_data.errors import InputError
from dped_data.photos.formats import PHOTO_SUFFIXES

_COLUMNS = ("phone_file", "dslr_file")
"""As captures.csv calls them: that of a dataset may serve as a list."""


def read_pairs(path: Path) -> list[tuple[int, str, str]]:
    """Return line, phone file and DSLR file of each row of a list of pairs.

    A CSV file, separated by commas, semicolons or tabs. Its columns are phone_file and dslr_file where its first line
    names them, else its first two; a first line without photos is a heading.

    Raises:
        InputError: missing, unreadable, or a row without two files.
    """
    try:
        text = read_limited(path, MOST_LIST_BYTES).decode().removeprefix(MARK)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(text))
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a list of pairs is a CSV file: phone file, DSLR file") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); a list of pairs is a CSV file in UTF-8") from None
    places = (0, 1)
    if rows and not any(_is_photo(cell) for cell in rows[0][1]):
        heading = [cell.casefold() for cell in rows.pop(0)[1]]
        if {*_COLUMNS} <= {*heading}:
            places = (heading.index(_COLUMNS[0]), heading.index(_COLUMNS[1]))
    if not rows:
        raise InputError(f"{path}: no pairs in it; write one a line: phone file, DSLR file")
    pairs = []
    for line, row in rows:
        files = [row[place] if place < len(row) else "" for place in places]
        if not all(files):
            raise InputError(f"{path}, line {line}: a pair is two files: phone file, DSLR file")
        pairs.append((line, files[0], files[1]))
    return pairs


def pair_by_list(path: Path, phone: CameraPhotos, dslr: CameraPhotos) -> PhotoPairs:
    """Pair photos as the list at `path` says; the others are left without a partner.

    Files are named by their paths below the captures folder or below their camera's, or by their names alone where
    these occur once.

    Raises:
        InputError: as `read_pairs`; a file that is not there or is meant twice. The message names the line.
    """
    listed = read_pairs(path)
    cameras = (phone, dslr)
    known = [_by_name(camera) for camera in cameras]
    seen: dict[str, int] = {}
    pairs: list[tuple[ListedPhoto, ListedPhoto]] = []
    for line, *files in listed:
        found = [
            _found(path, line, file, *place)
            for file, place in zip(files, zip(cameras, known, strict=True), strict=True)
        ]
        for photo in found:
            if (earlier := seen.setdefault(photo.file, line)) != line:
                raise InputError(f"{path}, line {line}: {photo.file} has a partner in line {earlier} already")
        pairs.append((found[0], found[1]))
    ids: dict[str, str] = {}
    for photo, _ in pairs:
        if (other := ids.setdefault(photo.key, photo.file)) != photo.file:
            raise InputError(
                f"{path}: {other} and {photo.file} would be one capture by their names; rename one of them"
            )
    pairs.sort(key=lambda pair: pair[0].file)
    left = [photo for camera in cameras for photo in camera.photos if photo.file not in seen]
    return PhotoPairs(tuple(pairs), tuple(Unpaired(photo.file, f"not in {path.name}") for photo in left))


def _by_name(camera: CameraPhotos) -> Mapping[str, Sequence[ListedPhoto]]:
    known: defaultdict[str, list[ListedPhoto]] = defaultdict(list)
    for photo in camera.photos:
        inside = photo.file.removeprefix(f"{camera.folder}/")
        for name in {photo.file, inside, inside.rsplit("/", 1)[-1]}:
            known[_plain(name)].append(photo)
    return dict(known)


def _found(
    path: Path, line: int, file: str, camera: CameraPhotos, known: Mapping[str, Sequence[ListedPhoto]]
) -> ListedPhoto:
    photos = known.get(_plain(file), ())
    if len(photos) == 1:
        return photos[0]
    exact = [photo for photo in photos if file in (photo.file, photo.file.removeprefix(f"{camera.folder}/"))]
    if len(exact) == 1:
        return exact[0]
    if photos:
        several = ", ".join(photo.file for photo in photos[:2])
        raise InputError(
            f"{path}, line {line}: {shown(file)} may be {several}; give its path below the captures folder"
        )
    raise InputError(
        f"{path}, line {line}: {camera.camera} has no photo {shown(file)}; it has {len(camera.photos)} such as "
        f"{camera.photos[0].file if camera.photos else 'none'}"
    )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))


def _is_photo(name: str) -> bool:
    return Path(name).suffix.lower() in PHOTO_SUFFIXES

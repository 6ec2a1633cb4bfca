"""The photos below a captures folder, camera by camera."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dped_data.captures.records import SPLITS, Split, Unpaired
from dped_data.common.work_folder import WORK_FOLDER
from dped_data.errors import InputError
from dped_data.photos.files import NOT_REGULAR
from dped_data.photos.formats import PHOTO_SUFFIXES

_SUFFIXES_SHOWN = 5
_FOREIGN_FOLDERS = frozenset(
    {"@eadir", "#recycle", "#snapshot", "lost+found", "__macosx", "$recycle.bin", "system volume information"}
)
"""Folders (in lower case) in which storage devices, archives and systems keep what is theirs, thumbnails included."""
_CONTROLS = {"Cc", "Zl", "Zp"}
"""Unicode's categories of characters that end lines or command terminals."""


@dataclass(frozen=True)
class ListedPhoto:
    """A photo of one camera.

    Attributes:
        file: path relative to the captures folder, with "/" between folders.
        key: path below the camera's folder without suffix; with the split in front where the folders prescribe one.
    """

    file: str
    key: str

    @property
    def stem(self) -> str:
        """The file's name without folders and suffix."""
        return self.key.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class CameraPhotos:
    """The photos of one camera in one place, and what else lay there.

    Attributes:
        camera: the camera's name.
        folder: its folder, relative to the captures folder.
        split: the split that the folders prescribe, None if they do not.
        photos: sorted by file.
        hidden: files and folders that were ignored because their names start with a dot.
        others: files that are no photos, by suffix; pipes, devices and links to them by NOT_REGULAR; folders of systems
            by their names.
        misnamed: photos that are not used because of their names, shown escaped, with the reason.
    """

    camera: str
    folder: str
    split: Split | None
    photos: tuple[ListedPhoto, ...]
    hidden: int
    others: Counter[str]
    misnamed: tuple[Unpaired, ...] = ()


def list_cameras(
    captures_dir: Path, phone: str, dslr: str, folders: Mapping[str, str] | None = None
) -> list[tuple[CameraPhotos, CameraPhotos]]:
    """List the photos of phone and DSLR, for each place where both have a folder.

    That is CAPTURES/<camera>/, nested folders included; or, as the DPED authors lay out their full-size photos,
    CAPTURES/train/<camera>/ and CAPTURES/test/<camera>/, with or without a folder original_images above (there the
    folders prescribe the split). With `folders`, camera -> folder below CAPTURES, it is these alone.

    Raises:
        InputError: a folder is missing, cannot be read, or holds no photo.
    """
    if not _is_folder(captures_dir):
        raise InputError(
            f"{captures_dir}: no such folder; put the photos in {captures_dir}/{phone} and {captures_dir}/{dslr}"
        )
    if folders:
        listed = [list_folder(captures_dir, folders[camera], camera, None) for camera in (phone, dslr)]
        pairs = [(listed[0], listed[1])]
    else:
        pairs = [
            (_list_camera(captures_dir, phone, *place), _list_camera(captures_dir, dslr, *place))
            for place in _places(captures_dir, (phone, dslr))
        ]
    for camera in (0, 1):
        if not any(pair[camera].photos for pair in pairs):
            raise InputError(_no_photos(captures_dir, [pair[camera] for pair in pairs]))
    return pairs


def has_camera(captures_dir: Path, camera: str) -> bool:
    """Tell whether `captures_dir` has a folder of the camera, in one of the layouts of `list_cameras`."""
    return any(_is_folder(captures_dir / place / camera) for place, _ in _places(captures_dir, (camera,)))


def _places(captures_dir: Path, cameras: Sequence[str]) -> list[tuple[str, Split | None]]:
    """Return the folders that hold a folder of each camera, with the split they prescribe; [("", None)] if plain."""
    if any(_is_folder(captures_dir / camera) for camera in cameras):
        return [("", None)]
    for above in ("", "original_images/"):
        found: list[tuple[str, Split | None]] = [
            (f"{above}{split}/", split)
            for split in SPLITS
            if all(_is_folder(captures_dir / above / split / camera) for camera in cameras)
        ]
        if found:
            return found
    return [("", None)]


def _list_camera(captures_dir: Path, camera: str, place: str, split: Split | None) -> CameraPhotos:
    folder = captures_dir / place / camera
    if not _is_folder(folder):
        raise InputError(_no_folder(captures_dir, camera, folder))
    return list_folder(captures_dir, f"{place}{camera}", camera, split)


def list_folder(root: Path, below: str, camera: str, split: Split | None, without: Path | None = None) -> CameraPhotos:
    """List the photos of one camera in the folder ROOT/BELOW and the folders in it; InputError if one is unreadable.

    Their files are relative to `root`, their keys to ROOT/BELOW, with the split in front if there is one. The folder
    `without` is not entered.
    """
    folder = root / below
    photos: list[ListedPhoto] = []
    misnamed: list[Unpaired] = []
    hidden, others = 0, Counter[str]()
    for path, is_regular in _walk(folder, set() if without is None else {os.path.realpath(without)}):
        inside = path.relative_to(folder).as_posix()
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            hidden += 1
        elif is_foreign_folder(path.name):
            others[path.name] += 1
        elif suffix not in PHOTO_SUFFIXES:
            others[shown_name(suffix) or "no suffix"] += 1
        elif not is_regular:
            others[NOT_REGULAR] += 1
        elif reason := fault_of_name(inside):
            misnamed.append(Unpaired(f"{below}/{shown_name(inside)}", reason))
        else:
            stem = unicodedata.normalize("NFC", str(PurePosixPath(inside).with_suffix("")))  # macOS writes NFD names
            photos.append(ListedPhoto(f"{below}/{inside}", f"{split}/{stem}" if split else stem))
    photos.sort(key=lambda photo: photo.file)
    return CameraPhotos(camera, below, split, tuple(photos), hidden, others, tuple(misnamed))


def is_photo_name(name: str) -> bool:
    """Whether a file of this name is taken for a photo: by its suffix, not hidden, and not misnamed."""
    return Path(name).suffix.lower() in PHOTO_SUFFIXES and not name.startswith(".") and not fault_of_name(name)


def is_foreign_folder(name: str) -> bool:
    """Whether a folder of this name belongs to a storage device, an archive or a system: no photos of anybody's."""
    return name.casefold() in _FOREIGN_FOLDERS


def fault_of_name(name: str) -> str:
    """Return why a photo of this name, which may have folders in it, is not used; "" if it is.

    Tables and HDF5 files hold any text, but UTF-8 only.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    return ""


def shown_name(name: str) -> str:
    """Return a name with backslash escapes for what is not UTF-8 or controls; any other name as it is."""
    return "".join(_escaped(c) if unicodedata.category(c) in {"Cs", *_CONTROLS} else c for c in name)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above may not be entered
        return False


def _walk(folder: Path, visited: set[str]) -> Iterator[tuple[Path, bool]]:
    """Yield the files below `folder`, following links but no folder twice, and whether each may be a regular file.

    Hidden folders and those of systems are yielded, not entered. So are links to nothing: they fail by their names when
    they are read.
    """
    real = os.path.realpath(folder)
    visited.add(real)
    above = [(real, _entries(os.fspath(folder)))]  # no recursion: folders may be nested deeper than Python's calls
    while above:
        real, entries = above[-1]
        entry = next(entries, None)
        if entry is None:
            above.pop()
            continue
        if entry.name == WORK_FOLDER:
            continue
        is_folder, is_regular = _kind(entry)
        if not is_folder or entry.name.startswith(".") or is_foreign_folder(entry.name):
            yield Path(entry.path), is_regular
            continue
        inside = f"{real}{os.sep}{entry.name}" if _is_plain(entry) else os.path.realpath(entry.path)
        if inside not in visited:
            visited.add(inside)
            above.append((inside, _entries(entry.path)))


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be read ({error.strerror}); permit it (chmod u+rx) or move it away"
        ) from None


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is where its name says and no link to another; Windows has junctions, too."""
    return os.name == "posix" and not entry.is_symlink()


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Return whether an entry is a folder, and whether it may be a regular file: it is, or nothing is known of it."""
    try:
        if entry.is_file():
            return False, True
        return entry.is_dir(), not os.path.exists(entry.path)  # noqa: PTH110 - a Path for every entry takes long
    except OSError:  # a link to itself, or into a folder that may not be entered
        return False, True


def _no_folder(captures_dir: Path, camera: str, folder: Path) -> str:
    try:
        there = sorted(p.name for p in captures_dir.iterdir() if _is_folder(p) and not p.name.startswith("."))
    except OSError as error:
        return f"{captures_dir}: the folder cannot be read ({error.strerror}); give yourself permission (chmod u+rx)"
    holds = f"it holds the folders {', '.join(there)}" if there else "it holds no folders"
    return (
        f"{folder}: no such folder, the photos of camera '{camera}' belong there; {captures_dir} exists, {holds}; "
        "move the photos there, or name your cameras by --phone and --rig"
    )


def _no_photos(captures_dir: Path, places: list[CameraPhotos]) -> str:
    others = sum((place.others for place in places), Counter[str]())
    hidden = sum(place.hidden for place in places)
    found = [f"{count} x {suffix}" for suffix, count in others.most_common(_SUFFIXES_SHOWN)]
    found += [f"{hidden} hidden"] if hidden else []
    found += [f"{photo.file}: {photo.reason}" for place in places for photo in place.misnamed[:1]]
    what = f"only {', '.join(found)}" if found else "the folder is empty"
    return f"{captures_dir / places[0].folder}: no photos ({what}); photos end in {', '.join(sorted(PHOTO_SUFFIXES))}"

"""Enhance photos and folders of photos: every photo is enhanced, kept from an earlier run, or fails by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dped_data.captures.listing import fault_of_name, list_folder, shown_name
from dped_data.common.files import full_disk_told, sha256_of_file, written_state
from dped_data.common.folder_lock import held
from dped_data.common.malloc import refusals_told
from dped_data.common.progress import progress_bar
from dped_data.common.typed_settings import digest_of, settings_dict
from dped_data.common.work_folder import ForeignFileError
from dped_data.common.written_record import Written, is_ours
from dped_data.errors import InputError, PhotoError, UsageError
from dped_data.photos.deep import is_deep, read_deep_photo, what_is_lost
from dped_data.photos.files import MTIME, open_photo_file, read_bytes
from dped_data.photos.formats import PHOTO_SUFFIXES
from dped_data.photos.mosaic import read_mosaic, whole_mosaic
from dped_data.photos.raw import is_raw
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import SUFFIXES, carried_exif, write_enhanced
from dped_train.devices import choose_products, chosen_device, chosen_dtype, working_memory
from dped_train.enhancing.done_list import EnhanceRecord, NotedPhoto, check_record
from dped_train.enhancing.overlapping_strips import LocalPhotoEnhancer, photo_enhancer
from dped_train.enhancing.settings import CHANGES_NO_PIXEL, EnhanceSettings
from dped_train.enhancing.streaming import Photo, WholePhotoEnhancer, map_bytes_within
from dped_train.networks.file import find_model, load_enhancer

PhotoEnhancer: TypeAlias = WholePhotoEnhancer | LocalPhotoEnhancer

FORMAT_VERSION = 1
LEAST_MEMORY = {torch.bfloat16: 1_500_000_000, torch.float32: 2_500_000_000}  # ours: less is much slower


@dataclass(frozen=True)
class EnhancedPhoto:
    """What became of one photo.

    Attributes:
        source, output: the photo, and where its enhanced version is or would be.
        status: `enhanced`; `kept` from an earlier run with the same model and settings; `failed`.
        reason: why it failed, one line; empty otherwise.
        note: what of the photo its enhanced version has not, one line; empty where nothing is lost.
        megapixels, seconds: size, and time to read, enhance and write it; 0 unless enhanced.
    """

    source: Path
    output: Path
    status: Literal["enhanced", "kept", "failed"]
    reason: str = ""
    megapixels: float = 0.0
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class EnhanceReport:
    """What became of all photos, in the order in which they were given."""

    photos: tuple[EnhancedPhoto, ...]
    precision: Literal["fp32", "bf16"]

    def of(self, status: str) -> tuple[EnhancedPhoto, ...]:
        """The photos with this status."""
        return tuple(photo for photo in self.photos if photo.status == status)

    @property
    def exit_status(self) -> int:
        """0 where every photo has its enhanced version, else 1."""
        return 1 if self.of("failed") else 0


def enhance(
    model: Path | str,
    photos: Path | str | Sequence[Path | str],
    out: Path | str,
    settings: EnhanceSettings | None = None,
) -> EnhanceReport:
    """Enhance photos and all photos in folders; write them below `out` with their names and folders.

    Args:
        model: a model file, a folder of a training run, or the name of a model in `settings.models`.
        photos: files and folders, or one of them. A folder's photos keep their place in it.
        out: where the enhanced photos go, with a record by which a later call sees what is done.
        settings: how; default EnhanceSettings().

    Raises:
        InputError: no such model, no photos, two photos with one output, or no space left.
        UsageError: settings that contradict each other.
    """
    settings, out = settings or EnhanceSettings(), Path(out)
    given = [photos] if isinstance(photos, str | Path) else photos
    if settings.bit_depth == "16" and settings.format == "jpeg":
        raise UsageError("--bit-depth 16 needs --format png or tiff: JPEG files hold 8 bits")
    model_file = find_model(model, Path(settings.models))
    tasks = _planned([Path(photo) for photo in given], out, SUFFIXES[settings.format])
    device = chosen_device(settings.device)
    dtype = chosen_dtype(settings.precision, device)
    dtype = torch.float32 if dtype == torch.float16 else dtype  # photos were never tried in it
    choose_products(settings.precision)
    enhancer = photo_enhancer(load_enhancer(model_file), dtype, device)
    facts = _facts(sha256_of_file(model_file), settings, dtype)
    check_record(out)
    with held(out, "enhance", adopt=_files_of_the_version_before):
        results = _enhance_all(tasks, enhancer, settings, facts, out)
    return EnhanceReport(tuple(results), "bf16" if dtype == torch.bfloat16 else "fp32")


def _enhance_all(
    tasks: list[_Task], enhancer: PhotoEnhancer, settings: EnhanceSettings, facts: dict[str, object], out: Path
) -> list[EnhancedPhoto]:
    record = EnhanceRecord(out)

    def one(task: _Task) -> EnhancedPhoto:
        moved = _Share(bar)
        try:
            return told(task, moved)
        finally:
            moved.complete()

    def told(task: _Task, moved: _Share) -> EnhancedPhoto:
        fault = task.fault if task.fault or task.source.exists() else "no such file"
        if fault:
            return EnhancedPhoto(Path(shown_name(str(task.source))), task.output, "failed", fault)
        try:
            photo = record.photo(task.output, task.source)
        except PhotoError as error:
            return EnhancedPhoto(task.source, task.output, "failed", error.fault)
        deep = _keeps_depth(task.source, settings)
        own = facts | _added_facts(task.source, deep)
        key = digest_of(own | {"sha256": photo.sha256}, FORMAT_VERSION)
        result = _done(task, record, (key, _former_key(own, photo)), settings.overwrite)
        if result is None:
            with full_disk_told(task.output):
                record.begin(task.output, key, photo)
            result = _enhanced(task, enhancer, settings, deep, moved)
        # What is kept may have a new time only, or stand in a line of an earlier version.
        if result.status == "enhanced" or (result.status == "kept" and not record.notes(task.output, photo)):
            record.add(task.output, key, photo)
        return result

    with progress_bar(float(len(tasks)), label="enhance", unit="photo") as bar:
        return list(_each(one, tasks, settings.at_once))


class _Share:
    """What of one photo a bar of photos has been told: a long photo moves it as it goes."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.done = bar, 0.0

    def __call__(self, share: float) -> None:
        self.done += share
        self.bar.update(share)

    def complete(self) -> None:
        self(1 - self.done)


def _files_of_the_version_before(out: Path) -> dict[Path, Written] | None:
    """The photos that a version without a record enhanced: those that its list names with their length."""
    outputs = EnhanceRecord(out).finished()
    return {path: written_state(path) for path in outputs} if outputs else None


def _each(one: Callable[[_Task], EnhancedPhoto], tasks: list[_Task], at_once: int) -> Iterator[EnhancedPhoto]:
    """Yield the results in order; `at_once` threads work, each with its share of torch's threads."""
    if at_once == 1:
        yield from map(one, tasks)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(max(1, threads // at_once),))
    try:
        yield from pool.map(one, tasks)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Task:
    """A photo, where its enhanced version goes, and why it cannot be used, "" if it can."""

    source: Path
    output: Path
    fault: str = ""


def _planned(photos: Sequence[Path], out: Path, suffix: str) -> list[_Task]:
    tasks = []
    for given in photos:
        if given.is_dir():
            tasks += [_Task(p, (out / p.relative_to(given)).with_suffix(suffix), why) for p, why in _inside(given, out)]
        else:
            tasks.append(_Task(given, out / f"{given.stem}{suffix}", fault_of_name(given.name)))
    if not tasks:
        raise InputError(f"{', '.join(map(str, photos)) or 'nothing'}: no photos there; {_photo_names()}")
    seen: dict[Path, Path] = {}
    sources = {task.source.resolve() for task in tasks}
    for task in tasks:
        other = seen.setdefault(task.output, task.source)
        if other != task.source:
            raise InputError(
                f"{other} and {task.source} would both become {task.output}; enhance them into two folders"
            )
        if (photo := task.output.resolve()) in sources:
            whose = "its" if photo == task.source.resolve() else f"{task.source}'s"
            raise InputError(f"{photo}: would be written over by {whose} enhanced version; choose another --out")
    return tasks


def _inside(folder: Path, out: Path) -> list[tuple[Path, str]]:
    """The photos in a folder as builds list them, with the fault of those misnamed; nothing below `out`, nor its own.

    Where `out` is the folder itself or one above it, its record tells what was made.
    """
    listing = list_folder(folder, ".", folder.name, None, without=out)
    top = out.resolve()
    made = {top / name for name in EnhanceRecord(out).outputs()} if folder.resolve().is_relative_to(top) else set()
    photos = [(folder / photo.file, "") for photo in listing.photos]
    photos += [(folder / photo.file, photo.reason) for photo in listing.misnamed]
    return [(path, fault) for path, fault in photos if path.resolve() not in made]


def _photo_names() -> str:
    return f"photos end in {', '.join(sorted(PHOTO_SUFFIXES))}"


def _done(task: _Task, record: EnhanceRecord, keys: tuple[str, ...], overwrite: bool) -> EnhancedPhoto | None:
    """The result for a photo that needs no work: it is there already, made in this way or in another."""
    if not task.output.exists():
        return None
    if any(record.holds(task.output, key) for key in keys):
        return EnhancedPhoto(task.source, task.output, "kept")
    if (overwrite or any(record.was_begun(task.output, key) for key in keys)) and is_ours(task.output):
        return None
    return EnhancedPhoto(
        task.source,
        task.output,
        "failed",
        f"{task.output} exists and "
        + ("was made otherwise; --overwrite replaces it" if is_ours(task.output) else "was not written by dped")
        + ", or choose another --out",
    )


def _keeps_depth(path: Path, settings: EnhanceSettings) -> bool:
    """Whether a photo is read, and written, in more than 8 bits: it has them, and the format can hold them."""
    try:
        return settings.format != "jpeg" and is_deep(path)
    except PhotoError:  # it fails by its name when it is read
        return False


def _added_facts(path: Path, deep: bool) -> dict[str, object]:
    """What decides the written photo besides, stated only where earlier versions made another one of it."""
    try:
        with open_photo_file(path) as file:
            raw = is_raw(file, path.name)
    except PhotoError:
        raw = False
    return ({"deep": True} if deep else {}) | ({"raw_brightness": "fixed"} if raw else {})


def _enhanced(
    task: _Task, enhancer: PhotoEnhancer, settings: EnhanceSettings, deep: bool, moved: _Share
) -> EnhancedPhoto:
    start = perf_counter()
    try:
        with refusals_told(), full_disk_told(task.output):
            photo = read_deep_photo(task.source) if deep else read_photo(task.source)
            note = what_is_lost(task.source, photo if deep else None)
            pixels = _pixels(photo, _seen(task.source, photo, enhancer), enhancer, settings, moved)
            exif = carried_exif(task.source, (pixels.shape[1], pixels.shape[0]))
            write_enhanced(task.output, pixels, settings.quality, exif)
    except MemoryError as error:
        return EnhancedPhoto(task.source, task.output, "failed", str(error))
    except ForeignFileError as error:
        return EnhancedPhoto(task.source, task.output, "failed", str(error))
    except (PhotoError, OSError) as error:
        reason = error.fault if isinstance(error, PhotoError) else f"{task.output}: {error.strerror}"
        return EnhancedPhoto(task.source, task.output, "failed", reason)
    megapixels = photo.shape[0] * photo.shape[1] / 1e6
    return EnhancedPhoto(task.source, task.output, "enhanced", "", megapixels, perf_counter() - start, note)


@dataclass(frozen=True)
class _Seen:
    """What the enhancer sees of a photo, and where the photo begins in it, pixels."""

    pixels: Photo
    left: int = 0
    top: int = 0


def _seen(path: Path, photo: Photo, enhancer: PhotoEnhancer) -> _Seen:
    """What the enhancer sees of a photo: itself, or its mosaic; PhotoError where that is none of its size."""
    if isinstance(enhancer, LocalPhotoEnhancer) or enhancer.enhancer.input == "rgb":
        return _Seen(photo)
    mosaic = read_mosaic(read_bytes(path), path.name)
    if mosaic.values.shape != photo.shape[:2]:
        raise PhotoError(path.name, "its sensor's cells are no square pixels, so that no mosaic can be had")
    whole = whole_mosaic(mosaic)
    return _Seen(whole.codes, whole.left, whole.top)


def memory_by_itself(dtype: torch.dtype, device: torch.device) -> int:
    """Bytes that a run takes when it is not told: what the device has to work in, on a CPU `LEAST_MEMORY` at least."""
    there = working_memory(device) or 0
    return max(there, LEAST_MEMORY[dtype]) if device.type == "cpu" else there


def _pixels(
    photo: Photo, seen: _Seen, enhancer: PhotoEnhancer, settings: EnhanceSettings, moved: _Share
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels to write: rounded to the bit depth, by strength, beside the photo where that is wanted.

    A photo of 16 bits gives 16.
    """
    height, width = photo.shape[:2]
    kind, top = (np.uint16, 65535) if settings.bit_depth == "16" or photo.dtype == np.uint16 else (np.uint8, 255)
    photo_top = int(np.iinfo(photo.dtype).max)
    left = width if settings.side_by_side else 0
    pixels = np.empty((height, left + width, 3), kind)
    if left:
        np.multiply(photo, top // photo_top, out=pixels[:, :left], dtype=kind)
    memory = settings.memory_mb * 1_000_000 or memory_by_itself(enhancer.dtype, enhancer.device)
    besides = photo.nbytes + pixels.nbytes + (seen.pixels.nbytes if seen.pixels is not photo else 0)
    map_bytes = map_bytes_within(memory, besides, enhancer.dtype, settings.at_once, enhancer.device)
    for start, wider in enhancer.enhanced_rows(seen.pixels, map_bytes, moved):
        above = max(seen.top - start, 0)
        first = start + above - seen.top
        rows = wider[above : above + height - first, seen.left : seen.left + width]
        before = photo[first : first + len(rows)] * np.float32((1 - settings.strength) / photo_top)
        blended = np.clip(rows * np.float32(settings.strength) + before, 0, 1)
        pixels[first : first + len(rows), left:] = np.rint(blended * np.float32(top))
    return pixels


def _facts(model_digest: str, settings: EnhanceSettings, dtype: torch.dtype) -> dict[str, object]:
    """What decides a written photo beside the photo itself: model and settings."""
    facts = {name: value for name, value in settings_dict(settings).items() if name not in CHANGES_NO_PIXEL}
    return facts | {"precision": str(dtype), "model": model_digest}


def _former_key(facts: dict[str, object], photo: NotedPhoto) -> str:
    """The key of records of earlier versions, which know a photo by its size and time."""
    return digest_of(facts | {"bytes": photo.state[0], "modified": photo.state[MTIME]}, FORMAT_VERSION)

"""Check one shard against the manifest, against itself, and against the photos it was cut from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.align.resampling import sample_dslr, sample_dslr_16
from dped_data.align.target_quality import measure_quality
from dped_data.common.files import sha256_of_file
from dped_data.common.names import shown
from dped_data.dataset.layout import open_shard
from dped_data.dataset.manifest import Manifest, ShardEntry, dataset_digest
from dped_data.dataset.shard_check import RAW_FACTS
from dped_data.errors import InputError, PhotoError
from dped_data.inspection.remeasure import zero_shift_correlation
from dped_data.photos.files import read_bytes
from dped_data.photos.mosaic import cut_mosaic, read_mosaic
from dped_data.photos.raw import decode_linear, raw_settings_of
from dped_data.photos.reading import read_photo

_NCC_TOLERANCE = 1e-4
"""Ours: the stored correlation is float32."""
_QUALITY_TOLERANCE = 1e-4
"""Ours: so are these, shares of one and stops, or ratios near one; more of larger ones."""
_QUALITY = ("phone_clipped", "dslr_clipped", "sharpness", "light_ev")
_READ_AT_ONCE = 256
"""Patches; a shard may be larger than the memory."""
_FAULTS_PER_KIND = 20
"""Faults of one kind reported per shard; a shifted file would report every patch."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be.

    Attributes:
        file: relative to the dataset.
        row: of the patch in its shard, None when it concerns the file.
        capture_id: the capture concerned, or "".
        text: what is wrong.
    """

    file: str
    row: int | None
    capture_id: str
    text: str

    @property
    def text_line(self) -> str:
        """The fault as one line: where, then what."""
        where = self.file + ("" if self.row is None else f", patch {self.row}")
        return f"{where}{f' (capture {self.capture_id})' if self.capture_id else ''}: {self.text}"


@dataclass
class ShardCheck:
    """What the check of one shard found; filled while it runs, counts as in verify.VerifyReport."""

    patches: int = 0
    phone_patches: int = 0
    dslr_patches: int = 0
    mosaics: int = 0
    not_recreated: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def verify_shard(folder: Path, entry: ShardEntry, manifest: Manifest, photos: Path | None) -> ShardCheck:
    """Check one shard; `photos` is the captures folder or None. Faults are returned, not raised."""
    check = ShardCheck()
    path = folder / entry.file
    if not path.is_file():
        check.faults.append(Fault(entry.file, None, "", "missing"))
        return check
    size = path.stat().st_size
    if size != entry.bytes:
        check.faults.append(Fault(entry.file, None, "", f"{size} bytes, the manifest says {entry.bytes}"))
    if sha256_of_file(path) != entry.sha256:
        text = "sha256 differs from the manifest: the file or the manifest was changed"
        check.faults.append(Fault(entry.file, None, "", text))
    try:
        with open_shard(path) as file:
            _verify_content(file, entry, manifest, photos, check)
    except InputError as error:
        check.faults.append(Fault(entry.file, None, "", str(error).removeprefix(f"{path}: ")))
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:  # what h5py raises for damaged content
        check.faults.append(Fault(entry.file, None, "", f"cannot be read ({error})"))
    return check


def _verify_content(
    file: h5py.File, entry: ShardEntry, manifest: Manifest, photos: Path | None, check: ShardCheck
) -> None:
    columns = {name: file[name][:] for name in ("phone_xy", "ncc", "error_px", "capture", "dslr_xy")}
    ids = [str(name) for name in file["captures"].asstr()[:]]
    check.patches = len(columns["ncc"])
    whole = (
        *_file_faults(file, entry, manifest, check.patches),
        *_window_faults(file, columns),
    )
    check.faults += [Fault(entry.file, None, "", text) for text in whole]
    for rows, text in _patch_faults(file, columns):
        check.faults += [
            Fault(entry.file, int(row), ids[columns["capture"][row]], text) for row in rows[:_FAULTS_PER_KIND]
        ]
    if ids and manifest.source == "built":
        _recreate(file, entry, manifest, photos, columns, ids, check)


def _file_faults(file: h5py.File, entry: ShardEntry, manifest: Manifest, patches: int) -> Iterator[str]:
    digest = str(file.attrs.get("digest", ""))[:64]
    stated = dataset_digest(manifest.settings) if manifest.review else manifest.digest
    if digest != stated:
        yield f"built with settings {shown(digest[:12])}, the manifest says {stated[:12]}"
    if patches != entry.patches:
        yield f"{patches} patches, the manifest says {entry.patches}"
    if file["phone"].shape[1] != manifest.patch_size:
        yield f"patches of {file['phone'].shape[1]} px, the manifest says {manifest.patch_size}"


def _window_faults(file: h5py.File, columns: dict[str, NDArray[Any]]) -> Iterator[str]:
    windows = np.column_stack([file["window_capture"][:], file["window_xy"][:]])
    if len(windows) == 0:
        return
    repeated = len(windows) - len(np.unique(windows, axis=0))
    if repeated:
        yield f"{repeated} duplicate windows"
    kept = windows[file["window_reason"][:] == 0]
    cut = np.column_stack([columns["capture"], columns["phone_xy"]])
    if len(kept) != len(cut) or not np.array_equal(np.unique(kept, axis=0), np.unique(cut, axis=0)):
        yield "the kept windows are not those of the patches"


def _patch_faults(file: h5py.File, columns: dict[str, NDArray[Any]]) -> Iterator[tuple[NDArray[np.intp], str]]:
    """Yield rows and what is wrong with each of them."""
    ncc, error, xy, capture = (columns[name] for name in ("ncc", "error_px", "phone_xy", "capture"))
    yield np.flatnonzero(~((ncc >= -1) & (ncc <= 1))), "correlation is not between -1 and 1"
    geometry = np.isfinite(columns["dslr_xy"]).all((1, 2, 3))
    if geometry.any():  # patches that others cut have no geometry
        yield np.flatnonzero(~geometry), "geometry is not finite"
        yield np.flatnonzero(~(error >= 0)), "predicted error is not a positive number"
    keys = np.column_stack([capture, xy])
    if (xy >= 0).all():
        _, first, counts = np.unique(keys, axis=0, return_index=True, return_counts=True)
        yield np.sort(first[counts > 1]), "the same window is stored more than once"
    starts = range(0, len(ncc), _READ_AT_ONCE)
    parts = [zero_shift_correlation(*(file[name][k : k + _READ_AT_ONCE] for name in ("phone", "dslr"))) for k in starts]
    measured = np.concatenate([np.zeros(0), *parts])
    finite = np.isfinite(measured) & np.isfinite(ncc)
    yield np.flatnonzero(finite & (np.abs(measured - ncc) > _NCC_TOLERANCE)), "correlation is not that of the pixels"
    if "valid" in file:
        left = [file["valid"][k : k + _READ_AT_ONCE].any((1, 2)) for k in starts]
        yield np.flatnonzero(~np.concatenate([np.zeros(0, bool), *left])), "no pixel is valid"
    yield from _quality_faults(file, starts)


def _quality_faults(file: h5py.File, starts: range) -> Iterator[tuple[NDArray[np.intp], str]]:
    """Yield rows whose light and target quality is not that of their pixels; shards of earlier versions state none."""
    stated = {name: file[name][:] for name in _QUALITY if name in file}
    if not stated:
        return
    different = {name: [np.zeros(0, bool)] for name in stated}
    for start in starts:
        part = slice(start, start + _READ_AT_ONCE)
        valid = file["valid"][part] if "valid" in file else None
        made = measure_quality(file["phone"][part], file["dslr"][part], valid).columns()
        for name, values in stated.items():
            same = np.isclose(values[part], made[name], _QUALITY_TOLERANCE, _QUALITY_TOLERANCE, equal_nan=True)
            different[name].append(~same)
    for name, parts in different.items():
        yield np.flatnonzero(np.concatenate(parts)), f"{name} is not that of the pixels"


def _recreate(
    file: h5py.File,
    entry: ShardEntry,
    manifest: Manifest,
    photos: Path | None,
    columns: dict[str, NDArray[Any]],
    ids: list[str],
    check: ShardCheck,
) -> None:
    """Make every patch again from the photos, capture by capture."""
    for number, name in enumerate(ids):
        rows = np.flatnonzero(columns["capture"] == number)
        if len(rows) == 0:
            continue
        if photos is None:
            check.not_recreated["the photos are not at hand"] += len(rows)
            continue
        if "phone_raw" in file:
            _recreate_mosaics(file, entry, photos, columns, rows, name, check)
        for camera in ("phone", "dslr"):
            if camera == "dslr" and manifest.alignment != "refined":
                check.not_recreated[f"DSLR patches of --alignment {manifest.alignment} are not made from dslr_xy"] += (
                    len(rows)
                )
                continue
            path = photos / str(file[f"{camera}_file"].asstr()[number])
            stated = str(file[f"{camera}_sha256"].asstr()[number])
            linear = None
            raw = raw_settings_of(manifest.settings)
            try:
                if stated and sha256_of_file(path) != stated:
                    check.faults.append(Fault(entry.file, None, name, f"{path} is not the photo it was built from"))
                    continue
                if camera == "dslr" and "dslr_linear" in file:
                    photo, linear = decode_linear(read_bytes(path), path.name, raw)
                else:
                    photo = read_photo(path, raw)
                made = _cut(camera, photo, columns, rows, manifest.patch_size)
            except (PhotoError, OSError):
                check.not_recreated["the photo is missing or cannot be read"] += len(rows)
                continue
            if linear is not None:
                nodes = _near_nodes(columns["dslr_xy"][rows], linear)
                light = sample_dslr_16(linear, nodes, manifest.patch_size)
                wrong = np.flatnonzero((light != file["dslr_linear"][rows]).any((1, 2, 3)))
                text = "linear light is not that of the photo"
                check.faults += [Fault(entry.file, int(rows[k]), name, text) for k in wrong[:_FAULTS_PER_KIND]]
            stored = file[camera][rows]
            different = np.flatnonzero((made != stored).any((1, 2, 3)))
            text = f"{camera} pixels are not those of the photo"
            check.faults += [Fault(entry.file, int(rows[k]), name, text) for k in different[:_FAULTS_PER_KIND]]
            if camera == "phone":
                check.phone_patches += len(rows)
            else:
                check.dslr_patches += len(rows)


def _recreate_mosaics(
    file: h5py.File,
    entry: ShardEntry,
    photos: Path,
    columns: dict[str, NDArray[Any]],
    rows: NDArray[np.intp],
    name: str,
    check: ShardCheck,
) -> None:
    """Cut the mosaics of a capture again from its RAW file, and hold what is said of them against what that says."""
    number = int(columns["capture"][rows[0]])
    path = photos / str(file["phone_raw_file"].asstr()[number])
    try:
        data = read_bytes(path)
        if hashlib.sha256(data).hexdigest() != file["phone_raw_sha256"].asstr()[number]:
            check.faults.append(Fault(entry.file, None, name, f"{path} is not the RAW file it was built from"))
            return
        mosaic = read_mosaic(data, path.name)
    except (PhotoError, OSError):
        check.not_recreated["the RAW file is missing or cannot be read"] += len(rows)
        return
    for fact, dtype in RAW_FACTS.items():
        value: NDArray[Any] = np.asarray(getattr(mosaic.facts, fact.removeprefix("raw_")), dtype)
        if not np.array_equal(file[fact][number], value, equal_nan=True):
            check.faults.append(Fault(entry.file, None, name, f"{fact} is not that of the RAW file"))
    try:
        made = cut_mosaic(mosaic, columns["phone_xy"][rows], file["phone"].shape[1])
    except ValueError:
        check.faults.append(Fault(entry.file, None, name, "its patches do not begin at red cells of the mosaic"))
        return
    different = np.flatnonzero((made != file["phone_raw"][rows]).any((1, 2, 3)))
    text = "the mosaic is not that of the RAW file"
    check.faults += [Fault(entry.file, int(rows[k]), name, text) for k in different[:_FAULTS_PER_KIND]]
    check.mosaics += len(rows)


def _near_nodes(nodes: NDArray[np.float64], photo: NDArray[Any]) -> NDArray[np.float64]:
    """Hold nodes near the photo: damaged geometry must not ask for a kernel without end."""
    limit = np.array([photo.shape[1], photo.shape[0]], np.float64)
    return np.nan_to_num(nodes, posinf=0.0, neginf=0.0).clip(-limit, 2 * limit)


def _cut(
    camera: str, photo: NDArray[np.uint8], columns: dict[str, NDArray[Any]], rows: NDArray[np.intp], size: int
) -> NDArray[np.uint8]:
    if camera == "dslr":
        return sample_dslr(photo, _near_nodes(columns["dslr_xy"][rows], photo), size)
    padded = cv2.copyMakeBorder(photo, 0, size, 0, size, cv2.BORDER_CONSTANT)  # for damaged positions
    corners = columns["phone_xy"][rows].clip(0, [photo.shape[1], photo.shape[0]])
    return np.stack([padded[y : y + size, x : x + size] for x, y in corners])

"""A dataset leaves in the layouts that other people's training code reads."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dped_data.captures.records import SPLITS, Split
from dped_data.common.csv_tables import Formatted, csv_text
from dped_data.common.folder_lock import held
from dped_data.common.markdown_card import CARD_NAME
from dped_data.common.ownership import publish_folder, temporary_folder
from dped_data.common.parallel import Backend, run_parallel
from dped_data.common.progress import progress_bar
from dped_data.dataset.card import card_of_dataset
from dped_data.dataset.manifest import Manifest, find_dataset, is_masked, read_manifest
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.released.layout import AUTHORS_DSLR, SPLIT_FOLDERS, mask_folder
from dped_data.released.parquet import FOLDER as PARQUET_FOLDER
from dped_data.released.parquet import check_parquet_installed, parquet_path, write_parquet

Layout = Literal["dped", "folders", "webdataset", "parquet"]
ImageFormat = Literal["jpg", "png"]

JPEG_QUALITY = 98
"""Ours, without chroma subsampling: mean error below one grey level; PNG loses nothing."""
PATCH_TABLE = "patches.csv"
_READ_AT_ONCE = 256


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote: its folder, pairs per split, files and bytes, and the time it took."""

    folder: Path
    pairs: Mapping[Split, int]
    files: int
    bytes: int
    seconds: float

    @property
    def patches(self) -> int:
        """Pairs of patches in all splits."""
        return sum(self.pairs.values())


@dataclass(frozen=True)
class ExportedPatch:
    """One row of patches.csv: where a pair lies, and the photo and place it was cut from (-1 and NaN: unknown)."""

    split: Split
    name: str
    capture_id: str
    x: int
    y: int
    ncc: float
    error_px: float


def export_dped(
    data: Path | str,
    phone: str | None,
    out: Path | str,
    as_: Layout = "dped",
    *,
    image_format: ImageFormat | None = None,
    jobs: int = -1,
    backend: Backend = "loky",
) -> ExportReport:
    """Write the dataset DATA/<phone> to the folder OUT/<phone>; it appears whole or not at all.

    - "dped": the authors' layout (see layout.py), numbered from 0 as their code expects; JPEG unless said otherwise.
      Where the target camera is not called canon, a link of that name leads to it.
    - "folders": <split>/lq and <split>/gt with equal names, as trainers for paired folders read them; PNG.
    - "webdataset": <split>-NNNNNN.tar with KEY.phone.png, KEY.dslr.png and KEY.json; PNG.
    - "parquet": data/<split>-NNNNN-of-NNNNN.parquet, pairs as images beside where they come from, and a card; PNG.

    patches.csv says for every pair which photo and place it was cut from. Masks, where the dataset has any, are PNG
    files of 255 for valid pixels and 0 for others: valid/training_data/N.png and so on, <split>/valid/, KEY.valid.png,
    or a column `valid`.

    Args:
        data: folder of datasets.
        phone: the phone's name; None if there is only one dataset.
        out: folder to write OUT/<phone> into.
        as_: the layout.
        image_format: "jpg" (quality 98, full colour resolution) or "png" (every pixel kept).
        jobs: worker processes; -1 means one per core.
    Raises:
        InputError: no dataset there, a damaged shard, OUT/<phone> exists, or it cannot be written.
    """
    start = time.perf_counter()
    if as_ == "parquet":
        check_parquet_installed()
    source = find_dataset(Path(data), phone)
    manifest = read_manifest(source)
    form: ImageFormat = image_format or ("jpg" if as_ == "dped" else "png")
    target = Path(out) / manifest.phone
    rows: list[ExportedPatch] = []
    with _whole_folder(target) as temporary:
        calls = _calls(source, manifest, temporary, as_, form)
        total = sum(manifest.splits[split].patches for split in SPLITS)
        with progress_bar(total, label="exporting", unit="pair") as bar:
            for exported in run_parallel(export_shard, calls, jobs, backend):
                rows += exported
                bar.update(len(exported))
        (temporary / PATCH_TABLE).write_text(_patch_table(rows), encoding="utf-8")
        if as_ == "dped":
            _link_authors_dslr(temporary, manifest)
        if as_ == "parquet":
            (temporary / CARD_NAME).write_text(card_of_dataset(source, manifest).text(), encoding="utf-8")
        files = [path for path in temporary.rglob("*") if path.is_file() and not path.parent.is_symlink()]
        size = sum(path.stat().st_size for path in files)
    pairs: dict[Split, int] = {split: manifest.splits[split].patches for split in SPLITS}
    return ExportReport(target, pairs, len(files), size, time.perf_counter() - start)


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Yield a folder of this process's own that becomes `target` when all went well and vanishes otherwise."""
    try:
        with held(target.parent, "export-dped", lock_name=f"export-{target.name}.lock") as work:
            if os.path.lexists(target):
                raise InputError(f"{target}: exists already; remove it or choose another --out")
            with temporary_folder(work) as temporary:
                yield temporary
                publish_folder(temporary, target)
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror or error}); choose another --out, or make room there"
        ) from None


def _calls(
    source: Path, manifest: Manifest, temporary: Path, as_: Layout, form: ImageFormat
) -> list[tuple[Path, Split, int, int, Path, Layout, ImageFormat]]:
    """Return one call of `export_shard` per shard, and make the folders they write to."""
    calls: list[tuple[Path, Split, int, int, Path, Layout, ImageFormat]] = []
    for split in SPLITS:
        first = 0
        for number, entry in enumerate(manifest.splits[split].shards):
            calls.append((source, split, number, first, temporary, as_, form))
            first += entry.patches
        if as_ == "parquet":
            (temporary / PARQUET_FOLDER).mkdir(exist_ok=True)
        elif first and as_ != "webdataset":
            for folder in _folders(as_, split, manifest):
                (temporary / folder).mkdir(parents=True)
    return calls


def _folders(as_: Layout, split: Split, manifest: Manifest) -> tuple[str, ...]:
    """Return the folders of the phone's and of the DSLR's patches, and of their masks where there are any."""
    if as_ == "dped":
        pair: tuple[str, ...] = tuple(f"{SPLIT_FOLDERS[split]}/{name}" for name in (manifest.phone, manifest.dslr))
        masks = mask_folder(split)
    else:
        pair, masks = (f"{split}/lq", f"{split}/gt"), f"{split}/valid"
    return (*pair, masks) if is_masked(manifest) else pair


def export_shard(
    source: Path, split: Split, number: int, first: int, temporary: Path, as_: Layout, form: ImageFormat
) -> list[ExportedPatch]:
    """Write the pairs of one shard, numbered from `first`; the work of one worker process."""
    store = PatchStore(source, split)
    entry = store.shards[number]
    rows = _described(store, number, first, as_)
    pixels = _encoded(store, range(first, first + entry.patches), form)
    names = (f"phone.{form}", f"dslr.{form}", *(("valid.png",) if store.masked else ()))
    if as_ == "parquet":
        path = temporary / parquet_path(split, number, len(store.shards))
        write_parquet(path, _provenance(store, number, rows), pixels, names)
        return rows
    if as_ == "webdataset":
        with tarfile.open(temporary / f"{split}-{number:06d}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for row, images in zip(rows, pixels, strict=True):
                for name, image in zip(names, images, strict=True):
                    _add(tar, f"{row.name}.{name}", image)
                _add(tar, f"{row.name}.json", _json(row).encode())
        return rows
    folders = [temporary / folder for folder in _folders(as_, split, store.manifest)]
    for row, images in zip(rows, pixels, strict=True):
        for folder, name, image in zip(folders, names, images, strict=True):
            (folder / f"{row.name}.{name.split('.')[1]}").write_bytes(image)
    return rows


def _described(store: PatchStore, number: int, first: int, as_: Layout) -> list[ExportedPatch]:
    with store.opened(store.shards[number]) as file:
        names = file["captures"].asstr()[:]
        columns = (file["capture"][:], file["phone_xy"][:], file["ncc"][:], file["error_px"][:])
    rows: list[ExportedPatch] = []
    for index, (capture, (x, y), ncc, error) in enumerate(zip(*columns, strict=True), start=first):
        name = str(index) if as_ == "dped" else f"{index:08d}"
        rows.append(ExportedPatch(store.split, name, str(names[capture]), int(x), int(y), float(ncc), float(error)))
    return rows


def _provenance(store: PatchStore, number: int, rows: list[ExportedPatch]) -> Iterator[dict[str, object]]:
    """The rows of a shard with the files of their photos; None where something is unknown."""
    with store.opened(store.shards[number]) as file:
        photos = [file[name].asstr()[:][file["capture"][:]] for name in ("phone_file", "dslr_file")]
    for row, phone_file, dslr_file in zip(rows, *photos, strict=True):
        yield {**_known(row), "phone_file": str(phone_file), "dslr_file": str(dslr_file)}


def _encoded(store: PatchStore, indices: range, form: ImageFormat) -> Iterator[tuple[bytes, ...]]:
    for start in range(indices.start, indices.stop, _READ_AT_ONCE):
        rows = np.arange(start, min(start + _READ_AT_ONCE, indices.stop))
        halves = store.read(rows)
        for phone, dslr, row in zip(*halves, rows.tolist(), strict=True):
            pair = _encode(phone, form), _encode(dslr, form)
            yield (*pair, _encode(store.read_valid([row])[0] * np.uint8(255), "png")) if store.masked else pair


def _encode(patch: NDArray[np.uint8], form: ImageFormat) -> bytes:
    if form == "jpg":
        return bytes(simplejpeg.encode_jpeg(patch, JPEG_QUALITY, "RGB", "444"))
    encoded, data = cv2.imencode(".png", patch if patch.ndim == 2 else cv2.cvtColor(patch, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise UsageError("this build of OpenCV cannot write PNG; install opencv-contrib-python from PyPI")
    return bytes(data)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # no time and no owner: the same dataset gives the same bytes
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _json(row: ExportedPatch) -> str:
    return json.dumps(_known(row))


def _known(row: ExportedPatch) -> dict[str, object]:
    """The fields of a row, None where it has NaN, which is no JSON."""
    return {key: None if value != value else value for key, value in vars(row).items()}


def _patch_table(rows: list[ExportedPatch]) -> str:
    header = ["split", "name", "capture_id", "x", "y", "ncc", "error_px"]
    figures = [(Formatted(f"{r.ncc:.6f}"), Formatted(f"{r.error_px:.6f}")) for r in rows]
    return csv_text(
        header, ([r.split, r.name, r.capture_id, r.x, r.y, *known] for r, known in zip(rows, figures, strict=True))
    )


def _link_authors_dslr(temporary: Path, manifest: Manifest) -> None:
    """Let the authors' code find the target patches under the name that it expects."""
    if AUTHORS_DSLR in (manifest.dslr, manifest.phone):
        return
    for split in SPLITS:
        if manifest.splits[split].patches:
            with suppress(OSError):  # Windows allows links to some users only
                (temporary / SPLIT_FOLDERS[split] / AUTHORS_DSLR).symlink_to(manifest.dslr, target_is_directory=True)

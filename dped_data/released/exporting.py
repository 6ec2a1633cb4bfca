"""A dataset leaves in the layouts that other people's training code reads."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
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
from dped_data.dataset.manifest import Manifest, find_dataset, has_mosaics, is_masked, read_manifest
from dped_data.dataset.shard_check import RAW_FACTS
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.released.layout import AUTHORS_DSLR, SPLIT_FOLDERS, mask_folder
from dped_data.released.parquet import FOLDER as PARQUET_FOLDER
from dped_data.released.parquet import check_parquet_installed, parquet_path, write_parquet
from dped_data.released.zrr import FACTS_TABLE, RAW_FOLDER, RGB_FOLDER, facts_as_numbers, facts_table, unpacked

Layout = Literal["dped", "folders", "webdataset", "parquet", "zrr"]
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
    """One row of patches.csv: where a pair lies, and the photo and place it was cut from (-1 and NaN: unknown).

    `mosaic`: what its RAW file says of it, by the columns of mosaics.csv; None where there are no mosaics.
    """

    split: Split
    name: str
    capture_id: str
    x: int
    y: int
    ncc: float
    error_px: float
    mosaic: dict[str, float | None] | None = None


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
    - "zrr": the layout of the Zurich RAW-to-RGB set (zrr.py), of a dataset with mosaics; mosaics of 16 bits and the
      DSLR's patches as JPEG.

    patches.csv says for every pair which photo and place it was cut from. Masks, where the dataset has any, are PNG
    files of 255 for valid pixels and 0 for others: valid/training_data/N.png and so on, <split>/valid/, KEY.valid.png,
    or a column `valid`. Mosaics, where the dataset has any, are PNG files of 16 bits with red at the top left:
    <split>/mosaic/, KEY.mosaic.png, or a column `mosaic`; mosaics.csv says what their RAW files say. The authors'
    layout has none.

    Args:
        data: folder of datasets.
        phone: the phone's name; None if there is only one dataset.
        out: folder to write OUT/<phone> into.
        as_: the layout.
        image_format: "jpg" (quality 98, full colour resolution) or "png" (every pixel kept).
        jobs: worker processes; -1 means one per core.
    Raises:
        InputError: no dataset there, a damaged shard, OUT/<phone> exists, or it cannot be written.
        UsageError: "zrr" of a dataset without mosaics.
    """
    start = time.perf_counter()
    if as_ == "parquet":
        check_parquet_installed()
    source = find_dataset(Path(data), phone)
    manifest = read_manifest(source)
    form: ImageFormat = image_format or ("jpg" if as_ in ("dped", "zrr") else "png")
    if as_ == "zrr" and not has_mosaics(manifest):
        raise UsageError(f"--as zrr: {source} holds no mosaics; it takes a dataset built with --phone-raw")
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
        facts = [(row.split, row.name, row.mosaic) for row in rows if row.mosaic is not None]
        if facts:
            (temporary / FACTS_TABLE).write_text(facts_table(facts), encoding="utf-8")
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
            for folder in _folders(as_, split, manifest).values():
                (temporary / folder).mkdir(parents=True)
    return calls


def _images(as_: Layout, manifest: Manifest) -> tuple[str, ...]:
    """Return which images of each pair a layout has, in their order."""
    if as_ == "zrr":
        return ("mosaic", "dslr")
    masks = ("valid",) if is_masked(manifest) else ()
    return ("phone", "dslr", *masks, *(("mosaic",) if has_mosaics(manifest) and as_ != "dped" else ()))


def _folders(as_: Layout, split: Split, manifest: Manifest) -> dict[str, str]:
    """Return the folder of each kind of image."""
    if as_ == "zrr":
        return {"mosaic": f"{split}/{RAW_FOLDER}", "dslr": f"{split}/{RGB_FOLDER}"}
    if as_ == "dped":
        names = {"phone": f"{SPLIT_FOLDERS[split]}/{manifest.phone}", "dslr": f"{SPLIT_FOLDERS[split]}/{manifest.dslr}"}
        names["valid"] = mask_folder(split)
    else:
        names = {"phone": f"{split}/lq", "dslr": f"{split}/gt", "valid": f"{split}/valid", "mosaic": f"{split}/mosaic"}
    return {image: names[image] for image in _images(as_, manifest)}


def export_shard(
    source: Path, split: Split, number: int, first: int, temporary: Path, as_: Layout, form: ImageFormat
) -> list[ExportedPatch]:
    """Write the pairs of one shard, numbered from `first`; the work of one worker process."""
    store = PatchStore(source, split)
    entry = store.shards[number]
    rows = _described(store, number, first, as_)
    images_of = _images(as_, store.manifest)
    pixels = _encoded(store, range(first, first + entry.patches), form, images_of)
    names = tuple(f"{image}.{form if image in ('phone', 'dslr') else 'png'}" for image in images_of)
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
    folders = [temporary / folder for folder in _folders(as_, split, store.manifest).values()]
    for row, images in zip(rows, pixels, strict=True):
        for folder, name, image in zip(folders, names, images, strict=True):
            (folder / f"{row.name}.{name.split('.')[1]}").write_bytes(image)
    return rows


def _described(store: PatchStore, number: int, first: int, as_: Layout) -> list[ExportedPatch]:
    with store.opened(store.shards[number]) as file:
        names = file["captures"].asstr()[:]
        columns = (file["capture"][:], file["phone_xy"][:], file["ncc"][:], file["error_px"][:])
        facts = {fact: file[fact][:] for fact in RAW_FACTS} if store.has_mosaics and as_ != "dped" else {}
    of_capture = [
        facts_as_numbers({fact: values[index] for fact, values in facts.items()}) if facts else None
        for index in range(len(names))
    ]
    rows: list[ExportedPatch] = []
    for index, (capture, (x, y), ncc, error) in enumerate(zip(*columns, strict=True), start=first):
        name = str(index) if as_ in ("dped", "zrr") else f"{index:08d}"
        where = (str(names[capture]), int(x), int(y), float(ncc), float(error))
        rows.append(ExportedPatch(store.split, name, *where, of_capture[capture]))
    return rows


def _provenance(store: PatchStore, number: int, rows: list[ExportedPatch]) -> Iterator[dict[str, object]]:
    """The rows of a shard with the files of their photos; None where something is unknown."""
    with store.opened(store.shards[number]) as file:
        photos = [file[name].asstr()[:][file["capture"][:]] for name in ("phone_file", "dslr_file")]
    for row, phone_file, dslr_file in zip(rows, *photos, strict=True):
        told = {} if row.mosaic is None else {"mosaic_facts": json.dumps(row.mosaic)}
        yield {**_known(row), "phone_file": str(phone_file), "dslr_file": str(dslr_file), **told}


def _encoded(
    store: PatchStore, indices: range, form: ImageFormat, images: tuple[str, ...]
) -> Iterator[tuple[bytes, ...]]:
    """Yield the encoded images of each pair, in their order."""
    for start in range(indices.start, indices.stop, _READ_AT_ONCE):
        rows = np.arange(start, min(start + _READ_AT_ONCE, indices.stop))
        read: dict[str, Iterable[bytes]] = {}
        phone, dslr = store.read(rows)
        if "phone" in images:
            read["phone"] = (_encode(patch, form) for patch in phone)
        read["dslr"] = (_encode(patch, form) for patch in dslr)
        if "valid" in images:
            read["valid"] = (_encode(mask * np.uint8(255), "png") for mask in store.read_valid(rows))
        if "mosaic" in images:
            read["mosaic"] = (_encode(unpacked(mosaic), "png") for mosaic in store.read_mosaics(rows))
        yield from zip(*(read[image] for image in images), strict=True)


def _encode(patch: NDArray[np.uint8] | NDArray[np.uint16], form: ImageFormat) -> bytes:
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
    """The fields of a row, None where it has NaN, which is no JSON; `mosaic` only where there is one."""
    fields = {key: None if value != value else value for key, value in vars(row).items()}
    return {key: value for key, value in fields.items() if key != "mosaic" or value is not None}


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

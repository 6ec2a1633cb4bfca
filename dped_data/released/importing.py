"""The authors' folders of patches become shards and a manifest."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dped_data.align.ncc import correlate_patches
from dped_data.align.records import Patches
from dped_data.align.target_quality import measure_quality
from dped_data.captures.listing import list_folder
from dped_data.captures.pair_by_name import pair_by_name
from dped_data.captures.records import SPLITS, Capture, Split, Unpaired
from dped_data.common.names import plain_name
from dped_data.common.natural_order import natural_key
from dped_data.common.parallel import Backend
from dped_data.common.typed_settings import FrozenDefaults, setting, settings_dict
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.manifest import Manifest
from dped_data.dataset.review_file import decisions_on
from dped_data.dataset.shards import ShardCapture
from dped_data.errors import InputError, PhotoError, UsageError
from dped_data.photos.deep import decode_grey_16
from dped_data.photos.mosaic_facts import MosaicFacts
from dped_data.photos.reading import decode_photo, read_header
from dped_data.released.layout import MASKS, SPLIT_FOLDERS, find_dslr, find_released, mask_folder
from dped_data.released.zrr import (
    FACTS_TABLE,
    RAW_FOLDER,
    RGB_FOLDER,
    UNSAID,
    is_zrr,
    packed,
    read_facts,
    simple_development,
)
from dped_data.work.crash_log import CAPTURE_TIMEOUT_S
from dped_data.work.destination import Destination
from dped_data.work.folder import Origin
from dped_data.work.lifecycle import CaptureWork, Material, Workers, make_dataset
from dped_data.work.photo_reader import PhotoReader

PAIRS_PER_SHARD = 1000
_HEADERS_TRIED = 20


@dataclass(frozen=True)
class ImportSettings:
    """What decides the content of an imported dataset; its digest marks every shard."""

    source: str
    phone: str
    dslr: str
    patch_size: int
    masked: bool = setting(False, "whether each pair has a mask")
    mosaics: bool = setting(False, "whether each pair is a mosaic and the DSLR's patch")

    frozen_defaults: ClassVar[FrozenDefaults] = FrozenDefaults(
        format_version=1, first={}, added={"masked": False, "mosaics": False}
    )


@dataclass(frozen=True)
class ImportReport:
    """What an import did; each pair of patches counts as a capture.

    Attributes:
        folder: the dataset (OUT/<phone>).
        manifest: its manifest.
        rows: one row per pair, in the order of captures.csv.
        unpaired: patches without a partner.
        reused: pairs that an earlier run had imported.
        seconds: time the run took.
    """

    folder: Path
    manifest: Manifest
    rows: tuple[CaptureRow, ...]
    unpaired: tuple[Unpaired, ...]
    reused: int
    seconds: float


def import_dped(
    folder: Path | str,
    phone: str,
    out: Path | str = "dataset",
    jobs: int = -1,
    *,
    backend: Backend = "loky",
    overwrite: bool = False,
    retry_failed: bool = False,
    review: Path | None = None,
) -> ImportReport:
    """Turn released patches into the dataset OUT/<phone>, or finish the import that is there.

    Patches pair by equal names. What their folders do not tell stays unknown: phone_xy is -1, dslr_xy, shift_px,
    angle_deg and error_px are NaN, no windows; `ncc`, light and target quality are measured. Capture ids are
    split/name, so that every patch can be traced to its files. A patch that cannot be read, or of another size than the
    first one, gets a failed row. A folder `valid` with masks, as `export_dped` writes it, is read too.

    Of the Zurich RAW-to-RGB set, or what `export_dped` writes in its layout, the mosaics come in; `phone` is then a
    simple development of each. mosaics.csv tells of them; without it they have 10 bits and no level of black.

    Args:
        folder: the authors' folder (with <phone>/training_data in it), or its folder <phone>; or one with
            train/huawei_raw in it.
        phone: the phone's name.
        out: folder of datasets.
        jobs: worker processes; -1 means one per core.
        overwrite: replace a dataset of other settings or origin.
        retry_failed: read shards with failed patches again.
        review: a person's verdicts (review.csv): patches rejected there are left out of this and every later import.
    Raises:
        InputError: no released patches there, none readable, a review of others, or OUT/<phone> holds another dataset.
    """
    start = time.perf_counter()
    target = Path(out) / plain_name(phone, "--phone", UsageError)
    zrr = next((root for root in (Path(folder) / phone, Path(folder)) if is_zrr(root)), None)
    root = zrr or find_released(Path(folder), phone)
    if target.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{target}: the dataset would be written among the patches; choose an --out outside {root}")
    dslr = RGB_FOLDER if zrr else find_dslr(root, phone)
    places: dict[Split, tuple[str, str]] = (
        {split: (f"{split}/{RAW_FOLDER}", f"{split}/{RGB_FOLDER}") for split in SPLITS}
        if zrr
        else {split: (f"{below}/{phone}", f"{below}/{dslr}") for split, below in SPLIT_FOLDERS.items()}
    )
    captures, unpaired = _find_pairs(root, places)
    is_masked = not zrr and (root / MASKS).is_dir()
    settings = ImportSettings("imported", phone, dslr, _patch_size(root, captures), is_masked, zrr is not None)
    if zrr and settings.patch_size % 2:
        raise InputError(f"{root}: mosaics of {settings.patch_size} px; a pattern of 2x2 cells has an even side")
    if zrr:
        read_facts(root)  # refuses a table that cannot be used
    material = Material(
        captures,
        [capture.folder_split or "train" for capture in captures],
        unpaired,
        place=root,
        headers=root,
        source=root,
        captures_per_shard=PAIRS_PER_SHARD,
    )
    finished = make_dataset(
        Destination(target),
        material,
        CaptureWork(read_pair, settings, "imported", limit_s=CAPTURE_TIMEOUT_S),
        Origin(phone, dslr, settings.patch_size, "imported", "imported", settings_dict(settings)),
        Workers(jobs, backend),
        command="import-dped",
        label="importing",
        unit="pair",
        overwrite=overwrite,
        retry_failed=retry_failed,
        decisions=decisions_on(captures, review),
    )
    manifest, rows = finished.manifest, finished.rows
    if not manifest.totals["patches"]:
        raise InputError(f"{root}: no patch could be read; {target}/captures.csv has the reasons")
    return ImportReport(target, manifest, rows, unpaired, finished.reused, time.perf_counter() - start)


def _find_pairs(root: Path, places: Mapping[Split, tuple[str, str]]) -> tuple[list[Capture], tuple[Unpaired, ...]]:
    """Pair the patches of every split by name; ids in natural order, files relative to `root`."""
    captures: list[Capture] = []
    unpaired: list[Unpaired] = []
    phone = PurePosixPath(places["train"][0]).name
    dslr = PurePosixPath(places["train"][1]).name
    for split, folders in places.items():
        if not (root / folders[0]).parent.is_dir():
            continue
        for folder in folders:
            if not (root / folder).is_dir():
                camera = PurePosixPath(folder).name
                raise InputError(f"{root / folder}: no such folder, the patches of '{camera}' belong there")
        cameras = [list_folder(root, folder, PurePosixPath(folder).name, split) for folder in folders]
        found = pair_by_name(*cameras)
        pairs = [Capture(p.key, p.file, d.file, None, split) for p, d in found.pairs]
        captures += sorted(pairs, key=lambda capture: natural_key(capture.capture_id))
        unpaired += (*found.unpaired, *(photo for camera in cameras for photo in camera.misnamed))
    if not captures:
        raise InputError(f"{root}: no patch of '{phone}' has the name of one of '{dslr}'; equal names make a pair")
    return captures, tuple(sorted(unpaired, key=lambda photo: photo.file))


def _patch_size(root: Path, captures: list[Capture]) -> int:
    """Return the side of the first patches whose header can be read; InputError if they are not square."""
    fault = ""
    for capture in captures[:_HEADERS_TRIED]:
        try:
            header = read_header(root / capture.phone_file)
        except PhotoError as error:
            fault = fault or str(error)
            continue
        if header.width_px != header.height_px:
            raise InputError(
                f"{root / capture.phone_file}: {header.width_px}x{header.height_px} pixels; patches are square"
            )
        return header.width_px
    raise InputError(f"{root}: the first {min(len(captures), _HEADERS_TRIED)} patches cannot be read ({fault})")


def read_pair(
    photos: PhotoReader, capture: Capture, settings: ImportSettings, folder: Path, row: CaptureRow
) -> tuple[CaptureRow, ShardCapture]:
    """Return a pair of patches as a capture with one patch, and its row; PhotoError says which patch is at fault.

    `folder`, the dataset's, is not needed: a pair goes into its shard alone.
    """
    size = settings.patch_size
    pixels: list[NDArray[np.uint8]] = []
    mosaic = _mosaic(photos, capture, size) if settings.mosaics else None
    for camera, file in (("phone", capture.phone_file), ("dslr", capture.dslr_file)):
        if camera == "phone" and mosaic is not None:
            patch = simple_development(*mosaic)
        else:
            patch = _decoded(photos, file, f"{camera} patch", size, "others")
        pixels.append(patch[None])
    phone, dslr = pixels
    valid = _mask(photos, capture, size)[None] if settings.masked else None
    unknown = np.full(1, np.nan, np.float32)
    patches = Patches(
        phone=phone,
        dslr=dslr,
        phone_xy=np.full((1, 2), -1, np.int32),
        dslr_xy=np.full((1, 5, 5, 2), np.nan),
        shift_px=np.full((1, 2), np.nan, np.float32),
        angle_deg=unknown,
        ncc=correlate_patches(phone, dslr).ncc.astype(np.float32),
        error_px=unknown,
        window_xy=np.zeros((0, 2), np.int32),
        window_reason=np.zeros(0, np.uint8),
        flat=None,
        valid=valid,
        phone_raw=None if mosaic is None else packed(mosaic[0])[None],
        dslr_linear=None,
        **measure_quality(phone, dslr, valid).columns(),
    )
    nowhere = np.full((3, 3), np.nan)
    row = replace(row, patches=1, median_ncc=float(patches.ncc[0]))
    return row, ShardCapture(
        capture.capture_id,
        capture.phone_file,
        capture.dslr_file,
        photos.sha256[capture.phone_file],
        photos.sha256[capture.dslr_file],
        (0, 0),
        (0, 0),
        nowhere,
        patches,
        None if mosaic is None else mosaic[1],
        "" if mosaic is None else capture.phone_file,
        "" if mosaic is None else photos.sha256[capture.phone_file],
    )


def _mosaic(photos: PhotoReader, capture: Capture, size: int) -> tuple[NDArray[np.uint16], MosaicFacts]:
    """Return a mosaic, (S, S), and what the set's table says of it; PhotoError where either is not there."""
    file = capture.phone_file
    try:
        cells = decode_grey_16(photos.read(file), Path(file).name)
    except PhotoError as error:
        raise PhotoError(file, f"mosaic: {error.fault}") from None
    if cells.shape != (size, size):
        raise PhotoError(file, f"mosaic: {cells.shape[1]}x{cells.shape[0]} pixels, the others have {size}x{size}")
    assert isinstance(photos.root, Path)
    table = _facts_table(photos.root)
    if table is None:
        return cells, UNSAID
    name = f"{capture.folder_split}/{PurePosixPath(file).stem}"
    if name not in table:
        raise PhotoError(file, f"mosaic: {FACTS_TABLE} does not tell of it")
    return cells, table[name]


@functools.lru_cache(maxsize=1)
def _facts_table(root: Path) -> Mapping[str, MosaicFacts] | None:
    return read_facts(root)


def _mask(photos: PhotoReader, capture: Capture, size: int) -> NDArray[np.bool_]:
    """Return which pixels of a pair are valid, (S, S); PhotoError where its mask is not there or of another size."""
    split, name = capture.folder_split or "train", PurePosixPath(capture.phone_file).stem
    file = f"{mask_folder(split)}/{name}.png"
    mask = _decoded(photos, file, f"mask {file}", size, "patches")
    return mask[..., 0] > 127


def _decoded(photos: PhotoReader, file: str, what: str, size: int, others: str) -> NDArray[np.uint8]:
    """Return a photo, (S, S, 3); PhotoError where it cannot be read or is of another size than the `others`."""
    try:
        pixels = decode_photo(photos.read(file), Path(file).name)
    except PhotoError as error:
        raise PhotoError(file, f"{what}: {error.fault}") from None
    if pixels.shape != (size, size, 3):
        height, width = pixels.shape[:2]
        raise PhotoError(file, f"{what}: {width}x{height} pixels, the {others} have {size}x{size}")
    return pixels

"""Write and read HDF5 shards, the contract with everyone (stage 7). docs/format.md describes every field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import Patches
from dped_data.common.files import pending_file, system_error
from dped_data.common.names import shown
from dped_data.common.written_record import Written
from dped_data.dataset.layout import open_shard
from dped_data.dataset.shard_check import ADDED_COLUMNS, PATCH_COLUMNS, PIXELS, RAW_FACTS, pixels_shape
from dped_data.errors import InputError
from dped_data.photos.mosaic_facts import MosaicFacts
from dped_data.settings import FORMAT_VERSION

__all__ = ["PATCH_COLUMNS", "ShardCapture", "open_shard", "read_shard", "write_shard"]

_ATTRIBUTES = ("digest", "settings", "unit", "alignment")
_CAPTURE_TEXTS = ("phone_file", "dslr_file", "phone_sha256", "dslr_sha256")
_MOSAIC_TEXTS = ("phone_raw_file", "phone_raw_sha256")

_WRITTEN_AT_ONCE = 2**24
"""Ours: bytes of a column that go to the file in one call."""


@dataclass(frozen=True)
class ShardCapture:
    """A capture of a shard and what it yielded.

    Attributes:
        capture_id, phone_file, dslr_file: as in records.Capture; "" where unknown.
        phone_sha256, dslr_sha256: of the photo files as they were read; "" where unknown.
        phone_size_wh, dslr_size_wh: sizes of the upright photos, pixels; (0, 0) where unknown.
        dslr_from_phone: (3, 3) float64 homography; NaN where unknown.
        patches: the kept patches and the verdict on every window.
        mosaic: what the phone's RAW file says of its mosaic, None where none is kept; phone_raw_file, phone_raw_sha256:
            that file and its bytes.
    """

    capture_id: str
    phone_file: str
    dslr_file: str
    phone_sha256: str
    dslr_sha256: str
    phone_size_wh: tuple[int, int]
    dslr_size_wh: tuple[int, int]
    dslr_from_phone: NDArray[np.float64]
    patches: Patches
    mosaic: MosaicFacts | None = None
    phone_raw_file: str = ""
    phone_raw_sha256: str = ""


def write_shard(
    path: Path,
    captures: Sequence[ShardCapture],
    attributes: Mapping[str, str],
    compression: Literal["none", "gzip", "lzf"] = "none",
) -> Written:
    """Write one shard, whole or not at all, and return its length and sha256; the same input gives the same bytes.

    Args:
        path: final file; its folder exists.
        captures: the shard's captures in order, at least one patch among them.
        attributes: text stored on the file (digest, settings as JSON, unit, alignment).
        compression: "none" leaves `phone` and `dslr` contiguous, so that readers can map them into memory.
    Raises:
        OSError: the file cannot be written, for example for want of space.
    """
    try:
        with pending_file(path) as pending, h5py.File(pending.temporary, "w", libver=("v110", "v110")) as file:
            _fill(file, captures, attributes, compression)
        return pending.written
    except (OSError, RuntimeError) as error:  # h5py raises either, with many lines around the system's reason
        raise system_error(error, path) from None


def _fill(file: h5py.File, captures: Sequence[ShardCapture], attributes: Mapping[str, str], compression: str) -> None:
    file.attrs["format"] = "dped-shard"
    file.attrs["format_version"] = FORMAT_VERSION
    for key in sorted(attributes):
        file.attrs[key] = attributes[key]
    for name, dtype in PATCH_COLUMNS.items():
        parts = [np.asarray(getattr(c.patches, name)) for c in captures]
        _write_column(file, name, parts, dtype, compression if name in PIXELS else "none")
    for name, (dtype, missing) in ADDED_COLUMNS.items():
        known = [getattr(c.patches, name) for c in captures]
        if any(part is not None for part in known):
            unknown: list[NDArray[Any]] = [np.full(_shape(name, c.patches), missing, dtype) for c in captures]
            parts = [b if a is None else a for a, b in zip(known, unknown, strict=True)]
            _write_column(file, name, parts, dtype, compression if name in PIXELS else "none")
    for name, field in (("capture", "phone_xy"), ("window_capture", "window_xy")):
        counts = [len(getattr(c.patches, field)) for c in captures]
        file[name] = np.repeat(np.arange(len(captures), dtype=np.int32), counts)
    _write_column(file, "window_xy", [c.patches.window_xy for c in captures], np.int32)
    _write_column(file, "window_reason", [c.patches.window_reason for c in captures], np.uint8)
    text = h5py.string_dtype("utf-8")
    file.create_dataset("captures", data=[c.capture_id for c in captures], dtype=text)
    for name in _CAPTURE_TEXTS:
        file.create_dataset(name, data=[getattr(c, name) for c in captures], dtype=text)
    file["phone_size_wh"] = np.array([c.phone_size_wh for c in captures], np.int32)
    file["dslr_size_wh"] = np.array([c.dslr_size_wh for c in captures], np.int32)
    file["homography"] = np.stack([c.dslr_from_phone for c in captures]).astype(np.float64)
    facts = [c.mosaic for c in captures if c.mosaic is not None]
    if facts and len(facts) != len(captures):
        raise ValueError("all captures of a shard have mosaics, or none")
    if facts:
        for name, dtype in RAW_FACTS.items():
            file[name] = np.array([getattr(fact, name.removeprefix("raw_")) for fact in facts], dtype)
        for name in _MOSAIC_TEXTS:
            file.create_dataset(name, data=[getattr(c, name) for c in captures], dtype=text)


def _shape(name: str, patches: Patches) -> tuple[int, ...]:
    """The shape of an added column of a capture."""
    return pixels_shape(name, *patches.phone.shape[:2]) if name in PIXELS else patches.ncc.shape


def _write_column(
    file: h5py.File, name: str, parts: Sequence[NDArray[Any]], dtype: type, compression: str = "none"
) -> None:
    """Write the captures' rows one after another without joining all of them in memory first."""
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    options = {} if compression == "none" else {"compression": compression, "chunks": (1, *shape[1:])}
    dataset = file.create_dataset(name, shape, dtype, **options)
    start = 0
    for some in _batches(parts):
        rows = np.concatenate(some)
        if len(rows):
            dataset[start : start + len(rows)] = rows
        start += len(rows)


def _batches(parts: Sequence[NDArray[Any]]) -> Iterator[Sequence[NDArray[Any]]]:
    """Cut `parts` into runs of about _WRITTEN_AT_ONCE bytes: thousands of tiny writes would take too long."""
    first, size = 0, 0
    for index, part in enumerate(parts):
        if size and size + part.nbytes > _WRITTEN_AT_ONCE:
            yield parts[first:index]
            first, size = index, 0
        size += part.nbytes
    yield parts[first:]


def read_shard(path: Path) -> tuple[list[ShardCapture], dict[str, str]]:
    """Return a whole shard as `write_shard` got it, captures and text attributes; InputError as `open_shard`."""
    with open_shard(path) as file:
        optional = [name for name in ADDED_COLUMNS if name in file]
        columns = {name: file[name][:] for name in (*PATCH_COLUMNS, *optional, "window_xy", "window_reason")}
        has_mosaics = "phone_raw" in file
        texts_of = (*_CAPTURE_TEXTS, *(_MOSAIC_TEXTS if has_mosaics else ()))
        texts = {name: file[name].asstr()[:] for name in ("captures", *texts_of)}
        facts = {name: file[name][:] for name in RAW_FACTS} if has_mosaics else {}
        sizes = file["phone_size_wh"][:], file["dslr_size_wh"][:]
        capture_of_patch, capture_of_window = file["capture"][:], file["window_capture"][:]
        captures = []
        for index, name in enumerate(texts["captures"]):
            patch, window = capture_of_patch == index, capture_of_window == index
            parts = {k: v[window if k.startswith("window") else patch] for k, v in columns.items()}
            captures.append(
                ShardCapture(
                    capture_id=str(name),
                    phone_size_wh=(int(sizes[0][index][0]), int(sizes[0][index][1])),
                    dslr_size_wh=(int(sizes[1][index][0]), int(sizes[1][index][1])),
                    dslr_from_phone=file["homography"][index],
                    patches=Patches(**parts),
                    mosaic=_facts_of(facts, index) if facts else None,
                    **{key: str(texts[key][index]) for key in texts_of},
                )
            )
        texts_on_file = {key: file.attrs.get(key) for key in _ATTRIBUTES}
        attributes = {key: value for key, value in texts_on_file.items() if isinstance(value, str)}
        for key, value in attributes.items():
            if re.search("[\ud800-\udfff]", value):
                raise InputError(f"{path}: damaged shard, attribute '{key}' is no UTF-8 text ({shown(value)})")
    return captures, attributes


def _facts_of(columns: Mapping[str, NDArray[Any]], index: int) -> MosaicFacts:
    row: dict[str, Any] = {name.removeprefix("raw_"): values[index] for name, values in columns.items()}
    row |= {name: row[name].item() for name in ("white", "orientation", "iso", "exposure_s")}
    return MosaicFacts(**row | {"margin_xy": tuple(row["margin_xy"].tolist())})

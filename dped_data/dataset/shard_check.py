"""What makes an HDF5 file a shard: its datasets, and the check before anything of them is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.align.records import WINDOW_REASONS
from dped_data.common.names import path_inside, shown
from dped_data.dataset.made_by import making
from dped_data.errors import InputError
from dped_data.photos.bounds import MAX_PIXELS, MAX_SIDE
from dped_data.photos.mosaic_facts import LIMITS
from dped_data.settings import FORMAT_VERSION

_SHAPES: Mapping[str, tuple[type, tuple[str | int, ...]]] = {
    "phone": (np.uint8, ("patches", "side", "side", 3)),
    "dslr": (np.uint8, ("patches", "side", "side", 3)),
    "phone_xy": (np.int32, ("patches", 2)),
    "dslr_xy": (np.float64, ("patches", 5, 5, 2)),
    "shift_px": (np.float32, ("patches", 2)),
    "angle_deg": (np.float32, ("patches",)),
    "ncc": (np.float32, ("patches",)),
    "error_px": (np.float32, ("patches",)),
    "capture": (np.int32, ("patches",)),
    "window_xy": (np.int32, ("windows", 2)),
    "window_reason": (np.uint8, ("windows",)),
    "window_capture": (np.int32, ("windows",)),
    "captures": (str, ("captures",)),
    "phone_file": (str, ("captures",)),
    "dslr_file": (str, ("captures",)),
    "phone_sha256": (str, ("captures",)),
    "dslr_sha256": (str, ("captures",)),
    "phone_size_wh": (np.int32, ("captures", 2)),
    "dslr_size_wh": (np.int32, ("captures", 2)),
    "homography": (np.float64, ("captures", 3, 3)),
    "flat": (np.bool_, ("patches",)),
    "phone_clipped": (np.float32, ("patches",)),
    "dslr_clipped": (np.float32, ("patches",)),
    "sharpness": (np.float32, ("patches",)),
    "light_ev": (np.float32, ("patches",)),
    "valid": (np.bool_, ("patches", "side", "side")),
    "phone_raw": (np.uint16, ("patches", "half", "half", 4)),
    "dslr_linear": (np.uint16, ("patches", "side", "side", 3)),
    "raw_black": (np.float32, ("captures", 4)),
    "raw_white": (np.float32, ("captures",)),
    "raw_cfa": (np.uint8, ("captures", 2, 2)),
    "raw_orientation": (np.uint8, ("captures",)),
    "raw_margin_xy": (np.int32, ("captures", 2)),
    "raw_white_balance": (np.float32, ("captures", 3)),
    "raw_color_matrix": (np.float32, ("captures", 3, 3)),
    "raw_iso": (np.float32, ("captures",)),
    "raw_exposure_s": (np.float32, ("captures",)),
    "phone_raw_file": (str, ("captures",)),
    "phone_raw_sha256": (str, ("captures",)),
}
"""Every dataset of a shard: its type and its lengths; a length of one name is the same everywhere."""
PATCH_COLUMNS: Mapping[str, type] = {name: _SHAPES[name][0] for name in (*_SHAPES,)[:8]}
"""Datasets with one row per patch, besides `capture`; each is a field of records.Patches."""
_OPTIONAL = frozenset((*_SHAPES,)[13:])
"""Datasets that a shard of others may lack."""
ADDED_COLUMNS: Mapping[str, tuple[type, float | bool]] = {
    "flat": (np.bool_, False),
    **dict.fromkeys(("phone_clipped", "dslr_clipped", "sharpness", "light_ev"), (np.float32, np.nan)),
    "valid": (np.bool_, True),
    "phone_raw": (np.uint16, 0),
    "dslr_linear": (np.uint16, 0),
}
"""Datasets with one row per patch that shards of earlier versions lack: type, and what stands for a missing value. Each
is a field of records.Patches, None where it is not known."""

RAW_FACTS: Mapping[str, type] = {name: dtype for name, (dtype, _) in _SHAPES.items() if name.startswith("raw_")}
"""Datasets with one row per capture beside `phone_raw`; each is a field of mosaic.MosaicFacts with `raw_` in front."""

PIXELS = ("phone", "dslr", "valid", "phone_raw", "dslr_linear")
"""Datasets of pixels, by far the largest: read in parts, compressed where that is asked for."""


def pixels_shape(name: str, patches: int, side: int) -> tuple[int, ...]:
    """Return the shape of one of PIXELS for so many patches of that side."""
    lengths: dict[str | int, int] = {"patches": patches, "side": side, "half": side // 2, 3: 3, 4: 4}
    return tuple(lengths[length] for length in _SHAPES[name][1])


def fact_shape(name: str) -> tuple[int, ...]:
    """Return the shape of one of RAW_FACTS for one capture."""
    return tuple(length for length in _SHAPES[name][1][1:] if isinstance(length, int))


def pixels_type(name: str) -> type:
    """Return the type of one of PIXELS."""
    return _SHAPES[name][0]


_MOST_SIDE = 2**13
"""Ours: pixels of a patch's side; far above what anybody trains with."""
_MOST_TEXT = 2**12
"""Bytes of a name with its folders, as file systems have it."""
_MOST_CHUNK, _MOST_PACKED_COLUMN = 2**26, 2**24
"""Ours: bytes that are unpacked at once, and of a packed column that is read whole."""
_PACKING: Mapping[int, int] = {h5py.h5z.FILTER_DEFLATE: 1032, h5py.h5z.FILTER_LZF: 90}
"""Filters that make data smaller, and how much at most: deflate by its format, LZF has 3 bytes for 264."""
_HARMLESS = frozenset({h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})
_RANGES: Mapping[str, tuple[float, float]] = {
    "window_reason": (0, len(WINDOW_REASONS) - 1),
    "phone_xy": (-1, MAX_SIDE),  # -1 where it is not known
    "window_xy": (-1, MAX_SIDE),
    "phone_size_wh": (0, MAX_SIDE),
    "dslr_size_wh": (0, MAX_SIDE),
    "raw_cfa": (0, 2),
    "raw_orientation": (1, 8),
    "raw_margin_xy": (0, MAX_SIDE),
    **{f"raw_{name}": limits for name, limits in LIMITS.items()},
}
_MAY_BE_UNKNOWN = frozenset({"raw_white_balance", "raw_color_matrix", "raw_iso", "raw_exposure_s"})
"""Where NaN is allowed."""
_PATTERNS = ([0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0])
"""Of Bayer: red 0, green 1, blue 2, row by row."""


def check_size(path: Path, patches: int, side: int) -> None:
    """Raise InputError if a shard is too short for so many patches of that side, however well they are compressed.

    A shard that is missing is for those who open it.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return
    least = patches * side * side * 6 // max(_PACKING.values())
    if size < least:
        raise InputError(
            f"{path}: {size} bytes, {patches} patches of {side} px take {least} at least; {making(path)} makes it again"
        )


def check_shard(file: h5py.File, path: Path) -> None:
    """Raise InputError unless `file` has the layout of a shard.

    Every type, shape and stored size is held against the layout, against each other and against the file's own size
    before any of it is read; then the names, and the numbers that others are looked up by. Data in other files
    (external or virtual datasets, soft or external links) are refused.
    """
    if not _is(file.attrs.get("format"), "dped-shard"):
        raise InputError(f"{path}: an HDF5 file, but not a dped shard")
    if not _is(version := file.attrs.get("format_version"), FORMAT_VERSION):
        raise InputError(
            f"{path}: format version {shown(version)}, this program reads version {FORMAT_VERSION}; "
            "build the dataset again"
        )
    found: dict[str, h5py.h5d.DatasetID] = {}  # by the library's own calls: h5py's objects are what a check would cost
    lengths: dict[str | int, int] = {2: 2, 3: 3, 4: 4, 5: 5}
    size = path.stat().st_size
    for name, (dtype, shape) in _SHAPES.items():
        dataset = _dataset(file, name, path)
        if dataset is not None:
            found[name], plan = dataset, dataset.get_create_plist()
            if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
                raise InputError(f"{path}: dataset '{name}' refers to another file, which is refused")
            _check_shape(dataset, dtype, shape, lengths, f"{path}: damaged shard, '{name}'")
            _check_storage(dataset, plan, size, path, name, whole=name not in PIXELS)
    if not 1 <= lengths["side"] <= _MOST_SIDE:
        raise _damaged(path, f"patches of {lengths['side']} px, 1 to {_MOST_SIDE} are allowed")
    _check_names({name: found[name] for name in found if _SHAPES[name][0] is str}, path, size)
    ranges = {**_RANGES, **dict.fromkeys(("capture", "window_capture"), (0, lengths["captures"] - 1))}
    for name in ranges:
        if name in found:
            _check_range(_values(found[name]), ranges[name], name, path)
    _check_mosaics(found, lengths, path)
    _check_places(found, lengths, path)


def _is(value: object, wanted: str | int) -> bool:
    """Whether an attribute is one value, and this one; arrays are not."""
    kinds = str if isinstance(wanted, str) else (int, np.integer)
    return isinstance(value, kinds) and value == wanted


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path}: damaged shard, {what}; delete it, and {making(path)} makes it again")


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.h5d.DatasetID | None:
    """A dataset of the file itself; None for one that may be missing and is."""
    links, key = file.id.links, name.encode()
    if not links.exists(key):
        if name in _OPTIONAL:
            return None
    elif links.get_info(key).type == h5py.h5l.TYPE_HARD:
        opened = h5py.h5o.open(file.id, key)
        if isinstance(opened, h5py.h5d.DatasetID):
            return opened
    raise InputError(f"{path}: damaged shard, dataset '{name}' is missing or a link")


def _values(dataset: h5py.h5d.DatasetID) -> NDArray[Any]:
    values: NDArray[Any] = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values


def _check_shape(
    dataset: h5py.h5d.DatasetID, dtype: type, shape: tuple[str | int, ...], lengths: dict[str | int, int], where: str
) -> None:
    found, kind = dataset.shape, dataset.dtype
    fits = isinstance(found, tuple) and len(found) == len(shape)
    fits = fits and all(lengths.setdefault(name, n) == n for name, n in zip(shape, found, strict=True))
    if dtype is str:
        text = h5py.check_string_dtype(kind)
        sound = text is not None and (text.length is None or text.length <= _MOST_TEXT)
    else:
        sound = kind == dtype
    if not (fits and sound):
        wanted = ", ".join(f"{lengths.get(name, name)}" for name in shape)
        raise InputError(f"{where} is {kind} {found}, expected {dtype.__name__} ({wanted})")


def _check_storage(
    dataset: h5py.h5d.DatasetID, plan: h5py.h5p.PropDCID, file_bytes: int, path: Path, name: str, whole: bool
) -> None:
    """Hold the declared size against what is stored of it: nothing is made up by a filter or a fill value.

    `whole`: the dataset is read at once.
    """
    where = f"{path}: '{name}'"
    declared, packing = math.prod(dataset.shape) * dataset.get_type().get_size(), 1
    if plan.get_layout() == h5py.h5d.CHUNKED:
        packing = _packing(dataset, plan, where)
        if packing > 1 and whole and declared > _MOST_PACKED_COLUMN:
            raise InputError(f"{where} has {declared} bytes, at most {_MOST_PACKED_COLUMN} may be compressed")
    stored = dataset.get_storage_size()
    if stored > file_bytes or declared > stored * packing:
        raise InputError(
            f"{where} claims {declared} bytes where {stored} of the file's {file_bytes} are stored; "
            f"delete it, and {making(path)} makes it again"
        )


def _packing(dataset: h5py.h5d.DatasetID, plan: h5py.h5p.PropDCID, where: str) -> int:
    """How many times its stored size a dataset in chunks can have; InputError for filters and chunks without limit."""
    filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())} - _HARMLESS
    chunk = math.prod(plan.get_chunk()) * dataset.dtype.itemsize
    if len(filters) > 1 or not filters <= _PACKING.keys():
        raise InputError(f"{where} is compressed by other filters than gzip or lzf; write it with one of these")
    if chunk > _MOST_CHUNK or dataset.dtype.hasobject:
        raise InputError(f"{where} is stored in chunks of {chunk} bytes; at most {_MOST_CHUNK}, and none of text")
    return max((_PACKING[one] for one in filters), default=1)


def _check_names(texts: Mapping[str, h5py.h5d.DatasetID], path: Path, file_bytes: int) -> None:
    """Names are names: captures once each, photos inside their folder; none longer than what the file holds."""
    with path.open("rb") as raw:
        for name, dataset in texts.items():
            if dataset.dtype.hasobject and dataset.shape[0]:
                _check_lengths(raw, dataset, path, name, file_bytes)
    for name in ("captures", "phone_file", "dslr_file", "phone_raw_file"):
        if name in texts:
            try:
                names = [text.decode() for text in _values(texts[name])]
            except UnicodeDecodeError:
                raise _damaged(path, f"'{name}' is not UTF-8") from None
            for text in names:
                if text or name == "captures":
                    path_inside(text, f"{path}: {name}")
            if name == "captures" and len({*names}) != len(names):
                raise _damaged(path, "a capture stands twice")


def _check_lengths(raw: BinaryIO, dataset: h5py.h5d.DatasetID, path: Path, name: str, file_bytes: int) -> None:
    """Look at the lengths of texts before they are read: thousands could refer to one of a gigabyte."""
    where = f"{path}: '{name}'"
    start = dataset.get_offset()
    if start is None:
        raise InputError(f"{where} is not stored in one piece; delete it, and {making(path)} makes it again")
    raw.seek(start)
    references = np.frombuffer(raw.read(dataset.get_storage_size()), np.uint8).reshape(dataset.shape[0], -1)
    lengths = references[:, :4].copy().view("<u4")  # each has the length first, then where the text lies
    if lengths.max() > _MOST_TEXT or int(lengths.sum(dtype=np.int64)) > file_bytes:
        raise InputError(f"{where} has a text of {lengths.max()} bytes, at most {_MOST_TEXT} are allowed")


def _check_mosaics(found: Mapping[str, h5py.h5d.DatasetID], lengths: Mapping[str | int, int], path: Path) -> None:
    """Mosaics are half as long as the patches, are described, and have a pattern and levels that sensors have."""
    if "phone_raw" not in found:
        return
    if missing := sorted({*RAW_FACTS, "phone_raw_file", "phone_raw_sha256"} - {*found}):
        raise _damaged(path, f"it holds 'phone_raw' and not '{missing[0]}'")
    if 2 * lengths["half"] != lengths["side"]:
        raise _damaged(path, f"mosaics of {lengths['half']} cells for patches of {lengths['side']} px")
    for pattern in _values(found["raw_cfa"]).reshape(-1, 4).tolist():
        if pattern not in _PATTERNS:
            raise _damaged(path, f"'raw_cfa' holds {pattern}, no Bayer pattern")
    black, white = _values(found["raw_black"]), _values(found["raw_white"])
    if (black.max(1, initial=0) >= white).any():
        raise _damaged(path, "a level of black is not below that of white")


def _check_range(values: NDArray[Any], allowed: tuple[float, float], name: str, path: Path) -> None:
    low, high = allowed
    if name in _MAY_BE_UNKNOWN:
        values = np.where(np.isnan(values), values.dtype.type(low), values)
    if values.size and not (values.min() >= low and values.max() <= high):
        row = int(np.argwhere(~((values >= low) & (values <= high)))[0][0])
        raise _damaged(path, f"'{name}' holds {values[row].tolist()} in row {row}, allowed are {low} to {high}")


def _check_places(found: Mapping[str, h5py.h5d.DatasetID], lengths: Mapping[str | int, int], path: Path) -> None:
    """Photos have sizes that photos may have, and hold their patches and windows; without a size these make one."""
    phone_wh, dslr_wh = np.zeros((2, lengths["captures"], 2), np.int64)
    for name, sizes in (("phone_size_wh", phone_wh), ("dslr_size_wh", dslr_wh)):
        if name in found:
            sizes[:] = _values(found[name])
    extent = phone_wh.copy()
    for name, owner in (("phone_xy", "capture"), ("window_xy", "window_capture")):
        corner, capture = _values(found[name]).astype(np.int64), _values(found[owner])
        end, size = corner + lengths["side"], phone_wh[capture]
        outside = np.flatnonzero(((end > size) & (size > 0) & (corner >= 0)).any(1))
        if len(outside):
            row = int(outside[0])
            raise _damaged(path, f"'{name}' holds {corner[row].tolist()} in row {row}, outside the phone photo")
        np.maximum.at(extent, capture, end)
    for name, sizes in (("phone", extent), ("DSLR", dslr_wh)):
        large = np.flatnonzero(sizes.prod(1) > MAX_PIXELS)
        if len(large):
            width, height = sizes[large[0]].tolist()
            allowed = f"{MAX_PIXELS // 10**6} megapixels are allowed"
            raise _damaged(path, f"a {name} photo of {width} x {height} px, {allowed}")

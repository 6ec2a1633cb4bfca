"""Read the patches of a split in any order: shards are mapped when first asked for, the least recently used closed."""

from __future__ import annotations

import json
import math
import mmap
import operator
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dped_data.captures.records import Split
from dped_data.dataset.layout import open_shard, opened_shard
from dped_data.dataset.made_by import making
from dped_data.dataset.manifest import Manifest, ShardEntry, has_linear, has_mosaics, is_masked, read_manifest
from dped_data.dataset.shard_check import (
    ADDED_COLUMNS,
    PIXELS,
    RAW_FACTS,
    check_size,
    fact_shape,
    pixels_shape,
    pixels_type,
)
from dped_data.errors import InputError, UsageError

_MOST_FILES = 2**15
"""Ours: Linux allows a process about 65,000 mappings."""

_MOST_HANDLES = 128
"""Ours: HDF5 files open at once; HDF5 takes about a megabyte for each."""


@dataclass(frozen=True)
class _Places:
    """Where the patches of one array begin in the file and how many bytes they take; whether these are deflated."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    deflated: bool


class _Mapped:
    """The patches of one array over the mapped file, by row."""

    def __init__(self, mapped: mmap.mmap, places: _Places, shape: tuple[int, ...], dtype: type) -> None:
        self._bytes, self._places, self._shape, self._dtype = memoryview(mapped), places, shape, np.dtype(dtype)

    def __getitem__(self, row: int) -> NDArray[Any]:
        start = int(self._places.offsets[row])
        data: bytes | memoryview = self._bytes[start : start + int(self._places.sizes[row])]
        if self._places.deflated:
            data = zlib.decompressobj().decompress(data, math.prod(self._shape) * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype).reshape(self._shape)


@dataclass(frozen=True)
class _Opened:
    """A shard's arrays of pixels by name, to be indexed by row, and the file that must stay open for them, if any."""

    arrays: dict[str, Any]
    file: h5py.File | None


class OpenShards:
    """The shards of one split of a dataset.

    Shards are mapped into memory and read without HDF5, which knows where the patches lie; those compressed by
    other means than gzip stay open.
    """

    def __init__(self, folder: Path, shards: Sequence[ShardEntry], patch_size: int) -> None:
        """Open nothing yet; `folder` is the dataset's, as in its manifest."""
        self._folder, self._shards, self._patch_size = folder, shards, patch_size
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._places: dict[int, dict[str, _Places]] = {}
        self._mapped: OrderedDict[int, _Opened] = OrderedDict()
        self._handles: OrderedDict[int, _Opened] = OrderedDict()

    def arrays(self, shard: int) -> dict[str, Any]:
        """Return a shard's arrays of pixels by name, to be indexed by row; InputError if it is missing or damaged."""
        if self._process != os.getpid():  # a forked copy must not share the files' positions with its parent
            self._begin()
        for kept in (self._mapped, self._handles):
            if shard in kept:
                kept.move_to_end(shard)
                return kept[shard].arrays
        opened = self._open(shard)
        kept, most = (self._mapped, _files_allowed()) if opened.file is None else (self._handles, _MOST_HANDLES)
        kept[shard] = opened
        if len(kept) > most:
            oldest = kept.popitem(last=False)[1]
            if oldest.file is not None:
                oldest.file.close()
        return opened.arrays

    def _open(self, shard: int) -> _Opened:
        path = self._folder / self._shards[shard].file
        expected = (self._shards[shard].patches, self._patch_size)
        places = self._places.get(shard)
        if places is None:
            file = opened_shard(path, expected)
            arrays = {name: file[name] for name in PIXELS if name in file}
            found = {name: where for name in arrays if (where := _places(arrays[name])) is not None}
            if len(found) < len(arrays):
                return _Opened(arrays, file)
            file.close()
            places = self._places[shard] = found
        try:
            with path.open("rb") as raw:
                mapped = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {making(path)} makes it again") from None
        arrays = {
            name: _Mapped(mapped, where, pixels_shape(name, *expected)[1:], _bytes_type(name))
            for name, where in places.items()
        }
        return _Opened(arrays, None)


def _bytes_type(name: str) -> type:
    """How an array of pixels is read: masks as the bytes that they are."""
    return np.uint8 if pixels_type(name) is np.bool_ else pixels_type(name)


def _places(dataset: h5py.Dataset) -> _Places | None:
    """Where the rows of a patch array lie in the file; None where only HDF5 can read them."""
    rows, size = dataset.shape[0], math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    if dataset.chunks is None:
        first = dataset.id.get_offset()
        if first is None:
            return None
        return _Places(first + size * np.arange(rows, dtype=np.int64), np.full(rows, size), deflated=False)
    filters = dataset.id.get_create_plist()
    if dataset.chunks != (1, *dataset.shape[1:]) or filters.get_nfilters() != 1 or dataset.compression != "gzip":
        return None
    offsets, sizes = np.full(rows, -1, np.int64), np.zeros(rows, np.int64)

    def note(chunk: Any) -> None:
        if not chunk.filter_mask and chunk.chunk_offset[0] < rows:
            offsets[chunk.chunk_offset[0]], sizes[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size

    dataset.id.chunk_iter(note)
    return _Places(offsets, sizes, deflated=True) if (offsets >= 0).all() else None


def _files_allowed() -> int:
    """Raise the limit of open files as far as the system lets us, and return the half of it: a mapping holds one."""
    try:
        import resource
    except ImportError:  # Windows
        return 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        higher = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (higher, hard))
            soft = higher
        except (ValueError, OSError):  # a system with another limit of its own (macOS)
            pass
    return min(_MOST_FILES, soft // 2) if soft != resource.RLIM_INFINITY else _MOST_FILES


class PatchStore:
    """The patches of one split of a dataset, readable in any order.

    Uncompressed shards are mapped into memory, so that a random batch costs no more than copying it. Shards are opened
    when first read; a pickled copy carries no open file, and opens its own in the process that receives it.

    Attributes:
        folder: the dataset of one phone (OUT/<phone>).
        split: "train", "val" or "test".
        manifest: the dataset's manifest.
        patch_size: side of the patches, pixels.
    """

    def __init__(self, folder: Path | str, split: Split) -> None:
        """Open a split; reads only dataset.json. InputError if there is no such dataset or it is damaged.

        A shard that is too short for the patches that the manifest says it has is refused here already: nobody plans
        for patches that cannot be there.
        """
        self.folder = Path(folder)
        self.split = split
        self.manifest: Manifest = read_manifest(self.folder)
        self.patch_size = self.manifest.patch_size
        self.shards: tuple[ShardEntry, ...] = self.manifest.splits[split].shards
        for entry in self.shards:
            check_size(self.folder / entry.file, entry.patches, self.patch_size)
        self._starts = np.cumsum([0, *(entry.patches for entry in self.shards)])
        self._reset()

    def _reset(self) -> None:
        self._open = OpenShards(self.folder, self.shards, self.patch_size)

    def __len__(self) -> int:
        """Number of patches in the split."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a copy of one pair, phone and dslr, each (S, S, 3) uint8 RGB; a negative index counts from the end.

        Errors as in `read`.
        """
        place = operator.index(index)
        phone, dslr = self.read([place + len(self) if place < 0 else place])
        return phone[0], dslr[0]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    @property
    def digest(self) -> str:
        """Digest of the settings the dataset was built with."""
        return self.manifest.digest

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return copies of the patches at `indices`: phone and dslr, each (n, S, S, 3) uint8 RGB.

        Raises:
            IndexError: an index outside 0 .. len - 1.
            InputError: a shard is missing or damaged.
        """
        phone, dslr = self._gather(indices, ("phone", "dslr"))
        return phone, dslr

    @property
    def masked(self) -> bool:
        """Whether the dataset was made with masks, so that `read_valid` has something to say."""
        return is_masked(self.manifest)

    def read_valid(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pixels of the patches at `indices` both halves show alike, (n, S, S) bool; errors as in `read`.

        True everywhere where nothing was masked.
        """
        return self._gather(indices, ("valid",))[0] != 0

    @property
    def has_mosaics(self) -> bool:
        """Whether the dataset was made with the phone's mosaics (--phone-raw), so that they can be read."""
        return has_mosaics(self.manifest)

    def read_mosaics(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return copies of the mosaics at `indices`, (n, S/2, S/2, 4) uint16, the last axis R, G1, G2, B.

        The values are the sensor's own; `mosaic_levels` has black and white.

        Raises:
            IndexError, InputError: as `read`. UsageError: the dataset has no mosaics.
        """
        self._check_mosaics()
        return self._gather(indices, ("phone_raw",))[0]

    def read_linear(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return copies of the DSLR's linear light at `indices`, (n, S, S, 3) uint16 in sRGB's primaries.

        Raises:
            IndexError, InputError: as `read`. UsageError: the dataset has none.
        """
        if not has_linear(self.manifest):
            raise UsageError(f"{self.folder}: holds no linear light; build it with --dslr-linear from RAW files")
        return self._gather(indices, ("dslr_linear",))[0]

    def mosaic_levels(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return for every patch the levels of black of R, G1, G2, B, (n, 4), and of white, (n,); as `mosaic_facts`."""
        return self.mosaic_facts("black"), self.mosaic_facts("white")

    def mosaic_facts(self, name: str) -> NDArray[Any]:
        """Return for every patch what its RAW file says, such as "white_balance" or "iso" (docs/format.md, `raw_…`).

        Raises:
            InputError: a shard is missing or damaged. UsageError: the dataset has no mosaics.
        """
        self._check_mosaics()
        parts: list[NDArray[Any]] = [np.empty((0, *fact_shape(f"raw_{name}")), RAW_FACTS[f"raw_{name}"])]
        for entry in self.shards:
            with self.opened(entry) as file:
                parts.append(file[f"raw_{name}"][:][file["capture"][:]])
        return np.concatenate(parts)

    def _check_mosaics(self) -> None:
        if not self.has_mosaics:
            raise UsageError(f"{self.folder}: holds no mosaics; build it with --phone-raw from the phone's RAW files")

    def _gather(self, indices: Sequence[int] | NDArray[np.int64], names: tuple[str, ...]) -> list[NDArray[Any]]:
        """Copy rows of arrays of PIXELS, in any order; ones where a shard lacks masks."""
        wanted = np.asarray(indices, np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"patch indices must lie in 0 .. {len(self) - 1}")
        shapes = {name: pixels_shape(name, len(wanted), self.patch_size) for name in names}
        gathered: list[NDArray[Any]] = [np.empty(shapes[name], _bytes_type(name)) for name in names]
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        rows = wanted - self._starts[shard_of]
        opened, arrays = -1, [None] * len(names)
        for target in np.argsort(shard_of, kind="stable").tolist():
            if (shard := int(shard_of[target])) != opened:
                opened, found = shard, self._open.arrays(shard)
                arrays = [found.get(name) for name in names]
                if missing := [name for name in names if name not in found and name != "valid"]:
                    path = self.folder / self.shards[shard].file
                    raise InputError(f"{path}: holds no '{missing[0]}'; {making(path)} with --overwrite makes it again")
            row = int(rows[target])
            try:
                for copy, array in zip(gathered, arrays, strict=True):
                    copy[target] = 1 if array is None else array[row]
            except (OSError, ValueError, zlib.error):
                path = self.folder / self.shards[shard].file
                raise InputError(f"{path}: damaged shard; delete it, and {making(path)} makes it again") from None
        return gathered

    def opened(self, entry: ShardEntry) -> AbstractContextManager[h5py.File]:
        """Open a shard of the split as `open_shard` does; InputError also where the manifest says otherwise."""
        return open_shard(self.folder / entry.file, (entry.patches, self.patch_size))

    def column(self, name: str) -> NDArray[Any]:
        """Return a per-patch dataset of the whole split, such as "ncc" or "phone_xy", in the order of the indices.

        Shards of earlier versions lack what was added since (docs/format.md): NaN or False stands for it, of `valid`
        True.
        """
        parts: list[NDArray[Any]] = []
        for entry in self.shards:
            with self.opened(entry) as file:
                if name in ADDED_COLUMNS and name not in file:
                    dtype, missing = ADDED_COLUMNS[name]
                    is_pixels = name in PIXELS
                    shape = pixels_shape(name, entry.patches, self.patch_size) if is_pixels else (entry.patches,)
                    parts.append(np.full(shape, missing, dtype))
                else:
                    parts.append(file[name][:])
        if not parts:
            return np.empty((0,))
        return np.concatenate(parts)

    def capture_ids(self) -> list[str]:
        """Return for every patch the id of the capture it was cut from."""
        ids: list[str] = []
        for entry in self.shards:
            with self.opened(entry) as file:
                names = file["captures"].asstr()[:]
                ids += [str(name) for name in names[file["capture"][:]]]
        return ids

    def patch_id(self, index: int) -> str:
        """Return where patch `index` comes from: shard, row, capture and position, as one line for people.

        Raises:
            IndexError, InputError: as `read`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"patch indices must lie in 0 .. {len(self) - 1}")
        shard = int(np.searchsorted(self._starts, index, side="right") - 1)
        row = index - int(self._starts[shard])
        entry = self.shards[shard]
        with self.opened(entry) as file:
            capture = file["captures"].asstr()[int(file["capture"][row])]
            x, y = file["phone_xy"][row]
        return f"{entry.file}:{row} capture {capture} at x={x} y={y}"

    def settings_json(self) -> str:
        """Return the settings of the build as JSON text, for records of what a model was trained on."""
        return json.dumps(self.manifest.settings, sort_keys=True)

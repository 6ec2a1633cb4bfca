"""Shards come back as they were written, in any order and process, and refuse what is not a shard."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest

from dped_data.align.records import Patches
from dped_data.common.files import sha256_of_file
from dped_data.dataset.manifest import Manifest, ShardEntry, SplitEntry, read_manifest, write_manifest
from dped_data.dataset.shards import ShardCapture, open_shard, read_shard, write_shard
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError

SIZE = 20


def random_patches(count: int, seed: int) -> Patches:
    rng = np.random.default_rng(seed)
    windows = count + 2
    return Patches(
        phone=rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8),
        dslr=rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8),
        phone_xy=rng.integers(0, 1000, (count, 2)).astype(np.int32),
        dslr_xy=rng.random((count, 5, 5, 2)),
        shift_px=rng.random((count, 2)).astype(np.float32),
        angle_deg=rng.random(count).astype(np.float32),
        ncc=rng.random(count).astype(np.float32),
        error_px=rng.random(count).astype(np.float32),
        window_xy=rng.integers(0, 1000, (windows, 2)).astype(np.int32),
        window_reason=np.zeros(windows, np.uint8),
    )


def shard_capture(name: str, count: int, seed: int) -> ShardCapture:
    patches = random_patches(count, seed)
    return ShardCapture(name, f"p/{name}.jpg", f"d/{name}.jpg", "a", "b", (1050, 1040), (77, 66), np.eye(3), patches)


def make_dataset(folder: Path, counts: list[list[int]], compression: str = "none") -> list[ShardCapture]:
    """Write a dataset whose train split has one shard per entry of `counts`; return all captures in order."""
    captures: list[ShardCapture] = []
    entries = []
    (folder / "train").mkdir(parents=True)
    for index, shard_counts in enumerate(counts):
        unit = [shard_capture(f"é{index}/{k}", n, 10 * index + k) for k, n in enumerate(shard_counts)]
        path = folder / "train" / f"{index:05d}.h5"
        write_shard(path, unit, {"digest": "0" * 64}, compression)  # type: ignore[arg-type]
        entries.append(ShardEntry(f"train/{path.name}", sum(shard_counts), path.stat().st_size, sha256_of_file(path)))
        captures += unit
    total = sum(map(sum, counts))
    splits = {"train": SplitEntry(len(captures), total, tuple(entries)), "val": SplitEntry(0, 0, ())}
    splits["test"] = SplitEntry(0, 0, ())
    manifest = Manifest("sony", "canon", SIZE, "built", "refined", "0" * 64, {}, {}, splits, {}, {})
    write_manifest(folder, manifest)
    return captures


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_random_access_returns_what_was_written(tmp_path: Path, compression: str) -> None:
    captures = make_dataset(tmp_path / "sony", [[3, 0, 4], [5], [1, 1]], compression)
    store = PatchStore(tmp_path / "sony", "train")
    phone = np.concatenate([c.patches.phone for c in captures])
    dslr = np.concatenate([c.patches.dslr for c in captures])
    assert len(store) == 14
    order = np.random.default_rng(0).permutation(14)
    read_phone, read_dslr = store.read(order)
    assert np.array_equal(read_phone, phone[order])
    assert np.array_equal(read_dslr, dslr[order])
    assert np.array_equal(store[-2][0], phone[12]) and np.array_equal(store[np.int64(3)][1], dslr[3])
    assert len([*store]) == 14
    for name in ("phone_xy", "dslr_xy", "ncc", "error_px", "shift_px", "angle_deg"):
        assert np.array_equal(store.column(name), np.concatenate([getattr(c.patches, name) for c in captures]))
    assert store.capture_ids() == [c.capture_id for c in captures for _ in range(len(c.patches.ncc))]
    x, y = captures[2].patches.phone_xy[1]
    assert store.patch_id(4) == f"train/00000.h5:4 capture é0/2 at x={x} y={y}"


def test_columns_that_earlier_versions_do_not_write_are_unknown_there(tmp_path: Path) -> None:
    """One capture of a shard may lack them, one shard of a dataset, or all."""
    captures = make_dataset(tmp_path / "sony", [[2, 1], [3]])
    known = np.array([0.5, 0.75], np.float32)
    first = dataclasses.replace(captures[0].patches, sharpness=known, flat=np.array([True, False]))
    path = tmp_path / "sony/train/00000.h5"
    write_shard(path, [dataclasses.replace(captures[0], patches=first), captures[1]], {"digest": "0" * 64})
    store = PatchStore(tmp_path / "sony", "train")
    np.testing.assert_array_equal(store.column("sharpness"), [*known, *[np.nan] * 4])
    np.testing.assert_array_equal(store.column("flat"), [True, *[False] * 5])
    assert np.isnan(store.column("light_ev")).all() and store.column("light_ev").dtype == np.float32
    back = read_shard(path)[0]
    assert back[0].patches.sharpness is not None and np.isnan(back[1].patches.sharpness).all()
    assert back[0].patches.light_ev is None


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_masks_are_read_as_they_were_written(tmp_path: Path, compression: Literal["none", "gzip", "lzf"]) -> None:
    captures = make_dataset(tmp_path / "sony", [[2, 3], [1]], compression)
    valid = np.random.default_rng(0).random((2, SIZE, SIZE)) > 0.2
    first = dataclasses.replace(captures[0], patches=dataclasses.replace(captures[0].patches, valid=valid))
    write_shard(tmp_path / "sony/train/00000.h5", [first, captures[1]], {"digest": "0" * 64}, compression)
    store = PatchStore(tmp_path / "sony", "train")
    whole = np.concatenate([valid, np.ones((4, SIZE, SIZE), bool)])  # nothing is masked where nothing is said
    order = np.array([4, 1, 0, 5, 1])
    np.testing.assert_array_equal(store.read_valid(order), whole[order])
    np.testing.assert_array_equal(store.column("valid"), whole)
    assert store.read_valid(order).dtype == bool and not store.masked  # the settings do not say so
    patches = np.concatenate([c.patches.phone for c in captures])
    np.testing.assert_array_equal(store.read(order)[0], patches[order])
    with pytest.raises(IndexError):
        store.read_valid([6])


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    with h5py.File(tmp_path / "sony/train/00000.h5", "r+") as file:
        assert "valid" not in file  # without the option nothing is added
        file["valid"] = np.ones((3, SIZE, SIZE - 1), bool)
    with pytest.raises(InputError, match=r"'valid' is bool \(3, 20, 19\), expected bool \(3, 20, 20\)"):
        PatchStore(tmp_path / "sony", "train").read([0])


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
def test_shards_beyond_the_limit_are_closed_and_opened_again(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = make_dataset(tmp_path / "sony", [[2], [3], [1], [2]], compression)
    monkeypatch.setattr("dped_data.dataset.store._MOST_HANDLES", 2)
    monkeypatch.setattr("dped_data.dataset.store._files_allowed", lambda: 2)
    store = PatchStore(tmp_path / "sony", "train")
    phone = np.concatenate([c.patches.phone for c in captures])
    for seed in range(3):
        order = np.random.default_rng(seed).integers(0, len(store), 20)
        assert np.array_equal(store.read(order)[0], phone[order])
        kept = store._open._handles if compression == "lzf" else store._open._mapped
        assert len(kept) == 2


def test_damaged_compressed_pixels_are_named(tmp_path: Path) -> None:
    make_dataset(tmp_path / "sony", [[4]], "gzip")
    path = tmp_path / "sony/train/00000.h5"
    with h5py.File(path) as file:
        chunk = file["phone"].id.get_chunk_info(2)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"00000\.h5: damaged shard; delete it"):
        PatchStore(tmp_path / "sony", "train").read([2])


def test_pixels_are_contiguous_unless_compressed(tmp_path: Path) -> None:
    make_dataset(tmp_path / "a", [[2]])
    make_dataset(tmp_path / "b", [[2]], "gzip")
    with open_shard(tmp_path / "a/train/00000.h5") as plain, open_shard(tmp_path / "b/train/00000.h5") as packed:
        assert plain["phone"].chunks is None and plain["phone"].id.get_offset() is not None
        assert packed["phone"].compression == "gzip"


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    make_dataset(tmp_path / "a", [[3, 2]])
    make_dataset(tmp_path / "b", [[3, 2]])
    for name in ("train/00000.h5", "dataset.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_pickled_store_reads_in_its_own_right(tmp_path: Path) -> None:
    captures = make_dataset(tmp_path / "sony", [[3]])
    store = PatchStore(tmp_path / "sony", "train")
    store.read([0])
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301 - made in this line
    assert np.array_equal(copy.read([2])[1][0], captures[0].patches.dslr[2])


def test_index_outside_is_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    with pytest.raises(IndexError, match=r"0 \.\. 2"):
        PatchStore(tmp_path / "sony", "train").read([3])
    for index in (3, -4):
        with pytest.raises(IndexError):
            PatchStore(tmp_path / "sony", "train")[index]
        with pytest.raises(IndexError, match=r"0 \.\. 2"):
            PatchStore(tmp_path / "sony", "train").patch_id(index)


def test_a_heap_in_which_the_library_would_not_end_is_refused(tmp_path: Path) -> None:
    """Opening it would take for ever; a kill at the processor's limit is how the fault was found."""
    path = tmp_path / "00000.h5"
    write_shard(path, [shard_capture("a", 2, 0)], {"digest": "0" * 64})
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    place = heap + 16
    while int.from_bytes(data[place : place + 2], "little"):  # objects, up to the free space behind them
        place += 16 + (int.from_bytes(data[place + 8 : place + 16], "little") + 7) // 8 * 8
    data[place + 8 : place + 16] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(InputError, match="heap"), open_shard(path):
        pass


def test_an_attribute_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "00000.h5"
    write_shard(path, [shard_capture("a", 2, 0)], {"digest": "0" * 64})
    with h5py.File(path, "r+") as file:
        del file.attrs["digest"]
        file.attrs.create("digest", np.array(b"\xff", object), dtype=h5py.string_dtype("utf-8"))
    with pytest.raises(InputError, match="'digest' is no UTF-8 text"):
        read_shard(path)


def test_missing_and_damaged_shards_name_the_cure(tmp_path: Path) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    shard = tmp_path / "sony/train/00000.h5"
    data = shard.read_bytes()
    store = PatchStore(tmp_path / "sony", "train")
    shard.write_bytes(data[: len(data) // 3])
    with pytest.raises(InputError, match="damaged shard"):
        store.read([0])
    shard.unlink()
    with pytest.raises(InputError, match="shard is missing"):
        store.read([0])


@pytest.mark.parametrize("name", ["phone", "ncc", "captures", "homography", "phone_size_wh", "phone_file", "flat"])
@pytest.mark.parametrize("kind", ["soft", "link", "external", "virtual"])
def test_data_in_other_files_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """Also of datasets that a shard may lack: whoever reads one must not be led to a file of somebody else."""
    make_dataset(tmp_path / "sony", [[3]])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.zeros(3, np.float32)
    with h5py.File(tmp_path / "sony/train/00000.h5", "r+") as file:
        if name in file:
            del file[name]
        if kind == "soft":
            file[name] = h5py.SoftLink("/dslr")
        elif kind == "link":
            file[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/data")
        elif kind == "external":
            file.create_dataset(name, (3,), np.float32, external=[("/etc/passwd", 0, 12)])
        else:
            layout = h5py.VirtualLayout((3,), np.float32)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", (3,))
            file.create_virtual_dataset(name, layout)
    words = "refers to another file" if kind in ("external", "virtual") else f"'{name}' is missing or a link"
    with pytest.raises(InputError, match=words):
        PatchStore(tmp_path / "sony", "train").read([0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"format": "other"}, "not the manifest"),
        ({"phone": 5}, "phone: 5 is int, expected str"),
        ({"splits": {}}, "damaged manifest"),
    ],
)
def test_wrong_manifests_are_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    path = tmp_path / "sony/dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=words):
        read_manifest(path.parent)


@pytest.mark.parametrize("file", ["../outside.h5", "/etc/passwd", "train/../../x.h5", "link/00000.h5"])
def test_shard_paths_cannot_leave_the_dataset(tmp_path: Path, file: str) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sony/link").symlink_to(tmp_path / "elsewhere")
    manifest = read_manifest(tmp_path / "sony")
    train = dataclasses.replace(manifest.splits["train"], shards=(ShardEntry(file, 3, 1, "0"),))
    write_manifest(tmp_path / "sony", dataclasses.replace(manifest, splits={**manifest.splits, "train": train}))
    with pytest.raises(InputError, match="outside the dataset"):
        PatchStore(tmp_path / "sony", "train")


def test_no_dataset_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`dped build-dataset` makes one"):
        PatchStore(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("phone_size_wh", 30_000, "a phone photo of 30000 x 30000 px, 250 megapixels are allowed"),
        ("dslr_size_wh", 30_000, "a DSLR photo of 30000 x 30000 px, 250 megapixels are allowed"),
        ("phone_size_wh", 2**20, "allowed are 0 to 65535"),
        ("phone_size_wh", 1, "'phone_xy' holds .* in row 0, outside the phone photo"),
        ("phone_xy", 60_000, "'phone_xy' holds .60000, 60000. in row 0, outside the phone photo"),
        ("window_xy", 60_000, "'window_xy' holds .60000, 60000. in row 0, outside the phone photo"),
    ],
)
def test_sizes_and_places_that_no_photo_has_are_refused(tmp_path: Path, name: str, value: int, words: str) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    with h5py.File(tmp_path / "sony/train/00000.h5", "r+") as file:
        file[name][...] = value
    with pytest.raises(InputError, match=words):
        PatchStore(tmp_path / "sony", "train").read([0])


def test_patches_far_apart_in_a_photo_of_unknown_size_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "sony", [[3]])
    for corner in (10_000, 60_000):
        with h5py.File(tmp_path / "sony/train/00000.h5", "r+") as file:
            file["phone_size_wh"][...] = 0
            file["phone_xy"][...] = corner
        if corner == 10_000:
            PatchStore(tmp_path / "sony", "train").read([0])
    with pytest.raises(InputError, match="megapixels are allowed"):
        PatchStore(tmp_path / "sony", "train").read([0])

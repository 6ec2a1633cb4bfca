"""Units are fixed groups: what is added or removed changes its own group only; renumbering survives interruption."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from no_waiting import no_waiting

from dped_data.captures.records import Capture, Split
from dped_data.common.files import atomic_path, written_state
from dped_data.common.work_folder import ForeignFileError, make_work_folder
from dped_data.common.written_record import Written
from dped_data.dataset.capture_table import CaptureRow
from dped_data.dataset.places import WORK_FOLDER, unit_record_name, unnumbered_shard_name
from dped_data.photos.files import FileState, sha256_of_photo
from dped_data.work import units as work_units
from dped_data.work.photo_reader import PhotoReader
from dped_data.work.units import (
    Unit,
    UnitRecord,
    check_shards,
    finished_units,
    make_folders,
    number_shards,
    plan_units,
    read_record,
    shards_by_key,
    write_record,
)


def captures(names: list[str]) -> list[Capture]:
    return [Capture(name, f"p/{name}.jpg", f"d/{name}.jpg", None) for name in sorted(names)]


def plan(names: list[str], root: Path, per_shard: int = 4) -> list[Unit]:
    members = captures(names)
    return plan_units(members, ["train"] * len(members), root, "digest", per_shard)


def test_units_keep_order_and_lose_no_capture(tmp_path: Path) -> None:
    names = [f"{i:04d}" for i in range(500)]
    units = plan(names, tmp_path)
    assert [c.capture_id for unit in units for c in unit.captures] == names
    assert max(len(unit.captures) for unit in units) <= 8
    assert 2.5 < 500 / len(units) < 5


@pytest.mark.parametrize("added", ["0100b", "9999", "0000a"])
def test_an_added_capture_changes_its_own_units_only(tmp_path: Path, added: str) -> None:
    names = [f"{i:04d}" for i in range(500)]
    before = {unit.key for unit in plan(names, tmp_path)}
    after = {unit.key for unit in plan([*names, added], tmp_path)}
    assert len(after - before) <= 3


def test_split_moves_a_unit_without_changing_its_key(tmp_path: Path) -> None:
    members = captures(["a"])
    key = {s: plan_units(members, [s], tmp_path, "digest", 4)[0].key for s in ("train", "test")}  # type: ignore[list-item]
    assert key["train"] == key["test"]


def test_key_follows_settings_and_photo_size(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    members = captures(["a"])
    splits: list[Split] = ["train"]
    keys = [plan_units(members, splits, tmp_path, digest, 4)[0].key for digest in ("x", "y")]
    (tmp_path / "p/a.jpg").write_bytes(b"123")
    keys.append(plan_units(members, splits, tmp_path, "y", 4)[0].key)
    assert len(set(keys)) == 3


def begin(folder: Path) -> None:
    """Make a dataset's folder ready, as a build does under its lock."""
    make_work_folder(folder / WORK_FOLDER, whole_folder=True)
    make_folders(folder)


def finish_unit(folder: Path, unit: Unit, patches: int = 1, status: str = "kept") -> UnitRecord:
    """Write the shard and record of a unit as a worker would, with little in it."""
    state = Written(0, "")
    if patches:
        path = folder / unnumbered_shard_name(unit.split, unit.key)
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["unit"] = unit.key
        state = written_state(path)
    rows = tuple(
        CaptureRow(c.capture_id, c.phone_file, c.dslr_file, "", status, patches=patches) for c in unit.captures
    )
    record = UnitRecord(unit.key, patches, state.bytes, state.sha256, {c.phone_file: "x" for c in unit.captures}, rows)
    write_record(folder, record)
    return record


def test_records_come_back_as_written(tmp_path: Path) -> None:
    begin(tmp_path)
    unit = plan(["a", "b"], tmp_path)[0]
    assert read_record(tmp_path, unit.key) is None
    record = finish_unit(tmp_path, unit)
    assert read_record(tmp_path, unit.key) == record
    (tmp_path / unit_record_name(unit.key)).write_text("{}")
    assert read_record(tmp_path, unit.key) is None


def test_a_unit_is_done_only_with_its_shard_whole(tmp_path: Path) -> None:
    begin(tmp_path)
    unit = plan(["a"], tmp_path)[0]
    finish_unit(tmp_path, unit)
    assert set(finished_units(tmp_path, [unit], tmp_path, False)) == {unit.key}
    shard = tmp_path / unnumbered_shard_name(unit.split, unit.key)
    data = shard.read_bytes()
    check_shards(tmp_path)
    shard.write_bytes(data + b"x")
    assert not finished_units(tmp_path, [unit], tmp_path, False)
    check_shards(tmp_path)
    assert shard.with_name(f"{shard.name}.kept-1").read_bytes() == data + b"x"
    assert not shard.exists()
    other = tmp_path / "train/00007.h5"
    other.write_bytes(data)
    with pytest.raises(ForeignFileError, match=r"00007\.h5: exists and was not written by dped; move it away"):
        check_shards(tmp_path)
    other.unlink()
    assert not finished_units(tmp_path, [unit], tmp_path, False)


def test_failed_captures_are_tried_again_on_request(tmp_path: Path) -> None:
    begin(tmp_path)
    unit = plan(["a"], tmp_path)[0]
    finish_unit(tmp_path, unit, patches=0, status="failed")
    assert set(finished_units(tmp_path, [unit], tmp_path, False)) == {unit.key}
    assert not finished_units(tmp_path, [unit], tmp_path, True)


def test_a_photo_changed_in_place_is_noticed(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "p").mkdir()
    photo = tmp_path / "p/a.jpg"
    photo.write_bytes(b"1")
    unit = plan(["a"], tmp_path)[0]
    finish_unit(tmp_path, unit)  # its record says sha256 "x"
    os_time = (tmp_path / unit_record_name(unit.key)).stat().st_mtime_ns
    os.utime(photo, ns=(os_time - 10**9, os_time - 10**9))
    assert set(finished_units(tmp_path, [unit], tmp_path, False)) == {unit.key}
    os.utime(photo, ns=(os_time + 10**9, os_time + 10**9))
    assert not finished_units(tmp_path, [unit], tmp_path, False)


def finish_with_photos(folder: Path, unit: Unit, root: Path) -> UnitRecord:
    """As `finish_unit`, with the photos as a worker has read them."""
    photos = PhotoReader(root)
    for capture in unit.captures:
        photos.read(capture.phone_file)
        photos.read(capture.dslr_file)
    record = finish_unit(folder, unit)
    record = replace(record, photo_sha256=photos.sha256, photo_mtime_ns=photos.mtime_ns, photo_state=photos.state)
    write_record(folder, record)
    return record


@pytest.fixture
def with_photos(tmp_path: Path) -> tuple[Path, Unit, UnitRecord]:
    begin(tmp_path)
    for camera in ("p", "d"):
        (tmp_path / camera).mkdir()
        (tmp_path / camera / "a.jpg").write_bytes(b"12")
    unit = plan(["a"], tmp_path)[0]
    return tmp_path, unit, finish_with_photos(tmp_path, unit, tmp_path)


@pytest.mark.parametrize("way", ["another file", "in place"])
def test_a_photo_replaced_under_its_size_and_time_is_noticed(
    with_photos: tuple[Path, Unit, UnitRecord], way: str
) -> None:
    root, unit, _ = with_photos
    assert set(finished_units(root, [unit], root, False)) == {unit.key}
    photo = root / "p/a.jpg"
    time_ns = photo.stat().st_mtime_ns
    other = root / "other.jpg" if way == "another file" else photo
    other.write_bytes(b"21")
    os.utime(other, ns=(time_ns, time_ns))
    other.replace(photo)
    assert (photo.stat().st_size, photo.stat().st_mtime_ns) == (2, time_ns)
    assert not finished_units(root, [unit], root, False)


def test_a_photo_that_was_only_touched_is_read_once_more(
    with_photos: tuple[Path, Unit, UnitRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, unit, record = with_photos
    read: list[str] = []

    def counted(path: Path) -> tuple[str, FileState]:
        read.append(path.name)
        return sha256_of_photo(path)

    monkeypatch.setattr(work_units, "sha256_of_photo", counted)
    assert finished_units(root, [unit], root, False) == {unit.key: record} and not read
    os.utime(root / "p/a.jpg", ns=(5, 5))
    touched = finished_units(root, [unit], root, False)[unit.key]
    assert read == ["a.jpg"] and touched == read_record(root, unit.key) != record
    assert replace(touched, photo_state=record.photo_state) == record
    assert finished_units(root, [unit], root, False) == {unit.key: touched} and read == ["a.jpg"]


def test_a_photo_that_became_a_pipe_is_not_waited_for(with_photos: tuple[Path, Unit, UnitRecord]) -> None:
    root, unit, record = with_photos
    (root / "p/a.jpg").unlink()
    os.mkfifo(root / "p/a.jpg")
    with no_waiting():
        assert finished_units(root, [unit], root, False) == {unit.key: record}


@pytest.mark.parametrize("states", [5, [], {"p/a.jpg": 5}, {"p/a.jpg": None}, {"p/a.jpg": ["x", {}]}])
def test_records_with_damaged_states_are_none_or_make_photos_be_read(
    with_photos: tuple[Path, Unit, UnitRecord], states: object
) -> None:
    root, unit, _ = with_photos
    path = root / unit_record_name(unit.key)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"photo_state": states}))
    assert set(finished_units(root, [unit], root, False)) <= {unit.key}


def test_numbering_closes_gaps_and_survives_interruption_at_every_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path)
    units = plan([f"{i:03d}" for i in range(12)], tmp_path, per_shard=1)
    records = {u.key: finish_unit(tmp_path, u, patches=index % 3) for index, u in enumerate(units)}
    number_shards(tmp_path, units, records)
    reordered = [*units[6:], *units[:6]]  # every shard must move, many to a name that another one holds
    rename, left = Path.rename, [0]

    def failing_rename(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return rename(self, target)

    for renames_before_the_stop in range(16):
        left[0] = renames_before_the_stop
        monkeypatch.setattr(Path, "rename", failing_rename)
        with pytest.raises(KeyboardInterrupt):
            number_shards(tmp_path, reordered, records)
        monkeypatch.setattr(Path, "rename", rename)
        names = number_shards(tmp_path, reordered, records)
        assert {key: path.relative_to(tmp_path).as_posix() for key, path in shards_by_key(tmp_path).items()} == names
        assert sorted(names.values()) == [f"train/{i:05d}.h5" for i in range(8)]
        reordered = [*reordered[6:], *reordered[:6]]


def test_units_no_longer_wanted_are_removed(tmp_path: Path) -> None:
    begin(tmp_path)
    units = plan(["a", "b", "c"], tmp_path, per_shard=1)
    records = {u.key: finish_unit(tmp_path, u) for u in units}
    number_shards(tmp_path, units, records)
    kept = {units[1].key: records[units[1].key]}
    assert number_shards(tmp_path, [units[1]], kept) == {units[1].key: "train/00000.h5"}
    assert len(shards_by_key(tmp_path)) == 1
    assert read_record(tmp_path, units[0].key) is None

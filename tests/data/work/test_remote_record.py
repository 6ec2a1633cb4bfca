"""Nothing of anybody's in a store is lost: strangers' objects, people's cards, what a build of any end leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
import small_rig
from remote_store import (
    BUCKET,
    CAPTURES,
    Rig,
    build,
    content,
    drop,
    everything,
    other_settings,
    put,
    stored,
    upload,
)

from dped_data.common.remote_folder import RemoteFolder
from dped_data.dataset.places import SETTINGS_NAME, STORE_RECORD_NAME, is_own_name, unnumbered_shard_name
from dped_data.dataset.review_file import Decision, append_decision
from dped_data.errors import InputError, UsageError
from dped_data.work import remote_copy as remote_dataset
from dped_data.work.units import Unit, UnitRecord, shards_by_key, write_record

pytestmark = pytest.mark.usefixtures("built_here")

TARGET = f"{BUCKET}/data/pocket"
KEY = "ab" * 32
STRANGERS = {
    **{name: b"mine " + name.encode() for name in ("README.md", "LICENSE", "notes.txt", "thesis/chapter.tex")},
    **{name: b"mine " + name.encode() for name in ("train/own.h5", "train/notes/00000.h5", "train/99999.h5")},
    **{name: b"mine " + name.encode() for name in ("val/IMG_1.jpg", "aligned/mine.png", "aligned/IMG.tif", ".hidden")},
    **{name: b"mine " + name.encode() for name in (".build/lock", ".build/mine.json", ".build/captures_folder")},
    **{name: b"mine " + name.encode() for name in (f"train/.unit-{KEY}.h5", f".build/{KEY}.json", f".build/{KEY}.h5")},
    **{name: b"mine " + name.encode() for name in ("/train/00000.h5", "a\\b.txt", "a\tb.txt", "train/../x.h5")},
}
"""By names that a dataset does not need, though it uses some of their kind."""


@pytest.fixture
def strangers() -> dict[str, bytes]:
    for name, data in STRANGERS.items():
        put(f"{TARGET}/{name}", data)
    return {f"data/pocket/{name}": data for name, data in STRANGERS.items()}


def own_part(url: str, known: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in stored(url).items() if f"data/pocket/{name}" not in known}


def test_photos_below_the_datasets_address_are_left(rig: Rig, local: dict[str, bytes]) -> None:
    captures = upload(rig[0], f"{BUCKET}/pocket/captures")
    put(f"{BUCKET}/pocket/thesis.tex", b"a year of work")
    before = everything()
    for _ in range(2):
        build(rig, captures, BUCKET)
        now = everything()
        assert {name: now.get(name) for name in before} == before
    assert stored(f"{BUCKET}/pocket") == local


def test_strangers_objects_outlive_everything_that_a_build_does(
    rig: Rig, local: dict[str, bytes], strangers: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = tmp_path / "captures"
    for index in range(CAPTURES):
        small_rig.write_capture(captures, index)

    def run(**options: Any) -> None:
        build(rig, captures, f"{BUCKET}/data", **options)
        now = everything()
        assert {name: now.get(name) for name in strangers} == strangers

    run()
    assert own_part(TARGET, strangers) == local
    small_rig.write_capture(captures, 6)
    run()
    with pytest.raises(InputError, match="other settings"):
        run(settings=other_settings(rig))
    with monkeypatch.context() as context:
        context.setattr(RemoteFolder, "copy", _end)
        with pytest.raises(KeyboardInterrupt):
            run(settings=other_settings(rig, keep_aligned=True), overwrite=True)
    run(settings=other_settings(rig, keep_aligned=True))
    kept = {name for name in everything(TARGET) if name.startswith("aligned/") and name not in STRANGERS}
    assert len(kept) == 3 * 7
    append_decision(tmp_path / "review.csv", Decision("2024-05-01T09:30:00Z", "000", "reject", ""))
    run(settings=other_settings(rig, keep_aligned=True), review=tmp_path / "review.csv")
    assert kept - set(everything(TARGET)) == {f"aligned/000{suffix}" for suffix in (".png", ".valid.png", ".error.png")}
    monkeypatch.setenv("DPED_CACHE", str(tmp_path / "another machine"))
    run(overwrite=True)
    assert b'"reject"' in everything(TARGET)["review.csv"]  # decisions outlast settings and machines
    append_decision(tmp_path / "review.csv", Decision("2024-05-02T09:30:00Z", "000", "clear", ""))
    run(review=tmp_path / "review.csv")
    expected = content(build(rig, captures, tmp_path / "fresh").folder)
    assert everything(TARGET)["review.csv"].count(b"\n") == 3
    assert own_part(TARGET, strangers) == expected
    assert not {name for name in everything(TARGET) if name.startswith("aligned/")} - set(STRANGERS)


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_name_that_the_dataset_needs_is_refused_at_the_start(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's object of every kind of name that a build writes, in an address of its own and in a dataset."""
    settings = replace(rig[1], shards=replace(rig[1].shards, keep_aligned=True))
    folder = build(rig, rig[0], f"{BUCKET}/data", settings=settings).folder
    whole = everything(TARGET)
    units = [f"{path.parent.name}/.unit-{key}.h5" for key, path in shards_by_key(folder).items()]
    names = {"README.new.md", min(units), *_one_of_each_kind(whole)} - {"README.md"}
    assert len(names) > 12

    def refused(name: str, cache: str, **options: Any) -> None:
        before = everything()
        monkeypatch.setenv("DPED_CACHE", str(tmp_path / cache))
        with pytest.raises(InputError, match=r"move it away, or choose another --out") as told:
            build(rig, rig[0], f"{BUCKET}/data", settings=settings, **options)
        assert f"{TARGET}/{name}: " in str(told.value) and "\n" not in str(told.value)
        assert everything() == before

    for name in sorted(names):
        put(f"{TARGET}/{name}", whole.get(name, b"") + b"mine")
        if not name.startswith("aligned/") and ".unit-" not in name:  # else there is no need of it
            refused(name, f"{name} in a dataset")
        refused(name, f"{name} in a dataset", overwrite=True)
        put(f"{TARGET}/{name}", whole[name]) if name in whole else drop(f"{TARGET}/{name}")
    for name in whole:
        drop(f"{TARGET}/{name}")
    for name in sorted(names):
        put(f"{TARGET}/{name}", b"mine")
        refused(name, name, overwrite=True)
        drop(f"{TARGET}/{name}")


def _one_of_each_kind(names: Iterable[str]) -> set[str]:
    """Names that differ in more than digits and keys, one of each."""
    return set({re.sub(r"[0-9a-f]{64}|\d+", "#", name): name for name in sorted(names)}.values())


def test_a_card_that_people_completed_stays_theirs(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = tmp_path / "captures"
    for index in range(4):
        small_rig.write_capture(captures, index)
    build(rig, captures, f"{BUCKET}/data")
    card = everything(TARGET)["README.md"].decode()
    assert "license: unknown" in card and "Captures: 4 of 4" in card
    put(f"{TARGET}/README.md", card.replace("license: unknown", "license: mit").encode())
    put(f"{TARGET}/LICENSE", b"MIT")
    for count in (5, 6):
        small_rig.write_capture(captures, count)
        monkeypatch.setenv("DPED_CACHE", str(tmp_path / f"machine {count}"))
        build(rig, captures, f"{BUCKET}/data")
        now = everything(TARGET)
        assert b"license: mit" in now["README.md"] and f"Captures: {count} of {count}".encode() in now["README.md"]
        assert now["LICENSE"] == b"MIT" and "README.new.md" not in now
    own = b"# My photos\n\nNo marks.\n"
    put(f"{TARGET}/README.md", own)
    build(rig, captures, f"{BUCKET}/data")
    now = everything(TARGET)
    assert now["README.md"] == own and b"Captures: 6 of 6" in now["README.new.md"]
    put(f"{TARGET}/README.md", now["README.new.md"] + b"Mine.\n")
    build(rig, captures, f"{BUCKET}/data")
    now = everything(TARGET)
    assert now["README.md"].endswith(b"Mine.\n") and "README.new.md" not in now


def test_a_card_that_is_completed_during_the_build_is_not_lost(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    build(rig, rig[0], f"{BUCKET}/data")
    card = everything(TARGET)["README.md"].replace(b"license: unknown", b"license: mit")
    finish = remote_dataset.publish

    def edited_before(target: RemoteFolder, folder: Path) -> None:
        put(f"{TARGET}/README.md", card)
        finish(target, folder)

    monkeypatch.setattr("dped_data.work.destination.publish", edited_before)
    build(rig, rig[0], f"{BUCKET}/data", settings=other_settings(rig), overwrite=True)
    assert b"license: mit" in everything(TARGET)["README.md"]
    update = remote_dataset.write_dataset_card

    def edited_within(folder: Path, manifest: Any) -> bool:
        put(f"{TARGET}/README.md", card + b"Late.\n")
        return update(folder, manifest)

    monkeypatch.setattr(remote_dataset, "write_dataset_card", edited_within)
    with pytest.raises(InputError, match=r"README.md: somebody else changed it during the build"):
        build(rig, rig[0], f"{BUCKET}/data", settings=other_settings(rig))
    assert everything(TARGET)["README.md"] == card + b"Late.\n"


def test_what_somebody_changed_since_is_not_ours_any_more(rig: Rig, local: dict[str, bytes], tmp_path: Path) -> None:
    build(rig, rig[0], f"{BUCKET}/data")
    name = next(name for name in sorted(local) if name.startswith("train/"))
    changed = local[name][:-1] + bytes([local[name][-1] ^ 1])
    put(f"{TARGET}/{name}", changed)
    before = everything()
    with pytest.raises(InputError, match=f"{name}: not written by dped, or changed since"):
        build(rig, rig[0], f"{BUCKET}/data", settings=other_settings(rig), overwrite=True)
    assert everything() == before
    put(f"{TARGET}/{name}", local[name])  # the same bytes again are as good as ours, whatever the store's mark
    last = max(name for name in local if name.startswith("train/"))
    put(f"{TARGET}/{last}", changed)
    few = tmp_path / "captures"
    small_rig.write_capture(few, 0)
    build(rig, few, f"{BUCKET}/data")
    assert everything(TARGET)[last] == changed, "not needed any more, and left to who changed it"


def test_a_build_that_ends_at_any_change_goes_on_and_leaves_strangers(
    rig: Rig, local: dict[str, bytes], strangers: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before the first change, after the second, before the third, ... in one address, until one is whole."""
    for settings, overwrite in ((other_settings(rig), False), (rig[1], True)):
        for limit in range(100):
            with monkeypatch.context() as context, suppress(KeyboardInterrupt):
                _end_at_change(context, limit)
                build(rig, rig[0], f"{BUCKET}/data", settings=settings, overwrite=overwrite and limit < 4)
                break
            now = everything()
            assert {name: now.get(name) for name in strangers} == strangers
        assert 5 < limit < 50
    now = everything()
    assert {name: now.get(name) for name in strangers} == strangers
    assert own_part(TARGET, strangers) == local
    assert not [name for name in own_part(TARGET, strangers) if ".unit-" in name]


def _end_at_change(context: pytest.MonkeyPatch, limit: int) -> None:
    count = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count > limit and limit % 2 == 0:
                raise KeyboardInterrupt
            done = change(*arguments)
            if count > limit:
                raise KeyboardInterrupt
            return done

        return changing

    for name in ("send", "copy", "remove"):
        context.setattr(RemoteFolder, name, counted(getattr(RemoteFolder, name)))


def _as_the_version_before(*, interrupted: bool = False) -> None:
    """Make the dataset at TARGET look as if a version without a record had published it."""
    for name, data in everything(TARGET).items():
        if name == STORE_RECORD_NAME or (interrupted and name in ("dataset.json", "captures.csv", "unpaired.csv")):
            drop(f"{TARGET}/{name}")
        elif name.startswith(".build/") and len(name) > 64 and name.endswith(".json"):
            record = json.loads(data)
            record.pop("stored_tag", None)
            put(f"{TARGET}/{name}", json.dumps(record).encode() + b"\n")
    put(f"{TARGET}/.build/captures_folder", b"../captures\n")


@pytest.mark.parametrize("interrupted", [False, True])
def test_datasets_of_versions_without_a_record_go_on(
    rig: Rig, interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = tmp_path / "captures"
    for index in range(4):
        small_rig.write_capture(captures, index)
    build(rig, captures, f"{BUCKET}/data")
    _as_the_version_before(interrupted=interrupted)
    monkeypatch.setenv("DPED_CACHE", str(tmp_path / "second"))
    put(f"{TARGET}/notes.txt", b"mine")
    for index in (4, 5):
        small_rig.write_capture(captures, index)
    assert build(rig, captures, f"{BUCKET}/data").reused > 0
    expected = content(build(rig, captures, tmp_path / "fresh").folder)
    assert stored(TARGET) == expected and everything(TARGET)["notes.txt"] == b"mine"
    _as_the_version_before(interrupted=interrupted)
    for name in everything(TARGET):
        if name.startswith(".build/") and not interrupted:
            drop(f"{TARGET}/{name}")  # it may be deleted
    build(rig, captures, f"{BUCKET}/data", settings=other_settings(rig), overwrite=True)
    fresh = build(rig, captures, tmp_path / "other", settings=other_settings(rig))
    assert stored(TARGET) == content(fresh.folder) and everything(TARGET)["notes.txt"] == b"mine"


def test_what_was_changed_in_such_a_dataset_is_refused(rig: Rig) -> None:
    build(rig, rig[0], f"{BUCKET}/data")
    _as_the_version_before()
    whole = everything(TARGET)
    # The shard last: that it was changed is seen when it is to be replaced, after the units' own objects were sent.
    for name in ("captures.csv", "unpaired.csv", ".build/settings.json", "dataset.json", "train/00000.h5"):
        put(f"{TARGET}/{name}", whole[name][:-1] + b"?" if name.endswith(".h5") else whole[name] + b"000,mine\n")
        before = everything(TARGET)
        with pytest.raises(InputError, match=rf"{name}: not written by dped, or changed since"):
            build(rig, rig[0], f"{BUCKET}/data", settings=other_settings(rig), overwrite=True)
        now = everything(TARGET)
        assert {key: now.get(key) for key in before if key != "dataset.json"} == {
            **{key: data for key, data in before.items() if key != "dataset.json"},
            ".build/settings.json": now[".build/settings.json"] if name.endswith(".h5") else before[SETTINGS_NAME],
        }
        put(f"{TARGET}/{name}", whole[name])


def test_a_wrong_shard_of_such_a_dataset_is_never_taken_for_done(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the right size and with the same settings: refused by the machine that has the right one, and by another."""
    build(rig, rig[0], f"{BUCKET}/data")
    _as_the_version_before()
    whole, name = everything(TARGET), "train/00000.h5"
    put(f"{TARGET}/{name}", whole[name][:-1] + b"?")
    before = everything(TARGET)
    with monkeypatch.context() as context:
        context.setenv("DPED_CACHE", str(tmp_path / "another machine"))
        context.setattr("dped_data.work.lifecycle.run_units", lambda *_: pytest.fail("it is refused before any work"))
        with pytest.raises(InputError, match=rf"{name}: not written by dped, or changed since"):
            build(rig, rig[0], f"{BUCKET}/data")
    assert everything(TARGET) == before
    for _ in range(2):
        with pytest.raises(InputError, match=rf"{name}: not written by dped, or changed since"):
            build(rig, rig[0], f"{BUCKET}/data")
        now = everything(TARGET)
        assert {key: data for key, data in now.items() if key != STORE_RECORD_NAME} == before
    put(f"{TARGET}/{name}", whole[name])
    build(rig, rig[0], f"{BUCKET}/data")
    record = json.loads(everything(TARGET)[STORE_RECORD_NAME])["objects"]
    assert all(tag for states in record.values() for *_, tag in states), "compared once, then known by the store's mark"
    fetched = _counted_fetches(monkeypatch)
    build(rig, rig[0], f"{BUCKET}/data")
    assert not [name for name in fetched if name.endswith(".h5")]


def _counted_fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    fetch = RemoteFolder.fetch

    def counted(folder: RemoteFolder, name: str, path: Path) -> None:
        names.append(name)
        fetch(folder, name, path)

    monkeypatch.setattr(RemoteFolder, "fetch", counted)
    return names


def test_the_state_that_is_expected_decides(tmp_path: Path) -> None:
    folder = RemoteFolder(TARGET)
    (tmp_path / "x").write_bytes(b"ours")
    ours = folder.send(tmp_path / "x", "x", None)
    copied = folder.copy("x", "y", ours, None)
    put(f"{TARGET}/x", b"mine")
    refused = "somebody else changed it during the build, so it is left as it is"
    for change in (
        lambda: folder.send(tmp_path / "x", "x", None),
        lambda: folder.send(tmp_path / "x", "x", ours),
        lambda: folder.send(tmp_path / "x", "z", ours),
        lambda: folder.remove("x", ours),
        lambda: folder.copy("x", "z", ours, None),
        lambda: folder.copy("y", "x", copied, ours),
    ):
        with pytest.raises(InputError, match=refused):
            change()
    assert everything(TARGET) == {"x": b"mine", "y": b"ours"}
    folder.remove("y", copied)
    assert everything(TARGET) == {"x": b"mine"}


def test_a_worker_replaces_an_earlier_try_at_its_unit_only(tmp_path: Path) -> None:
    unit, target = Unit(KEY, "train", ()), RemoteFolder(TARGET)
    path = tmp_path / unnumbered_shard_name(unit.split, unit.key)
    path.parent.mkdir()
    (tmp_path / ".build").mkdir()
    record = UnitRecord(KEY, 1, 1, "", {}, ())
    name = f"train/.unit-{KEY}.h5"
    for note in ("first", "second"):
        with h5py.File(path, "w") as file:
            file.attrs["unit"], file.attrs["note"] = KEY, note
        write_record(tmp_path, record)
        remote_dataset.send_unit(target, tmp_path, unit, record)
        assert everything(TARGET)[name] == path.read_bytes()
        assert json.loads(everything(TARGET)[f".build/{KEY}.json"])["stored_tag"]
    for foreign in (name, f".build/{KEY}.json"):
        put(f"{TARGET}/{foreign}", b"mine")
        with pytest.raises(InputError, match="not written by dped"):
            remote_dataset.send_unit(target, tmp_path, unit, record)
        assert everything(TARGET)[foreign] == b"mine"
        drop(f"{TARGET}/{foreign}")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "dped-written", "format_version": 1, "objects": [1]}'])
def test_a_strangers_record_is_refused(rig: Rig, text: str) -> None:
    put(f"{TARGET}/{STORE_RECORD_NAME}", text.encode())
    with pytest.raises(InputError, match=r"written\.json: not written by dped"):
        build(rig, rig[0], f"{BUCKET}/data")


def test_a_made_up_record_reaches_no_other_names() -> None:
    for name in ("notes.txt", "../x", "train/../../x.h5", "aligned/../x.png", "train/own.h5", ".build/written.json"):
        assert not is_own_name(name)
    for name in ("train/00000.h5", f".build/{KEY}.json", f"val/.unit-{KEY}.h5", "aligned/a/b.png", "README.md"):
        assert is_own_name(name)


@pytest.mark.parametrize("below", ["train", "val/x", "aligned", ".build"])
def test_photos_where_the_dataset_keeps_its_files_are_refused(rig: Rig, below: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="where the dataset keeps its own files"):
        build(rig, f"s3a://photos/pocket/{below}/", BUCKET)
    with pytest.raises(UsageError, match="where the dataset keeps its own files"):
        build(rig, tmp_path / "pocket" / below, tmp_path)
    with pytest.raises(UsageError, match="among the photos"):
        build(rig, "s3a://photos/a/", f"{BUCKET}/a")


def test_odd_names_among_photos_are_left_and_odd_photos_are_told(rig: Rig, tmp_path: Path) -> None:
    captures = upload(rig[0])
    for name in ("/notes.txt", "slr/../notes.txt", "slr/a\\b.txt", "slr/a\x1b[2Jb.txt"):
        put(f"{captures}/{name}", b"mine")
    assert len(build(rig, captures, tmp_path / "out").rows) == CAPTURES
    put(f"{captures}/slr/\x1b[2J.jpg", b"mine")
    with pytest.raises(InputError, match=r"'slr/\\x1b\[2J.jpg' has a name that") as told:
        build(rig, captures, tmp_path / "out")
    assert str(told.value).isprintable()

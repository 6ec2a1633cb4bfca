"""Only what the record proves to be ours is replaced, deleted or renamed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_rig import write_rig

from dped_data.build import build_dataset
from dped_data.common.files import atomic_path, atomic_write_text, written_state
from dped_data.common.folder_lock import held
from dped_data.common.ownership import keep_changed, move, put, remove, remove_in_work, remove_recorded
from dped_data.common.work_folder import MARK_NAME, WORK_FOLDER, ForeignFileError, make_work_folder
from dped_data.common.written_record import Written, is_ours, recorded_files, written_as
from dped_data.errors import InputError
from dped_data.settings import load_build_settings
from dped_data.simulation.demo_photos import demo_folder


def test_what_was_written_here_is_replaced_and_removed_and_nothing_else(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.txt", tmp_path / "theirs.txt"
    theirs.write_text("theirs")
    atomic_write_text(ours, "one")
    atomic_write_text(ours, "two")
    with pytest.raises(ForeignFileError, match=r"theirs\.txt: exists and was not written by dped; move it away"):
        atomic_write_text(theirs, "two")
    with pytest.raises(ForeignFileError):
        remove(theirs)
    ours.write_text("too")  # as long as before
    assert is_ours(ours, by_size=True) and not is_ours(ours)
    with pytest.raises(ForeignFileError, match="was changed since dped wrote it"):
        remove(ours)
    assert (ours.read_text(), theirs.read_text()) == ("too", "theirs")
    ours.write_text("two")
    remove(ours)
    remove(ours)  # is gone already
    assert [path.name for path in tmp_path.iterdir() if path.name != WORK_FOLDER] == ["theirs.txt"]


def test_a_process_that_dies_before_the_rename_leaves_its_old_file_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    code = (
        "import os, pathlib, sys\n"
        "from dped_data.common import ownership\n"
        "from dped_data.common.files import atomic_write_text\n"
        "pathlib.Path.replace = lambda *_: os._exit(9)\n"
        f"atomic_write_text(pathlib.Path({str(path)!r}), 'new')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(written_as(path)) == 2 and is_ours(path)
    (left,) = (tmp_path / WORK_FOLDER / "tmp").iterdir()
    with held(tmp_path, "test"):
        assert not left.exists()
    atomic_write_text(path, "newer")
    assert path.read_text() == "newer" and is_ours(path)


def test_links_are_nobodys(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    for folder in (elsewhere, out):
        folder.mkdir()
    make_work_folder(out / WORK_FOLDER, whole_folder=True)
    (out / "val").mkdir()
    atomic_write_text(out / "val/a.txt", "a")
    shutil.move(out / "val", elsewhere / "val")  # the same bytes, behind a link now
    (out / "val").symlink_to(elsewhere / "val", target_is_directory=True)
    assert not is_ours(out / "val/a.txt")
    with pytest.raises(ForeignFileError):
        remove(out / "val/a.txt")
    remove_recorded(recorded_files(out))
    with pytest.raises(ForeignFileError, match="val: is a link"), held(out, "test", ["val/"]):
        pass
    (out / "b.txt").symlink_to(elsewhere / "val/a.txt")
    with pytest.raises(ForeignFileError, match="is a link, which is not written over"):
        atomic_write_text(out / "b.txt", "b")
    assert (elsewhere / "val/a.txt").read_text() == "a" and (out / "b.txt").is_symlink()


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk", target_is_directory=True)
    with held(tmp_path / "out", "test", ["a.txt"]):
        atomic_write_text(tmp_path / "out/a.txt", "a")
    with held(tmp_path / "disk", "test", ["a.txt"]):
        atomic_write_text(tmp_path / "disk/../out/a.txt", "b")
    assert (tmp_path / "disk/a.txt").read_text() == "b"


def test_a_file_that_grows_is_known_by_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    atomic_write_text(path, "head\n", grows=True)
    with path.open("a") as file:
        file.write("row\n")
    assert is_ours(path)
    path.write_text("tail\nrow\n")
    assert not is_ours(path)
    keep_changed(path)
    assert (tmp_path / "rows.csv.kept-1").read_text() == "tail\nrow\n" and not path.exists()


def test_renames_take_the_record_along_and_cover_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    atomic_write_text(one, "1")
    move(one, two)
    assert is_ours(two)
    atomic_write_text(one, "2")
    with pytest.raises(ForeignFileError):
        move(one, two)
    (tmp_path / "theirs").write_text("3")
    with pytest.raises(ForeignFileError):
        move(tmp_path / "theirs", tmp_path / "free")
    assert sorted(p.read_text() for p in tmp_path.iterdir() if p.is_file()) == ["1", "2", "3"]


@pytest.mark.parametrize("content", [b"", b"mine", b"[]", b'{"made by": "somebody"}'])
def test_a_strangers_work_folder_is_refused(tmp_path: Path, content: bytes) -> None:
    work = tmp_path / WORK_FOLDER
    work.mkdir()
    for name in (MARK_NAME, "written.jsonl", "lock"):
        (work / name).write_bytes(content)
    with pytest.raises(InputError, match=r"\.dped: exists and was not made by dped"), held(tmp_path, "test"):
        pass
    with pytest.raises(InputError), atomic_path(tmp_path / "a"):
        pass
    with pytest.raises(ForeignFileError):
        remove_in_work(work / "lock")
    assert {path.read_bytes() for path in work.iterdir()} == {content} and len([*work.iterdir()]) == 3


def test_a_made_up_record_reaches_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    make_work_folder(out / WORK_FOLDER, whole_folder=True)
    state = written_state(tmp_path / "mine.txt")
    line = f'{{"file": "../mine.txt", "bytes": {state.bytes}, "sha256": "{state.sha256}"}}\n'
    (out / WORK_FOLDER / "written.jsonl").write_text(f'{line}nonsense\n{{"file": 3}}\n[]\n')
    remove_recorded(recorded_files(out))
    with pytest.raises(ForeignFileError):
        remove(out / "../mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_held_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"), held(tmp_path / "out", "test"):
        raise ValueError("half way")
    assert not (tmp_path / "out").exists()
    with held(tmp_path / "out", "test"):
        atomic_write_text(tmp_path / "out/a", "a")
    assert (tmp_path / "out/a").exists()


def test_the_second_is_told_who_is_there(tmp_path: Path) -> None:
    words = rf"out: another command is writing here \(first, process {os.getpid()} on .*, since 20.*\); wait"
    with held(tmp_path / "out", "first"), pytest.raises(InputError, match=words), held(tmp_path / "out", "second"):
        pass


def test_put_is_given_a_proof_by_others(tmp_path: Path) -> None:
    """A card proves itself by its marks."""
    path, new = tmp_path / "card.md", tmp_path / "new"
    path.write_text("marked")
    new.write_text("new")
    put(new, path, written_state(new), proven=True)
    assert path.read_text() == "new" and is_ours(path)


@pytest.mark.parametrize("lost", ["the record", "the work folder"])
def test_a_dataset_without_a_record_goes_on(tmp_path: Path, lost: str) -> None:
    """One of the version before; or somebody has deleted .build, as docs/format.md allows."""
    captures, toml = write_rig(tmp_path, 4)
    settings = load_build_settings(toml, {"patch_size": 64, "captures_per_shard": 2, "pairing": "name"})
    folder = build_dataset(captures, tmp_path / "data", "pocket", settings, jobs=1).folder
    before = {path: path.read_bytes() for path in folder.glob("*/*.h5")}
    stranger = folder / "train/mine.h5"
    stranger.write_bytes(b"mine")
    for path in (folder / ".build").iterdir():
        if lost == "the work folder" or path.name.startswith(("mark", "written", "lock", "tmp")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for camera in ("pocket", "slr"):
        shutil.copy(captures / camera / "001.jpg", captures / camera / "004.jpg")
    report = build_dataset(captures, tmp_path / "data", "pocket", settings, jobs=1)
    assert (report.reused > 0) == (lost == "the record") and report.manifest.totals["captures"] == 5
    rebuilt = build_dataset(captures, tmp_path / "data", "pocket", settings, jobs=1, overwrite=True)
    assert rebuilt.manifest.totals == report.manifest.totals and before
    assert stranger.read_bytes() == b"mine"


def test_changed_tables_and_damaged_shards_are_kept_beside(tmp_path: Path) -> None:
    captures, toml = write_rig(tmp_path, 3)
    settings = load_build_settings(toml, {"patch_size": 64, "pairing": "name"})
    folder = build_dataset(captures, tmp_path / "data", "pocket", settings, jobs=1).folder
    table = (folder / "captures.csv").read_bytes()
    (folder / "captures.csv").write_bytes(b"\xff damaged")
    (folder / "unpaired.csv").write_text("with notes of mine\n")
    build_dataset(captures, tmp_path / "data", "pocket", settings, jobs=1)
    assert (folder / "captures.csv").read_bytes() == table
    assert (folder / "captures.csv.kept-1").read_bytes() == b"\xff damaged"
    assert (folder / "unpaired.csv.kept-1").read_text() == "with notes of mine\n"
    (shard, *_) = sorted(folder.glob("*/00000.h5"))
    shard.write_bytes(shard.read_bytes()[:-9])
    whole, damaged = shard.stat().st_size + 9, shard.read_bytes()
    assert build_dataset(captures, tmp_path / "data", "pocket", settings, jobs=1).reused < 3
    assert shard.stat().st_size == whole and shard.with_name("00000.h5.kept-1").read_bytes() == damaged


def test_a_copy_of_a_work_folder_under_another_name_is_none(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "a.txt", "a")
    backup = Path(shutil.copytree(tmp_path / WORK_FOLDER, tmp_path / "backup"))
    (backup / "notes.txt").write_text("mine")
    with pytest.raises(ForeignFileError):
        atomic_write_text(backup / "notes.txt", "b")
    with pytest.raises(ForeignFileError):
        remove_in_work(backup / "notes.txt")


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "one")
    (part,) = (tmp_path / WORK_FOLDER / "record").glob("*.jsonl")
    with part.open("ab") as file:
        file.write(b'{"file": "b.txt", "by')
    atomic_write_text(path, "two")
    assert is_ours(path)


def test_taking_over_ends_before_the_mark_or_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark says that the record is whole: a command that dies while it takes a folder over does so again."""
    path = tmp_path / "old.txt"
    path.write_text("old")

    def adopt(folder: Path) -> dict[Path, Written]:
        return {folder / "old.txt": written_state(path)}

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("dped_data.common.folder_lock.make_work_folder", _interrupted)
        with held(tmp_path, "test", ["old.txt"], adopt=adopt):
            pass
    with held(tmp_path, "test", ["old.txt"], adopt=adopt):
        atomic_write_text(path, "new")
    assert path.read_text() == "new"


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_many_processes_write_single_files_side_by_side(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from dped_data.common.files import atomic_write_text\n"
        "for round in range(15):\n"
        f"    atomic_write_text(pathlib.Path({str(tmp_path)!r}, sys.argv[1]), str(round))\n"
    )
    for _ in range(2):  # the second time there are records of processes that have ended
        running = [subprocess.Popen([sys.executable, "-c", code, f"{number}.txt"]) for number in range(6)]
        assert [process.wait() for process in running] == [0] * 6
    assert all(is_ours(tmp_path / f"{number}.txt") for number in range(6))


def test_a_folder_inside_another_command_s_keeps_what_both_have_recorded(tmp_path: Path) -> None:
    with held(tmp_path, "outer"):
        (tmp_path / "inner").mkdir()
        atomic_write_text(tmp_path / "inner/a.txt", "a")
    with held(tmp_path / "inner", "inner"):
        atomic_write_text(tmp_path / "inner/b.txt", "b")
    assert is_ours(tmp_path / "inner/a.txt") and is_ours(tmp_path / "inner/b.txt")
    with held(tmp_path, "outer"):
        atomic_write_text(tmp_path / "inner/a.txt", "c")
        atomic_write_text(tmp_path / "inner/b.txt", "d")


def test_nothing_is_written_behind_a_link_inside_a_held_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with held(tmp_path / "out", "test"):
        (tmp_path / "out/sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        with pytest.raises(ForeignFileError, match="lies behind a link"):
            atomic_write_text(tmp_path / "out/sub/a.txt", "a")
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_a_demo_clears_demos_only(tmp_path: Path) -> None:
    other = tmp_path / "run"
    with held(other, "train"):
        atomic_write_text(other / "enhancer.safetensors", "weights")
    with pytest.raises(InputError, match="not empty and not made by a demo"), demo_folder(other):
        pass
    demo = tmp_path / "demo"
    with demo_folder(demo), held(demo / "runs/sony", "train"):
        atomic_write_text(demo / "runs/sony/settings.json", "{}")
        (demo / "runs/sony/notes.txt").write_text("mine")
    told = pytest.raises(InputError, match=r"runs/sony: another command is writing")
    with held(demo / "runs/sony", "train"), told, demo_folder(demo):
        pass
    assert (demo / "runs/sony/settings.json").exists()
    with demo_folder(demo):
        assert [path.name for path in (demo / "runs/sony").iterdir()] == ["notes.txt"]
    (demo / ".dped-demo").touch()
    with pytest.raises(InputError, match="made by a demo of an earlier version"), demo_folder(demo):
        pass

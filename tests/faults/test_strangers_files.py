"""Every command that writes, on folders full of strangers' files: all are there afterwards, or it had refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from fault_client import Job
from fault_jobs import ALL_NAMES, Bench, all_jobs

STRANGERS = b"a stranger's file"
OTHERS = ("notes.txt", "LICENSE", "thesis.pdf", ".hidden/deep/file", "train/my own.h5", "captures/sony/IMG_1.jpg")
"""Names that no command uses."""


@pytest.fixture(scope="module")
def jobs(bench: Bench) -> dict[str, Job]:
    return all_jobs(bench)


@pytest.fixture(params=ALL_NAMES)
def job(request: pytest.FixtureRequest, jobs: dict[str, Job]) -> Job:
    return jobs[request.param]


def fresh(bench: Bench) -> Path:
    """An empty folder for outputs, with nothing beside it but what belongs to strangers."""
    place = bench.folder / "foreign"
    shutil.rmtree(place, ignore_errors=True)
    (place / "out").mkdir(parents=True)
    return place / "out"


def written_names(bench: Bench, job: Job) -> list[str]:
    """The names that a command uses in an empty folder, hidden ones too; of many alike only some."""
    out = fresh(bench)
    ended = bench.server.run(job.words(out), out)
    assert ended.status == 0, ended.text
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    alike: dict[tuple[str, str], str] = {}
    for name in names:
        alike.setdefault((str(Path(name).parent), Path(name).suffix), name)
    chosen = sorted({*alike.values(), *(name for name in names if "/" not in name)})
    return chosen[:: -(-len(chosen) // job.most_names)]


@cache
def known_names(bench: Bench, job: Job) -> list[str]:
    """`written_names` of one run; those of another are the same."""
    return written_names(bench, job)


def put_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(STRANGERS)


def put_empty_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def put_link(path: Path) -> None:
    target = _beside(path) / "target"
    put_file(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def put_folder(path: Path) -> None:
    put_file(path / "in it")


def put_linked_parent(path: Path) -> None:
    """The folder that the name lies in leads elsewhere, where a stranger has a file of that name."""
    elsewhere = _beside(path) / "elsewhere"
    put_file(elsewhere / path.name)
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        path.parent.symlink_to(elsewhere, target_is_directory=True)


def _beside(path: Path) -> Path:
    """The folder beside the output folder."""
    return next(parent for parent in path.parents if parent.name == "foreign")


def state(place: Path) -> dict[str, object]:
    """Everything below a folder: what files hold and where links lead."""
    return {
        path.relative_to(place).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def check(bench: Bench, job: Job, out: Path, what: str) -> tuple[int, str]:
    """Run the command; return its status and what it said. Whatever was there must be there still."""
    before = state(out.parent)
    ended = bench.server.run(job.words(out), out)
    after = state(out.parent)
    lost = [name for name, content in before.items() if after.get(name) != content]
    assert not lost, (job.name, what, lost, ended.text)
    assert "Traceback" not in ended.text, (job.name, what, ended.text)
    assert ended.status in (0, 1, 2), (job.name, what, ended.text)
    if ended.status:
        assert sum(line.startswith("dped: ") for line in ended.text.splitlines()) <= job.most_lines, ended.text
    return ended.status, ended.text


def test_files_of_other_names_are_left_alone(bench: Bench, job: Job) -> None:
    out = fresh(bench)
    for name in OTHERS:
        put_file(out / name)
        put_file(out / job.folder / name)
    status, text = check(bench, job, out, "others")
    assert status == job.beside_strangers, text


@pytest.mark.parametrize("put", [put_file, put_empty_file, put_link, put_folder, put_linked_parent])
def test_files_that_have_a_name_of_ours(bench: Bench, job: Job, put: Callable[[Path], None]) -> None:
    names = known_names(bench, job)
    for name in names:
        out = fresh(bench)
        put(out / name)
        check(bench, job, out, name)
    out = fresh(bench)
    for name in names:
        if put is not put_linked_parent and not any(parent.is_symlink() for parent in (out / name).parents):
            put(out / name)
    assert put is put_linked_parent or check(bench, job, out, "all at once")[0] in (1, 2)


def test_files_that_took_the_place_of_ours(bench: Bench, job: Job) -> None:
    """After a run somebody exchanges what it wrote: the next run keeps that, under its name or beside it."""
    names = [name for name in written_names(bench, job) if not any(part.startswith(".") for part in Path(name).parts)]
    out = bench.folder / "foreign/out"
    for name in names:
        (out / name).write_bytes(STRANGERS + name.encode())
        for more in ((), *([("--overwrite",)] if job.overwrites else [])):
            ended = bench.server.run([*job.words(out), *more], out)
            assert "Traceback" not in ended.text and ended.status in (0, 1), (job.name, name, ended.text)
            kept = [
                path for path in out.rglob("*") if path.is_file() and path.read_bytes() == STRANGERS + name.encode()
            ]
            assert kept, (job.name, name, more, ended.text)
        for path in kept:
            path.unlink()


def test_a_mounted_folder(bench: Bench, job: Job) -> None:
    """Deleting behind a mount would delete on another disk; a command refuses or leaves it alone."""
    out = fresh(bench)
    folders = {Path(name).parts[0] for name in known_names(bench, job) if "/" in name and not name.startswith(".")}
    for folder in sorted(folders):
        out, disk = fresh(bench), bench.folder / "foreign/disk"
        disk.mkdir()
        (out / folder).mkdir()
        if os.system(f"mount --bind '{disk}' '{out / folder}' 2>/dev/null"):  # noqa: S605
            pytest.skip("mounting is not allowed here")
        try:
            put_file(out / folder / "mine")
            check(bench, job, out, f"mounted {folder}")
        finally:
            os.system(f"umount '{out / folder}'")  # noqa: S605

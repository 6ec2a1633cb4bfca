"""The six commands that meet faults, and the small rig, dataset and model that they work on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from fault_client import FaultServer, Job
from small_rig import pair, write_rig
from study_photos import CLASSES, answer_all, prefers, write_photo_sets
from tensorflow_files import released_variables, write_bundle

from dped_data.photos.writing import write_photo
from dped_data.study.create import create_study
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import read_study
from dped_train.networks.dped import Enhancer
from dped_train.networks.file import load_enhancer, save_enhancer

_ROOM_BYTES = 2**30
_TRAIN = (
    "--steps 4 --batch-size 2 --no-balance --content-weight 0 --checkpoint-every 1 --keep-checkpoints 9 "
    "--precision fp32"
)


@dataclass(frozen=True)
class Bench:
    """A server, a folder in memory where there is one, a small rig in it and the dataset built from it."""

    server: FaultServer
    folder: Path
    captures: Path
    toml: Path
    data: Path


def memory_folder() -> Path | None:
    """A folder in memory, so that hundreds of runs need not touch the disk; None where there is none or it is small."""
    memory = Path("/dev/shm")  # noqa: S108
    usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if usable else None


def build_words(captures: Path, toml: Path, out: Path | str) -> tuple[str, ...]:
    """The words of `dped build-dataset` for the small rig."""
    settings = ("--patch-size", "64", "--captures-per-shard", "2", "--pairing", "name")
    return ("build-dataset", "--captures", str(captures), "--rig", str(toml), "--out", str(out), *settings)


@contextmanager
def opened_bench() -> Iterator[Bench]:
    """Start a server and make what the commands work on; all of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dped-faults-", dir=memory_folder()))
    folder.chmod(0o755)
    captures, toml = write_rig(folder, 4)
    (folder / "scratch").mkdir(mode=0o777)
    try:
        with FaultServer(folder / "scratch") as server:
            server.warm(build_words(captures, toml, folder / "data"))
            yield Bench(server, folder, captures, toml, folder / "data")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def build_jobs(bench: Bench) -> dict[str, Job]:
    """A build, and an import of what an export wrote."""
    released = bench.folder / "released"
    bench.server.warm(["export-dped", "--data", str(bench.data), "--out", str(released), "--jobs", "1"])
    words = ("import-dped", str(released), "--phone", "pocket", "--out", "OUT", "--jobs", "1")
    jobs = (
        Job("build", build_words(bench.captures, bench.toml, "OUT"), folder="pocket", overwrites=True),
        Job("import", words, folder="pocket", overwrites=True),
    )
    return _warmed(bench, jobs)


@cache
def use_jobs(bench: Bench) -> dict[str, Job]:
    """What is done with a dataset: export, inspection, training; and enhancing photos with a model."""
    torch.manual_seed(1)
    model, photos = bench.folder / "model.safetensors", bench.folder / "photos"
    save_enhancer(Enhancer("instance"), model)
    photos.mkdir()
    for index in (0, 1):
        write_photo(photos / f"{index}.jpg", pair(index)[0][:48, :64].copy())
    data, small = str(bench.data), str(bench.folder / "small")  # a smaller discriminator makes smaller checkpoints
    bench.server.warm([*build_words(bench.captures, bench.toml, small), "--patch-size", "32"])
    inspect = ("inspect-pairs", "--data", data, "--out", "OUT", "--jobs", "1", "--captures", str(bench.captures))
    train = ("train", "--data", small, "--out", "OUT", "--device", "cpu", *_TRAIN.split(), "--resume")
    enhance = ("enhance", str(model), str(photos), "--out", "OUT", "--device", "cpu", "--precision", "fp32")
    jobs = (
        Job("export", ("export-dped", "--data", data, "--out", "OUT", "--jobs", "1"), done="exists already"),
        Job("inspect", inspect, _page_is_missing),
        Job("train", train, _whole_model, folder="pocket", most_lines=2),  # so short a run is told of its health
        Job(
            "enhance",
            enhance,
            lambda out, name, data: name == "enhanced.jsonl",
            most_lines=2,  # one for each photo
            overwrites=True,
        ),
    )
    return _warmed(bench, jobs)


@cache
def other_jobs(bench: Bench) -> dict[str, Job]:
    """The other commands that write: rigs, studies, tables, single files."""
    sets = write_photo_sets(bench.folder / "sets", scenes=2)
    study, model = bench.folder / "study", str(bench.folder / "model.safetensors")
    create_study(sets, study)
    with closing(AnswerStore(study, read_study(study))) as store:
        answer_all(store, prefers(*CLASSES))
    write_bundle(bench.folder / "tensorflow", released_variables(Enhancer("instance")))
    scenes = bench.folder / "scenes"
    for index in (0, 1):
        write_photo(_made(scenes) / f"{index}.png", pair(index)[1])
    simulate = ("simulate-rig", "--photos", str(scenes), "--out", "OUT", "--jobs", "1", "--scale", "0.1")
    small = ("--data", str(bench.folder / "small"))
    evaluate = ("evaluate", "--identity", "--split", "test", *small, "--csv", "OUT/e.csv", "--picture", "OUT/e.png")
    reproduce = (
        "reproduce",
        "shift-loss",
        "--data",
        str(bench.data),
        "--out",
        "OUT",
        "--shift-patches",
        "9",
        "--largest-shift-px",
        "5",
    )
    jobs = (
        Job(
            "simulate",
            (*simulate, "--count", "2"),
            lambda out, name, data: name == "simulation.json",  # says first what was asked for, then what came of it
            beside_strangers=1,
        ),
        Job(
            "study create",
            ("study", "create", "--photos", str(bench.folder / "sets"), "--out", "OUT"),
            beside_strangers=1,
        ),
        Job("study report", ("study", "report", str(study), "--out", "OUT")),
        Job("reproduce", reproduce, folder="pocket"),
        Job("evaluate", evaluate, holds=False),
        Job(
            "import checkpoint",
            ("import-checkpoint", str(bench.folder / "tensorflow"), "--out", "OUT/m.safetensors"),
            holds=False,
        ),
        Job(  # of one size: symbolic ones would take four times as long
            "export pt2",
            ("export-onnx", model, "--out", "OUT/m.pt2", "--overwrite", "--size", "16x16"),
            holds=False,
        ),
    )
    return _warmed(bench, jobs)


@cache
def folder_jobs(bench: Bench) -> dict[str, Job]:
    """What works without a rig file: two folders aligned, any pairs judged; and the other forms of an export."""
    cameras = [str(path) for path in sorted(bench.captures.iterdir())]
    phone, dslr = sorted(cameras, key=lambda path: Path(path).name != "pocket")
    settings = ("--patch-size", "64", "--captures-per-shard", "2", "--pairing", "name", "--jobs", "1")
    loose = bench.folder / "loose"
    export = ("export-dped", "--data", str(bench.data), "--jobs", "1", "--as")
    bench.server.warm([*export, "folders", "--out", str(loose)])
    halves = [str(path) for path in sorted(loose.glob("*/test/*"))]
    jobs = (
        Job(
            "align",
            ("align", phone, dslr, "--out", "OUT", *settings),
            partial=_is_of_report,
            overwrites=True,
            most_names=3,
        ),
        Job(
            "inspect pairs",
            ("inspect-pairs", "--pairs", *sorted(halves, reverse=True), "--out", "OUT"),
            _page_is_missing,
            most_names=3,
        ),
        *(
            Job(f"export {form}", (*export, form, "--out", "OUT"), done="exists already", most_names=3)
            for form in ("webdataset", "parquet")
        ),
    )
    return _warmed(bench, jobs)


def _warmed(bench: Bench, jobs: tuple[Job, ...]) -> dict[str, Job]:
    """The jobs by name, once each has run in the server: what they import and compile is there for all that follow."""
    for job in jobs:
        out = bench.folder / "warm"
        out.mkdir()
        bench.server.warm(job.words(out))
        shutil.rmtree(out)
    return {job.name: job for job in jobs}


ALL_NAMES = (
    *("build", "import", "export", "inspect", "train", "enhance"),
    *("align", "inspect pairs", "export webdataset", "export parquet"),
    *("simulate", "study create", "study report", "reproduce", "evaluate", "import checkpoint", "export pt2"),
)


def all_jobs(bench: Bench) -> dict[str, Job]:
    """Every command that writes, but for those that serve and the demo, which is made of the others."""
    return {**build_jobs(bench), **use_jobs(bench), **folder_jobs(bench), **other_jobs(bench)}


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _whole_model(out: Path, name: str, data: bytes) -> bool:
    """Whether a run's file is in order though not the last one: a whole model of an earlier step, rows so far."""
    if name.endswith("enhancer.safetensors"):
        load_enhancer(out / name)  # compares the weights with the file's own sha256
        return True
    return name.endswith(("metrics.csv", "README.md"))


def _is_of_report(out: Path, name: str, data: bytes) -> bool:
    """Whether a file is of the report that follows the build, whose page is written last."""
    return name.startswith("report/") and not (out / "report/index.html").exists()


def _page_is_missing(out: Path, name: str, data: bytes) -> bool:
    """Whether a report's pictures need not be whole yet: its page, which is written last, is not there."""
    return not (out / "index.html").exists() and name != "verdict.json"

"""The rooms of the house: who may import whom, read from the syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = {
    "dped_data": "errors < common < settings < photos < captures < align.kernels < align < dataset"
    " < work < plan < build < align_folders",
    "dped_train": "cpu, settings, photo_tensors, data, patch_dataset < devices < networks < losses"
    " < export, enhancing, evaluate < run < train < reproduction",
}
"""From left to right: a room imports itself and what stands to its left; those between two "<" leave each other be."""
ABOVE_WORK = "inspection, simulation, released, study"
"""They import what stands up to `work`, and never one another."""
ONLY_FROM = {"dped_data.align.kernels": "dped_data.common.jit"}
"""Rooms that import themselves and this alone."""
DOORS = {
    "dped_data.align": "pipeline, records, warped_photo, ncc, resampling, target_quality",
    "dped_train.cpu": "__init__",
}
"""Rooms that are entered from outside by these files alone."""
TRAINER_ENTERS = "errors, common, photos, captures.records, captures.listing, dataset"
"""What of dped_data the trainer may import."""
NO_NUMERICS = ("dped_data.align.records", "dped_data.captures.records")
"""Files of types that import no room with numbers to crunch, nor numpy when they run."""


def python_files(*packages: str) -> Iterator[tuple[str, Path]]:
    """The dotted name and the file of every module."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(python_files("dped_data", "dped_train"))


@cache
def imports(source: str, running: bool = False) -> set[str]:
    """The modules that a file imports, anywhere in it; with `running` not those that only the type checker reads."""
    tree = ast.parse(source)
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if running and node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def ranks(package: str) -> dict[str, int]:
    """Room -> its place from the left."""
    steps = ORDER[package].split(" < ")
    return {f"{package}.{room}": at for at, step in enumerate(steps) for room in step.split(", ")}


def room_of(module: str, rooms: dict[str, int]) -> str | None:
    """The room a module lies in, the innermost one; None for a package's own face."""
    return max((room for room in rooms if inside(module, room)), key=len, default=None)


def faults(module: str, source: str) -> list[str]:
    """What one file imports against the rules, a line each."""
    package = module.split(".")[0]
    rooms = ranks(package)
    side = {f"dped_data.{room}" for room in ABOVE_WORK.split(", ")}
    rooms |= dict.fromkeys(side, rooms["dped_data.work"] + 1) if package == "dped_data" else {}
    own = room_of(module, rooms)
    found = []
    for name in sorted(imports(source)):
        other = room_of(name, rooms)
        if name.split(".")[0] == package and own and other and own != other and rooms[other] >= rooms[own]:
            found.append(f"{module} imports {name}, which does not stand to its left")
        for room, alone in ONLY_FROM.items():
            if inside(module, room) and name.startswith("dped_") and not (inside(name, room) or name == alone):
                found.append(f"{module} imports {name}; {room} imports {alone} alone")
        for room, doors in DOORS.items():
            allowed = {f"{room}.{door}".removesuffix(".__init__") for door in doors.split(", ")}
            if inside(name, room) and not inside(module, room) and name not in allowed:
                found.append(f"{module} imports {name}; {room} is entered by {doors} alone")
        entered = any(inside(name, f"dped_data.{room}") for room in TRAINER_ENTERS.split(", "))
        if package == "dped_train" and name.startswith("dped_data") and not entered:
            found.append(f"{module} imports {name}; the trainer enters dped_data by {TRAINER_ENTERS} alone")
        if package == "dped_data" and name.split(".")[0] in ("torch", "click", "dped_train", "cli"):
            found.append(f"{module} imports {name}; the data side knows neither torch nor click nor the trainer")
        if package == "dped_train" and name.split(".")[0] in ("click", "cli"):
            found.append(f"{module} imports {name}; the command line stands above the trainer")
    if module in NO_NUMERICS:
        found += [f"{module} imports {name}" for name in imports(source, running=True) if name.startswith("numpy")]
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_what_stands_to_its_left(module: str) -> None:
    if module not in ORDER:  # the packages' own faces hand on names of all rooms
        assert faults(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("dped_data.common.files", "from dped_data.photos.reading import read_photo"),
        ("dped_data.align.features", "import dped_data.dataset.shards"),
        ("dped_data.align.kernels.cholesky", "from dped_data.align.records import Patches"),
        ("dped_data.align.kernels.cholesky", "from dped_data.errors import InputError"),
        ("dped_data.inspection.page", "from dped_data.study import create"),
        ("dped_data.released.exporting", "def late():\n    from dped_data.build import build_dataset"),
        ("dped_data.work.units", "from dped_data.align.kriging import local_kriging"),
        ("dped_data.build", "from dped_data.align import tie_points"),
        ("dped_data.plan", "import torch"),
        ("dped_data.align.records", "import numpy as np"),
        ("dped_train.losses", "from dped_train.train import train"),
        ("dped_train.evaluate.metrics", "from dped_train.enhancing import photos"),
        ("dped_train.networks.dped", "from dped_train.cpu.winograd import Conv3x3"),
        ("dped_train.data", "from dped_data.work.folder import prepare"),
        ("dped_train.export", "import click"),
    ],
)
def test_a_forbidden_import_is_found(module: str, planted: str) -> None:
    assert len(faults(module, f"{MODULES[module].read_text()}\n{planted}\n")) >= 1


@pytest.mark.parametrize("statement", ["import dped_data.dataset.manifest", "import dped_data.plan", "import cli"])
def test_names_and_plans_load_no_numerics(statement: str) -> None:
    code = f"import sys; {statement}; print(sorted({{'torch', 'numba', 'cv2', 'scipy'}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_room_says_what_it_is_and_who_may_enter() -> None:
    for path in MODULES.values():
        if path.name == "__init__.py" and path.parent.parent != ROOT:
            text = ast.get_docstring(ast.parse(path.read_text())) or ""
            assert len([line for line in text.splitlines() if line]) == 2, path


def test_rooms_with_doors_name_them() -> None:
    entered = re.findall(r"captures\.(\w+)", TRAINER_ENTERS)
    for room, doors in (("dped_data.align", DOORS["dped_data.align"].split(", ")), ("dped_data.captures", entered)):
        second = str(ast.get_docstring(ast.parse(MODULES[room].read_text()))).splitlines()[-1]
        assert {*re.findall(r"`(\w+)`", second)} - {"photos"} == {*doors}, room


def test_side_rooms_are_entered_by_whom_they_say() -> None:
    for room in ABOVE_WORK.split(", "):
        name = f"dped_data.{room}"
        said = {*re.findall(r"`(\w+)`", str(ast.get_docstring(ast.parse(MODULES[name].read_text()))).splitlines()[-1])}
        entering = {
            module.split(".")[1]
            for module, path in MODULES.items()
            if "." in module and not inside(module, name) and any(inside(i, name) for i in imports(path.read_text()))
        }
        assert entering == said - {"work"}, room


def test_no_unsafe_loading() -> None:
    for path in [ROOT / "cli.py", *MODULES.values()]:
        source = path.read_text()
        assert not {name.split(".")[0] for name in imports(source)} & {"marshal", "shelve", "dill"}, path
        assert not re.search(r"pickle\.(load|Unpickler)", source), path
        assert "allow_pickle=True" not in source, path
        assert "weights_only=False" not in source, path


def test_files_beside_the_modules_are_packed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package, patterns in project["tool"]["setuptools"]["package-data"].items():
        files = {path for path in (ROOT / package).rglob("*") if path.is_file() and path.parent.name != "__pycache__"}
        beside = {path for path in files if path.suffix != ".py"}
        assert beside, package
        assert beside == {path for pattern in patterns for path in (ROOT / package).glob(pattern)}

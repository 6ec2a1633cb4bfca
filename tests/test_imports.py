"""The rooms of the house: who may import whom, read from the syntax trees."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = {"captures", "split", "features", "homography", "refinement", "patches", "shards"}
ORDER = {"build", "plan", "align"}
"""The only modules that know the order of the stages."""
SHARD_READERS = {"simulation", "inspection", "released", "reviewed"}
"""Rooms that work on finished datasets and so may import the shard reader (a stage)."""
OPEN_TO_TRAINER = {
    "dataset_folder",
    "card",
    "csv_tables",
    "compiled",
    "decoding",
    "errors",
    "exif",
    "files",
    "foreign_files",
    "lazy",
    "memory",
    "photo_files",
    "photo_listing",
    "parent",
    "names",
    "photos",
    "photo_writing",
    "ownership",
    "written_record",
    "work_folder",
    "folder_lock",
    "progress",
    "records",
    "settings",
    "settings_machinery",
    "shards",
    "manifest",
}


def imports(path: Path) -> set[str]:
    """Absolute dotted names that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room(path: Path) -> str:
    """dped_data/simulation/rig.py -> simulation; dped_data/build.py -> build."""
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


def test_a_stage_never_imports_a_stage() -> None:
    for path in sources("dped_data"):
        used = {name.split(".")[1] for name in imports(path) if name.startswith("dped_data.")} & STAGES
        if room(path) in ORDER | {"__init__"}:
            continue
        allowed = {"shards"} if room(path) in SHARD_READERS else set()
        assert used - {room(path)} <= allowed, f"{path.name} imports stages {used}"


def test_the_data_side_never_imports_torch_or_click_or_the_trainer() -> None:
    for path in sources("dped_data"):
        top = {name.split(".")[0] for name in imports(path)}
        assert not top & {"torch", "click", "dped_train", "cli"}, path


def test_the_trainer_uses_leaves_and_the_shard_reader_only() -> None:
    for path in sources("dped_train"):
        names = imports(path)
        used = {name.split(".")[1] for name in names if name.startswith("dped_data.")}
        assert used <= OPEN_TO_TRAINER, f"{path.name} imports {used - OPEN_TO_TRAINER}"
        assert not {name.split(".")[0] for name in names} & {"click", "cli"}, path


def test_files_and_functions_stay_readable() -> None:
    for path in [*sources("dped_data"), *sources("dped_train"), *sources("benchmarks")]:
        text = path.read_text()
        assert len(text.splitlines()) <= 300, f"{path} has {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                documented = ast.get_docstring(node, clean=False)
                length -= len(documented.splitlines()) if documented else 0
                assert length <= 60, f"{path}: {node.name} has {length} lines"


def test_no_unsafe_loading() -> None:
    for path in [ROOT / "cli.py", *sources("dped_data"), *sources("dped_train")]:
        assert not {name.split(".")[0] for name in imports(path)} & {"marshal", "shelve", "dill"}, path
        assert not re.search(r"pickle\.(load|Unpickler)", path.read_text()), path
        assert "allow_pickle=True" not in path.read_text(), path
        assert "weights_only=False" not in path.read_text(), path

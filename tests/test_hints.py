"""Every command that the program names is one that runs: those in the code here, those it prints in test_cli."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hints import hints_in, options, parse
from make_shards import make_dataset

import cli
from dped_data.common.hints import data_words, hint
from dped_data.common.typed_settings import settings_dict
from dped_data.dataset.made_by import making
from dped_data.dataset.manifest import find_dataset
from dped_data.errors import InputError
from dped_data.settings import BuildSettings

ROOT = Path(__file__).parents[1]
SOURCES = sorted([ROOT / "cli.py", *(ROOT / "dped_data").rglob("*.py"), *(ROOT / "dped_train").rglob("*.py")])
COMMAND = rf"dped ({'|'.join(cli.dped.commands)})\b"
UNMARKED = re.compile(rf"((\b[Rr]un|\b[Tt]ry|: ?|\bwith) {COMMAND})|({COMMAND}( [a-z]+)? (--|[A-Z]{{2}}))")
"""What looks like a command to run."""
OF_OTHERS = {"--help", "--no", "--memory-limit", "--nthreads", "--nworkers"}
"""Flags of click and of `dask worker`."""
KNOWN = {*options()} | OF_OTHERS


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a file but its docstrings; a value in one stands as a word."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(p) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for p in ast.walk(n) if p is not n}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | inner:
            yield node.value


def built(tree: ast.AST) -> Iterator[str]:
    """The commands that a file builds by `hint`; a value stands as a word, values of any number as none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hint":
            words = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
            yield hint(*(str(word.value) if isinstance(word, ast.Constant) else "VALUE" for word in words))


def faults(source: str) -> list[str]:
    """What a source file names that would not run."""
    found, tree = [], ast.parse(source)
    named = [text for text in texts(tree) if "dped " in text or "--" in text]
    for command in [*built(tree), *(command for text in named for command in hints_in(text))]:
        try:
            parse(command)
        except click.UsageError as error:
            if "'VALUE' is not one of" not in error.message and command != "dped VALUE":
                found.append(f"{command}: {error.message}")
    for text in named:
        plain = re.sub(r"`[^`]*`", "", text)
        if not hints_in(text) and UNMARKED.search(plain):
            found.append(f"neither in backticks nor to the end of a line: {text}")
        flags = {*re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", plain)}
        found += [f"no such flag: {flag}" for flag in sorted(flags - KNOWN)]
    return found


def test_every_command_and_flag_named_in_the_code_exists() -> None:
    assert {str(path): found for path in SOURCES if (found := faults(path.read_text()))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "raise InputError(f'{path}: missing; run dped build-dataset again')",
        "note('look at it with: dped inspect-pair --data x')",
        "note(f'look at it with: dped inspect-pairs --csv {data}')",
        "note(f'train with `dped train --steps {name} --quick`')",
        "note(hint('study serv', folder))",
        "note(hint('import-checkpoint', 'PREFIX'))",
        "note('give another one by --pixels')",
        "note('the command dped train --data x does it')",
    ],
)
def test_one_that_does_not_is_found(planted: str) -> None:
    assert len(faults(planted)) == 1


def test_words_are_quoted_and_defaults_left_out() -> None:
    assert hint("study serve", Path("my study")) == "dped study serve 'my study'"
    assert data_words(Path("dataset")) == [] and data_words("s3://a/b", "--out") == ["--out", "s3://a/b"]
    with pytest.raises(InputError, match=r"`dped build-dataset --phone sony --out 'my data'` makes one"):
        find_dataset(Path("my data"), "sony")


def test_what_made_a_dataset_makes_it_again(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "my data" / "toy", train=2, val=0, test=0)
    (folder / ".build").mkdir(exist_ok=True)
    (folder / ".build" / "captures_folder").write_text("../../photos\n")
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["settings"] = settings_dict(BuildSettings())
    (folder / "dataset.json").write_text(json.dumps(manifest))
    shard = folder / "train/00000.h5"
    places = {"--rig": folder / "dataset.json", "--captures": tmp_path / "photos", "--out": folder.parent}
    assert shlex.split(making(shard).strip("`")) == [
        *("dped", "build-dataset", "--rig", str(places["--rig"]), "--phone", "toy"),
        *("--captures", str(places["--captures"]), "--out", str(places["--out"])),
    ]
    shard.write_bytes(b"")
    assert making(shard).startswith("`dped build-dataset --rig ")
    manifest["settings"] = {"source": "imported", "phone": "toy"}
    (folder / "dataset.json").write_text(json.dumps(manifest))
    assert making(shard) == f"`{hint('import-dped', tmp_path / 'photos', '--phone', 'toy', '--out', folder.parent)}`"
    assert making(tmp_path / "alone.h5") == "`dped build-dataset`"
    for place in (shard, tmp_path / "alone.h5"):
        parse(making(place).strip("`"))

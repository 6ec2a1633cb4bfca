"""What no code of the project may do, read from the syntax trees: run shells, unpickle, evaluate text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    ROOT / "cli.py",
    ROOT / "hubconf.py",
    *(p for f in ("dped_data", "dped_train", "benchmarks", "docs") for p in (ROOT / f).rglob("*.py")),
]
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "yaml.load"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "joblib.load"),
    *("marshal.load", "marshal.loads", "shelve.open", "dill.load", "dill.loads", "pandas.read_pickle"),
}


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """A piece of code, taken apart once for all rules."""
    return tuple(ast.walk(ast.parse(source)))


@cache
def called(call: ast.Call) -> str:
    """The function as the code writes it."""
    return ast.unparse(call.func)


def violations(source: str) -> list[str]:
    """What a piece of code does that is forbidden, with its line."""
    names = {}
    for node in nodes(source):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return [
        f"line {node.lineno}: {what}"
        for node in nodes(source)
        if isinstance(node, ast.Call)
        for what in faults(node, names)
    ]


def faults(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    first, _, rest = called(call).partition(".")
    name = ".".join(filter(None, [names.get(first, first), rest]))
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in FORBIDDEN_CALLS:
        yield name
    if given.get("shell", "False") != "False":
        yield "shell=True"
    if given.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if name == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"


WRITERS = {"dped_data/common/ownership.py", "dped_data/common/work_folder.py", "dped_data/common/written_record.py"}
"""Where files may be deleted and replaced: after they were held against the record."""
STORE_WRITERS = {"dped_data/common/remote_folder.py"}
DELETING = {
    *("unlink", "rmdir", "removedirs", "rmtree", "rename", "renames", "move", "rm", "rm_file", "rm_files", "_rm"),
    *("delete", "delete_object", "delete_objects", "remove_file"),
}
DELETING_OF_MODULES = {f"{module}.{name}" for module in ("os", "shutil") for name in (*DELETING, "remove", "replace")}


def deletions(source: str) -> list[str]:
    """The calls of a piece of code that delete, replace or rename files or objects, with their lines."""
    found = []
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in nodes(source)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in nodes(source):
        if not isinstance(node, ast.Call):
            continue
        name = imported.get(called(node), called(node))
        last = name.rpartition(".")[2]
        # One value alone: Path.replace(target). Texts are replaced with two, dataclasses and times by keywords.
        replaces = last == "replace" and "." in name and len(node.args) == 1 and not node.keywords
        own = name.startswith(("dped_data.", "dped_train."))
        if name in DELETING_OF_MODULES or replaces or (last in DELETING and "." in name and not own):
            found.append(f"line {node.lineno}: {name}")
    return found


PROGRAM = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("cli.py", "dped_data", "dped_train")]


@pytest.mark.parametrize("path", PROGRAM, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_deleted_and_replaced_in_one_place(path: Path) -> None:
    if str(path.relative_to(ROOT)) not in WRITERS | STORE_WRITERS:
        assert deletions(path.read_text()) == []


@pytest.mark.parametrize(
    "code",
    [
        "path.unlink()",
        "shutil.rmtree(folder, ignore_errors=True)",
        "from shutil import rmtree; rmtree(folder)",
        "os.remove(path)",
        "os.replace(a, b)",
        "a.replace(b)",
        "a.rename(b)",
        "(a / 'x').rmdir()",
        "shutil.move(a, b)",
        "system.rm_file(path)",
        "system.rm(path, recursive=True)",
    ],
)
def test_the_rule_sees_what_deletes(code: str) -> None:
    assert deletions(code)


def test_the_rule_lets_other_replacements_pass() -> None:
    assert deletions("text.replace('a', 'b')\ndataclasses.replace(a, b=1)\ntime.replace(tzinfo=UTC)\nreplace(a)") == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_shell_no_pickle_no_evaluation(path: Path) -> None:
    assert violations(path.read_text()) == []


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess; subprocess.run('ls', shell=True)",
        "import subprocess as s; s.run('ls', shell=flag)",
        "from os import system; system('ls')",
        "import pickle; pickle.load(file)",
        "from pickle import loads as read; read(b'')",
        "import numpy as np; np.load('a.npy', allow_pickle=True)",
        "import torch; torch.load('a.pth')",
        "import torch; torch.load('a.pth', weights_only=False)",
        "import joblib; joblib.load('a')",
        "eval('1')",
    ],
)
def test_the_rules_see_what_they_forbid(code: str) -> None:
    assert violations(code)


def test_the_rules_let_the_harmless_pass() -> None:
    code = (
        "import torch, numpy as np, re\ntorch.load('a', weights_only=True)\nnp.load('a')\nre.compile('a')\nmodel.eval()"
    )
    assert violations(code) == []


def test_the_lock_has_the_versions_of_the_constraints() -> None:
    """`make lock` makes it current. Every package has hashes; torch comes from elsewhere."""
    pinned = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().split("wrote this.\n")[1])
    locked = {}
    for entry in entries:
        name, version = re.match(r"(\S+)==([^\s;]+)", entry).groups()  # type: ignore[union-attr]
        assert "--hash=sha256:" in entry, name
        locked[name.lower()] = version
    assert "torch" not in locked and len(locked) > 100
    known = {re.sub(r"[-_.]+", "-", name): version for name, version in pinned.items()}
    assert {name: known.get(name, version) for name, version in locked.items()} == locked


STORE_CHANGES = {
    *("rm", "_rm", "rm_file", "_rm_file", "rmdir", "delete", "bulk_delete", "delete_object", "delete_objects"),
    *("put", "_put", "put_file", "_put_file", "pipe", "pipe_file", "_pipe_file", "cp_file", "_cp_file", "upload"),
    *("upload_file", "put_object", "copy_object", "mv", "mv_file", "move", "setxattr", "sign"),
}
STORE_LIBRARIES = {"fsspec", "s3fs", "gcsfs", "adlfs", "boto3", "botocore", "aiobotocore", "google"}


def store_changes(source: str) -> list[str]:
    """Where code can change a store: functions that use the libraries for them, and what those call to change it."""
    return sorted(
        f"{outer.name}: {ast.unparse(node)}"
        for outer in nodes(source)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(outer)
        if isinstance(node, ast.Attribute) and node.attr in STORE_CHANGES
    )


def test_objects_of_a_store_are_replaced_and_removed_in_one_place() -> None:
    """There the state is checked that the object must be in; see RemoteFolder."""
    for path in SOURCES:
        source = path.read_text()
        names = {alias.name for node in nodes(source) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in nodes(source) if isinstance(node, ast.ImportFrom)}
        used = {name.split(".")[0] for name in names} & STORE_LIBRARIES
        remote = path == ROOT / "dped_data/common/remote_folder.py"
        assert remote or not used, f"{path}: {used}"
        changes = [change for change in store_changes(source) if remote or "system." in change]
        expected = ["copy: system.cp_file", "remove: system.rm_file", "send: system.put_file"]
        assert changes == (expected if remote else []), path


def test_the_rule_sees_changes_of_a_store() -> None:
    assert store_changes("def f(fs):\n    change = fs.rm\n    change('x')\n") == ["f: fs.rm"]

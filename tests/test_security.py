"""What no code of the project may do, read from the syntax trees: run shells, unpickle, evaluate text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    ROOT / "cli.py",
    *(p for f in ("dped_data", "dped_train", "benchmarks", "docs") for p in (ROOT / f).rglob("*.py")),
]
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "yaml.load"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "joblib.load"),
    *("marshal.load", "marshal.loads", "shelve.open", "dill.load", "dill.loads", "pandas.read_pickle"),
}


def violations(source: str) -> list[str]:
    """What a piece of code does that is forbidden, with its line."""
    tree = ast.parse(source)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return [
        f"line {node.lineno}: {what}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for what in faults(node, names)
    ]


def faults(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    first, _, rest = ast.unparse(call.func).partition(".")
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
        for outer in ast.walk(ast.parse(source))
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(outer)
        if isinstance(node, ast.Attribute) and node.attr in STORE_CHANGES
    )


def test_objects_of_a_store_are_replaced_and_removed_in_one_place() -> None:
    """There the state is checked that the object must be in; see RemoteFolder."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        used = {name.split(".")[0] for name in names} & STORE_LIBRARIES
        remote = path == ROOT / "dped_data/remote.py"
        assert remote or not used, f"{path}: {used}"
        changes = [change for change in store_changes(path.read_text()) if remote or "system." in change]
        expected = ["copy: system.cp_file", "remove: system.rm_file", "send: system.put_file"]
        assert changes == (expected if remote else []), path


def test_the_rule_sees_changes_of_a_store() -> None:
    assert store_changes("def f(fs):\n    change = fs.rm\n    change('x')\n") == ["f: fs.rm"]

"""What is printed cannot steer a terminal and can always be encoded."""

from __future__ import annotations

import ast
import io
import os
from pathlib import Path

import pytest

from dped_data.common.progress import note, printable

ROOT = Path(__file__).parents[3]
PRINTERS = {"print", "click.echo", "tqdm.write", "sys.stderr.write", "sys.stdout.write"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.jpg: 3 \u00d7 4\tmm\nb", "a.jpg: 3 \u00d7 4\tmm\nb"),
        ("\x1b[2J\r\x07\x7f\x9b", r"\x1b[2J\x0d\x07\x7f\x9b"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\udce9.jpg"),
    ],
)
def test_names_are_shown_without_their_effects(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode()


def test_what_the_stream_cannot_show_is_escaped() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert printable("caf\u00e9 \u65e5", stream) == "caf\u00e9 \\u65e5"


def test_notes_are_shown_so_too(capfd: pytest.CaptureFixture[str]) -> None:
    note("a\x1b[31mb")
    assert capfd.readouterr().err == "dped: a\\x1b[31mb\n"


def test_nothing_else_prints() -> None:
    """`print`, `click.echo`, `tqdm.write` and the streams' own `write` are called in one place each."""
    for path in [ROOT / "cli.py", *(ROOT / "dped_data").rglob("*.py"), *(ROOT / "dped_train").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        homes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in ("_echo", "note")]
        allowed = {id(inner) for home in homes for inner in ast.walk(home)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and id(node) not in allowed:
                assert ast.unparse(node.func) not in PRINTERS, path

"""Ctrl-C is taken over before any library is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

_PRESSED = """
import os, signal, sys

class Press:
    def find_spec(self, name, *rest):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
assert sys.argv[1] not in sys.modules
sys.path.insert(0, os.getcwd())
sys.meta_path.insert(0, Press())
sys.argv[0] = "dped"
import cli
"""


@pytest.mark.parametrize("library", ["dataclasses", "logging", "threading", "json", "click"])
def test_ctrl_c_while_the_first_libraries_are_loaded_is_one_line(library: str) -> None:
    isolated = [] if library == "click" else ["-S"]  # without what an environment loads on its own
    ended = subprocess.run(
        [sys.executable, *isolated, "-c", _PRESSED, library], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stderr == "dped: interrupted; run the same command again\n"
    assert ended.returncode == 130


_AT_WORK = (
    ("align a b", "dped_data.align_folders", " to go on"),
    ("align a b --overwrite", "dped_data.align_folders", " without --overwrite to go on"),
    ("import-dped released --phone sony", "dped_data.released", " to go on"),
    ("simulate-rig --photos a --out b", "dped_data.simulation.rig", " to go on"),
    ("simulate-rig --score a --rig b", "dped_data.simulation.score", "; it begins anew"),
    ("inspect-pairs", "dped_data.work.remote_copy", "; it begins anew"),
    ("export-dped --out a", "dped_data.released", "; it begins anew"),
    ("train", "dped_data.work.remote_copy", " to go on"),
    ("enhance model photo.jpg --out a --overwrite", "dped_train.enhancing.photos", " to go on"),
    ("evaluate --identity", "dped_data.work.remote_copy", "; it begins anew"),
    ("reproduce all", "dped_data.work.remote_copy", " to go on"),
    ("export-onnx model --out a.onnx", "dped_train.export", "; it begins anew"),
    ("demo", "dped_data.simulation.demo_photos", "; it begins anew"),
)
"""Command, the part of the program that it loads first, and what Ctrl-C then says of the same command."""


@pytest.mark.parametrize(("command", "part", "then"), _AT_WORK, ids=[command for command, _, _ in _AT_WORK])
def test_ctrl_c_says_what_the_same_command_will_do(command: str, part: str, then: str, tmp_path: Path) -> None:
    code = f"{_PRESSED}\nsys.argv[1:] = {command.split()!r}\ncli.main()"
    code = code.replace("sys.argv[1]:", f"{part!r}:").replace("assert sys.argv[1]", f"assert {part!r}")
    code = code.replace("sys.path.insert(0, os.getcwd())", f"sys.path.insert(0, {str(ROOT)!r})")
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stderr == f"dped: interrupted; run the same command again{then}\n"
    assert (ended.returncode, ended.stdout) == (130, "") and not list(tmp_path.iterdir())

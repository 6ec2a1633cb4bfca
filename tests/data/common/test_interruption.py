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
    assert ended.stderr == "dped: interrupted; run the same command again to go on\n"
    assert ended.returncode == 130

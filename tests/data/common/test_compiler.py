"""The compiled loops with the compiler off, and the versions of the compiler that they were tested with."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]


def test_loops_agree_with_numpy_without_the_compiler() -> None:
    """Then numpy checks every index from above, and negative ones show as wrong values."""
    command = [sys.executable, "-m", "pytest", "tests/naive", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("name", ["numba", "llvmlite"])
def test_the_compiler_is_bounded_by_what_was_tested(name: str) -> None:
    """A next version may compile the sampling intrinsic to something else, or not at all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (allowed,) = [r for r in map(Requirement, project["dependencies"]) if r.name == name]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (tested,) = [line.split("==")[1].split()[0] for line in lines if line.startswith(f"{name}==")]
    assert allowed.specifier.contains(tested)
    major, minor = tested.split(".")[:2]
    assert not allowed.specifier.contains(f"{major}.{int(minor) + 1}.0")

"""Compiled code is kept where there is a place, and compiled anew where what was kept cannot be read."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from dped_data.common import code_cache

MODULE = """
from dped_data.common.jit import njit

@njit(cache=True)
def twice(x):
    return 2 * x
"""


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compiled_once", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("size", [0, 20, 200])
def test_a_file_that_was_cut_off_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], suffix: str, size: int
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))  # numba looks at it again now and then
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "kept"))
    path = tmp_path / "compiled_once.py"
    path.write_text(MODULE)
    assert loaded(path).twice(4) == 8
    (file,) = (tmp_path / "kept").rglob(f"*{suffix}")
    whole = file.stat().st_size
    os.truncate(file, size)
    assert loaded(path).twice(4) == 8
    assert file.stat().st_size > whole * 0.9
    again = loaded(path)
    assert again.twice(4) == 8 and sum(again.twice.stats.cache_hits.values()) == 1
    assert capfd.readouterr() == ("", "")


def test_without_a_place_there_is_a_temporary_one_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file/cache"))
    (tmp_path / "file").touch()
    monkeypatch.setattr(code_cache, "__file__", str(tmp_path / "file/code_cache.py"))
    folder = code_cache.find_place.__wrapped__()
    assert folder is not None and os.environ["NUMBA_CACHE_DIR"] == folder.name
    assert Path(folder.name).stat().st_mode & 0o077 == 0
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and "NUMBA_CACHE_DIR=DIR" in lines[0]
    folder.cleanup()


def test_a_home_folder_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(code_cache, "__file__", "/proc/code_cache.py")
    assert code_cache.find_place.__wrapped__() is None

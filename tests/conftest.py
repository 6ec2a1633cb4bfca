"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photos and reference outputs that do not ship with the project; skips where it is missing."""
    folder = Path(os.environ.get("DPED_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set DPED_SHARED_DATA to its folder")
    return folder

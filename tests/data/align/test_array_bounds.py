"""Compiled loops never index outside their arrays, on pairs that take every path through the alignment."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CODE = """
import numpy as np
from small_rig import pair
from dped_data.align.pipeline import align_photos
from dped_data.settings import load_build_settings

for index in range(4):
    phone, dslr = pair(index)
    near = dslr.copy()
    near[90:200, 150:280] = dslr[90:200, 143:273]  # a near object, so that windows have rivals and others have none
    for photo in (dslr, near):
        for alignment in ("refined", "paper"):
            align_photos(phone, photo, load_build_settings(None, {"patch_size": 48, "alignment": alignment}))
print("inside")
"""


ROOT = Path(__file__).parents[3]


def compiled_with_checks() -> Path:
    """Where code with checks is kept for the next run: it holds for these very sources, all that compiled loops see."""
    rooms = (ROOT / "dped_data" / "align", ROOT / "dped_data" / "common")  # compiled loops use no other
    sources = b"".join(path.read_bytes() for room in rooms for path in sorted(room.rglob("*.py")))
    place = Path(__file__).parent / "__pycache__"
    ours = place / f"checked-{hashlib.sha256(sources).hexdigest()[:16]}"
    for old in {*place.glob("checked-*")} - {ours}:
        shutil.rmtree(old, ignore_errors=True)
    return ours


def test_alignment_reads_inside_its_arrays() -> None:
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(compiled_with_checks()),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]),
    }
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "inside", done.stderr

"""The examples of docs/python.md run, in their order, in a folder as the page describes it; README's names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_rig import write_rig

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rig(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    examples = list(re.finditer(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    assert len(examples) > 5
    names: dict[str, Any] = {}
    for example in examples:
        line = PAGE.read_text()[: example.start(1)].count("\n")
        exec(compile("\n" * line + example[1], str(PAGE), "exec"), names)  # noqa: S102
    assert names["store"].patch_size == 64 and len(names["result"].of("enhanced")) == 3
    assert names["whole"].shape == names["photo"].shape


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = (
        "import sys, dped_data, dped_train\n"
        "assert not {'torch', 'cv2', 'h5py', 'numba', 'onnx'} & set(sys.modules)\n"
        "from dped_data import PatchStore, build_dataset\n"
        "assert 'torch' not in sys.modules\n"
        "from dped_train import PatchPairs, enhance, export_enhancer, load_enhancer\n"
        "assert callable(enhance) and 'onnx' not in sys.modules\n"
        "import dped_train.enhancing.photos\n"
        "from dped_train import enhance\n"
        "assert callable(enhance)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_public_names_exist() -> None:
    import dped_data
    import dped_train

    for package in (dped_data, dped_train):
        for name in package.__all__:
            assert getattr(package, name).__module__.startswith(package.__name__)
        with pytest.raises(AttributeError, match="attribute nonsense"):
            package.nonsense  # noqa: B018

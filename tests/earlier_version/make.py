"""Make tests/earlier_version/format_1.tar.xz: a small dataset and a run, written by the version of dped that is given.

    python tests/earlier_version/make.py --project CHECKOUT --out FILE

runs the commands of the checkout (its `cli.py` and its tests/small_rig.py) with this Python. What is in the archive
is as those commands left it, byte for byte: photos, shards, manifest, tables, unit records, the checkpoint and the
enhancer. Two things keep it small. It is the network of three layers that is trained, not the paper's, and its random
first weights are zeros (the three channels that hand the photo through are not), so that most of a checkpoint packs to
nothing. TensorBoard's events and the notes of who held a folder are left out.

    captures/{pocket,slr}/000.jpg, 001.jpg    the captures of the dataset
    later/{pocket,slr}/002.jpg                one more, to extend it with
    rig.toml  dataset/pocket/  runs/pocket/

The archive in the project was written by the commit before settings could be added (c3c119a).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from importlib import import_module
from pathlib import Path

from PIL import Image

BUILD = (
    *("build-dataset", "--phone", "pocket", "--rig", "rig.toml", "--jobs", "1"),
    *("--patch-size", "32", "--stride", "90", "--captures-per-shard", "1", "--test-captures", "0", "--val-share", "0"),
)
TRAIN = (
    *("train", "--phone", "pocket", "--method", "srcnn", "--steps", "2", "--batch-size", "2", "--seed", "7"),
    *("--texture-weight", "0", "--device", "cpu", "--precision", "fp32"),
)
ZEROS_FOR_RANDOM = "import torch; torch.nn.init.trunc_normal_ = lambda tensor, **_: torch.nn.init.zeros_(tensor); "
COMMAND = "import sys; sys.path.insert(0, sys.argv.pop(1)); import cli; cli.main()"


def main() -> None:
    """Run the commands in a temporary folder and pack what they wrote."""
    parser = argparse.ArgumentParser(description="pack a small dataset and a run as a version of dped writes them")
    parser.add_argument("--project", type=Path, required=True, help="checkout of that version")
    parser.add_argument("--out", type=Path, required=True, help="the archive to write")
    given = parser.parse_args()
    project = given.project.resolve()
    sys.path[:0] = [str(project), str(project / "tests")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rig = import_module("small_rig")
        (folder / "rig.toml").write_text(rig.RIG_TOML)
        for index, place in enumerate(("captures", "captures", "later")):
            for camera, pixels in zip(("pocket", "slr"), rig.pair(index), strict=True):
                path = folder / place / camera / f"{index:03d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path, quality=80)
        for code, arguments in ((COMMAND, BUILD), (ZEROS_FOR_RANDOM + COMMAND, TRAIN)):
            subprocess.run([sys.executable, "-c", code, project, *arguments], cwd=folder, check=True)
        pack(folder, given.out)


def pack(folder: Path, archive: Path) -> None:
    """Write the files of `folder` as a tar file that names neither user nor time."""
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and "tensorboard" not in name.parts and path.name != "lock-holder.json":
                entry = tarfile.TarInfo(name.as_posix())
                entry.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(entry, file)


if __name__ == "__main__":
    main()

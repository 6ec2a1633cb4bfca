"""Make docs/images/enhanced.jpg: photos that ship with scikit-image, and what a model makes of them beside them.

Run from the repository's root with the authors' iPhone generator (docs/training.md says how to import it):
`python docs/make_enhanced_picture.py iphone.safetensors`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dped_data.photos.reading import read_photo  # noqa: E402
from dped_data.photos.writing import write_photo  # noqa: E402
from dped_train import EnhanceSettings, enhance  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "enhanced.jpg"
PHOTOS = ("coffee", "rocket")
SIZE_WH = (960, 310)


def main(model: str) -> None:
    """Enhance the photos and write the picture."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for photo in PHOTOS:
            write_photo(folder / f"{photo}.png", getattr(skimage.data, photo)())
        settings = EnhanceSettings(format="png", precision="fp32", side_by_side=True)
        report = enhance(model, [folder / f"{photo}.png" for photo in PHOTOS], folder / "out", settings)
        for result in report.photos:
            both = read_photo(result.output)
            rows.append(cv2.resize(both, SIZE_WH, interpolation=cv2.INTER_AREA))
    write_photo(PICTURE, np.vstack(rows), quality=85)


if __name__ == "__main__":
    main(sys.argv[1])

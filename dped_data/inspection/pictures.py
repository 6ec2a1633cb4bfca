"""Write the report's pictures (leaf)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dped_data.common.files import write_bytes


def write_jpeg(path: Path, pixels: NDArray[np.uint8], quality: int, subsampling: str = "444") -> None:
    """Write an RGB picture as JPEG."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", subsampling)
    write_bytes(path, data)

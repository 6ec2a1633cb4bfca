"""Some of many rows, spread evenly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spread_rows(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` of the rows 0 to count - 1, spread evenly, the first and the last among them; 0: all."""
    if not most or most >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))

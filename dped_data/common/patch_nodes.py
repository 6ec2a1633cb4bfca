"""The nodes of a patch: the 5x5 places in it at which its geometry is stored (docs/format.md, `dslr_xy`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NODES = 5
"""Nodes along each side."""


def node_steps(size: int) -> NDArray[np.float64]:
    """Return the (5,) rows, or columns, of the nodes of a patch of `size` pixels a side, ends included."""
    return np.linspace(0.0, size - 1, NODES)


def node_grid(size: int) -> NDArray[np.float64]:
    """Return the (5, 5, 2) places of the nodes within a patch, [row, column] -> x, y."""
    steps = node_steps(size)
    return np.stack(np.meshgrid(steps, steps), axis=-1)

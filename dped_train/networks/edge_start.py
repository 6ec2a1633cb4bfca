"""First weights with which the discriminator sees texture from its first step on.

Photos hold a thousand times more power in their coarse structure than in their finest. The authors' random filters of
the first layer weigh both alike, so that what they pass on is brightness and shading; a blur of one pixel, which takes
all fine texture, changes it by a twentieth, and the layers behind find nothing in it for hundreds of steps
(docs/training.md has the figures). Filters that do not answer to even brightness, and little to shading, pass texture
on. Ours; the network stays the authors', and training may move these weights anywhere.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from dped_train.networks.dped import Discriminator

LAPLACIAN = ((1 / 12, 2 / 12, 1 / 12), (2 / 12, -1.0, 2 / 12), (1 / 12, 2 / 12, 1 / 12))
"""Grows with the square of the frequency, the same in all directions; twice of it outweighs the photos' power."""
FILTER_LENGTH = 20.0
"""Of each filter, the root of its sum of squares: what it passes on of photos has a deviation of about 1."""


def initialise_to_edges(discriminator: Discriminator) -> None:
    """Change the first layer of a freshly initialised `discriminator` so that it passes on texture alone.

    Each filter is its random one after two Laplacians, its mean taken out. All other weights stay as they are.
    """
    with torch.no_grad():
        weights = discriminator.first.weight
        laplacian = torch.tensor(LAPLACIAN, dtype=weights.dtype)[None, None]
        filters = weights.detach()
        for _ in range(2):
            filters = F.conv2d(filters, laplacian, padding=1)
        filters = filters - filters.mean(dim=(2, 3), keepdim=True)
        weights.copy_(FILTER_LENGTH * filters / filters.square().sum(dim=(2, 3), keepdim=True).sqrt())

"""Robust local kriging: each window's displacement from its own measurement and its neighbours'.

A Gaussian process with zero mean around the smooth map, solved for every window from its nearest measurements alone.
Measurements that contradict the window's own (another surface: a depth edge) or all others (a wrong track) lose
their weight, so that a near object is described by its own windows and not by its background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dped_data.align.kernels import kriging as kernel
from dped_data.align.records import FieldPrior


@dataclass(frozen=True)
class LocalField:
    """The field at N windows, in the units of the input.

    Attributes:
        nodes: (N, K, 2) displacement at each window's K nodes.
        sd: (N,) predicted root mean square error of the nodes' displacement (length of the 2-D error).
        conflict: (N,) share of the nearest 8 measurements that lost their weight.
        conflict_px: (N,) mean distance of those from the window's field, same units as the displacements.
    """

    nodes: NDArray[np.float64]
    sd: NDArray[np.float64]
    conflict: NDArray[np.float64]
    conflict_px: NDArray[np.float64]


def local_kriging(
    centre_xy: NDArray[np.float64],
    displacement: NDArray[np.float64],
    covariance: NDArray[np.float64],
    usable: NDArray[np.bool_],
    query_xy: NDArray[np.float64],
    own: NDArray[np.int64],
    prior: FieldPrior,
) -> LocalField:
    """Estimate the displacement at the nodes of N windows from M measurements.

    Args:
        centre_xy: (M, 2) where the measurements lie.
        displacement: (M, 2) what they found; covariance: (M, 2, 2).
        usable: (M,) measurements that may inform others.
        query_xy: (N, K, 2) nodes; the window's centre is their mean.
        own: (N,) row of the window's own measurement, -1 where it has none.
        prior: see FieldPrior.
    """
    count, nodes = query_xy.shape[:2]
    field = LocalField(np.zeros((count, nodes, 2)), *np.zeros((3, count)))
    prior_values = np.array([prior.near_px, prior.near_sd, prior.far_px, prior.far_sd, prior.nugget_sd])
    kernel.local_kriging(
        np.ascontiguousarray(centre_xy),
        np.ascontiguousarray(displacement),
        np.ascontiguousarray(covariance),
        usable,
        np.ascontiguousarray(query_xy),
        own,
        prior_values,
        field.nodes,
        field.sd,
        field.conflict,
        field.conflict_px,
    )
    return field

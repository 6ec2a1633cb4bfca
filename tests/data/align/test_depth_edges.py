from __future__ import annotations

from functools import cache

import numpy as np
from planted_scene import texture

from dped_data.align.depth_edges import quadrant_moves, rival_evidence
from dped_data.align.kernels.cell_evidence import foreign_cells
from dped_data.align.kernels.lucas_kanade import quadratic_maps
from dped_data.align.pyramid import Level, make_level
from dped_data.align.smooth_map import SmoothMap, smooth_map_of_homography
from dped_data.align.tie_points import place_tie_points

WIDTH, HEIGHT = 700, 500


@cache
def scene(edge_x: float, moved: tuple[float, float] = (7.0, 2.0)) -> tuple[Level, SmoothMap]:
    """A phone photo whose part right of `edge_x` the DSLR sees displaced by so many px."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    xy = np.stack((x, y), axis=-1)
    dslr = texture(xy)
    phone = texture(np.where((x > edge_x)[..., None], xy + np.array(moved), xy))
    noise = np.random.default_rng(0).normal(0, 2, (2, HEIGHT, WIDTH))
    grey = [np.clip(image + n, 0, 255).astype(np.uint8) for image, n in zip((phone, dslr), noise, strict=True)]
    smooth = smooth_map_of_homography(np.eye(3), (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    return make_level(grey[0], grey[1], 1.0, 2, 0.7), smooth


def verdicts(edge_x: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window lefts, quadrant verdicts and rival evidence for windows that truly lie left or right of the edge."""
    level, smooth = scene(edge_x)
    window_xy = np.stack(np.meshgrid(np.arange(0, 700, 100), np.arange(0, 500, 100)), axis=-1).reshape(-1, 2)
    windows = place_tie_points(level, window_xy.astype(np.int32), 100)
    right = window_xy[:, 0] + 50 > edge_x
    displacement = np.where(right[:, None], (7.0, 2.0), (0.0, 0.0))
    nodes = np.broadcast_to(displacement[:, None, None], (len(window_xy), 5, 5, 2)).copy()
    moves = quadrant_moves(level, smooth, windows, nodes, 1.0)
    sd = np.full(len(window_xy), 0.05)
    evidence = rival_evidence(level, smooth, windows, nodes, windows, displacement, sd, 0.0)
    return window_xy[:, 0], moves, evidence


def test_an_edge_through_a_window_is_found_both_ways() -> None:
    left, moves, evidence = verdicts(350.0)
    through = left == 300
    assert moves[through].all()
    assert (evidence[through] > 10).all()
    clean = (left < 200) | (left == 500)  # the last column would look beyond the DSLR photo
    assert not moves[clean].any()
    assert (evidence[clean] < 2).all()


def test_an_edge_that_reaches_a_few_pixels_into_a_window_is_found() -> None:
    left, moves, evidence = verdicts(394.0)  # 6 px of the windows from 300 to 399 lie beyond
    assert (evidence[left == 300] > 2).all()
    assert not moves[left == 300].all()  # too narrow for quadrants


def edge_evidence(moved: tuple[float, float], nodes: np.ndarray, slopes: float, edge_x: float = 394.0) -> float:
    """Of a window with an edge at its right end, whose neighbour beyond it moved."""
    level, smooth = scene(edge_x, moved)
    window, beside = (place_tie_points(level, np.array([[x, 200]], np.int32), 100) for x in (300, 400))
    return rival_evidence(level, smooth, window, nodes, beside, np.array([moved]), np.full(1, 0.05), slopes)[0]


def test_rivals_are_those_beyond_what_slopes_make_of_the_way() -> None:
    nodes = np.zeros((1, 5, 5, 2))
    assert edge_evidence((2.0, 1.0), nodes, 0.0) > 2
    assert edge_evidence((2.0, 1.0), nodes, 0.2) == 0  # 2 sd of 0.45 px, twice half a window away, and 0.75
    assert edge_evidence((7.0, 2.0), nodes, 0.2) > 2


def test_a_neighbour_where_the_slope_of_the_window_leads_is_no_rival_on_a_bent_surface() -> None:
    slope = np.stack(np.broadcast_arrays(np.linspace(-3.5, 3.5, 5), np.linspace(-1, 1, 5)), axis=-1)
    nodes = np.broadcast_to(slope, (1, 5, 5, 2))
    assert edge_evidence((7.0, 2.0), nodes, 0.01, 350.0) == 0
    assert edge_evidence((7.0, 2.0), nodes, 0.0, 350.0) > 2


def test_one_surface_without_rivals_has_no_evidence_at_all() -> None:
    _, moves, evidence = verdicts(10_000.0)
    assert not moves.any() and (evidence == 0).all()


def test_evidence_needs_a_candidate() -> None:
    level, _ = scene(10_000.0)
    corners = np.array([[50, 50]], np.int64)
    steps = np.linspace(0, 49, 3)
    maps = quadratic_maps(np.stack(np.meshgrid(steps, steps), axis=-1)[None] + corners[:, None, None])
    none = foreign_cells(level.phone, level.dslr, corners, 50, maps, np.zeros((1, 6)), np.full((1, 2, 2), np.nan), 6, 6)
    assert none[0] == 0

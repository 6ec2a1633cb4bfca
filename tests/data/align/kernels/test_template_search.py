from __future__ import annotations

import numpy as np
from planted_scene import texture

from dped_data.align.kernels.lucas_kanade import quadratic_maps
from dped_data.align.kernels.template_search import search_windows

SIZE, CORNERS = 25, np.array([[30, 30], [60, 45]], np.int64)


def search(template: np.ndarray, image: np.ndarray):
    steps = np.linspace(0, SIZE - 1, 3)
    nodes = np.stack(np.meshgrid(steps, steps), axis=-1)[None] + CORNERS[:, None, None]
    return search_windows(template, image, CORNERS, SIZE, quadratic_maps(nodes), 5)


def test_a_whole_pixel_displacement_is_found_with_its_correlation() -> None:
    y, x = np.mgrid[0:120, 0:120].astype(np.float64)
    template = texture(np.stack((x, y), axis=-1)).astype(np.float32)
    image = texture(np.stack((x - 4, y + 3), axis=-1)).astype(np.float32)
    found, ncc = search(template, 0.6 * image + 20)
    np.testing.assert_array_equal(found, [[4, -3], [4, -3]])
    assert (ncc[:, 1] > 0.999).all() and (ncc[:, 0] < 0.9).all()


def test_without_texture_nothing_moves() -> None:
    rng = np.random.default_rng(0)
    flat = (80 + 1e-3 * rng.standard_normal((120, 120))).astype(np.float32)
    found, ncc = search(flat, np.full((120, 120), 80, np.float32))
    assert (found == 0).all() and (np.abs(ncc) < 0.5).all()

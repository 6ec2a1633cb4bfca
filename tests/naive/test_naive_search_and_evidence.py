from __future__ import annotations

import numpy as np
import pytest
from naive.windows import moved, photo, some_maps, window_values

from dped_data.align.kernels import cell_evidence, template_search
from dped_data.align.kernels.cell_evidence import foreign_cells
from dped_data.align.kernels.template_search import search_windows

SIZE = 9


@pytest.mark.parametrize("radius", [1, 3])
def test_the_search_is_the_correlation_at_every_shift(radius: int) -> None:
    """Correlations to 1e-4: float32 sums of some hundred products, and samples as far apart as SAMPLE_BOUND."""
    template, image = photo(40, 44), photo(40, 44, seed=2)
    image[:, 20:26] = 90.0  # a flat stripe
    corners = np.array([(12, 9), (3, 4), (30, 28), (19, 15)])
    maps = some_maps(corners, SIZE)
    displacement, correlation = search_windows(template, image, corners, SIZE, maps, radius)
    side, least = 2 * radius + 1, template_search.MIN_VARIANCE * SIZE**2
    for k, (left, top) in enumerate(corners):
        window = template[top : top + SIZE, left : left + SIZE].astype(float)
        window -= window.mean()
        region = window_values(image, maps[k], SIZE, -radius, -radius, SIZE + 2 * radius, SIZE + 2 * radius)
        scores = np.empty((side, side))
        for dy in range(side):
            for dx in range(side):
                other = region[dy : dy + SIZE, dx : dx + SIZE]
                other = other - other.mean()
                power = max((window**2).sum(), least) * max((other**2).sum(), least)
                scores[dy, dx] = (window * other).sum() / np.sqrt(power)
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        ranked = scores - template_search.DISTANCE_PENALTY * (x**2 + y**2) / (2 * radius**2)
        dy, dx = np.unravel_index(ranked.argmax(), ranked.shape)
        assert displacement[k].tolist() == [dx - radius, dy - radius]
        np.testing.assert_allclose(correlation[k], [scores[radius, radius], scores[dy, dx]], atol=1e-4)


@pytest.mark.parametrize(("cell", "margin"), [(3, 0), (4, 5)])
def test_evidence_is_the_likelihood_ratio_of_the_cells(cell: int, margin: int) -> None:
    """To 1e-3: variances of samples as far apart as SAMPLE_BOUND."""
    template, size = photo(40, 44), 12
    corners = np.array([(12, 9), (1, 2), (30, 27)])
    maps = 0.1 * some_maps(corners, size)
    half = (size - 1) / 2
    maps[:, :, 0], maps[:, 0, 1], maps[:, 1, 2] = corners + half, half, half
    image = np.roll(template, 2, axis=1)
    image[:20] = (0.7 * np.roll(template, (-1, 1), axis=(0, 1)) + 20)[:20]
    motion = np.random.default_rng(1).normal(0, 0.3, (3, 6))
    candidates = np.array([[(2.0, 0.1), (np.nan, np.nan), (1.0, -1.0)]] * 3)
    found = foreign_cells(template, image, corners, size, maps, motion, candidates, cell, margin)
    centre = (size - 1) / 2
    for k, (x, y) in enumerate(corners):
        left, top = max(x - margin, 0), max(y - margin, 0)
        columns = (min(x + size + margin, 44) - left) // cell
        rows = (min(y + size + margin, 40) - top) // cell
        window = template[top : top + rows * cell, left : left + columns * cell].astype(float)

        def seen(m: np.ndarray, k: int = k, at: tuple[int, ...] = (left - x, top - y, columns, rows)) -> np.ndarray:
            return window_values(image, moved(maps[k], centre, m), size, at[0], at[1], at[2] * cell, at[3] * cell)

        def power(values: np.ndarray, shape: tuple[int, int] = (rows, columns)) -> np.ndarray:
            return values.reshape(shape[0], cell, shape[1], cell).var(axis=(1, 3))

        values = seen(motion[k])
        gain = max(((window - window.mean()) * (values - values.mean())).sum() / (window.var() * window.size), 0.05)
        own = power(values - gain * window)
        floor = np.median(own) + cell_evidence.TEXTURE_MISMATCH * gain**2 * power(window) + cell_evidence.QUANTISATION
        strongest = 0.0
        for candidate in candidates[k]:
            if np.isnan(candidate[0]):
                continue
            other = power(seen(np.array([*candidate, 0, 0, 0, 0])) - gain * window)
            ratio = (own - other) / (2 * floor) * cell**2 / cell_evidence.NOISE_CORRELATION
            blocks = ratio[:-1, :-1] + ratio[1:, :-1] + ratio[:-1, 1:] + ratio[1:, 1:]
            strongest = max(strongest, blocks.max())
        np.testing.assert_allclose(found[k], strongest, rtol=1e-3)
    assert (found > 1).all()

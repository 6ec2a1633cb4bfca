"""The comparison sheet shows each patch unchanged in its place."""

from __future__ import annotations

import numpy as np
import torch

from dped_train.evaluate.comparison_sheet import GAP_PX, WHITE, Column, comparison_sheet, headed_sheet
from dped_train.photo_tensors import bytes_from_photos, photos_from_bytes


def test_columns_and_rows_lie_where_they_belong() -> None:
    rng = np.random.default_rng(0)
    phone, enhanced, dslr = rng.integers(0, 256, (3, 2, 5, 6, 3), dtype=np.uint8)
    sheet = comparison_sheet([phone, enhanced, dslr])
    assert sheet.shape == (2 * 5 + GAP_PX, 3 * 6 + 2 * GAP_PX, 3)
    np.testing.assert_array_equal(sheet[:5, :6], phone[0])
    np.testing.assert_array_equal(sheet[5 + GAP_PX :, 6 + GAP_PX : 12 + GAP_PX], enhanced[1])
    np.testing.assert_array_equal(sheet[:5, 12 + 2 * GAP_PX :], dslr[0])
    assert (sheet[5 : 5 + GAP_PX] == WHITE).all()


def test_scale_repeats_pixels() -> None:
    photo = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    sheet = comparison_sheet([photo], scale=3)
    assert sheet.shape == (6, 6, 3)
    np.testing.assert_array_equal(sheet[::3, ::3], photo[0])
    np.testing.assert_array_equal(sheet[2::3, 2::3], photo[0])


def test_bytes_survive_the_way_to_the_network_and_back() -> None:
    photos = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    tensor = photos_from_bytes(photos, torch.device("cpu"))
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert (float(tensor.min()), float(tensor.max())) == (0, 1)
    np.testing.assert_array_equal(bytes_from_photos(tensor), photos)
    assert bytes_from_photos(torch.tensor([-0.3, 1.4, 0.5]).view(1, 3, 1, 1)).tolist() == [[[[0, 255, 128]]]]


def test_headings_stand_above_their_columns() -> None:
    red, blue = (np.broadcast_to(np.array(c, np.uint8), (2, 30, 30, 3)) for c in ((255, 0, 0), (0, 0, 255)))
    sheet = headed_sheet([Column("phone", red), Column("a heading that is far too long", blue)], scale=2)
    assert sheet.shape == (22 + 2 * 64 - 4, 2 * 64 - 4, 3)
    assert (sheet[22:82, :60] == (255, 0, 0)).all()
    assert (sheet[22:82, 64:] == (0, 0, 255)).all()
    assert (sheet[:22, :60] < 100).any() and (sheet[:22, 60:64] == 255).all()

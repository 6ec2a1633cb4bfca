"""The automatic adjustment: it takes away a known cast and dullness, is global, and enters the evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_shards import make_dataset, make_pairs
from skimage import data as samples

from dped_data.dataset.store import PatchStore
from dped_data.errors import UsageError
from dped_data.photos.writing import write_photo
from dped_train.evaluate.automatic_levels import AdjustedPatches, adjusted, automatic_levels, with_levels
from dped_train.evaluate.capture_photos import capture_photos
from dped_train.evaluate.evaluate import evaluate
from dped_train.evaluate.limitations import colour_deviation


def _photo() -> np.ndarray:
    return np.asarray(samples.astronaut())[::2, ::2].copy()


def test_a_dull_dark_photo_with_a_cast_comes_nearer_to_the_good_one() -> None:
    good = _photo()
    dull = ((good / 255.0) ** 1.3 * [0.62, 0.7, 0.8] + 0.06) * 255
    dull = dull.round().astype(np.uint8)
    before, after = (colour_deviation(photo[None], good[None])[0] for photo in (dull, adjusted(dull)))
    assert after < 0.6 * before


def test_a_balanced_photo_is_left_alone() -> None:
    gray = np.linspace(0, 1, 40_000) ** 1.15  # all values there are, the median at middle gray
    photo = (gray * 255).round().astype(np.uint8).reshape(200, 200, 1).repeat(3, axis=2)
    assert np.abs(adjusted(photo).astype(int) - photo).max() < 8


def test_the_adjustment_is_the_same_everywhere_and_keeps_the_order_of_values() -> None:
    photo = _photo()
    levels = automatic_levels(photo)
    assert levels.shape == (256, 3)
    assert (np.diff(levels.astype(int), axis=0) >= 0).all()
    expected = np.stack([levels[photo[..., c], c] for c in range(3)], axis=-1)
    assert np.array_equal(adjusted(photo), expected)
    assert np.array_equal(with_levels(photo[3:9, 4:20], levels), expected[3:9, 4:20])


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_even_photo_is_no_trouble(value: int) -> None:
    assert adjusted(np.full((5, 7, 3), value, np.uint8)).shape == (5, 7, 3)


def test_evaluate_takes_the_levels_from_the_whole_photo_if_it_is_there(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "data" / "toy", train=2, test=6)
    store = PatchStore(folder, "test")
    rows = np.arange(6)
    phone, _ = store.read(rows)
    captures = np.array(store.capture_ids())
    mine = captures == captures[0]
    together = automatic_levels(np.concatenate(phone[mine]))
    made = AdjustedPatches(store).patches(rows, phone)
    assert np.array_equal(made[mine], with_levels(phone[mine], together))
    assert capture_photos(store) == {}

    (tmp_path / "captures").mkdir()
    (folder / ".build").mkdir()
    (folder / ".build" / "captures_folder").write_text("../../captures")
    whole, _ = make_pairs(1, 64, np.random.default_rng(9))
    write_photo(tmp_path / "captures" / f"{captures[0]}.jpg", (whole[0] // 2))
    found = capture_photos(store)
    assert list(found) == [captures[0]]
    again = AdjustedPatches(store).patches(rows, phone)
    assert not np.array_equal(again[mine], made[mine])
    assert np.array_equal(again[~mine], made[~mine])
    report = evaluate(tmp_path / "data", None, baseline=True, device="cpu")
    assert report.subject == "automatic global adjustment"
    assert report.metrics[0].gain.mean != 0
    with pytest.raises(UsageError, match="exclude each other"):
        evaluate(tmp_path / "data", None, baseline=True, model=Path("x"))

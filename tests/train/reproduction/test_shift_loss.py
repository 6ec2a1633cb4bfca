"""Figure 6: known answers for ramps and noise, and the paper's shape on photos."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from skimage.transform import downscale_local_mean

from dped_data.errors import InputError
from dped_data.photos.reading import read_photo
from dped_train.losses import BLUR_SIZE, blur_kernel
from dped_train.reproduction.shift_loss import _shifts, shift_losses, shift_text, write_shift_csv, write_shift_plot


def _sample_patches() -> NDArray[np.uint8]:
    """Patches of 100 px of photos that ship with scikit-image, sharp as a DSLR's after shrinking."""
    patches = []
    for load in (skimage.data.astronaut, skimage.data.coffee, skimage.data.chelsea, skimage.data.rocket):
        photo = downscale_local_mean(load(), (2, 2, 1))
        for y in range(0, photo.shape[0] - 99, 50):
            patches += [photo[y : y + 100, x : x + 100] for x in range(0, photo.shape[1] - 99, 50)]
    return np.stack(patches).round().astype(np.uint8)


def test_shifts_have_their_length_and_every_direction() -> None:
    for length in (1, 2, 3, 7, 15):
        shifts = _shifts(length, 2000, np.random.default_rng(0))
        assert np.abs(np.hypot(*shifts.T) - length).max() <= 0.25
        assert np.abs(shifts.mean(axis=0)).max() < 0.1 * length


def test_noise_loses_what_the_blur_takes_away() -> None:
    """White noise: twice its variance whatever the shift; blurred, what the kernel and its shifted copy share."""
    photos = np.random.default_rng(0).integers(100, 156, (60, 90, 90, 3)).astype(np.uint8)
    losses = shift_losses(photos, 12, seed=0)
    variance = (56**2 - 1) / 12 / 255**2
    np.testing.assert_allclose(losses.mse[1:], 2 * variance, rtol=0.02)
    taps = blur_kernel("released").numpy()
    kept = np.correlate(taps, taps, "full")
    centre = BLUR_SIZE - 1
    along = 2 * variance * kept[centre] * (kept[centre] - kept[centre + 1])  # a shift of 1 px lies along an axis
    assert losses.colour[1] == pytest.approx(along, rel=0.05)
    assert losses.mse[0] == losses.colour[0] == 0


def test_a_ramp_is_no_texture() -> None:
    ramp = np.broadcast_to((2 * np.arange(80) + 40)[None, None, :, None], (200, 80, 80, 3)).astype(np.uint8)
    losses = shift_losses(ramp, 6, seed=0)
    np.testing.assert_allclose(losses.colour[1:], losses.mse[1:], rtol=1e-3)
    assert losses.mse[6] == pytest.approx((2 / 255) ** 2 * 18, rel=0.15)  # half of the squared length, on average


def test_the_shape_of_figure_6_holds_on_photos(tmp_path: Path) -> None:
    losses = shift_losses(_sample_patches(), 15, seed=0)
    assert losses.share(2) < 0.05  # nearly insensitive
    assert all(losses.ratio(shift) > 5 for shift in (3, 4, 5))
    assert losses.ratio(15) < losses.ratio(5) / 2  # and far out it grows like the squared error
    write_shift_csv(tmp_path / "curves.csv", losses)
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["shift_px"]) for row in rows] == list(range(16))
    assert float(rows[4]["ratio"]) == pytest.approx(losses.ratio(4), rel=1e-4)
    write_shift_plot(tmp_path / "curves.svg", losses)
    first = (tmp_path / "curves.svg").read_bytes()
    write_shift_plot(tmp_path / "curves.svg", losses)
    assert (tmp_path / "curves.svg").read_bytes() == first
    assert b"shift between the images" in first or b"</svg>" in first
    assert f"{losses.ratio(3):.1f} at 3 px" in shift_text(losses)


def test_patches_too_small_say_which_shift_they_allow() -> None:
    with pytest.raises(InputError, match=r"patches of 50 px leave 0 px .* --largest-shift-px 11 is the most"):
        shift_losses(np.zeros((1, 50, 50, 3), np.uint8), 15, seed=0)
    assert shift_losses(np.zeros((1, 50, 50, 3), np.uint8), 11, seed=0).mse == (0.0,) * 12


@pytest.mark.realdata
def test_the_shape_of_figure_6_holds_on_genuine_patches(shared_data: Path) -> None:
    files = sorted((shared_data / "dped_patches").glob("*.png"))
    losses = shift_losses(np.stack([read_photo(file) for file in files]), 15, seed=0)
    assert losses.share(2) < 0.05
    assert all(4.5 < losses.ratio(shift) < 12 for shift in (3, 4, 5)), shift_text(losses)

"""Validation measures a fixed, even choice of the val split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset
from skimage.metrics import peak_signal_noise_ratio

from dped_data.dataset.store import PatchStore
from dped_train.evaluate.comparison_sheet import HEADING_PX
from dped_train.networks.dped import Enhancer, initialise
from dped_train.run.validation import Validation

CPU = torch.device("cpu")


def _gray() -> Enhancer:
    enhancer = Enhancer()
    initialise(enhancer, 0)
    with torch.no_grad():
        enhancer.tail.weight.zero_()
        enhancer.tail.bias.zero_()
    return enhancer


def test_scores_are_those_of_the_stored_patches(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy", val=13)
    validation = Validation(folder, 100, CPU)
    phone, dslr = PatchStore(folder, "val").read(np.arange(13))
    np.testing.assert_array_equal(validation.phone, phone)
    expected = np.mean([peak_signal_noise_ratio(d, p) for p, d in zip(phone, dslr, strict=True)])
    assert validation.phone_psnr == pytest.approx(expected, rel=1e-5)
    gray = np.mean([peak_signal_noise_ratio(d, np.full_like(d, 128)) for d in dslr])
    figures = validation.measure(_gray())
    assert figures["val_psnr"] == pytest.approx(gray, rel=1e-5)
    assert 0 <= figures["val_ms_ssim"] < 1
    sheet = validation.sheet(_gray())
    assert sheet is not None
    shown = sheet[HEADING_PX:]  # patches of 32 px, four times enlarged for the headings' sake
    np.testing.assert_array_equal(shown[:128, :128], phone[0].repeat(4, 0).repeat(4, 1))
    assert (shown[:128, 132:260] == 128).all()
    assert (sheet[:HEADING_PX] < 100).any()


def test_the_choice_spans_the_split(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "toy", val=13)
    phone, _ = PatchStore(folder, "val").read([0, 6, 12])
    np.testing.assert_array_equal(Validation(folder, 3, CPU).phone, phone)


def test_no_val_split_no_figures(tmp_path: Path) -> None:
    validation = Validation(make_dataset(tmp_path / "toy", val=0), 5, CPU)
    assert validation.phone_psnr is None
    assert validation.measure(_gray()) == {}
    assert validation.sheet(_gray()) is None

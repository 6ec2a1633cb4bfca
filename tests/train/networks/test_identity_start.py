"""Identity initialisation returns the input and leaves every weight a gradient."""

from __future__ import annotations

import pytest
import torch
from make_shards import make_pairs
from numpy.random import default_rng

from dped_train.evaluate.metrics import psnr
from dped_train.networks.dped import Enhancer, Normalisation, initialise
from dped_train.networks.identity_start import initialise_as_identity
from dped_train.photo_tensors import photos_from_bytes


@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_photos_come_through(normalisation: Normalisation) -> None:
    photos = photos_from_bytes(make_pairs(4, 48, default_rng(0))[0], torch.device("cpu"))
    for seed in range(3):
        enhancer = Enhancer(normalisation)
        initialise(enhancer, seed)
        with torch.no_grad():
            random = psnr(enhancer(photos), photos).mean()
            initialise_as_identity(enhancer)
            assert psnr(enhancer(photos), photos).mean() > max(25.0, float(random) + 8)


def test_every_weight_learns() -> None:
    enhancer = Enhancer()
    initialise(enhancer, 0)
    initialise_as_identity(enhancer)
    photos = photos_from_bytes(make_pairs(4, 32, default_rng(0))[0], torch.device("cpu"))
    enhancer(photos).sin().sum().backward()
    for name, parameter in enhancer.named_parameters():
        assert parameter.grad is not None
        silent = (parameter.grad.flatten(1).abs().sum(1) if parameter.ndim > 1 else parameter.grad.abs()) == 0
        assert silent.float().mean() < 0.2, name  # a ReLU may rest on a few patches

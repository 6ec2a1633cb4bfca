"""The discriminator's first layer sees texture alone at first, and so it learns to tell sharp patches from blurred."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dped_train.losses import discriminator_accuracy, discriminator_loss
from dped_train.networks.dped import Discriminator, initialise
from dped_train.networks.edge_start import FILTER_LENGTH, initialise_to_edges

SIZE, BATCH, STEPS = 48, 16, 20


def _patches(rng: np.random.Generator, is_sharp: NDArray[np.bool_]) -> Tensor:
    """Gray patches (N, 1, S, S) with the spectrum of photos, those that are not sharp blurred by a pixel."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)).clip(1 / SIZE)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((len(is_sharp), SIZE, SIZE))) / frequency)
    noise = noise / noise.std(axis=(1, 2), keepdims=True) * rng.uniform(0.05, 0.25, (len(is_sharp), 1, 1)) + 0.5
    made = [one if sharp else cv2.GaussianBlur(one, (0, 0), 1.0) for one, sharp in zip(noise, is_sharp, strict=True)]
    return torch.from_numpy(np.stack(made)[:, None].astype(np.float32))


def test_the_first_layer_passes_on_texture_and_nothing_else_is_changed() -> None:
    networks = Discriminator(patch_size=32), Discriminator(patch_size=32)
    for network in networks:
        initialise(network, 3)
    initialise_to_edges(networks[1])
    names = [name for name, _ in networks[0].named_parameters()]
    equal = [torch.equal(a, b) for a, b in zip(*(network.parameters() for network in networks), strict=True)]
    assert [name for name, same in zip(names, equal, strict=True) if not same] == ["convolutions.0.weight"]
    weights = [network.first.weight.detach() for network in networks]
    torch.testing.assert_close(weights[1].square().sum((1, 2, 3)), torch.full((48,), FILTER_LENGTH**2))
    assert weights[1].sum((2, 3)).abs().max() < 1e-4  # even brightness is passed over
    is_sharp = np.arange(8) % 2 == 0
    patches = _patches(np.random.default_rng(0), is_sharp)
    passed = [F.conv2d(patches, weight, stride=4) for weight in weights]
    sharp_to_blurred = [(one[::2].std() / one[1::2].std()).item() for one in passed]
    assert sharp_to_blurred[0] < 1.2  # blurring takes the authors' filters hardly anything
    assert sharp_to_blurred[1] > 3


def test_texture_is_learnt_at_once() -> None:
    discriminator = Discriminator(patch_size=SIZE)
    initialise(discriminator, 1)
    initialise_to_edges(discriminator)
    adam = torch.optim.Adam(discriminator.parameters(), 1e-4)
    rng, is_sharp, right = np.random.default_rng(0), np.arange(BATCH) % 2 == 0, []
    truth = torch.from_numpy(is_sharp)
    for _ in range(STEPS):
        logits = discriminator(_patches(rng, is_sharp))
        right.append(discriminator_accuracy(logits.detach(), truth).item())
        adam.zero_grad()
        discriminator_loss(logits, truth, "softmax").backward()
        adam.step()
    assert np.mean(right[STEPS // 2 :]) > 0.75  # 0.6 with the authors' first weights

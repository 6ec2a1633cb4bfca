"""Seeded photos and weights of the authors' networks, from numpy alone: the same for TensorFlow and for torch.

Names and shapes are TensorFlow's: kernels (rows, columns, in, out), matrices (in, out). All values are float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAIRS, SIZE = 3, 50
SHOW_DSLR = (True, False, True)
VGG_CHANNELS = (64, 64, 128, 128, *(256,) * 4, *(512,) * 8)
DISCRIMINATOR = ((48, 11), (128, 5), (192, 3), (192, 3), (128, 3))
DISCRIMINATOR_SIDE = (
    4  # what strides of 4, 2 and 2 leave of 50 pixels; odd sizes on the way show how borders are padded
)
MEAN = (123.68, 116.779, 103.939)  # that the authors' VGG takes off a photo of 0 to 255

Arrays = dict[str, NDArray[np.float32]]


def uniform(seed: int, shape: tuple[int, ...], bound: float, middle: float = 0.0) -> NDArray[np.float32]:
    """Values up to `bound` away from `middle`, from the generator that numpy has promised not to change."""
    drawn = np.random.RandomState(seed).random_sample(shape)
    return (middle + bound * (2 * drawn - 1)).astype(np.float32)


def photos() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Phone and DSLR patches, each (PAIRS, SIZE, SIZE, 3) in [0, 1]: coarse blocks with noise, the phone's darker."""
    blocks = uniform(1, (PAIRS, 7, 7, 3), 0.4, 0.5)
    coarse = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :SIZE, :SIZE]
    dslr = coarse + uniform(2, coarse.shape, 0.1)
    phone = np.float32(0.8) * dslr + uniform(3, dslr.shape, 0.05)
    return phone.clip(0, 1), dslr.clip(0, 1)


def enhancer() -> Arrays:
    """Twelve kernels and biases as W1, b1, …, and the scales and shifts of eight normalisations."""
    arrays: Arrays = {}
    for number in range(1, 13):
        size, before, after = (9 if number in (1, 12) else 3), (3 if number == 1 else 64), (3 if number == 12 else 64)
        bound = float(np.sqrt(3 / (size * size * before)))
        arrays[f"W{number}"] = uniform(100 + number, (size, size, before, after), bound)
        arrays[f"b{number}"] = uniform(200 + number, (after,), 0.1)
    for number in range(1, 9):
        arrays[f"scale{number}"] = uniform(300 + number, (64,), 0.5, 1.0)
        arrays[f"shift{number}"] = uniform(400 + number, (64,), 0.3)
    return arrays


def discriminator() -> Arrays:
    """Five convolutions as W1, b1, …, four normalisations, and two matrices W6 and W7."""
    arrays: Arrays = {}
    before = 1
    for number, (after, size) in enumerate(DISCRIMINATOR, start=1):
        arrays[f"W{number}"] = uniform(
            500 + number, (size, size, before, after), float((3 / (size**2 * before)) ** 0.5)
        )
        arrays[f"b{number}"] = uniform(600 + number, (after,), 0.1)
        if number > 1:
            arrays[f"scale{number}"] = uniform(700 + number, (after,), 0.5, 1.0)
            arrays[f"shift{number}"] = uniform(800 + number, (after,), 0.3)
        before = after
    for number, shape in ((6, (before * DISCRIMINATOR_SIDE**2, 1024)), (7, (1024, 2))):
        arrays[f"W{number}"] = uniform(500 + number, shape, (3 / shape[0]) ** 0.5)
        arrays[f"b{number}"] = uniform(600 + number, shape[1:], 0.1)
    return arrays


def vgg19() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Sixteen kernels and biases; the first bears photos of 0 to 255."""
    made, before = [], 3
    for number, after in enumerate(VGG_CHANNELS):
        bound = (6 / (9 * before)) ** 0.5 / (1 if number else 100)
        made.append((uniform(900 + number, (3, 3, before, after), bound), uniform(950 + number, (after,), 0.1)))
        before = after
    return made

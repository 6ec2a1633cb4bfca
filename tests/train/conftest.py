"""Fixtures of the trainer's tests."""

from pathlib import Path

import pytest
from vgg16_files import write_random_vgg16


@pytest.fixture(scope="session")
def random_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-16 with random weights of a size that keeps its activations near 1."""
    return write_random_vgg16(tmp_path_factory.mktemp("vgg") / "random.npz")

"""The weights of other people that are looked for by name: where they lie on this machine, and how they come there."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path

import torch

from dped_data.errors import InputError


@dataclass(frozen=True)
class Weights:
    """A file of weights that others publish.

    Attributes:
        name: of the network; use: what it is for; fetched_with: what `dped models --fetch` calls it.
        url: where it is published; file: its name in torch's cache.
        sha256: of its bytes, or the start of it where no more is published.
        megabytes: its size, about.
    """

    name: str
    use: str
    url: str
    file: str
    sha256: str
    megabytes: float
    fetched_with: str

    @property
    def path(self) -> Path:
        """Its place in torch's cache, where the content loss looks for VGG-19."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file


VGG19 = Weights(
    name="vgg19",
    use="content loss of dped train",
    url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    file="vgg19-dcbb9e9d.pth",
    sha256="dcbb9e9d",  # torchvision publishes the start in the name
    megabytes=575,
    fetched_with="vgg19",
)
VGG16 = Weights(
    name="vgg16",
    use="LPIPS; a smaller content loss (--vgg)",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    file="vgg16-397923af.pth",
    sha256="397923af",
    megabytes=528,
    fetched_with="lpips",
)
LPIPS = Weights(
    name="lpips",
    use="LPIPS of dped evaluate, with vgg16",
    url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
    file="lpips-v0.1-vgg.pth",
    sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    megabytes=0.007,
    fetched_with="lpips",
)
ALL_WEIGHTS = {weights.name: weights for weights in (VGG19, VGG16, LPIPS)}


def fetched(weights: Weights) -> Path:
    """The file of weights in torch's cache; downloaded when it is not there, its sha256 checked either way.

    Raises:
        InputError: no network, no room, other bytes than those published, or something else of that name.
    """
    path = weights.path
    if not path.is_file():
        if os.path.lexists(path):  # a folder, or a link to what is not there: not ours to replace
            raise InputError(f"{path}: is no file; move it away, or put {weights.url} there yourself")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                weights.url, str(path), hash_prefix=weights.sha256, progress=sys.stderr.isatty()
            )
        except (urllib.error.URLError, RuntimeError, OSError) as error:
            raise InputError(
                f"{path}: {weights.name} cannot be downloaded ({error}); put {weights.url} there yourself"
            ) from error
    check_weights(weights)
    return path


def check_weights(weights: Weights) -> None:
    """Raise InputError unless the file in the cache has the published sha256."""
    with weights.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(weights.sha256):
        known = len(weights.sha256)
        raise InputError(
            f"{weights.path}: sha256 starts with {digest[: min(known, 16)]}, must be {weights.sha256[:16]}; "
            "delete the file"
        )

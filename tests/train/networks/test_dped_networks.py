"""The networks: shapes, sizes of parameters, padding and normalisation against plain definitions, initial weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from authors_reference import photos_from_nhwc, released_enhancer
from PIL import Image

from dped_train.networks.dped import (
    Discriminator,
    Enhancer,
    Normalisation,
    SameConv2d,
    gray_from_rgb,
    initialise,
)


@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_the_enhancer_has_the_papers_layers(normalisation: Normalisation) -> None:
    enhancer = Enhancer(normalisation)
    kernels = [tuple(p.shape) for p in enhancer.parameters() if p.ndim == 4]
    assert kernels == [(64, 3, 9, 9), *[(64, 64, 3, 3)] * 10, (3, 64, 9, 9)]
    convolutions = (9 * 9 * 3 * 64 + 64) + 10 * (3 * 3 * 64 * 64 + 64) + (9 * 9 * 64 * 3 + 3)
    assert sum(p.numel() for p in enhancer.parameters()) == convolutions + 8 * 2 * 64


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (17, 9), (24, 40)])
def test_the_enhancer_keeps_any_size_and_its_range(size: tuple[int, int]) -> None:
    enhancer = Enhancer()
    initialise(enhancer, 3)
    with torch.no_grad():
        enhanced = enhancer(torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)))
    assert enhanced.shape == (2, 3, *size)
    assert torch.isfinite(enhanced).all()
    assert enhanced.min() >= -0.0800001
    assert enhanced.max() <= 1.0800001


def test_batch_normalisation_uses_running_statistics_once_trained() -> None:
    enhancer = Enhancer("batch").eval()
    photos = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = enhancer(photos)
        alone = torch.cat([enhancer(photos[:1]), enhancer(photos[1:])])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(("size", "kernel", "stride", "before"), [(100, 11, 4, 3), (25, 5, 2, 2), (14, 3, 2, 0)])
def test_strided_convolutions_pad_as_tensorflow_does(size: int, kernel: int, stride: int, before: int) -> None:
    """A kernel that picks its first tap shows where its window starts: `before` pixels outside the photo."""
    convolution = SameConv2d(1, 1, kernel, stride, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 0, 0] = 1
    ramp = torch.arange(1.0, size + 1).expand(1, 1, size, size)
    row = convolution(ramp)[0, 0, -1]
    starts = torch.arange(-(-size // stride)) * stride - before
    wanted = torch.where(starts >= 0, starts + 1.0, 0.0)
    torch.testing.assert_close(row, wanted)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_the_discriminator_judges_texture_only(normalisation: Normalisation, outputs: int) -> None:
    discriminator = Discriminator(normalisation, patch_size=48, outputs=1 if outputs == 1 else 2)
    initialise(discriminator, 1)
    patches = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    logits = discriminator(patches)
    assert logits.shape == (3, outputs)
    torch.testing.assert_close(discriminator(gray_from_rgb(patches)), logits)


def test_the_discriminator_has_the_papers_layers() -> None:
    discriminator = Discriminator("batch", patch_size=100, outputs=1)
    kernels = [tuple(p.shape) for p in discriminator.parameters() if p.ndim == 4]
    assert kernels == [(48, 1, 11, 11), (128, 48, 5, 5), (192, 128, 3, 3), (192, 192, 3, 3), (128, 192, 3, 3)]
    assert discriminator.hidden.in_features == 128 * 7 * 7
    assert [type(norm).__name__ for norm in discriminator.norms] == ["BatchNorm"] * 5
    released = Discriminator("instance", patch_size=100, outputs=2)
    assert [type(norm).__name__ for norm in released.norms] == ["Identity", *["InstanceNorm"] * 4]


@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_initial_weights_follow_the_seed_and_the_released_distribution(normalisation: Normalisation) -> None:
    first, again, other = Enhancer(normalisation), Enhancer(normalisation), Enhancer(normalisation)
    initialise(first, 7)
    initialise(again, 7)
    initialise(other, 8)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    weights = first.body1.weight.detach()
    assert weights.abs().max() <= 0.02
    assert weights.std().item() == pytest.approx(0.0088, abs=0.0002)  # a normal of 0.01 cut at two deviations
    assert first.tail.bias.tolist() == [pytest.approx(0.01)] * 3


@pytest.mark.realdata
@pytest.mark.parametrize("phone", ["iphone", "blackberry", "sony"])
def test_released_generators_give_the_authors_outputs(shared_data: Path, phone: str) -> None:
    folder = shared_data / "reference"
    enhancer = released_enhancer(shared_data, phone)
    items = [i for i in json.loads((folder / "index.json").read_text())["items"] if i["checkpoint"] == f"{phone}_orig"]
    assert len(items) >= 14
    for item in items:
        photo = np.array(Image.open(folder / item["input"]).convert("RGB"))
        wanted = photos_from_nhwc(np.load(folder / item["output_npz"])["enhanced"][None])
        with torch.no_grad():
            enhanced = enhancer(photos_from_nhwc(photo[None]).float() / 255)
        assert (enhanced - wanted).abs().max().item() < 1e-5, item["input"]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (21, 30)])
def test_reflected_photos_go_through_with_a_margin_of_their_own(size: tuple[int, int]) -> None:
    plain, reflected = Enhancer(), Enhancer(padding="reflect")
    initialise(plain, 0)
    reflected.load_state_dict(plain.state_dict())
    photo = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    margin = reflected.margin_px
    wide = np.pad(photo.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), "reflect")
    wanted = plain(torch.from_numpy(wide))[:, :, margin:-margin, margin:-margin]
    torch.testing.assert_close(reflected(photo), wanted)
    assert not torch.allclose(plain(photo), wanted, atol=1e-6)

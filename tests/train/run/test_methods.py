"""The methods of table 2: their networks, their losses, and that every tool takes their models."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset
from torch import Tensor, nn
from torch.nn import functional as F

from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_data.photos.reading import read_photo
from dped_data.photos.writing import write_photo
from dped_train.data import GENERATOR_BATCH, PatchPairs
from dped_train.enhancing.overlapping_strips import FEWEST_ROWS, LocalPhotoEnhancer
from dped_train.enhancing.photos import enhance
from dped_train.enhancing.settings import EnhanceSettings
from dped_train.evaluate.evaluate import evaluate
from dped_train.export import export_enhancer
from dped_train.losses import RELEASED, squared_error
from dped_train.networks.compared import Johnson, PhotoNetwork, Srcnn
from dped_train.networks.dped import BatchNorm, initialise
from dped_train.networks.file import enhancer_metadata, load_enhancer, save_enhancer
from dped_train.networks.identity_start import initialise_as_identity
from dped_train.networks.vgg import load_vgg
from dped_train.run.checkpoint import load_checkpoint
from dped_train.run.methods import new_network, recipe_of
from dped_train.settings import Method, TrainSettings
from dped_train.train import train

CPU = torch.device("cpu")
SMALL = TrainSettings(
    steps=4, batch_size=4, learning_rate=1e-4, checkpoint_every=2, precision="fp32", device="cpu", warmup=0
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "toy").parent


def _trained_like(network: PhotoNetwork) -> PhotoNetwork:
    """Weights of ordinary size and running statistics that differ from channel to channel."""
    torch.manual_seed(3)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        elif isinstance(part, BatchNorm):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize(("method", "weights"), [("srcnn", 20_099), ("johnson", 327_747)])
def test_the_networks_have_the_published_size(method: Method, weights: int) -> None:
    """Dong et al.: 9x9x3x64 + 1x1x64x32 + 5x5x32x3 and biases. Johnson et al.: two 9x9, eight 3x3, nine norms."""
    network = new_network(method, RELEASED)
    assert sum(p.numel() for p in network.parameters()) == weights
    with torch.no_grad():
        for size in ((1, 1), (7, 30)):
            assert network.eval()(torch.rand(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("network", [Srcnn(), Johnson()], ids=["srcnn", "johnson"])
def test_no_pixel_sees_farther_than_the_reach(network: Srcnn | Johnson) -> None:
    photo = torch.rand(1, 3, 60, 3, dtype=torch.float64, requires_grad=True)
    _trained_like(network).double()(photo)[0, :, 30].sum().backward()
    assert photo.grad is not None
    seen = photo.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (30 - network.REACH, 30 + network.REACH)


@pytest.mark.parametrize("height", [1, 20, FEWEST_ROWS + 1, 150])
@pytest.mark.parametrize("method", ["srcnn", "johnson"])
def test_strips_give_the_whole_photo(method: Method, height: int) -> None:
    network = _trained_like(new_network(method, RELEASED))
    photo = np.random.default_rng(height).integers(0, 256, (height, 33, 3), np.uint8)
    with torch.no_grad():
        whole = network(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0).numpy()
    assert isinstance(network, Srcnn | Johnson)
    strips = LocalPhotoEnhancer(network, torch.float32).enhance(photo, map_bytes=0)
    scale = np.abs(whole).max()
    np.testing.assert_allclose(
        strips / scale, whole / scale, atol=1e-4
    )  # a fortieth of a grey level: rounding of eleven layers


def test_the_start_hands_the_photo_through() -> None:
    photo = torch.rand(2, 3, 24, 24)
    srcnn, johnson = Srcnn(), Johnson()
    for network in (srcnn, johnson):
        initialise(network, 0)
        initialise_as_identity(network)
    with torch.no_grad():
        assert (srcnn(photo) - photo).abs().max() < 0.03
        normed = (photo - photo.mean((0, 2, 3), keepdim=True)) / photo.std((0, 2, 3), keepdim=True) * 0.25 + 0.5
        assert (johnson.train()(photo) - normed).abs().mean() < 0.03


def test_vgg_stops_at_relu2_2(random_vgg: Path) -> None:
    vgg = load_vgg(random_vgg, layer="relu2_2")
    photos = torch.rand(2, 3, 32, 32)
    x = (photos - vgg.mean) * vgg.scale
    arrays = np.load(random_vgg)
    for number in range(4):
        kernel = torch.from_numpy(arrays[f"conv{number}.weight"].astype(np.float32))
        x = F.relu(F.conv2d(x, kernel, padding=1))
        x = F.max_pool2d(x, 2) if number == 1 else x
    torch.testing.assert_close(vgg.features(photos), x)
    assert len(vgg.convolutions) == 4


def test_the_squared_error_is_the_colour_loss_without_blur() -> None:
    first, second = torch.rand(2, 3, 3, 8, 8).unbind()
    assert squared_error(first, second, 0.5).item() == pytest.approx(0.5 * F.mse_loss(first, second).item() * 192)
    parts: list[Tensor] = [squared_error(first[i : i + 1], second[i : i + 1], 0.5, 3) for i in range(3)]
    assert sum(p.item() for p in parts) == pytest.approx(squared_error(first, second, 0.5).item())


def test_each_method_has_its_losses() -> None:
    srcnn, johnson = (recipe_of(replace(SMALL, method=method)) for method in ("srcnn", "johnson"))
    assert (srcnn.content_weight, srcnn.texture_weight, srcnn.colour_weight, srcnn.tv_weight, srcnn.mse_weight) == (
        0,
        0,
        0,
        0,
        1,
    )
    assert (johnson.content_weight, johnson.mse_weight, johnson.content_layer) == (1, 0, "relu2_2")
    assert recipe_of(replace(SMALL, batch_size=50)) == RELEASED
    assert recipe_of(replace(SMALL, mse_weight=0.5)).mse_weight == 0.5


@pytest.mark.parametrize("method", ["srcnn", "johnson"])
def test_a_resumed_run_is_the_same_to_the_last_bit(
    data: Path, tmp_path: Path, random_vgg: Path, method: Method
) -> None:
    settings = replace(SMALL, method=method, vgg=str(random_vgg))
    whole = train(data, None, tmp_path / "whole", settings)
    train(data, None, tmp_path / "parts", replace(settings, steps=2))
    parts = train(data, None, tmp_path / "parts", settings, resume=True)
    assert parts.first_step == 2
    ends = [load_checkpoint(r.folder / "checkpoints" / "step-0000004.safetensors").tensors for r in (whole, parts)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    with (whole.folder / "metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    used = {name for name in ("content", "texture", "mse") if float(row[name]) > 0}
    assert used == ({"mse"} if method == "srcnn" else {"content"})
    with pytest.raises(InputError, match=r"was trained with other settings \(.*method: "):
        train(data, None, tmp_path / "parts", replace(settings, method="dped", content_weight=0.0), resume=True)


@pytest.mark.parametrize("method", ["srcnn", "johnson"])
def test_every_tool_takes_the_models(data: Path, tmp_path: Path, method: Method) -> None:
    network = new_network(method, RELEASED)
    initialise(network, 1)
    initialise_as_identity(network)
    model = tmp_path / "model.safetensors"
    save_enhancer(network, model, {"method": method})
    loaded = load_enhancer(model)
    assert type(loaded) is type(network)
    assert not loaded.training
    assert enhancer_metadata(model)["architecture"] == f"{method}-enhancer"
    assert evaluate(data, None, model=model, device="cpu").patches == 4
    exported = export_enhancer(model, tmp_path / "model.pt2")
    assert exported.difference is not None and exported.difference < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (70, 40, 3), np.uint8)
    write_photo(tmp_path / "photo.png", photo)
    settings = EnhanceSettings(format="png", precision="fp32", device="cpu")
    report = enhance(model, [tmp_path / "photo.png"], tmp_path / "out", settings)
    assert report.exit_status == 0
    with torch.no_grad():
        expected = loaded(torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0)
    difference = read_photo(tmp_path / "out" / "photo.png") - expected.clamp(0, 1).mul(255).numpy()
    assert np.abs(difference).max() < 0.51


def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = Srcnn().state_dict()
    facts = {"architecture": "srcnn-enhancer", "format_version": "1", "normalisation": "batch", "sha256": "0"}
    save_file(tensors, tmp_path / "model.safetensors", facts)
    with pytest.raises(InputError, match="normalisation 'batch' does not belong to srcnn-enhancer"):
        load_enhancer(tmp_path / "model.safetensors")


def test_a_crop_is_the_middle_of_each_patch(data: Path) -> None:
    store = PatchStore(data / "toy", "train")
    whole, cut = (PatchPairs(store, batch_size=3, seed=0, crop_px=size).read(GENERATOR_BATCH, 5) for size in (0, 20))
    assert np.array_equal(cut.phone, whole.phone[:, 6:26, 6:26])
    assert np.array_equal(cut.dslr, whole.dslr[:, 6:26, 6:26])
    with pytest.raises(UsageError, match=r"--crop-px 40: must be 16 to 32"):
        PatchPairs(store, batch_size=3, seed=0, crop_px=40)

"""VGG weights: three kinds of files give the same network; whatever else gives one clear line."""

import hashlib
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from authors_reference import loss_reference, photos_from_nhwc, relative_difference, stand_in_module, stand_in_vgg
from torch.nn import functional as F

from dped_data.errors import InputError
from dped_train.networks.vgg import IMAGENET_MEAN, IMAGENET_STD, load_vgg
from dped_train.networks.weights import VGG19

VGG16_CHANNELS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
VGG19_CHANNELS = [64, 64, 128, 128, *[256] * 4, *[512] * 8]
Layers = list[tuple[np.ndarray, np.ndarray]]


def random_layers(channels: list[int]) -> Layers:
    """Kernels (out, in, 3, 3) and biases, scaled so that activations neither grow nor vanish."""
    rng = np.random.default_rng(0)
    layers = []
    for inputs, outputs in zip([3, *channels[:-1]], channels, strict=True):
        kernel = rng.standard_normal((outputs, inputs, 3, 3), dtype=np.float32) * np.float32((2 / 9 / inputs) ** 0.5)
        layers.append((kernel, rng.standard_normal(outputs, dtype=np.float32) * np.float32(0.1)))
    return layers


@pytest.fixture(scope="module")
def vgg16_layers() -> Layers:
    return random_layers(VGG16_CHANNELS)


def write_npz(path: Path, layers: Layers) -> None:
    arrays = {f"conv{k}.weight": kernel for k, (kernel, _) in enumerate(layers)}
    np.savez(path, **arrays, **{f"conv{k}.bias": bias for k, (_, bias) in enumerate(layers)})


def write_torchvision(path: Path, layers: Layers) -> None:
    """Numbered as in torchvision's `features`: convolutions, ReLUs and poolings count."""
    pools_after = {2, 4, 7, 10} if len(layers) == 13 else {2, 4, 8, 12}
    state, number = {}, 0
    for done, (kernel, bias) in enumerate(layers):
        number += done in pools_after
        state[f"features.{number}.weight"] = torch.from_numpy(kernel)
        state[f"features.{number}.bias"] = torch.from_numpy(bias)
        number += 2
    state["classifier.0.weight"] = torch.zeros(8, 8)
    torch.save(state, path)


def write_matconvnet(path: Path, layers: Layers) -> None:
    cells = np.empty((1, 2 * len(layers)), object)
    for k, (kernel, bias) in enumerate(layers):
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = kernel.transpose(3, 2, 1, 0), bias.reshape(1, -1)
        cells[0, 2 * k] = {"weights": weights, "name": f"conv{k}"}
        cells[0, 2 * k + 1] = {"name": f"relu{k}"}
    scipy.io.savemat(path, {"layers": cells})


def photos() -> torch.Tensor:
    return torch.rand(2, 3, 20, 27, generator=torch.Generator().manual_seed(4))


def test_vgg16_is_recognised_and_computes_relu5_3(vgg16_layers: Layers, tmp_path: Path) -> None:
    write_npz(tmp_path / "vgg16.npz", vgg16_layers)
    vgg = load_vgg(tmp_path / "vgg16.npz")
    assert (vgg.name, vgg.layer) == ("VGG-16", "relu5_3")
    x = (photos() - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    for done, (kernel, bias) in enumerate(vgg16_layers):
        if done in (2, 4, 7, 10):  # pooling that keeps the windows at odd borders
            x = F.max_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf), 2)
        x = F.relu(F.conv2d(x, torch.from_numpy(kernel), torch.from_numpy(bias), padding=1))
    assert x.shape == (2, 512, 2, 2)
    torch.testing.assert_close(vgg.features(photos()), x)


def test_torchvision_files_give_the_same_network(vgg16_layers: Layers, tmp_path: Path) -> None:
    write_npz(tmp_path / "vgg16.npz", vgg16_layers)
    write_torchvision(tmp_path / "vgg16.pth", vgg16_layers)
    wanted = load_vgg(tmp_path / "vgg16.npz").features(photos())
    assert torch.equal(load_vgg(tmp_path / "vgg16.pth").features(photos()), wanted)


def test_matconvnet_files_differ_in_the_preparation_only(vgg16_layers: Layers, tmp_path: Path) -> None:
    write_npz(tmp_path / "vgg16.npz", vgg16_layers)
    write_matconvnet(tmp_path / "vgg16.mat", vgg16_layers)
    by_imagenet, by_matconvnet = load_vgg(tmp_path / "vgg16.npz"), load_vgg(tmp_path / "vgg16.mat")
    prepared = 255 * photos() - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    same_input = prepared / by_imagenet.scale + by_imagenet.mean
    torch.testing.assert_close(by_matconvnet.features(photos()), by_imagenet.features(same_input), rtol=1e-4, atol=1e-3)


def test_gradients_flow_to_the_photos_only(vgg16_layers: Layers, tmp_path: Path) -> None:
    write_npz(tmp_path / "vgg16.npz", vgg16_layers)
    vgg = load_vgg(tmp_path / "vgg16.npz")
    x = photos().requires_grad_()
    vgg.features(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in vgg.parameters())


def test_vgg19_comes_from_torchs_cache_when_its_hash_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cached = VGG19.path
    assert cached.parent == tmp_path / "checkpoints"
    cached.parent.mkdir()
    write_torchvision(cached, random_layers(VGG19_CHANNELS))
    with pytest.raises(InputError, match=r"vgg19-dcbb9e9d\.pth: sha256 starts with .* must be dcbb9e9d; delete"):
        load_vgg()
    own = replace(VGG19, sha256=hashlib.sha256(cached.read_bytes()).hexdigest()[:8])
    monkeypatch.setattr("dped_train.networks.vgg.VGG19", own)
    vgg = load_vgg()
    assert (vgg.name, vgg.layer) == ("VGG-19", "relu5_4")


def test_without_a_network_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match="vgg19 cannot be downloaded") as caught:
        load_vgg()
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / "checkpoints") in message
    assert "--content-weight 0" in message


@pytest.mark.parametrize("suffix", [".pth", ".mat", ".npz"])
def test_broken_files_give_one_line(tmp_path: Path, suffix: str, vgg16_layers: Layers) -> None:
    path = tmp_path / f"vgg{suffix}"
    path.write_bytes(b"this is not a network" * 50)
    with pytest.raises(InputError, match=rf"vgg\{suffix}: not a") as caught:
        load_vgg(path)
    assert "\n" not in str(caught.value)
    {".pth": write_torchvision, ".mat": write_matconvnet, ".npz": write_npz}[suffix](path, vgg16_layers)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(InputError, match=rf"vgg\{suffix}: ") as caught:
        load_vgg(path)
    assert "\n" not in str(caught.value)


def test_other_files_and_networks_are_refused(tmp_path: Path, vgg16_layers: Layers) -> None:
    with pytest.raises(InputError, match=r"none\.npz: no such VGG weights file"):
        load_vgg(tmp_path / "none.npz")
    (tmp_path / "vgg.onnx").touch()
    with pytest.raises(InputError, match=r"not '\.onnx'"):
        load_vgg(tmp_path / "vgg.onnx")
    write_npz(tmp_path / "short.npz", vgg16_layers[:10])
    with pytest.raises(InputError, match=r"short\.npz: 10 convolutions whose shapes are neither"):
        load_vgg(tmp_path / "short.npz")


@pytest.mark.realdata
def test_vgg19_gives_the_authors_features(shared_data: Path) -> None:
    reference = loss_reference(shared_data)
    vgg = stand_in_vgg(shared_data)
    wanted = photos_from_nhwc(reference.arrays["dslr_relu5_4"])
    assert relative_difference(vgg.features(reference.dslr), wanted) < 1e-5


@pytest.mark.realdata
def test_the_authors_matconvnet_layout_is_read(shared_data: Path, tmp_path: Path) -> None:
    """The file that the stand-in script writes has the layout that the authors' code reads."""
    stand_in = stand_in_module(shared_data)
    layers = [(kernel.transpose(3, 2, 1, 0), bias) for _, kernel, bias in stand_in.vgg()]
    write_matconvnet(tmp_path / "vgg19.mat", layers)
    vgg = load_vgg(tmp_path / "vgg19.mat")
    small = photos()[:, :, :16, :16]
    assert torch.equal(vgg.features(small), stand_in_vgg(shared_data).features(small))


@pytest.mark.realdata
def test_imagenet_vgg16_tells_photos_apart(shared_data: Path) -> None:
    vgg = load_vgg(shared_data / "weights" / "vgg16_imagenet_features_fp16.npz")
    assert vgg.name == "VGG-16"
    reference = loss_reference(shared_data)
    dslr, phone = vgg.features(reference.dslr), vgg.features(reference.phone)
    same_scene = F.cosine_similarity(dslr.flatten(1), phone.flatten(1))
    other_scene = F.cosine_similarity(dslr.flatten(1), phone.roll(1, 0).flatten(1))
    assert (same_scene > other_scene + 0.1).all()

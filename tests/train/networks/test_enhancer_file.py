"""Model files: what is stored comes back; whatever is not a whole, unaltered enhancer gives one clear line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dped_data.errors import InputError
from dped_train import load_enhancer, save_enhancer
from dped_train.networks.dped import Enhancer, Normalisation, initialise
from dped_train.networks.file import enhancer_metadata


@pytest.fixture
def enhancer() -> Enhancer:
    enhancer = Enhancer()
    initialise(enhancer, 5)
    return enhancer.eval()


@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_a_stored_enhancer_comes_back(tmp_path: Path, normalisation: Normalisation) -> None:
    enhancer = Enhancer(normalisation)
    initialise(enhancer, 5)
    save_enhancer(enhancer, tmp_path / "model.safetensors", {"recipe": "released"})
    loaded = load_enhancer(tmp_path / "model.safetensors")
    assert loaded.normalisation == normalisation
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(enhancer.parameters(), loaded.parameters(), strict=True))
    assert enhancer_metadata(tmp_path / "model.safetensors")["recipe"] == "released"
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["model.safetensors"]


def test_reserved_metadata_is_refused(tmp_path: Path, enhancer: Enhancer) -> None:
    with pytest.raises(ValueError, match="reserved"):
        save_enhancer(enhancer, tmp_path / "model.safetensors", {"sha256": "0"})


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.safetensors: no such model file"):
        load_enhancer(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 200, 50_000])
def test_a_truncated_file_is_refused(tmp_path: Path, enhancer: Enhancer, kept: int) -> None:
    path = tmp_path / "model.safetensors"
    save_enhancer(enhancer, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model\.safetensors: not a whole safetensors file") as caught:
        load_enhancer(path)
    assert "\n" not in str(caught.value)


def test_altered_weights_are_refused(tmp_path: Path, enhancer: Enhancer) -> None:
    path = tmp_path / "model.safetensors"
    save_enhancer(enhancer, path)
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="altered"):
        load_enhancer(path)


def test_a_pickle_is_never_opened(tmp_path: Path, enhancer: Enhancer) -> None:
    torch.save(enhancer.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_enhancer(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "other-net"}, "architecture 'other-net', needed 'dped-enhancer'"),
        ({"format_version": "99"}, "format version 99, this program reads 1 to 3"),
        ({"normalisation": "layer"}, "normalisation 'layer'"),
        ({"normalisation": "batch"}, "not the weights of a batch enhancer"),
    ],
)
def test_another_architecture_is_refused(
    tmp_path: Path, enhancer: Enhancer, changes: dict[str, str], message: str
) -> None:
    path = tmp_path / "model.safetensors"
    save_enhancer(enhancer, path)
    save_file(load_file(path), path, enhancer_metadata(path) | changes)
    with pytest.raises(InputError, match=message):
        load_enhancer(path)


def test_other_shapes_and_infinite_weights_are_refused(tmp_path: Path, enhancer: Enhancer) -> None:
    path = tmp_path / "model.safetensors"
    save_enhancer(enhancer, path)
    metadata, tensors = enhancer_metadata(path), load_file(path)
    save_file(tensors | {"tail.bias": torch.zeros(4)}, path, metadata)
    with pytest.raises(InputError, match=r"tail\.bias is \(4,\)"):
        load_enhancer(path)
    save_file(tensors | {"tail.bias": torch.tensor([0.0, float("nan"), 0.0])}, path, metadata)
    with pytest.raises(InputError, match=r"tail\.bias holds values that are not finite"):
        load_enhancer(path)


def test_the_padding_is_kept_and_told_to_versions_that_know_zeros_only(tmp_path: Path) -> None:
    enhancer, path = Enhancer("batch", "reflect"), tmp_path / "a.safetensors"
    initialise(enhancer, 0)
    save_enhancer(enhancer, path)
    again = load_enhancer(path)
    assert isinstance(again, Enhancer) and (again.padding, again.normalisation) == ("reflect", "batch")
    photo = torch.rand(1, 3, 9, 12)
    torch.testing.assert_close(again(photo), enhancer.eval()(photo))
    assert enhancer_metadata(path)["format_version"] == "2"
    save_enhancer(Enhancer(), path)
    assert enhancer_metadata(path)["format_version"] == "1" and "padding" not in enhancer_metadata(path)

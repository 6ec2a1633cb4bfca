"""TensorFlow checkpoints: a bundle written here byte by byte is read back; damage gives one clear line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tensorflow_files import released_variables, write_bundle

from dped_data.errors import InputError
from dped_train import load_enhancer
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.tensorflow_checkpoint import import_checkpoint, masked_crc32c, read_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Enhancer]:
    enhancer = Enhancer()
    initialise(enhancer, 11)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in enhancer.parameters():  # so that no two variables are alike
            parameter.add_(torch.rand(parameter.shape, generator=generator) * 0.01)
    prefix = tmp_path_factory.mktemp("bundle") / "iphone_orig"
    write_bundle(prefix, released_variables(enhancer))
    return prefix, enhancer


def copied(bundle: tuple[Path, Enhancer], folder: Path) -> Path:
    for file in bundle[0].parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / bundle[0].name


def test_crc32c_of_the_standards_example() -> None:
    """RFC 3720 gives 0xE3069283 for "123456789"; the mask rotates by 15 and adds a constant."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize("suffix", ["", ".index"])
def test_an_imported_checkpoint_is_the_enhancer_it_was(
    bundle: tuple[Path, Enhancer], tmp_path: Path, suffix: str
) -> None:
    prefix, enhancer = bundle
    import_checkpoint(prefix.with_name(prefix.name + suffix), tmp_path / "models" / "iphone.safetensors")
    loaded = load_enhancer(tmp_path / "models" / "iphone.safetensors")
    for name, value in enhancer.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_missing_files_are_named(bundle: tuple[Path, Enhancer], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.index: cannot be read .* give PREFIX"):
        import_checkpoint(tmp_path / "nothing", tmp_path / "out.safetensors")
    prefix = copied(bundle, tmp_path)
    (tmp_path / "iphone_orig.data-00000-of-00001").unlink()
    with pytest.raises(InputError, match=r"data-00000-of-00001: cannot be read"):
        import_checkpoint(prefix, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_truncated_files_are_refused(bundle: tuple[Path, Enhancer], tmp_path: Path) -> None:
    prefix = copied(bundle, tmp_path)
    data = tmp_path / "iphone_orig.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"variable generator/.*: it ends at byte \d+, the file has"):
        read_bundle(prefix)
    index = tmp_path / "iphone_orig.index"
    index.write_bytes(index.read_bytes()[:300])
    with pytest.raises(InputError, match=r"iphone_orig\.index: damaged .* cut short"):
        read_bundle(prefix)


def test_a_flipped_bit_anywhere_in_the_data_is_found(bundle: tuple[Path, Enhancer], tmp_path: Path) -> None:
    prefix = copied(bundle, tmp_path)
    data = tmp_path / "iphone_orig.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 2] ^= 4
    data.write_bytes(bytes(raw))
    with pytest.raises(InputError, match=r"variable generator/.*: its checksum does not match; fetch"):
        read_bundle(prefix)


def test_every_damaged_index_gives_one_line(bundle: tuple[Path, Enhancer], tmp_path: Path) -> None:
    prefix = copied(bundle, tmp_path)
    index = tmp_path / "iphone_orig.index"
    whole = index.read_bytes()
    for position in range(0, len(whole), 29):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        index.write_bytes(bytes(damaged))
        try:
            arrays = read_bundle(prefix)
        except InputError as error:
            assert "\n" not in str(error)
        else:  # only the footer's padding may change unseen
            assert position >= len(whole) - 48
            assert len(arrays) == 40


def test_other_networks_are_refused(bundle: tuple[Path, Enhancer], tmp_path: Path) -> None:
    arrays = released_variables(bundle[1])
    write_bundle(tmp_path / "small", {k: v for k, v in arrays.items() if k != "generator/W12"})
    with pytest.raises(InputError, match=r"small: variable generator/W12 is missing"):
        import_checkpoint(tmp_path / "small", tmp_path / "out.safetensors")
    write_bundle(tmp_path / "thin", arrays | {"generator/b1": np.zeros(32, np.float32)})
    with pytest.raises(InputError, match=r"generator/b1 has shape \(32,\), a DPED generator's is \(64,\)"):
        import_checkpoint(tmp_path / "thin", tmp_path / "out.safetensors")

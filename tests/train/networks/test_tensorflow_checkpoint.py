"""TensorFlow checkpoints: a bundle written here byte by byte is read back; damage gives one clear line."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from dped_data.errors import InputError
from dped_train import load_enhancer
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.tensorflow_checkpoint import import_checkpoint, masked_crc32c, read_bundle


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def block(rows: list[tuple[bytes, bytes]]) -> bytes:
    """A table block: keys share prefixes with the row before, one restart point, type byte and CRC behind."""
    data, previous = b"", b""
    for key, value in rows:
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    data += struct.pack("<II", 0, 1)
    return data + b"\0" + struct.pack("<I", masked_crc32c(data + b"\0"))


def write_bundle(prefix: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write float32 arrays as TensorFlow's saver lays them out."""
    shard = b""
    rows = [(b"", b"\x08\x01")]  # the header: one shard
    for name in sorted(arrays):
        raw = arrays[name].astype("<f4").tobytes()
        dimensions = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in arrays[name].shape))
        entry = b"\x08\x01\x12" + varint(len(dimensions)) + dimensions
        entry += b"\x20" + varint(len(shard)) + b"\x28" + varint(len(raw))
        rows.append((name.encode(), entry + b"\x35" + struct.pack("<I", masked_crc32c(raw))))
        shard += raw
    first, second = block(rows[:2]), block(rows[2:])
    handles = [varint(0) + varint(len(first) - 5), varint(len(first)) + varint(len(second) - 5)]
    index = block([(rows[1][0], handles[0]), (rows[-1][0], handles[1])])
    position = len(first) + len(second)
    footer = varint(0) + varint(0) + varint(position) + varint(len(index) - 5)
    footer = footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    prefix.with_name(prefix.name + ".index").write_bytes(first + second + index + footer)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(shard)


def released_variables(enhancer: Enhancer) -> dict[str, np.ndarray]:
    """The enhancer's weights under the names and in the order of the released code."""
    state = {name: value.numpy() for name, value in enhancer.state_dict().items()}
    convolutions = [name[: -len(".weight")] for name, value in state.items() if value.ndim == 4]
    arrays = {}
    for number, name in enumerate(convolutions, start=1):
        arrays[f"generator/W{number}"] = state[f"{name}.weight"].transpose(2, 3, 1, 0)
        arrays[f"generator/b{number}"] = state[f"{name}.bias"]
    norms = [f"blocks.{block}.norm{half}" for block in range(4) for half in (1, 2)]
    shifts_and_scales = [state[f"{norm}.{part}"] for norm in norms for part in ("bias", "weight")]
    for number, array in enumerate(shifts_and_scales):
        arrays["generator/Variable" + (f"_{number}" if number else "")] = array
    return arrays


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

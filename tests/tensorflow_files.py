"""TensorFlow checkpoints as the authors' code writes them."""

import struct
from pathlib import Path

import numpy as np

from dped_train.networks.dped import Enhancer
from dped_train.networks.tensorflow_checkpoint import masked_crc32c


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

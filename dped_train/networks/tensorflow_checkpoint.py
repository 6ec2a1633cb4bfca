"""Read the authors' TensorFlow checkpoints (`PREFIX.index` + `PREFIX.data-*`) without TensorFlow.

The index is an uncompressed LevelDB table: blocks of prefix-compressed keys, each block with a type byte and a masked
CRC-32C, and a 48-byte footer. Its values are small protocol-buffer messages that say where each tensor lies in the
data files. (tensorflow/core/util/tensor_bundle, core/lib/io/format.h, core/protobuf/tensor_bundle.proto)
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dped_data.common.ownership import check_free
from dped_data.errors import InputError
from dped_train.networks.dped import BLOCKS, Enhancer
from dped_train.networks.file import save_enhancer

_FOOTER_BYTES = 48
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
_BLOCK_TRAILER_BYTES = 5  # type byte and CRC
_CRC_MASK_DELTA = 0xA282EAD8  # core/lib/hash/crc32c.h
_NUMPY_FROM_TENSORFLOW = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 6: "i1", 9: "<i8", 19: "<f2"}  # types.proto
# fields of BundleHeaderProto and BundleEntryProto
_HEADER_SHARDS, _ENTRY_TYPE, _ENTRY_SHAPE, _ENTRY_SHARD, _ENTRY_OFFSET, _ENTRY_SIZE, _ENTRY_CRC = 1, 1, 2, 3, 4, 5, 6
_ENTRY_SLICES, _SHAPE_DIMENSION, _DIMENSION_SIZE = 7, 2, 1

_Message = dict[int, list[int | bytes]]


class _MalformedError(ValueError):
    """What is wrong with a file, without its name; becomes an InputError with the name."""


def import_checkpoint(prefix: Path, out: Path) -> None:
    """Turn one of the authors' released generators into a safetensors model file.

    Args:
        prefix: the checkpoint without `.index`, for example `models_orig/iphone_orig`.
        out: the file to write, its folder made if missing; `load_enhancer` reads it.

    Raises:
        InputError: a file is missing, truncated or damaged, or the checkpoint is no DPED generator.
    """
    check_free(out)
    prefix = prefix.with_suffix("") if prefix.suffix == ".index" else prefix
    enhancer = enhancer_from_arrays(read_bundle(prefix), source=str(prefix))
    out.parent.mkdir(parents=True, exist_ok=True)
    save_enhancer(enhancer, out, {"source": f"TensorFlow checkpoint {prefix.name}"})


def enhancer_from_arrays(arrays: dict[str, np.ndarray], source: str) -> Enhancer:
    """Build the enhancer from the released code's variables (W1..W12, b1..b12, Variable, Variable_1, …).

    TensorFlow keeps kernels as (rows, columns, in, out); each instance norm made two unnamed variables, first the
    shift, then the scale (models.py of the authors' code). Raises InputError naming `source` for anything else.
    """
    enhancer = Enhancer("instance")
    state = enhancer.state_dict()
    for name, variable in variable_from_name().items():
        if variable not in arrays:
            raise InputError(f"{source}: variable {variable} is missing; only DPED generators can be imported")
        value = arrays[variable]
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        needed = tuple(state[name].shape)
        if value.shape != needed:
            raise InputError(f"{source}: {variable} has shape {value.shape}, a DPED generator's is {needed}")
        if not np.isfinite(value).all():
            raise InputError(f"{source}: {variable} holds values that are not finite")
        state[name] = torch.from_numpy(np.array(value, dtype=np.float32, order="C"))
    enhancer.load_state_dict(state)
    return enhancer.eval()


def variable_from_name() -> dict[str, str]:
    """The released code's variable for each entry of our state."""
    convolutions = ["head"]
    convolutions += [f"blocks.{block}.{layer}" for block in range(BLOCKS) for layer in ("conv1", "conv2")]
    convolutions += ["body1", "body2", "tail"]
    names = {}
    for number, convolution in enumerate(convolutions, start=1):
        names[f"{convolution}.weight"] = f"generator/W{number}"
        names[f"{convolution}.bias"] = f"generator/b{number}"
    norms = [f"blocks.{block}.{layer}" for block in range(BLOCKS) for layer in ("norm1", "norm2")]
    parameters = [f"{norm}.{part}" for norm in norms for part in ("bias", "weight")]
    for number, parameter in enumerate(parameters):
        names[parameter] = "generator/Variable" + (f"_{number}" if number else "")
    return names


def read_bundle(prefix: Path) -> dict[str, np.ndarray]:
    """Return every variable of the checkpoint by name, each checked against its CRC.

    Raises:
        InputError: `prefix.index` or a data file is missing, truncated, damaged or in an unknown form.
    """
    index_path = prefix.with_name(prefix.name + ".index")
    try:
        header, entries = _read_index(_read_file(index_path))
        shard_count = _number(header, _HEADER_SHARDS)
        shard_of = {name: _number(entry, _ENTRY_SHARD) for name, entry in entries.items()}
    except (_MalformedError, IndexError, struct.error) as error:
        raise InputError(f"{index_path}: damaged or not a TensorFlow checkpoint index: {error}") from error
    arrays: dict[str, np.ndarray] = {}
    shards: dict[int, bytes] = {}
    for name, entry in entries.items():
        shard = shard_of[name]
        path = prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shard_count:05d}")
        if shard not in shards:
            shards[shard] = _read_file(path)
        try:
            arrays[name] = _array(entry, shards[shard])
        except (_MalformedError, IndexError, struct.error) as error:
            shown = "".join(c if c.isprintable() else "?" for c in name)
            raise InputError(f"{path}: variable {shown}: {error}; fetch the checkpoint again") from error
    return arrays


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); a checkpoint is PREFIX.index and PREFIX.data-00000-of-00001, "
            "give PREFIX"
        ) from error


def _read_index(data: bytes) -> tuple[_Message, dict[str, _Message]]:
    if len(data) < _FOOTER_BYTES or not data.endswith(_TABLE_MAGIC):
        raise _MalformedError("the footer is missing, the file is cut short or another format")
    footer = data[-_FOOTER_BYTES:]
    position = 0
    for _ in range(2):  # the handle of the meta index, which checkpoints leave empty
        _, position = _varint(footer, position)
    header: _Message = {}
    entries: dict[str, _Message] = {}
    for _, handle in _block_items(data, footer[position:]):
        for key, value in _block_items(data, handle):
            if key:
                entries[key.decode("utf-8", errors="replace")] = _message(value)
            else:
                header = _message(value)
    if not entries or _HEADER_SHARDS not in header:
        raise _MalformedError("it lists no variables")
    return header, entries


def _block_items(data: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each row of the table block at `handle` (offset and size as varints)."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    if offset + size + _BLOCK_TRAILER_BYTES > len(data) or size < 4:
        raise _MalformedError(f"a block at byte {offset} reaches past the end")
    block, kind = data[offset : offset + size], data[offset + size]
    stored = struct.unpack_from("<I", data, offset + size + 1)[0]
    if masked_crc32c(data[offset : offset + size + 1]) != stored:
        raise _MalformedError(f"the checksum of the block at byte {offset} does not match")
    if kind != 0:
        raise _MalformedError("its blocks are compressed, which checkpoints of DPED are not")
    restarts = struct.unpack_from("<I", block, size - 4)[0]
    end = size - 4 - 4 * restarts
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        added, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + length]
        position += length


def _array(entry: _Message, shard: bytes) -> np.ndarray:
    if _ENTRY_SLICES in entry:
        raise _MalformedError("it is stored in slices, which checkpoints of DPED are not")
    kind = _number(entry, _ENTRY_TYPE)
    if kind not in _NUMPY_FROM_TENSORFLOW:
        raise _MalformedError(f"TensorFlow type {kind} is not one of {sorted(_NUMPY_FROM_TENSORFLOW)}")
    dtype = np.dtype(_NUMPY_FROM_TENSORFLOW[kind])
    shape = [
        _number(_message(dimension), _DIMENSION_SIZE)
        for shape_message in entry.get(_ENTRY_SHAPE, [])
        for dimension in _message(shape_message).get(_SHAPE_DIMENSION, [])
    ]
    offset, size = _number(entry, _ENTRY_OFFSET), _number(entry, _ENTRY_SIZE)
    if offset + size > len(shard):
        raise _MalformedError(f"it ends at byte {offset + size}, the file has {len(shard)}")
    if size != math.prod(shape) * dtype.itemsize:
        raise _MalformedError(f"its {size} bytes do not make {shape} of {dtype.name}")
    raw = shard[offset : offset + size]
    if masked_crc32c(raw) != _number(entry, _ENTRY_CRC):
        raise _MalformedError("its checksum does not match")
    return np.frombuffer(raw, dtype).reshape(shape)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the protocol-buffer varint at `position` and the position after it."""
    value = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _MalformedError("a number has too many bytes")


def _message(data: int | bytes) -> _Message:
    """Split a protocol-buffer message into its fields: number -> values, integers or raw bytes."""
    if isinstance(data, int):
        raise _MalformedError("a number stands where a message belongs")
    fields: _Message = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value: int | bytes
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
            case 1:
                value, position = struct.unpack_from("<Q", data, position)[0], position + 8
            case 2:
                length, position = _varint(data, position)
                value, position = data[position : position + length], position + length
            case 5:
                value, position = struct.unpack_from("<I", data, position)[0], position + 4
            case wire_type:
                raise _MalformedError(f"wire type {wire_type} is unknown")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(message: _Message, field: int) -> int:
    """The integer in `field`, 0 (the protocol-buffer default) where it is absent."""
    value = message.get(field, [0])[-1]
    if isinstance(value, bytes):
        raise _MalformedError(f"field {field} is no number")
    return value


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`, rotated and offset as LevelDB tables and TensorFlow store it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _CRC_MASK_DELTA) & 0xFFFFFFFF

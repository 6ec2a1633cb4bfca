"""Files that somebody else may have written are read within limits: of size, of depth, of what JSON allows."""

from __future__ import annotations

import dataclasses
import json
import math
import stat
import types
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dped_data.common.names import shown

T = TypeVar("T")

MOST_LIST_BYTES = 2**25
"""Ours: JSON files with a part for every shard, capture or photo (32 MiB are 150,000 shards)."""
MOST_FACTS_BYTES = 2**20
"""Ours: JSON files of a few facts; they are a few kilobytes long."""
_MOST_DEPTH = 24
"""Ours: our deepest file has six levels; functions that call themselves must come to an end."""
_INTEGER_LIMIT = 2**63


def read_limited(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: it is not there or cannot be read. ValueError: it is longer than `most_bytes`, or no regular file.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("not a regular file")
    if state.st_size > most_bytes:
        raise ValueError(f"{state.st_size} bytes, at most {most_bytes} are allowed")
    with path.open("rb") as file:
        return file.read(most_bytes)


def read_json(path: Path, most_bytes: int, *, unknown_as_none: bool = False) -> Any:
    """Return the document in a JSON file; OSError and ValueError as `read_limited`, ValueError as `parse_json`."""
    return parse_json(read_limited(path, most_bytes), unknown_as_none=unknown_as_none)


def parse_json(data: bytes | str, *, unknown_as_none: bool = False) -> Any:
    """Return the document of a JSON text.

    Raises:
        ValueError: no JSON in UTF-8, a key twice in one table, a number without end, more than 24 levels, or text that
            is not Unicode; also NaN and Infinity, unless `unknown_as_none`.
    """
    text = data.decode() if isinstance(data, bytes) else data

    def constant(name: str) -> None:
        if not unknown_as_none:
            raise ValueError(f"{name} is not a number of JSON")

    try:
        document = json.loads(text, parse_constant=constant, parse_float=_finite, object_pairs_hook=_table)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > _MOST_DEPTH + 1:
            raise ValueError(f"more than {_MOST_DEPTH} levels")
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    if "\\ud" in text.lower():  # half of a pair of surrogates is no text and cannot be printed
        json.dumps(document, ensure_ascii=False).encode()
    return document


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice in one table")
    return table


def typed(kind: type[T], value: Any) -> T:
    """Return a value of a JSON document as `kind`: a dataclass, or what its fields may be, nested at will.

    Fields that are missing take their default. ValueError says which field is missing, unknown or of another type.
    """
    result: T = _typed(kind, value)
    return result


def _typed(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value)
    if origin in (Union, types.UnionType):
        inner = next(one for one in arguments if one is not type(None))
        return None if value is None else _typed(inner, value)
    if origin is Literal:
        if not (isinstance(value, str) and value in arguments):
            raise ValueError(f"{shown(value)} is not one of {', '.join(arguments)}")
        return value
    if origin is tuple:
        return _tuple(arguments, value)
    if origin in (dict, Mapping):
        if type(value) is not dict:
            raise ValueError(f"{shown(value)} is not a table")
        return {key: _within(key, arguments[1], inner) for key, inner in value.items()}
    if kind is float and type(value) is int and abs(value) < _INTEGER_LIMIT:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{shown(value)} is {type(value).__name__}, expected {kind.__name__}")
    if kind is int and not abs(value) < _INTEGER_LIMIT:
        raise ValueError("an integer of more than 64 bits")
    return value


def _tuple(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if type(value) is not list:
        raise ValueError(f"{shown(value)} is not a list")
    kinds = [arguments[0]] * len(value) if arguments[1:] == (...,) else list(arguments)
    if len(kinds) != len(value):
        raise ValueError(f"{len(value)} values, expected {len(kinds)}")
    return tuple(_within(index, kind, inner) for index, (kind, inner) in enumerate(zip(kinds, value, strict=True)))


def _within(key: str | int, kind: Any, value: Any) -> Any:
    try:
        return _typed(kind, value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


@lru_cache(maxsize=64)
def _fields(kind: type) -> tuple[dict[str, Any], frozenset[str]]:
    """The fields of a dataclass with their types, and those that have no default."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    needed = frozenset(f.name for f in fields if f.default is missing and f.default_factory is missing)
    return {f.name: hints[f.name] for f in fields}, needed


def _record(kind: Any, value: Any) -> Any:
    kinds, needed = _fields(kind)
    if type(value) is not dict:
        raise ValueError(f"{shown(value)} is not a table of {kind.__name__}")
    if unknown := sorted({*value} - {*kinds}):
        raise ValueError(f"unknown field {shown(unknown[0])}")
    if missing := sorted(needed - {*value}):
        raise ValueError(f"'{missing[0]}' is missing")
    return kind(**{name: _within(name, kinds[name], inner) for name, inner in value.items()})

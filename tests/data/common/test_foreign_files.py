"""Files of somebody else are bounded before they are parsed, and their values typed before they are used."""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from dped_data.common.foreign_files import parse_json, read_json, read_limited, typed
from dped_data.errors import UsageError
from dped_data.settings import load_build_settings


@dataclass(frozen=True)
class Part:
    name: str
    size: float = 1.0


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    kind: Literal["a", "b"]
    counts: dict[str, int]
    pair: tuple[int, int] | None = None


SOUND: dict[str, Any] = {"parts": [{"name": "x", "size": 2}], "kind": "a", "counts": {"n": 1}}


def test_a_document_becomes_what_its_fields_say() -> None:
    assert typed(Whole, SOUND) == Whole((Part("x", 2.0),), "a", {"n": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": None}, "parts: None is not a list"),
        ({"parts": [{}]}, "parts: 0: 'name' is missing"),
        ({"parts": [{"name": 5}]}, "parts: 0: name: 5 is int, expected str"),
        ({"parts": [{"name": "x", "size": 10**30}]}, "is int, expected float"),
        ({"kind": "c"}, "kind: 'c' is not one of a, b"),
        ({"kind": ["a"]}, "is not one of a, b"),
        ({"counts": {"n": True}}, "counts: n: True is bool, expected int"),
        ({"counts": {"n": 2**63}}, "an integer of more than 64 bits"),
        ({"counts": []}, "is not a table"),
        ({"pair": [1]}, "pair: 1 values, expected 2"),
        ({"more": 1}, "unknown field 'more'"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        typed(Whole, SOUND | change)


@pytest.mark.parametrize(
    "text",
    ["NaN", "[Infinity]", "1e999", '{"a": 1, "a": 2}', "[" * 30 + "]" * 30, "[" * 10**5, '"\\ud800"', "9" * 5000, ""],
)
def test_what_is_no_sane_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_pairs_of_surrogates_are_text_and_unknown_figures_may_be_asked_for() -> None:
    assert parse_json(json.dumps("😀")) == "😀"
    assert parse_json("[NaN, -Infinity]", unknown_as_none=True) == [None, None]


def test_only_regular_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "long").write_bytes(b" " * 101)
    for name in ("fifo", "zero", "long"):
        with pytest.raises(ValueError, match="not a regular file|101 bytes, at most 100 are allowed"):
            read_limited(tmp_path / name, 100)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none", 100)


@pytest.mark.parametrize(
    "text", ["a" + ".a" * 40_000 + " = 1\n", "[" + ".".join("a" * 30_000) + "]\n", "# \n" * 30_000, "x = " + "[" * 900]
)
def test_a_toml_file_that_asks_for_gigabytes_is_refused_at_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UsageError, match=r"rig.toml: not a readable TOML file"):
        load_build_settings(path, {})
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize("value", ["nan", "inf", "9" * 400, "1" + "0" * 30])
def test_numbers_without_end_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(f"[pairing]\nmax_time_residual_s = {value}\n")
    with pytest.raises(UsageError, match="max_time_residual_s"):
        load_build_settings(path, {})

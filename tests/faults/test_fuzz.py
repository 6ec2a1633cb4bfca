"""Thousands of damaged files: each is read, or refused with one line. `make fuzz` reads a hundred thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from made_up import made_up_shards
from mutate import mutate_bytes, mutate_text

FUZZER = Path(__file__).with_name("fuzz.py")


def test_damage_is_the_same_for_the_same_generator_and_is_damage() -> None:
    data = bytes(range(200))
    mutated = [mutate_bytes(data, Random(seed)) for seed in range(200)]  # noqa: S311
    assert mutated == [mutate_bytes(data, Random(seed)) for seed in range(200)]  # noqa: S311
    assert len({*mutated}) > 190 and mutated.count(data) < 5
    texts = {mutate_text(b'a = 1\nb = "two"\n', Random(seed)) for seed in range(200)}  # noqa: S311
    assert len(texts) > 150


def test_two_thousand_damaged_files_do_no_harm(record_property: Callable[[str, object], None]) -> None:
    """Among them every made-up shard, read by the functions behind six commands, in a process with 1 GB more."""
    result = subprocess.run(
        [sys.executable, str(FUZZER), "--count", "2000", "--json"], capture_output=True, text=True, check=False
    )
    report = json.loads(result.stdout)
    assert report["found"] == [] and result.returncode == 0
    assert sum(report["mutations"].values()) == 2000
    assert 0.4 < sum(report["refused"].values()) / 2000 < 0.9  # most damage is noticed, and not everything is refused
    assert report["mutations"]["made-up shard"] == report["refused"]["made-up shard"] == len(made_up_shards()) > 60
    record_property("faults", json.dumps({"mutations": report["mutations"]}))

"""Splits: whole sessions, sensible sizes, and nothing moves when captures are added."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from dped_data.captures.records import Capture, Split
from dped_data.captures.split import assign_splits, find_sessions, split_warnings
from dped_data.common.natural_order import natural_key
from dped_data.settings import SplitSettings

SETTINGS = SplitSettings()


def capture(name: str, time_s: float | None = None, folder_split: Split | None = None) -> Capture:
    return Capture(name, f"sony/{name}.jpg", f"canon/{name}.jpg", time_s, folder_split)


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - tests, not secrets


def shooting(rng: random.Random, session_sizes: list[int]) -> list[Capture]:
    """Return captures in the order of time, a session for each size, with gaps of 40 minutes to two days."""
    captures: list[Capture] = []
    time_s = 1.5e9
    for size in session_sizes:
        for _ in range(size):
            captures.append(capture(f"IMG_{len(captures):05d}", time_s))
            time_s += rng.uniform(2, 200)
        time_s += rng.uniform(2400, 200_000)
    return captures


def by_id(captures: list[Capture], **more: object) -> dict[str, Split]:
    splits = assign_splits(captures, SETTINGS, **more)  # type: ignore[arg-type]
    return {c.capture_id: s for c, s in zip(captures, splits, strict=True)}


def sizes(captures: list[Capture], settings: SplitSettings = SETTINGS) -> Counter[Split]:
    return Counter(assign_splits(captures, settings))


def test_natural_key_sorts_numbers_by_value() -> None:
    names = ["IMG_10", "IMG_9", "b/1", "a/2", "a/10", "IMG_09x"]
    assert sorted(names, key=natural_key) == ["IMG_9", "IMG_09x", "IMG_10", "a/2", "a/10", "b/1"]


def test_a_gap_ends_a_session_whatever_the_order_of_the_input() -> None:
    times = [0, 100, 1900, 1900 + 1799, 1900 + 1799 + 1800]
    captures = [capture(f"IMG_{i}", t) for i, t in enumerate(times)]
    sessions = find_sessions([captures[i] for i in (3, 0, 4, 2, 1)], SETTINGS.session_gap_s)
    assert [[c.capture_id for c in s] for s in sessions] == [["IMG_0", "IMG_1"], ["IMG_2", "IMG_3"], ["IMG_4"]]


def test_a_capture_without_time_joins_its_neighbour_by_name() -> None:
    captures = [capture("a1"), capture("a2", 0.0), capture("a3"), capture("a4", 9000.0), capture("a5", 9010.0)]
    assert [len(s) for s in find_sessions(captures, 1800.0)] == [3, 2]


@pytest.mark.parametrize("seed", range(40))
def test_sessions_stay_whole(seed: int) -> None:
    rng = seeded(seed)
    captures = shooting(rng, [rng.randint(1, 60) for _ in range(rng.randint(3, 60))])
    split = by_id(captures)
    for session in find_sessions(captures, SETTINGS.session_gap_s):
        assert len({split[c.capture_id] for c in session}) == 1


@pytest.mark.parametrize("seed", range(40))
def test_later_captures_change_nothing(seed: int) -> None:
    """Every prefix in time gives the same splits, also one that ends in the middle of a session."""
    rng = seeded(seed)
    captures = shooting(rng, [rng.randint(1, 40) for _ in range(rng.randint(3, 30))])
    third_session = captures.index(find_sessions(captures, SETTINGS.session_gap_s)[2][0])
    whole = by_id(captures)
    for length in sorted(
        rng.sample(range(third_session + 1, len(captures) + 1), k=min(12, len(captures) - third_session))
    ):
        prefix = captures[:length]
        rng.shuffle(prefix)
        assert by_id(prefix) == {c.capture_id: whole[c.capture_id] for c in prefix}


@pytest.mark.parametrize("timed", [False, True])
def test_later_captures_change_nothing_in_blocks(timed: bool) -> None:
    captures = [capture(f"IMG_{i}", 1e9 + i if timed else None) for i in range(700)]
    whole = by_id(captures)
    for length in (1, 2, 3, 5, 9, 10, 11, 12, 40, 77, 123, 350, 699):
        prefix = captures[:length]
        assert by_id(prefix) == {c.capture_id: whole[c.capture_id] for c in prefix}


def test_an_earlier_assignment_is_kept_when_blocks_become_sessions_and_captures_are_inserted() -> None:
    rng = seeded(3)
    captures = shooting(rng, [30, 25, 40, 12, 18, 33])
    held: dict[str, Split] = {}
    for known in (captures[60:90], captures[40:100], captures[10:140], captures):
        split = by_id(known, earlier=held)
        assert {name: split[name] for name in held} == held
        held |= split
    assert set(held.values()) == {"train", "val", "test"}


def test_new_captures_of_an_earlier_session_follow_it() -> None:
    captures = shooting(seeded(1), [10, 8, 9, 10, 10])
    earlier: dict[str, Split] = {captures[12].capture_id: "val", captures[0].capture_id: "train"}
    split = by_id(captures, earlier=earlier)
    assert {split[c.capture_id] for c in captures[10:18]} == {"val"}


@pytest.mark.parametrize("timed", [False, True])
def test_small_sets_get_a_sensible_share(timed: bool) -> None:
    for count in range(1, 60):
        split = sizes([capture(f"IMG_{i}", 5.0 * i if timed else None) for i in range(count)])
        assert split["train"] >= max(1, 0.7 * count)
        if count >= 10:
            assert split["val"] >= 1
            assert 1 <= split["test"] <= 0.25 * count
    assert sizes([capture(f"{i:03d}") for i in range(1, 13)]) == {"train": 9, "test": 2, "val": 1}


@pytest.mark.parametrize("count", [3, 4, 6, 12])
def test_few_sessions_fill_all_splits(count: int) -> None:
    split = sizes(shooting(seeded(count), [4] * count))
    assert min(split["train"], split["val"], split["test"]) >= 1
    assert split["train"] == max(split.values())


@pytest.mark.parametrize("session", [1, 5, 20, 60])
@pytest.mark.parametrize("count", [1000, 2500, 6000])
def test_a_large_set_reserves_about_a_hundred_captures_for_testing(session: int, count: int) -> None:
    rng = seeded(session)
    drawn: list[int] = []
    while sum(drawn) < count:
        drawn.append(rng.randint(max(1, session // 2), 2 * session))
    split = sizes(shooting(rng, drawn))
    assert 60 <= split["test"] <= 160
    assert split["val"] >= 25
    assert 60 <= sizes([capture(f"IMG_{i}") for i in range(count)])["test"] <= 130


def test_captures_for_testing_are_spread_over_the_whole_set() -> None:
    captures = [capture(f"IMG_{i}") for i in range(1000)]
    split = by_id(captures)
    first_half = sum(split[c.capture_id] == "test" for c in captures[:500])
    assert 0.4 < first_half / sizes(captures)["test"] < 0.8


def test_no_test_captures_and_no_validation_on_request() -> None:
    captures = shooting(seeded(2), [12] * 20)
    assert sizes(captures, SplitSettings(test_captures=0))["test"] == 0
    assert sizes(captures, SplitSettings(test_captures=0))["val"] > 0
    assert sizes(captures, SplitSettings(val_share=0.0))["val"] == 0
    assert set(sizes(captures, SplitSettings(test_share=0.0, val_share=0.0))) == {"train"}


def test_folders_prescribe_the_split_and_validation_comes_out_of_train() -> None:
    train = [capture(f"train/{i}", None, "train") for i in range(40)]
    test = [capture(f"test/{i}", None, "test") for i in range(7)]
    split = by_id([*test, *train])
    assert all(split[c.capture_id] == "test" for c in test)
    assert {split[c.capture_id] for c in train} == {"train", "val"}
    val = [capture("val/1", None, "val")]
    assert Counter(by_id([*train, *test, *val]).values()) == {"train": 40, "test": 7, "val": 1}


def test_nothing_in_nothing_out() -> None:
    assert assign_splits([], SETTINGS) == ()


def test_a_split_far_from_what_was_asked_is_told() -> None:
    usual = shooting(seeded(1), [30, 12, 12, 30, 12, 9, 20, 30])
    assert split_warnings(usual, assign_splits(usual, SETTINGS), SETTINGS) == ()
    lopsided = shooting(seeded(2), [300, 250, 4])
    told = split_warnings(lopsided, assign_splits(lopsided, SETTINGS), SETTINGS)
    assert len(told) == 2 and told[0].startswith("split: test has 250 of 554 captures, about 68 were asked for; ")
    assert told[1].startswith("split: val has 4 of 554 captures, about 27 were asked for; ")
    prescribed = [capture(f"{i}", folder_split="test" if i else "train") for i in range(50)]
    assert split_warnings(prescribed, assign_splits(prescribed, SETTINGS), SETTINGS) == ()

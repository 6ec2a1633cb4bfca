"""Settings may be added: what was recorded before is read, digested and compared as it was."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

from dped_data.common.typed_settings import FrozenDefaults, changed_settings, digest_of, setting, settings_dict


@dataclass(frozen=True)
class Cut:
    side: int = setting(10, "side")


@dataclass(frozen=True)
class Before:
    name: str = "free text"
    cut: Cut = field(default_factory=Cut)
    seed: int = setting(0, "seed")

    frozen_defaults: ClassVar[FrozenDefaults] = FrozenDefaults(1, {"cut.side": 10, "seed": 0}, {})


@dataclass(frozen=True)
class GrownCut(Cut):
    round: bool = setting(False, "round corners")


@dataclass(frozen=True)
class Tone:
    gamma: float = setting(1.0, "gamma")
    black: int = setting(0, "black")


@dataclass(frozen=True)
class Grown(Before):
    cut: GrownCut = field(default_factory=GrownCut)
    tone: Tone = field(default_factory=Tone)
    note: str = setting("", "note")


RECORD = settings_dict(Before(seed=3))


def test_everything_that_was_there_from_the_start_is_recorded() -> None:
    assert RECORD == {"name": "free text", "cut": {"side": 10}, "seed": 3}


def test_an_added_setting_at_its_default_leaves_record_digest_and_comparison_as_they_were() -> None:
    grown = settings_dict(Grown(seed=3))
    assert grown == RECORD
    assert digest_of(grown, 1) == digest_of(RECORD, 1)
    assert changed_settings(RECORD, grown) == []


def test_an_added_setting_of_another_value_is_recorded_digested_and_told() -> None:
    grown = settings_dict(Grown(cut=GrownCut(round=True), tone=Tone(black=2), note="x", seed=3))
    assert grown == {**RECORD, "cut": {"side": 10, "round": True}, "tone": {"black": 2}, "note": "x"}
    assert digest_of(grown, 1) != digest_of(RECORD, 1)
    assert changed_settings(RECORD, grown) == [
        "cut.round: not recorded -> true",
        'note: not recorded -> "x"',
        'tone: not recorded -> {"black": 2}',
    ]
    assert changed_settings(grown, RECORD)[0] == "cut.round: true -> not recorded"


def test_a_changed_default_is_a_change_for_what_was_recorded_before() -> None:
    @dataclass(frozen=True)
    class Later(Grown):
        seed: int = setting(5, "seed")
        note: str = setting("new", "note")

        frozen_defaults: ClassVar[FrozenDefaults] = dataclasses.replace(
            Before.frozen_defaults, added={"cut.round": False, "tone.gamma": 1.0, "tone.black": 0, "note": ""}
        )

    before = settings_dict(Grown())
    assert changed_settings(before, settings_dict(Later())) == ['note: not recorded -> "new"', "seed: 0 -> 5"]
    assert settings_dict(Later(seed=0, note="")) == before


def test_a_class_that_freezes_nothing_records_all() -> None:
    assert settings_dict(Tone()) == {"gamma": 1.0, "black": 0}

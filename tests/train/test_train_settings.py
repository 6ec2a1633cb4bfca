"""Training settings are checked, and name what they change in a recipe."""

from __future__ import annotations

import dataclasses

import pytest
from frozen_settings import check_frozen

from dped_data.common.typed_settings import load_settings, setting_fields
from dped_data.errors import UsageError
from dped_train.losses import LOSSES, PAPER, RELEASED
from dped_train.run.checkpoint import FORMAT_VERSION
from dped_train.run.methods import WEIGHTS, recipe_of
from dped_train.settings import FREE_ON_RESUME, RECIPE_WEIGHT, TrainSettings


def test_the_defaults_are_the_papers_schedule() -> None:
    settings = TrainSettings()
    assert (settings.steps, settings.batch_size, settings.learning_rate) == (20_000, 50, 5e-4)  # section 3.3
    assert recipe_of(settings) == RELEASED
    assert recipe_of(dataclasses.replace(settings, recipe="paper")) == PAPER


def test_every_setting_has_a_type_that_a_flag_can_have_and_a_help_text() -> None:
    fields = list(setting_fields(TrainSettings))
    assert len(fields) == len(dataclasses.fields(TrainSettings))
    for field in fields:
        assert field.choices or field.type in (int, float, str, bool), field.name
        assert field.help
        assert field.check(field.default, "default") == field.default


def test_the_defaults_of_the_format_version_are_frozen() -> None:
    check_frozen(TrainSettings, FORMAT_VERSION)


def test_flags_are_checked() -> None:
    given = load_settings(TrainSettings(), {}, "settings", {"steps": 7, "recipe": "paper", "flips": True, "seed": None})
    assert given == dataclasses.replace(TrainSettings(), steps=7, recipe="paper", flips=True)
    for name, value, message in (
        ("steps", 0, "--steps: steps = 0 is below the least allowed 1"),
        ("batch_size", -1, "batch_size = -1 is below"),
        ("recipe", "mine", "recipe = 'mine' is not one of released, paper"),
        ("ema_decay", 1.0, "ema_decay = 1.0 is above"),
        ("content_weight", -2.0, "content_weight = -2.0 is below the least allowed -1"),
    ):
        with pytest.raises(UsageError, match=message):
            load_settings(TrainSettings(), {}, "settings", {name: value})


def test_every_loss_has_a_weight_that_stands_for_the_recipes() -> None:
    assert [getattr(TrainSettings(), name) for name in WEIGHTS] == [RECIPE_WEIGHT] * len(LOSSES)


def test_weights_replace_the_recipes_one_by_one() -> None:
    settings = dataclasses.replace(TrainSettings(), content_weight=0.0, tv_weight=7.0)
    assert recipe_of(settings) == dataclasses.replace(RELEASED, content_weight=0.0, tv_weight=7.0)


def test_what_is_free_on_resume_is_a_setting() -> None:
    assert set(FREE_ON_RESUME) < {field.name for field in setting_fields(TrainSettings)}
    assert not {"seed", "learning_rate", "batch_size", "recipe"} & set(FREE_ON_RESUME)

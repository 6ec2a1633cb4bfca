"""The methods that `dped train` knows: which network, and which losses (table 2 and table 3 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi
from typing import Any, get_args

from dped_train.losses import LOSSES, RECIPES, Recipe
from dped_train.networks.compared import Johnson, PhotoNetwork, Srcnn
from dped_train.networks.dped import Enhancer, Input, Normalisation, Padding
from dped_train.settings import (
    BALANCED_BATCH,
    CHOSEN_RATE,
    INSTANCE_SHARE,
    RECIPE_WEIGHT,
    Method,
    TrainSettings,
)

HALVED_AFTER = (0.5, 0.75, 0.9)
"""Ours: shares of the steps after which the schedule `steps` halves the rates."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of one step."""

    enhancer: float
    discriminator: float


METHODS: tuple[Method, ...] = get_args(Method)
WEIGHTS = tuple(f"{name}_weight" for name in LOSSES)


def recipe_of(settings: TrainSettings) -> Recipe:
    """The recipe that `settings` name, with the losses of their method and the weights that they change.

    `dped`: the recipe as it is. `srcnn`: the mean squared error alone (Dong et al., equation 4). `johnson`: the
    feature reconstruction loss at relu2_2 of VGG alone (Johnson et al., equation 2 and section 4.2), and their batch
    normalisation.
    """
    recipe = RECIPES[settings.recipe]
    if settings.method != "dped":
        none: dict[str, Any] = dict.fromkeys(WEIGHTS, 0.0)
        recipe = replace(recipe, **none)
    if settings.method == "srcnn":
        recipe = replace(recipe, mse_weight=1.0)
    if settings.method == "johnson":
        recipe = replace(recipe, content_weight=1.0, content_layer="relu2_2", normalisation="batch")
    weights = {name: getattr(settings, name) for name in WEIGHTS if getattr(settings, name) != RECIPE_WEIGHT}
    recipe = replace(recipe, **weights)
    return replace(recipe, texture_weight=recipe.texture_weight * texture_factor(settings))


def texture_factor(settings: TrainSettings) -> float:
    """What the texture loss is weighed by besides its weight.

    Where it is a sum over the batch, and all others are means, `balance` brings it to what it is in a batch of 50.
    """
    summed = RECIPES[settings.recipe].adversary == "softmax"
    return BALANCED_BATCH / settings.batch_size if settings.balance and summed else 1.0


def learning_rates(settings: TrainSettings, normalisation: Normalisation, step: int) -> Rates:
    """The rates of both networks at `step` (from 0): warm-up, then the schedule."""
    done = step / settings.steps
    factor = min(1.0, (step + 1) / max(settings.warmup, 1))
    if settings.schedule == "cosine":
        factor *= (1 + cos(pi * done)) / 2
    elif settings.schedule == "steps":
        factor *= 0.5 ** sum(done >= share for share in HALVED_AFTER)
    its = settings.discriminator_rate
    if its <= 0:
        chosen = its == CHOSEN_RATE and normalisation == "instance"
        its = settings.learning_rate * (INSTANCE_SHARE if chosen else 1.0)
    return Rates(settings.learning_rate * factor, its * factor)


def new_network(method: Method, recipe: Recipe, padding: Padding = "zeros", input: Input = "rgb") -> PhotoNetwork:
    """The network of `method`, its weights not yet set; `padding` and `input` are those of the paper's own."""
    if method == "srcnn":
        return Srcnn()
    return Johnson() if method == "johnson" else Enhancer(recipe.normalisation, padding, input)
